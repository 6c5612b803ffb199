/** What goes wrong with single result lines. */
import type { Faults } from "./faults.ts";
import { invalid, ServiceError } from "../http/service-error.ts";

const ROW_FAULTS = [
  "double",
  "missing",
  "conflict",
  "malformed",
  "retryable",
  "permanent",
  "unknown-key",
  "no-key",
  "wrong-width",
  "zero",
  "nan",
] as const;

export type RowFault = (typeof ROW_FAULTS)[number];

const NONE: ReadonlySet<RowFault> = new Set();
const RETRYABLE = [
  "CANCELLED",
  "UNKNOWN",
  "DEADLINE_EXCEEDED",
  "RESOURCE_EXHAUSTED",
  "ABORTED",
  "INTERNAL",
  "UNAVAILABLE",
] as const;
const ODD_VALUES = ['"NaN"', "null", "1e999"] as const;

/**
 * The faults that strike this key in this batch. The first row keeps a line with its key, unless none does:
 * results that name no row at all are another fault, and nobody can finish with them.
 */
export function struckBy(
  faults: Faults,
  batchNumber: number,
  {
    key = "",
    text,
    isFirst,
  }: Readonly<{ key?: string | undefined; text: string; isFirst: boolean }>,
): ReadonlySet<RowFault> {
  if (faults.text === "") return NONE;
  const isSpared = (name: RowFault) => isFirst && UNNAMING.includes(name) && !faults.isSure(name);
  const strikes = (name: RowFault) =>
    faults.strikesRow(name, batchNumber, key, text) && !isSpared(name);
  return new Set(ROW_FAULTS.filter(strikes));
}

const UNNAMING: readonly RowFault[] = ["missing", "malformed", "no-key"];

/** The error that a row is answered with in place of its vector, if any. */
export function rowError(struck: ReadonlySet<RowFault>, variant: number): ServiceError | undefined {
  if (struck.has("permanent")) {
    return invalid("The request was refused (a fault that was asked for).");
  }
  if (!struck.has("retryable")) return undefined;
  return new ServiceError(
    pick(RETRYABLE, variant),
    "Please try again (a fault that was asked for).",
  );
}

/** A line that nobody can attribute with certainty. */
export function garbledLine(key: string, variant: number): string {
  const named = JSON.stringify(key);
  return pick(
    [
      '{"response":{"tokenCount":"9","embedding":{"values":[0.012345678,-0.0234',
      `{"response":{"embedding":{"values":[0.1,0.2]}},"key":${named}`,
      "upstream connect error or disconnect/reset before headers",
      "",
      "[]",
      `{"key":${named}}`,
      `{"key":${named},"response":{"embedding":{}}}`,
    ],
    variant,
  );
}

/** The values of a vector that went wrong: other units, or text where no number can stand. */
export function oddVector(
  units: Int32Array,
  struck: ReadonlySet<RowFault>,
  variant: number,
): Int32Array | string {
  if (struck.has("wrong-width")) return units.subarray(1);
  if (struck.has("zero")) return new Int32Array(units.length);
  if (!struck.has("nan")) return units;
  return [pick(ODD_VALUES, variant), ...Array.from(units.subarray(1), () => "0.01")].join(",");
}

function pick<const T>(choices: readonly [T, ...T[]], variant: number): T {
  return choices[Math.floor(variant * choices.length)] ?? choices[0];
}
