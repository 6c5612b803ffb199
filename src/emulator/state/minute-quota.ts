/**
 * How much may be embedded in a minute through the interactive API. The service no longer publishes
 * its figures; these are the last that it did, and tier 3, never published, is taken as tier 2.
 * Source: ai.google.dev/gemini-api/docs/rate-limits, as quoted in public before 2026.
 */
import { MS_PER_MINUTE } from "../../clock.ts";
import { quotaExceeded } from "../http/service-error.ts";
import type { MinuteUse, State } from "./state.ts";

const PER_MINUTE = {
  "1": { requests: 3_000, tokens: 1_000_000 },
  "2": { requests: 5_000, tokens: 5_000_000 },
  "3": { requests: 5_000, tokens: 5_000_000 },
  off: { requests: Infinity, tokens: Infinity },
} as const;

/** Counts a call, or throws 429 when it would be too much within a minute. Refused ones count nothing. */
export function takeFromMinute(state: State, call: Omit<MinuteUse, "atMs">): void {
  const nowMs = state.time.nowMs();
  const { settings } = state;
  state.lastMinute = state.lastMinute.filter(({ atMs }) => nowMs - atMs < MS_PER_MINUTE);
  const used = state.lastMinute.filter(
    ({ project, model }) => project === call.project && model === call.model,
  );
  const limit = PER_MINUTE[settings.tier];
  const requestsMax = settings.requestsPerMinute ?? limit.requests;
  const tokensMax = settings.tokensPerMinute ?? limit.tokens;
  const sum = (figure: "requests" | "tokens") =>
    used.reduce((total, each) => total + each[figure], call[figure]);
  if (sum("requests") > requestsMax || sum("tokens") > tokensMax) throw quotaExceeded();
  state.lastMinute.push({ ...call, atMs: nowMs });
}
