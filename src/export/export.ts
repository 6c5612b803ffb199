/**
 * Export: pending rows become request files, one job each. A job is recorded only when its file is
 * complete and durable. A crash leaves a part file to sweep, or a whole file of no job, whose number is given out
 * again (`jobs-folder/request-file.ts`).
 */
import { createDurableFile, type DurableFile } from "../disk/durable-file.ts";
import { type CutFile, type CutRow, type JobBounds, RequestCutter } from "../jobs-folder/cut.ts";
import { correctionBy, uncorrected } from "../cost/correction.ts";
import { learnedBounds } from "../quota/learned-bounds.ts";
import { tooLongPath } from "../manifest/file-names.ts";
import type { NewJob } from "../manifest/job.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { openRequestFile } from "../jobs-folder/request-file.ts";
import type { PendingQuestion } from "../row/question.ts";
import { NONE_SKIPPED, type Skipped, type SkipReason } from "../row/skipped.ts";
import { requestLineFormat } from "../row/request-line.ts";
import type { Store } from "../store/port.ts";
import { checkTarget } from "../row/target-check.ts";
import type { Kin, Siblings, Target } from "../row/target.ts";
import { readTakenRows, type TakenTogether } from "../jobs-folder/taken-rows.ts";
import { checkVectorSpace } from "../gates/vector-space.ts";
import { hasPending, pendingPages } from "../jobs-folder/pending-pages.ts";
import { type Accepted, type AskPaid, type OnTooLong, paidOf, screen } from "./screen.ts";

export type ExportServices = Pick<StageServices, "manifest" | "report" | "signal"> &
  Readonly<{
    store: Store;
    askPaid?: () => AskPaid | undefined;
    /** What others that were asked for as one with this have read of the rows that are taken. */
    taken?: TakenTogether | undefined;
  }>;

export type ExportOptions = Readonly<{
  /** Of one of several targets. */
  name?: string | undefined;
  target: Target;
  siblings?: Siblings | undefined;
  kin?: Kin | undefined;
  bounds: JobBounds;
  /** Asked for each file anew, in place of `bounds`. */
  boundsOfNext?: () => JobBounds;
  /** At most so many rows are exported. */
  limit: number | undefined;
  onTooLong: OnTooLong;
}>;

export type ExportSummary = Readonly<{
  exported: number;
  skipped: Skipped;
  /** Ids of the new jobs; none in a dry run. */
  jobs: readonly string[];
  /** How many jobs there are, or would be in a dry run. */
  jobCount: number;
  /** Estimated; of what is sent. */
  tokens: number;
  /** Of the exported rows, those that are not sent: another row of their job has the same text. */
  copies: number;
  /** Where the ids of texts over the limit are listed; undefined when there are none. */
  tooLongFile: string | undefined;
}>;

/** Yields after each page, and where a file was closed. When the signal is aborted, the rows in hand become the last job. */
export async function* exportJobs(
  services: ExportServices,
  options: ExportOptions,
): AsyncGenerator<void, ExportSummary> {
  const { store, manifest, signal } = services;
  const { target, kin } = options;
  const pass = new ExportPass(services, options);
  if (!(await hasPending(store))) {
    pass.reportProgress("exportEnded");
    return pass.finish();
  }
  checkTarget(target, await store.describe());
  checkVectorSpace(manifest.jobs(), target, kin);
  const taken = await readTakenRows({ manifest, store }, target, kin, services.taken);
  // only then: a row of a job that has ended meanwhile is paid for
  const askPaid = services.askPaid?.();
  try {
    for await (const page of pendingPages(store)) {
      const paid = await paidOf(page, target, taken, askPaid);
      for (const question of page) {
        if (pass.isFull() || signal.aborted) break;
        const verdict = screen(question, target, taken, options.onTooLong, pass.ratio, paid);
        if ("skip" in verdict) await pass.skip(question, verdict.skip, verdict.tokens);
        else if (!pass.takeAtOnce(verdict)) {
          await pass.take(question, verdict);
          yield;
        }
      }
      await pass.room();
      await pass.recordIfDurable();
      yield;
      pass.reportProgress("exporting");
      if (pass.isFull() || signal.aborted) break;
    }
    await pass.closeFile();
    await pass.recordClosed();
    if (!signal.aborted) pass.reportProgress("exportEnded");
    return await pass.finish();
  } finally {
    await pass.abandon();
  }
}

/** Runs the whole export for its summary. */
export async function exportAll(
  services: ExportServices,
  options: ExportOptions,
): Promise<ExportSummary> {
  const jobs = exportJobs(services, options);
  for (;;) {
    const step = await jobs.next();
    if (step.done) return step.value;
  }
}

/** A file that is complete and gets durable; `ratio`: how its tokens were corrected. */
type Closing = {
  readonly durable: Promise<CutFile | undefined>;
  readonly ratio: number;
  isDurable: boolean;
};

/** The request file being written, and the counts of the pass so far. */
class ExportPass {
  readonly #services: ExportServices;
  readonly #options: ExportOptions;
  readonly #cutter: RequestCutter;
  readonly #format: (question: PendingQuestion) => string;
  readonly #jobs: string[] = [];
  readonly #sums = { exported: 0, tokens: 0, copies: 0, skipped: { ...NONE_SKIPPED } };
  /** Of the file in hand: what the next bills tell is for the next file. */
  #ratio: number;
  #tooLong: DurableFile | undefined;
  #closing: Closing | undefined;
  /** Jobs that have selected rows of the column, or of where its rows may come from: none but those seen before the first page, and its own. */
  #selections: number;

