import type { FaultName } from "../src/emulator/faults/faults.ts";
import type { Dice } from "./dice.ts";

/** What the emulator may be told to do, often enough to matter and seldom enough to be finished. */
const MENU: readonly (readonly [FaultName, string])[] = [
  ["shuffle", "1"],
  ["double", "0.05"],
  ["missing", "0.03"],
  ["conflict", "0.03"],
  ["malformed", "0.03"],
  ["retryable", "0.08"],
  ["permanent", "0.02"],
  ["unknown-key", "0.02"],
  ["no-key", "0.02"],
  ["wrong-width", "0.02"],
  ["zero", "0.02"],
  ["nan", "0.02"],
  ["results-cut", "0.1"],
  ["batch-fail", "0.1"],
  ["batch-expire", "0.05"],
  ["batch-cancel", "0.05"],
  ["batch-unknown-state", "0.2"],
  ["create-ambiguous", "0.3"],
  ["create-lost", "0.1"],
  ["create-late", "0.2"],
  ["create-slow", "0.2"],
  ["create-429", "0.2"],
  ["upload-cut", "0.1"],
  ["upload-no-status", "0.1"],
  ["upload-final-lost", "0.1"],
  ["upload-5xx", "0.05"],
  ["upload-session-lost", "0.05"],
  ["mime-200-error", "0.05"],
  ["download-cut", "0.15"],
  ["download-short", "0.15"],
  ["download-5xx", "0.05"],
  ["get-5xx", "0.02"],
  ["list-5xx", "0.05"],
  ["rate-429", "0.02"],
  ["sync-429", "0.1"],
  ["sync-5xx", "0.1"],
  ["sync-cut", "0.05"],
  ["sync-count", "0.05"],
  ["slow", "5"],
];

/** About a quarter of the menu, as the emulator reads it. */
export function drawFaults(dice: Dice, share = 0.25): string {
  return dice
    .some(MENU, share)
    .map(([name, value]) => `${name}=${value}`)
    .join(",");
}
