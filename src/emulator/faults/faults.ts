/**
 * Faults on demand, from a compact text such as `shuffle,double=0.01,create-ambiguous=1x`. One
 * table says what there is; --help is made from it. Whether a fault strikes is drawn from the seed,
 * so that a run can be had again:
 * - in results by the row's key and the batch's number, so that a row sent again gets a new draw;
 *   only `permanent` looks at the key and the text, so that a mended text may pass;
 * - for requests and batches by how many of that kind there have been.
 */
import { UserError, usageError } from "../../errors.ts";
import { draw } from "./hash.ts";
import { type GivenPart, givenParts, unknownName } from "./given-parts.ts";

type FaultKind = Readonly<{
  /** A share of rows; a share of requests or batches, or the first so many; or an amount. */
  takes: "rows" | "times" | "seconds" | "milliseconds";
  meaning: string;
}>;

const ofRows = (meaning: string) => ({ takes: "rows", meaning }) as const;
const ofTimes = (meaning: string) => ({ takes: "times", meaning }) as const;
const inSeconds = (meaning: string) => ({ takes: "seconds", meaning }) as const;
const inMs = (meaning: string) => ({ takes: "milliseconds", meaning }) as const;

export const FAULTS = {
  shuffle: ofRows("result lines come in another order"),
  double: ofRows("a result line stands twice"),
  missing: ofRows("a result line is left out"),
  conflict: ofRows("a key has two lines with different vectors"),
  malformed: ofRows("a line is cut off, garbage, or JSON of another shape"),
  retryable: ofRows("a row fails with code 1, 2, 4, 8, 10, 13 or 14; sent again, it may pass"),
  permanent: ofRows("a row fails with code 3, every time that its text is the same"),
  "unknown-key": ofRows("an extra line has a key that nobody sent"),
  "no-key": ofRows("a result line has lost its key"),
  "wrong-width": ofRows("a vector is one value short"),
  zero: ofRows("a vector of nothing but zeros"),
  nan: ofRows('a value is "NaN", null or beyond all numbers'),
  "results-cut": ofTimes("a results file of several lines ends inside the last one"),
  "batch-fail": ofTimes("a batch ends FAILED"),
  "batch-expire": ofTimes("a batch ends EXPIRED"),
  "batch-cancel": ofTimes("a batch ends CANCELLED unasked"),
  "batch-stuck": ofTimes("a batch stays PENDING until it expires after 48 hours"),
  "batch-unknown-state": ofTimes("a batch shows a state nobody knows before it succeeds"),
  "create-ambiguous": ofTimes("a batch is created, and the answer is 503 or a reset"),
  "create-reset": ofTimes("a batch is created, and the connection is reset"),
  "create-503": ofTimes("a batch is created, and the answer is 503"),
  "create-silent": ofTimes("a batch is created, and no answer ever comes"),
  "create-lost": ofTimes("503, and no batch is created"),
  "create-late": inSeconds("a new batch is in the list only after so long"),
  "create-slow": inSeconds("the answer to a create takes so long"),
  "create-429": ofTimes("a create is refused for quota"),
  "upload-cut": ofTimes("the connection breaks inside an upload"),
  "upload-no-status": ofTimes("an upload answer lacks x-goog-upload-status"),
  "upload-final-lost": ofTimes("the file is stored, and the answer is lost"),
  "upload-5xx": ofTimes("503 to an upload request"),
  "upload-session-lost": ofTimes("the upload session is forgotten"),
  "mime-200-error": ofTimes("an upload ends with an error inside a 200"),
  "download-cut": ofTimes("the connection breaks inside a download"),
  "download-short": ofTimes("a download ends early as if it were whole"),
  "download-5xx": ofTimes("503 to a download"),
  "get-5xx": ofTimes("503 to a look at a batch or file"),
  "list-5xx": ofTimes("503 to a page of a list"),
  "cancel-5xx": ofTimes("503 to a cancel or delete, which took effect"),
  "sync-5xx": ofTimes("503 to an interactive call"),
  "sync-429": ofTimes("429 to a call that embeds at once"),
  "sync-cut": ofTimes("texts are embedded at once, and the connection breaks before the answer"),
  "sync-silent": ofTimes("texts are embedded at once, and no answer ever comes"),
  "sync-count": ofTimes("an answer to texts embedded at once is one vector short"),
  "sync-bad-text": ofRows("a text is refused with 400, and with it every call that has it"),
  "sync-slow": inMs("an interactive call takes so much longer"),
  "rate-429": ofTimes("429 to anything but a create"),
  slow: inMs("every answer takes so much longer"),
} satisfies Readonly<Record<string, FaultKind>>;