  constructor(services: ExportServices, options: ExportOptions) {
    this.#services = services;
    this.#options = options;
    const openNext = () => openRequestFile(services.manifest);
    this.#cutter = new RequestCutter(() => this.#bounds(), openNext);
    this.#format = requestLineFormat(options.target);
    this.#selections = this.#selectionsNow();
    this.#ratio = this.#correction();
  }

  get ratio(): number {
    return this.#ratio;
  }

  isFull(): boolean {
    return this.#sums.exported >= (this.#options.limit ?? Infinity);
  }

  async skip(question: PendingQuestion, reason: SkipReason, tokens: number): Promise<void> {
    this.#sums.skipped[reason] += 1;
    if (reason === "tooLong") await this.#listTooLong(question, tokens, "skipped");
  }

  /** Adds the row to the open file without waiting, as it can nearly always; false where `take` has to. */
  takeAtOnce(row: Accepted): boolean {
    if (row.tooLong) return false;
    const isTaken = this.#cutter.addAtOnce(this.#cutRow(row));
    if (isTaken) this.#sums.exported += 1;
    return isTaken;
  }

  async take(question: PendingQuestion, accepted: Accepted): Promise<void> {
    if (accepted.tooLong) await this.#listTooLong(question, accepted.tokens, "truncated");
    const row = this.#cutRow(accepted);
    if (!this.#cutter.addAtOnce(row)) {
      await this.closeFile();
      await this.#cutter.add(row);
    }
    this.#sums.exported += 1;
  }

  /** Resolves when the disk has kept up. */
  room(): Promise<void> {
    return this.#cutter.room();
  }

  #cutRow({ take, tokens }: Accepted): CutRow {
    const { fingerprint } = take;
    return { line: this.#format(take), fingerprint, digest: fingerprint, tokens };
  }

  /** The file gets durable while the next one is filled. */
  async closeFile(): Promise<void> {
    await this.recordClosed();
    const durable = this.#cutter.finish();
    const closing = { durable, isDurable: false, ratio: this.#ratio };
    this.#closing = closing;
    this.#ratio = this.#correction();
    durable.then(
      () => (closing.isDurable = true),
      // told where it is awaited
      () => {},
    );
  }

  async recordIfDurable(): Promise<void> {
    if (this.#closing?.isDurable === true) await this.recordClosed();
  }

  /** Waits until the closed file, if there is one, is durable, and makes its job known. */
  async recordClosed(): Promise<void> {
    const closing = this.#closing;
    this.#closing = undefined;
    const cut = await closing?.durable;
    if (closing === undefined || cut === undefined) return;
    await this.#record({ ...cut, uncorrected: uncorrected(cut.tokens, closing.ratio) });
  }

  async finish(): Promise<ExportSummary> {
    await this.#tooLong?.commit();
    const tooLongFile = this.#tooLong && this.#tooLongPath;
    return {
      ...this.#sums,
      jobs: this.#jobs,
      jobCount: this.#jobs.length,
      tooLongFile,
    };
  }

  /** Gives up the file in hand; one that is closed has its rows, and becomes a job still. */
  async abandon(): Promise<void> {
    try {
      await this.recordClosed();
    } finally {
      await this.#cutter.abandon();
      await this.#tooLong?.abandon();
    }
  }

  reportProgress(type: "exporting" | "exportEnded"): void {
    const skipped = Object.values(this.#sums.skipped).reduce((sum, count) => sum + count, 0);
    this.#services.report({ type, exported: this.#sums.exported, skipped });
  }

  async #record(cut: CutFile & Pick<NewJob, "uncorrected">): Promise<void> {
    this.#sums.tokens += cut.tokens;
    this.#sums.copies += cut.copies?.rows ?? 0;
    const { manifest, report } = this.#services;
    const { target } = this.#options;
    const made = { ...cut, target, parents: [], attempt: 1, digest: "sha256" } as const;
    const isAlone = () => this.#selectionsNow() === this.#selections;
    const job = await manifest.recordExported(made, isAlone);
    this.#selections += 1;
    this.#jobs.push(job.id);
    const { id, requests, tokens, requestFile } = job;
    report({ type: "exported", job: id, requests, tokens, bytes: requestFile.bytes });
  }

  #selectionsNow(): number {
    const { target, kin } = this.#options;
    return this.#services.manifest.selections(target, kin);
  }

  get #tooLongPath(): string {
    return tooLongPath(this.#services.manifest.folder, this.#options.name);
  }

  /** Of the next file: what was learned meanwhile counts. */
  #bounds(): JobBounds {
    const { target, bounds, boundsOfNext = () => bounds } = this.#options;
    return learnedBounds(boundsOfNext(), this.#services.manifest.quotas(target.model));
  }

  #correction(): number {
    const { manifest } = this.#services;
    const { target } = this.#options;
    return correctionBy(manifest.billed(target), manifest.counted(target)).ratio;
  }

  async #listTooLong(question: PendingQuestion, tokens: number, what: string): Promise<void> {
    this.#tooLong ??= await createDurableFile(this.#tooLongPath);
    await this.#tooLong.write(
      `${JSON.stringify({ id: question.id, tokens: Math.round(tokens), action: what })}\n`,
    );
  }
}
