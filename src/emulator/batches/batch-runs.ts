/**
 * Time passing over batches. Results are written in the background while a batch is RUNNING and
 * renamed into place before the record says SUCCEEDED; a killed emulator writes them again.
 */
import { renameSync, statSync, truncateSync } from "node:fs";
import {
  type BatchEnd,
  type BatchRecord,
  type EndedState,
  isActive,
} from "../state/batch-record.ts";
import { Faults } from "../faults/faults.ts";
import { livingFile } from "../files/kept-files.ts";
import { BatchFailure } from "./request-row.ts";
import { type Counts, type Written, writeResults } from "./results.ts";
import { inputPath, resultsPath, type State, unpaidPath } from "../state/state.ts";

const BATCH_LIFE_MS = 48 * 60 * 60 * 1000;
const TIMER_MS_MAX = 60_000;
const CUT_BYTES = 40;

/** google.rpc codes; the texts are ours, since no such operation has been published. */
const END_ERRORS: Readonly<
  Record<Exclude<EndedState, "SUCCEEDED">, { code: number; message: string }>
> = {
  FAILED: { code: 13, message: "The batch failed with an internal error." },
  CANCELLED: { code: 1, message: "The batch was cancelled." },
  EXPIRED: { code: 4, message: "The batch expired before it was finished." },
};

/** Ends a batch without results. */
function endBatch(
  batch: BatchRecord,
  state: Exclude<EndedState, "SUCCEEDED">,
  world: State,
  error: BatchEnd["error"] = END_ERRORS[state],
): void {
  const end = {
    state,
    atMs: world.time.nowMs(),
    successful: 0,
    failed: 0,
    resultBytes: undefined,
    error,
  };
  world.batches.put(batch.id, { ...batch, end });
}

export class BatchRuns {
  readonly #state: State;
  /** What is being written, by batch. */
  readonly #running = new Map<string, Promise<void>>();
  /** Batches that are being cancelled, whose results so far are to be kept. */
  readonly #halting = new Set<string>();
  /** Results that are written and wait for their time. */
  readonly #ready = new Map<string, Counts>();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #bug: Error | undefined;

  constructor(state: State) {
    this.#state = state;
  }

