import type { Failure } from "../row/failed-line.ts";
import { KeyTable } from "../row/key-table.ts";
import type { RowOutcome } from "../row/question.ts";
import { NO_ROWS, type Sums } from "../row/sums.ts";
import { CopyLinks } from "../row/copy-links.ts";

/** What is known of a request while its job's results are read. */
const CODE = {
  unknown: 0,
  /** Its vector is on its way to the store. */
  taken: 1,
  failed: 2,
  written: 3,
  stale: 4,
  filled: 5,
  gone: 6,
} as const;

const HAS_LINE = 1;
const HAS_SEVERAL_LINES = 2;
const HAS_CONFLICT = 4;
const HAS_MALFORMED_LINE = 8;

/** Of failures that do not read alike: a service that words each one differently fills no memory. */
const MAX_DISTINCT_FAILURES = 10_000;
const TOO_MANY = "the service's own words for this row are in the results file";

const MISSING: Failure = {
  class: "retryable",
  reason: "missing",
  message: "the results have no line for this row",
};
const MALFORMED: Failure = {
  class: "retryable",
  reason: "malformed",
  message: "the result line cannot be read",
};

/** A row that gets the vector of another. */
export type CopiedRow = Readonly<{ ordinal: number; id: string }>;

/**
 * The rows of a job by their place, the copies after the requests, and what became of each: about 18
 * bytes a row, however long the lines are. Failures that read alike are kept once. Lines of results are
 * of requests; what fails a request fails its copies.
 */
export class RequestRows {
  readonly #ordinals: KeyTable;
  readonly #codes: Uint8Array;
  readonly #flags: Uint8Array;
  readonly #requests: number;
  /** Undefined where no text repeats. */
  readonly #links: CopyLinks | undefined;
  readonly #failures = new Map<number, Failure>();
  readonly #distinctFailures = new Map<string, Failure>();

  constructor(requests: number, copies = 0) {
    const rows = requests + copies;
    this.#requests = requests;
    this.#links = copies === 0 ? undefined : new CopyLinks();
    this.#ordinals = new KeyTable(rows);
    this.#codes = new Uint8Array(rows);
    this.#flags = new Uint8Array(rows);
  }

  /** Keys are added in the order of the request file, and then of the copies. */
  add(key: string): void {
    const ordinal = this.#ordinals.size;
    if (ordinal >= this.#codes.length) throw new Error("more requests than recorded");
    if (!this.#ordinals.add(key, ordinal)) throw new Error(`the key ${key} stands twice`);
    if (ordinal < this.#requests) this.#links?.addRequest(key, ordinal);
    else this.#links?.addCopy(key);
  }

  get size(): number {
    return this.#ordinals.size;
  }

  /** Undefined for a key that was not asked for. */
  ordinalOf(key: string): number | undefined {
    const ordinal = this.#ordinals.get(key);
    return ordinal !== undefined && ordinal < this.#requests ? ordinal : undefined;
  }

  hasCopies(ordinal: number): boolean {
    return this.#links?.has(ordinal) ?? false;
  }

  *copiesOf(ordinal: number): Generator<CopiedRow> {
    if (this.#links === undefined) return;
    for (const { place, id } of this.#links.of(ordinal)) {
      yield { ordinal: this.#requests + place, id };
    }
  }

  /** For another file. */
  forgetLines(): void {
    this.#flags.fill(0);
  }

  /** Says which of the row's lines it is: the first, the second, or a later one. */
  noteLine(ordinal: number): 1 | 2 | 3 {
    const nth = this.hasSeveralLines(ordinal) ? 3 : this.#has(ordinal, HAS_LINE) ? 2 : 1;
    this.#set(ordinal, nth === 1 ? HAS_LINE : HAS_SEVERAL_LINES);
    return nth;
  }

  noteMalformedLine(ordinal: number): void {
    this.#set(ordinal, HAS_MALFORMED_LINE);
  }

  noteConflict(ordinal: number): void {
    this.#set(ordinal, HAS_CONFLICT);
  }

  hasSeveralLines(ordinal: number): boolean {
    return this.#has(ordinal, HAS_SEVERAL_LINES);
  }

  hasConflict(ordinal: number): boolean {
    return this.#has(ordinal, HAS_CONFLICT);
  }

  /** True once, for the first line of a row that counts; every further line is a double. */
  take(ordinal: number): boolean {
    if (this.#codes[ordinal] !== CODE.unknown) return false;
    this.#codes[ordinal] = CODE.taken;
    return true;
  }

  settle(ordinal: number, outcome: RowOutcome): void {
    this.#codes[ordinal] = CODE[outcome];
  }

  /** A request, with its copies. */
  fail(ordinal: number, failure: Failure): void {
    this.failRow(ordinal, failure);
    for (const copy of this.copiesOf(ordinal)) this.failRow(copy.ordinal, failure);
  }

  /** One row alone, which its table refuses: those with the same text may be taken. */
  failRow(ordinal: number, failure: Failure): void {
    this.#codes[ordinal] = CODE.failed;
    this.#failures.set(ordinal, this.#shared(failure));
  }

  /** Requests for which no line was found that can be used: there is none, or none is readable, or several contradict each other. */
  unanswered(): number[] {
    const ordinals: number[] = [];
    for (let ordinal = 0; ordinal < this.#requests; ordinal++) {
      const isUnknown = this.#codes[ordinal] === CODE.unknown;
      if (isUnknown || this.hasConflict(ordinal)) ordinals.push(ordinal);
    }
    return ordinals;
  }

  /** Fails every request that no usable line was found for, and says how many there were. */
  failTheRest(): number {
    let failed = 0;
    for (let ordinal = 0; ordinal < this.#requests; ordinal++) {
      if (this.#codes[ordinal] !== CODE.unknown) continue;
      this.fail(ordinal, this.#has(ordinal, HAS_MALFORMED_LINE) ? MALFORMED : MISSING);
      failed += 1;
    }
    return failed;
  }

  failureOf(ordinal: number): Failure | undefined {
    return this.#failures.get(ordinal);
  }

  /** Throws when some row has no outcome yet: its job must not be called imported. */
  sums(): Sums {
    const counts = Object.values(CODE).map(() => 0);
    for (const code of this.#codes) counts[code] = (counts[code] ?? 0) + 1;
    const of = (name: keyof typeof CODE) => counts[CODE[name]] ?? 0;
    if (of("unknown") + of("taken") > 0) throw new Error("rows without an outcome");
    return {
      ...NO_ROWS,
      requests: this.#codes.length,
      written: of("written"),
      failed: of("failed"),
      stale: of("stale"),
      filled: of("filled"),
      gone: of("gone"),
    };
  }

  #has(ordinal: number, flag: number): boolean {
    return ((this.#flags[ordinal] ?? 0) & flag) !== 0;
  }

  #set(ordinal: number, flag: number): void {
    this.#flags[ordinal] = (this.#flags[ordinal] ?? 0) | flag;
  }

  #shared(failure: Failure): Failure {
    const text = JSON.stringify(failure);
    const known = this.#distinctFailures.get(text);
    if (known !== undefined) return known;
    if (this.#distinctFailures.size >= MAX_DISTINCT_FAILURES && failure.message !== TOO_MANY) {
      return this.#shared({ ...failure, message: TOO_MANY });
    }
    this.#distinctFailures.set(text, failure);
    return failure;
  }
}