export type FaultName = keyof typeof FAULTS;

/** `share`: of all; `first`: so many, then never again; `amount`: seconds or milliseconds. */
type Setting = Readonly<{ share: number } | { first: number } | { amount: number }>;

const NUMBER = /^\d+(\.\d+)?$/;
const FIRST = /^(?<count>\d+)x$/;

export class Faults {
  /** As it was given; `new Faults(text, seed)` makes the same again. */
  readonly text: string;
  readonly #seed: number;
  readonly #settings: ReadonlyMap<FaultName, Setting>;
  readonly #asked = new Map<FaultName, number>();

  constructor(text: string, seed: number) {
    this.text = text;
    this.#seed = seed;
    this.#settings = new Map(givenParts(text).map(parsePart));
  }

  /** For requests and batches: asks, counts, and draws. */
  strikes(name: FaultName): boolean {
    const setting = this.#settings.get(name);
    if (setting === undefined) return false;
    const count = (this.#asked.get(name) ?? 0) + 1;
    this.#asked.set(name, count);
    if ("first" in setting) return count <= setting.first;
    return "share" in setting && draw(this.#seed, name, count) < setting.share;
  }

  /** For rows; the same question always gets the same answer, and for good where that is the fault: with another text another one. */
  strikesRow(name: FaultName, batchNumber: number, key: string, text = ""): boolean {
    const setting = this.#settings.get(name);
    if (setting === undefined || !("share" in setting)) return false;
    const row = name === "permanent" ? [key, text] : [batchNumber, key];
    return draw(this.#seed, name, ...row) < setting.share;
  }

  /** Every row is struck. */
  isSure(name: FaultName): boolean {
    const setting = this.#settings.get(name);
    return setting !== undefined && "share" in setting && setting.share >= 1;
  }

  /** A number in [0, 1) to choose between variants of a fault. */
  variant(...parts: readonly (string | number)[]): number {
    return draw(this.#seed, "variant", ...parts);
  }

  /** For what happens to a whole file or not at all. */
  has(name: FaultName): boolean {
    const setting = this.#settings.get(name);
    return setting !== undefined && "share" in setting && setting.share > 0;
  }

  /** Seconds or milliseconds, 0 when not set. */
  amount(name: FaultName): number {
    const setting = this.#settings.get(name);
    return setting !== undefined && "amount" in setting ? setting.amount : 0;
  }
}

/** A line for each, for --help. */
/** How each is written, and what it does. */
export function describeFaults(): (readonly [string, string])[] {
  return Object.entries(FAULTS).map(([name, { takes, meaning }]) => [
    `${name}=${UNIT[takes]}`,
    meaning,
  ]);
}

const UNIT: Readonly<Record<FaultKind["takes"], string>> = {
  rows: "<share>",
  times: "<share or Nx>",
  seconds: "<seconds>",
  milliseconds: "<ms>",
};

function parsePart([name, value]: GivenPart): [FaultName, Setting] {
  if (!isFault(name)) throw unknownName("fault", name, Object.keys(FAULTS));
  return [name, parseSetting(name, value)];
}

function parseSetting(name: FaultName, value: string | undefined): Setting {
  const { takes } = FAULTS[name];
  if (takes === "seconds" || takes === "milliseconds") {
    if (value === undefined || !NUMBER.test(value)) throw badValue(name);
    return { amount: Number(value) };
  }
  if (value === undefined) return { share: 1 };
  const count = FIRST.exec(value)?.groups?.["count"];
  if (count !== undefined && takes === "times") return { first: Number(count) };
  if (!NUMBER.test(value) || Number(value) > 1) throw badValue(name);
  return { share: Number(value) };
}

function isFault(name: string): name is FaultName {
  return Object.hasOwn(FAULTS, name);
}

function badValue(name: FaultName): UserError {
  return usageError(
    `The fault ${name} was given a value it does not take.`,
    `Write ${name}=${UNIT[FAULTS[name].takes]}; a share is from 0 to 1, 2x means the first two.`,
  );
}
