import type { Clock } from "../clock.ts";
import type { Gemini } from "../gemini/port.ts";
import type { Report } from "../progress.ts";
import type { Target } from "../row/target.ts";
import type { Manifest } from "./manifest.ts";

/** What a stage works with that sends to Gemini, or looks there. */
export type StageServices = Readonly<{
  gemini: Gemini;
  manifest: Manifest;
  report: Report;
  clock: Clock;
  signal: AbortSignal;
  /** Names the API key without telling it. */
  keyId: string;
  /** A mark of the target's column, for the names of batches; see `targetMark`. */
  targetMarkOf?: (target: Target) => Promise<string | undefined>;
}>;
