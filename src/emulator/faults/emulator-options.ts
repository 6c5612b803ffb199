/** What an emulator can be told. Every default stands here. */
import type { Clock } from "../../clock.ts";
import type { Tokenizer } from "./token-count.ts";

export const TIERS = ["off", "1", "2", "3"] as const;
type Tier = (typeof TIERS)[number];

export type EmulatorOptions = Readonly<{
  /** State lives here and survives a kill. Without it: a temporary folder, removed by `close`. */
  folder?: string | undefined;
  host?: string;
  /** 0 takes any free port. */
  port?: number;
  /** Which quota of enqueued tokens holds; "off" for none. */
  tier?: Tier;
  /** Texts a minute through the interactive API, in place of the tier's. */
  requestsPerMinute?: number | undefined;
  /** Tokens a minute through the interactive API, in place of the tier's. */
  tokensPerMinute?: number | undefined;
  /** So many enqueued tokens a model, whatever the tier says. */
  quotaTokens?: number | undefined;
  /** As a bucket: how long a full one takes to drain. */
  quotaRefillSeconds?: number;
  /** So long after the first batch the quota becomes `quotaChangeTokens`. */
  quotaChangeSeconds?: number | undefined;
  quotaChangeTokens?: number | undefined;
  /** Batches that may be active at once. */
  activeBatchesMax?: number;
  /** From creation to the end of a batch; it is RUNNING after the first third. */
  batchSeconds?: number;
  /** As the table FAULTS has them: `shuffle,double=0.01`. */
  faults?: string;
  /** As the table BEHAVIOURS has them: `bad-line=line-error`. */
  behaviour?: string;
  seed?: number;
  tokenizer?: Tokenizer;
  /** MIME types that are refused although the service takes them at times. */
  refusedMimeTypes?: readonly string[];
  /** API keys and the project of each. Without: any key, except "wrong-key" and "…invalid…". */
  keys?: Readonly<Record<string, string>>;
  /** Another clock. */
  clock?: Pick<Clock, "now">;
  /** Time stands still and moves only by `advance`. */
  frozen?: boolean;
}>;

export const DEFAULTS = {
  host: "127.0.0.1",
  port: 0,
  tier: "off",
  // 15 to 20 minutes were reported
  quotaRefillSeconds: 20 * 60,
  activeBatchesMax: 100,
  batchSeconds: 1,
  faults: "",
  behaviour: "",
  seed: 1,
  tokenizer: "words",
  refusedMimeTypes: ["jsonl"],
} as const satisfies EmulatorOptions;

export type Settings = Readonly<
  Required<Omit<EmulatorOptions, Unset | "clock" | "frozen" | "folder">> &
    Pick<EmulatorOptions, Unset>
> & { readonly folder: string };

/** What may be left open. */
type Unset =
  | "keys"
  | "requestsPerMinute"
  | "tokensPerMinute"
  | "quotaTokens"
  | "quotaChangeSeconds"
  | "quotaChangeTokens";
