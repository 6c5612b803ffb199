/**
 * One pass over the pending rows, as an export makes it, that only counts: what would be sent, what
 * would be left out and why, and a sample of the texts for Gemini to count. It writes nothing.
 */
import type { TargetDescription } from "../row/target-description.ts";
import { type JobBounds, JobContent, type SizedText } from "../jobs-folder/cut.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { PaidRows } from "../import/again/paid-for.ts";
import { readTakenRows } from "../jobs-folder/taken-rows.ts";
import { checkVectorSpace } from "../gates/vector-space.ts";
import { hasPending, pendingPages } from "../jobs-folder/pending-pages.ts";
import { type OnTooLong, paidOf, screen } from "../export/screen.ts";
import { MODELS, textPrefix } from "../row/models.ts";
import { KeySet } from "../row/key-table.ts";
import { formatKey, type PendingQuestion } from "../row/question.ts";
import { NONE_SKIPPED, type Skipped, type SkipReason } from "../row/skipped.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { requestLineFormat } from "../row/request-line.ts";
import type { Store } from "../store/port.ts";
import { checkTarget } from "../row/target-check.ts";
import type { Kin, Siblings, Target } from "../row/target.ts";
import { TokenSample } from "../cost/token-sample.ts";
import { JobCount } from "./job-count.ts";

export type SurveyServices = Pick<StageServices, "report" | "signal"> &
  Readonly<{ store: Store; manifest: ManifestView }>;

export type SurveyOptions = Readonly<{
  target: Target;
  siblings?: Siblings | undefined;
  kin?: Kin | undefined;
  bounds: JobBounds;
  /** Of the first job. */
  firstBounds: JobBounds;
  limit: number | undefined;
  onTooLong: OnTooLong;
  /** What is known of the service's count beforehand; it decides which texts are too long. */
  ratio: number;
  /** Sixteen bytes a row. */
  countsDistinct: boolean;
  /** False: rows that are paid for are counted as if they were to be sent. */
  asksPaid?: boolean | undefined;
}>;

export type Survey = Readonly<{
  description: TargetDescription;
  rows: number;
  /** Undefined where they were not counted. */
  distinctTexts: number | undefined;
  skipped: Skipped;
  /** Rows that would not be sent, since another row of their job has the same text. */
  copies: number;
  /** Of what would be sent. Estimated, without any correction. */
  uncorrectedTokens: number;
  /** The same of the copies. */
  savedTokens: number;
  requestBytes: number;
  jobCount: JobCount;
  sample: TokenSample;
}>;

/** Throws a UserError where `run` would: table, column or vector space do not fit. */
export async function survey(services: SurveyServices, options: SurveyOptions): Promise<Survey> {
  const { store, manifest, report, signal } = services;
  const { target, kin } = options;
  const description = await store.describe();
  checkTarget(target, description);
  checkVectorSpace(manifest.jobs(), target, kin);
  const tally = new Tally(options);
  if (!(await hasPending(store))) return { description, ...tally.result() };
  const taken = await readTakenRows({ manifest, store }, target, kin);
  const { asksPaid = true } = options;
  const ask = asksPaid ? new PaidRows(services, target, kin).ask : undefined;
  for await (const page of pendingPages(store)) {
    const paid = await paidOf(page, target, taken, ask);
    for (const question of page) {
      if (tally.rows >= (options.limit ?? Infinity) || signal.aborted) break;
      const verdict = screen(question, target, taken, options.onTooLong, options.ratio, paid);
      if ("skip" in verdict) tally.skip(verdict.skip);
      else tally.take(verdict.take, verdict.tokens);
    }
    report({ type: "planning", rows: tally.rows, skipped: tally.skippedRows });
    if (tally.rows >= (options.limit ?? Infinity) || signal.aborted) break;
  }
  signal.throwIfAborted();
  return { description, ...tally.result() };
}

type Looking = Pick<SurveyOptions, "target" | "kin" | "onTooLong" | "ratio">;