  /** Lets everything happen that is due, and sets a timer for what comes next. */
  tick(): void {
    if (this.#stopped) return;
    if (this.#bug !== undefined) throw this.#bug;
    const nowMs = this.#state.time.nowMs();
    for (const batch of this.#state.batches.all()) {
      if (isActive(batch)) this.#move(batch, nowMs);
    }
    this.#setTimer(nowMs);
  }

  /** Resolves when everything that is due has happened. */
  async settle(): Promise<void> {
    this.tick();
    while (this.#running.size > 0 && !this.#stopped) {
      await Promise.all(this.#running.values());
      this.tick();
    }
  }

  /** Nothing is written after it resolves. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await Promise.all(this.#running.values());
  }

  /** Ends an active batch, with or without what it had by then. */
  async cancel(batch: BatchRecord): Promise<void> {
    if (this.#state.embedder.behaviour.is("cancelled-results", "partial")) {
      this.#halting.add(batch.id);
      await this.#running.get(batch.id);
      this.#halting.delete(batch.id);
    }
    const now = this.#state.batches.get(batch.id);
    if (now === undefined || !isActive(now)) return;
    const counts = this.#state.embedder.behaviour.is("cancelled-results", "partial")
      ? this.#ready.get(batch.id)
      : undefined;
    if (counts === undefined) endBatch(now, "CANCELLED", this.#state);
    else this.#endWithResults(now, "CANCELLED", counts);
  }

  #move(batch: BatchRecord, nowMs: number): void {
    if (nowMs >= batch.createdAtMs + BATCH_LIFE_MS) endBatch(batch, "EXPIRED", this.#state);
    else if (batch.fate === "stick" || nowMs < batch.runsAtMs) return;
    else if (batch.fate === "succeed" || batch.fate === "unknown-state") this.#run(batch, nowMs);
    else if (nowMs >= batch.endsAtMs) endBatch(batch, FATED_ENDS[batch.fate], this.#state);
  }

  #run(batch: BatchRecord, nowMs: number): void {
    const counts = this.#ready.get(batch.id);
    if (counts !== undefined && nowMs >= batch.endsAtMs) {
      this.#endWithResults(batch, "SUCCEEDED", counts);
    }
    if (counts !== undefined || this.#running.has(batch.id)) return;
    this.#running.set(batch.id, this.#write(batch));
  }

  async #write(batch: BatchRecord): Promise<void> {
    try {
      const { counts, whole } = await this.#results(batch);
      if (whole || this.#halting.has(batch.id)) this.#ready.set(batch.id, counts);
    } catch (error) {
      if (error instanceof BatchFailure) this.#fail(batch, error);
      else this.#bug = new Error(`batch ${batch.id} could not be run`, { cause: error });
    } finally {
      this.#running.delete(batch.id);
    }
    this.tick();
  }

  async #results(batch: BatchRecord): Promise<Written> {
    const state = this.#state;
    const gone = batch.inputFile !== undefined && livingFile(state, batch.inputFile) === undefined;
    if (gone && state.embedder.behaviour.is("input-gone", "batch-failed")) {
      throw new BatchFailure(5, `The input file files/${batch.inputFile} was not found.`);
    }
    return writeResults(
      {
        inputPath: inputPath(state, batch.id),
        resultsPath: partPath(state, batch.id),
        unpaidPath: unpaidPath(state, batch.id),
        model: batch.model,
        batchNumber: batch.number,
        inline: batch.inputFile === undefined,
        embedder: state.embedder,
        faults: new Faults(batch.faults, state.settings.seed),
      },
      () =>
        this.#stopped ||
        this.#halting.has(batch.id) ||
        !isActive(state.batches.get(batch.id) ?? batch),
    );
  }

  #fail({ id }: BatchRecord, { code, message }: BatchFailure): void {
    const batch = this.#state.batches.get(id);
    if (batch === undefined || !isActive(batch)) return;
    endBatch(batch, "FAILED", this.#state, { code, message });
  }

  #endWithResults(batch: BatchRecord, state: "SUCCEEDED" | "CANCELLED", counts: Counts): void {
    const path = resultsPath(this.#state, batch.id);
    renameSync(partPath(this.#state, batch.id), path);
    this.#ready.delete(batch.id);
    const written = statSync(path).size;
    const isCut =
      counts.successful + counts.failed > 1 && this.#state.faults.strikes("results-cut");
    const resultBytes = isCut ? Math.max(0, written - CUT_BYTES) : written;
    if (resultBytes < written) truncateSync(path, resultBytes);
    const atMs = this.#state.time.nowMs();
    const error = state === "CANCELLED" ? END_ERRORS.CANCELLED : undefined;
    const end: BatchEnd = { state, atMs, ...counts, resultBytes, error };
    this.#state.batches.put(batch.id, { ...batch, end });
  }

  #setTimer(nowMs: number): void {
    clearTimeout(this.#timer);
    if (this.#state.time.isVirtual || this.#stopped) return;
    const next = this.#state.batches
      .all()
      .filter(isActive)
      .flatMap((batch) => [batch.runsAtMs, batch.endsAtMs, batch.createdAtMs + BATCH_LIFE_MS])
      .filter((ms) => ms > nowMs);
    if (next.length === 0) return;
    this.#timer = setTimeout(() => this.tick(), Math.min(Math.min(...next) - nowMs, TIMER_MS_MAX));
    this.#timer.unref();
  }
}

const FATED_ENDS = { fail: "FAILED", expire: "EXPIRED", cancel: "CANCELLED" } as const;

function partPath(state: State, batchId: string): string {
  return `${resultsPath(state, batchId)}.part`;
}
