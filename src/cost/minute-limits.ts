import type { MinuteLimits } from "../gemini/port.ts";
import { QUOTAS, type Tier } from "./tariff.ts";

type Told = Readonly<{
  maxRequestsPerMinute: number | undefined;
  maxTokensPerMinute: number | undefined;
  tier: Tier;
}>;

/** What may be embedded at once in a minute: as told, else what the tier allows. */
export function minuteLimits(settings: Told): MinuteLimits {
  const { interactiveRequestsPerMinute, interactiveTokensPerMinute } = QUOTAS[settings.tier];
  return {
    requestsPerMinute: settings.maxRequestsPerMinute ?? interactiveRequestsPerMinute,
    tokensPerMinute: settings.maxTokensPerMinute ?? interactiveTokensPerMinute,
  };
}