/** Rows that a run leaves out, by why, up to the first that it takes, or has paid for. */
export async function leftOut(
  { store, manifest }: Pick<SurveyServices, "store" | "manifest">,
  { target, kin, onTooLong, ratio }: Looking,
): Promise<Skipped> {
  const taken = await readTakenRows({ manifest, store }, target, kin);
  const skipped = { ...NONE_SKIPPED };
  for await (const page of pendingPages(store)) {
    for (const question of page) {
      const verdict = screen(question, target, taken, onTooLong, ratio);
      if ("take" in verdict) return skipped;
      skipped[verdict.skip] += 1;
    }
  }
  return skipped;
}

/** Ids of rows that are paid for and have lost their vectors. */
export async function* lostRows(
  services: Omit<SurveyServices, "signal">,
  target: Target,
  kin?: Kin,
): AsyncGenerator<string> {
  const { store, manifest } = services;
  const known = new PaidRows(services, target, kin);
  if (known.ask === undefined || !(await hasPending(store))) return;
  const taken = await readTakenRows({ manifest, store }, target, kin);
  for await (const page of pendingPages(store)) {
    const paid = await paidOf(page, target, taken, known.ask);
    for (const row of page) {
      const key = formatKey(row);
      if (paid.has(key) || known.isGone(key)) yield row.id;
    }
  }
}

class Tally {
  readonly #format: (question: PendingQuestion) => string;
  readonly #prefix: string;
  readonly #skipped = { ...NONE_SKIPPED };
  readonly #texts: KeySet | undefined;
  readonly #jobs: JobCount;
  readonly #sample = new TokenSample();
  readonly #options: Pick<SurveyOptions, "bounds" | "ratio">;
  /** As an export would fill it now: a later correction may cut a little earlier or later. */
  #content: JobContent;
  readonly #sums = { tokens: 0, savedTokens: 0, bytes: 0, copies: 0 };
  rows = 0;

  constructor(options: SurveyOptions) {
    const { target, bounds, firstBounds, countsDistinct } = options;
    this.#options = options;
    this.#content = new JobContent(firstBounds);
    this.#format = requestLineFormat(target);
    this.#prefix = textPrefix(MODELS[target.model], target.taskType);
    this.#jobs = new JobCount(bounds);
    this.#texts = countsDistinct ? new KeySet() : undefined;
  }

  get skippedRows(): number {
    return Object.values(this.#skipped).reduce((sum, rows) => sum + rows, 0);
  }

  skip(reason: SkipReason): void {
    this.#skipped[reason] += 1;
  }

  /** `tokens`: corrected by what is known so far. */
  take(question: PendingQuestion, tokens: number): void {
    const line = this.#format(question);
    const { fingerprint, text } = question;
    const estimated = tokens / this.#options.ratio;
    this.rows += 1;
    this.#texts?.add(fingerprint);
    const bytes = Buffer.byteLength(line) + 1;
    if (this.#put({ fingerprint, digest: fingerprint, tokens }, bytes) === "copy") {
      this.#sums.copies += 1;
      this.#sums.savedTokens += estimated;
      this.#jobs.add({ rows: 1, tokens: 0, bytes: 0 });
      return;
    }
    this.#sums.tokens += estimated;
    this.#sums.bytes += bytes;
    this.#jobs.add({ rows: 1, tokens: estimated, bytes });
    this.#sample.offer(this.#prefix + text, estimated);
  }

  result(): Omit<Survey, "description"> {
    return {
      rows: this.rows,
      distinctTexts: this.#texts?.size,
      skipped: this.#skipped,
      copies: this.#sums.copies,
      uncorrectedTokens: Math.round(this.#sums.tokens),
      savedTokens: Math.round(this.#sums.savedTokens),
      requestBytes: this.#sums.bytes,
      jobCount: this.#jobs,
      sample: this.#sample,
    };
  }

  #put(row: SizedText, bytes: number): "line" | "copy" | undefined {
    const part = this.#content.take(row, bytes);
    if (part !== undefined) return part;
    this.#content = new JobContent(this.#options.bounds);
    return this.#content.take(row, bytes);
  }
}
