/**
 * One pass over the pending rows, as an export makes it, that only counts: what would be sent, what
 * would be left out and why, and a sample of the texts for Gemini to count. It writes nothing.
 */
import type { JobBounds } from "../job/cut.ts";
import type { ManifestView } from "../job/manifest.ts";
import { readTakenRows } from "../job/taken-rows.ts";
import { checkVectorSpace } from "../job/vector-space.ts";
import { pendingPages } from "../export/pages.ts";
import { type OnTooLong, screen, type SkipReason } from "../export/screen.ts";
import { MODELS, textPrefix } from "../gemini/models.ts";
import { KeySet } from "../key-table.ts";
import type { PendingQuestion } from "../question.ts";
import type { Report } from "../report.ts";
import { requestLineFormat } from "../request-line.ts";
import type { Store, TargetDescription } from "../store/port.ts";
import { checkTarget } from "../target-check.ts";
import type { Target } from "../target.ts";
import { TokenSample } from "../token-sample.ts";
import { JobCount } from "./job-count.ts";

export type SurveyServices = Readonly<{
  store: Store;
  manifest: ManifestView;
  report: Report;
  signal: AbortSignal;
}>;

export type SurveyOptions = Readonly<{
  target: Target;
  bounds: JobBounds;
  limit: number | undefined;
  onTooLong: OnTooLong;
  /** What is known of the service's count beforehand; it decides which texts are too long. */
  ratio: number;
  /** Sixteen bytes a row. */
  countsDistinct: boolean;
}>;

export type Survey = Readonly<{
  description: TargetDescription;
  rows: number;
  /** Undefined where they were not counted. */
  distinctTexts: number | undefined;
  skipped: Readonly<Record<SkipReason, number>>;
  /** Estimated, without any correction. */
  uncorrectedTokens: number;
  requestBytes: number;
  jobCount: JobCount;
  sample: TokenSample;
}>;

/** Throws a UserError where `run` would: table, column or vector space do not fit. */
export async function survey(services: SurveyServices, options: SurveyOptions): Promise<Survey> {
  const { store, manifest, report, signal } = services;
  const { target } = options;
  const description = await store.describe();
  checkTarget(target, description);
  checkVectorSpace(manifest.jobs(), target);
  const taken = await readTakenRows(manifest, target);
  const tally = new Tally(options);
  for await (const page of pendingPages(store)) {
    for (const question of page) {
      if (tally.rows >= (options.limit ?? Infinity) || signal.aborted) break;
      const verdict = screen(question, target, taken, options.onTooLong, options.ratio);
      if ("skip" in verdict) tally.skip(verdict.skip);
      else tally.take(verdict.take, verdict.tokens / options.ratio);
    }
    report({ type: "planning", rows: tally.rows, skipped: tally.skippedRows });
    if (tally.rows >= (options.limit ?? Infinity) || signal.aborted) break;
  }
  signal.throwIfAborted();
  return { description, ...tally.result() };
}

class Tally {
  readonly #format: (question: PendingQuestion) => string;
  readonly #prefix: string;
  readonly #skipped = { empty: 0, tooLong: 0, inFlight: 0, failedBefore: 0 };
  readonly #texts: KeySet | undefined;
  readonly #jobs: JobCount;
  readonly #sample = new TokenSample();
  #tokens = 0;
  #bytes = 0;
  rows = 0;

  constructor({ target, bounds, countsDistinct }: SurveyOptions) {
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

  take(question: PendingQuestion, tokens: number): void {
    const bytes = Buffer.byteLength(this.#format(question)) + 1;
    this.rows += 1;
    this.#tokens += tokens;
    this.#bytes += bytes;
    this.#texts?.add(question.fingerprint);
    this.#jobs.add({ rows: 1, tokens, bytes });
    this.#sample.offer(this.#prefix + question.text, tokens);
  }

  result(): Omit<Survey, "description"> {
    return {
      rows: this.rows,
      distinctTexts: this.#texts?.size,
      skipped: this.#skipped,
      uncorrectedTokens: Math.round(this.#tokens),
      requestBytes: this.#bytes,
      jobCount: this.#jobs,
      sample: this.#sample,
    };
  }
}
