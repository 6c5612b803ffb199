/**
 * Runs a batch: reads its input, writes its results file. A block of lines at a time, so that
 * memory stays the same at any size and the server goes on answering in between.
 */
import { open, type FileHandle } from "node:fs/promises";
import type { ModelName } from "../../row/models.ts";
import { type Embedder, type Embedding, unitsOf } from "../vectors/embed-request.ts";
import type { Faults } from "../faults/faults.ts";
import { LineBytes } from "../vectors/line-bytes.ts";
import { lineBlocks } from "../faults/lines.ts";
import { lineError } from "./other-shapes.ts";
import { readRequestRow, type RequestRow } from "./request-row.ts";
import { garbledLine, oddVector, type RowFault, rowError, struckBy } from "../faults/row-faults.ts";
import { ServiceError } from "../http/service-error.ts";
import { ShuffleWindow } from "../faults/shuffle-window.ts";

export type ResultsJob = Readonly<{
  inputPath: string;
  resultsPath: string;
  /** Gets the keys of rows that were answered with an error: these were not embedded. */
  unpaidPath: string;
  model: ModelName;
  /** How many batches there were before this one; part of every draw. */
  batchNumber: number;
  /** Inline batches echo metadata in place of a key, and fail line by line. */
  inline: boolean;
  embedder: Embedder;
  faults: Faults;
}>;

export type Counts = Readonly<{ successful: number; failed: number }>;
/** `whole` is false when the run was stopped on the way. */
export type Written = Readonly<{ counts: Counts; whole: boolean }>;

/** `stopped` is asked between blocks. Throws a BatchFailure when a line ends the batch. */
export async function writeResults(job: ResultsJob, stopped: () => boolean): Promise<Written> {
  const results = await open(job.resultsPath, "w");
  const unpaid = await open(job.unpaidPath, "w");
  try {
    return await writeBlocks(job, results, unpaid, stopped);
  } finally {
    await results.close();
    await unpaid.close();
  }
}

async function writeBlocks(
  job: ResultsJob,
  results: FileHandle,
  unpaid: FileHandle,
  stopped: () => boolean,
): Promise<Written> {
  const writer = new ResultWriter(job);
  for await (const block of arranged(job)) {
    for (const { line, number } of block) {
      writer.row(readRequestRow(line, number, job.model, job.embedder));
    }
    await results.writeFile(writer.bytes.take());
    await unpaid.writeFile(writer.takeUnpaid());
    if (stopped()) return { counts: writer.counts, whole: false };
  }
  return { counts: writer.counts, whole: true };
}

type NumberedLine = Readonly<{ line: string; number: number }>;

/** The input's lines with their numbers, in the order in which their results are written. */
async function* arranged(job: ResultsJob): AsyncGenerator<NumberedLine[]> {
  const window = new ShuffleWindow<NumberedLine>((i) =>
    job.faults.variant("order", job.batchNumber, i),
  );
  let number = 0;
  for await (const block of lineBlocks(job.inputPath)) {
    const numbered = block.map((line) => ({ line, number: ++number }));
    yield job.faults.has("shuffle") ? window.exchange(numbered) : numbered;
  }
  yield window.drain();
}

class ResultWriter {
  readonly bytes = new LineBytes();
  #successful = 0;
  #failed = 0;
  readonly #job: ResultsJob;
  #unpaid: string[] = [];

  constructor(job: ResultsJob) {
    this.#job = job;
  }

  get counts(): Counts {
    return { successful: this.#successful, failed: this.#failed };
  }

  row(row: RequestRow): void {
    const isFirst = this.#successful + this.#failed === 0;
    const { faults, batchNumber } = this.#job;
    if (row.outcome instanceof ServiceError) return this.#failure(row, row.outcome);
    const { text } = row.outcome;
    const struck = struckBy(faults, batchNumber, { key: row.key, text, isFirst });
    const outcome = rowError(struck, this.#variant(row)) ?? row.outcome;
    if (outcome instanceof ServiceError) this.#failure(row, outcome);
    else this.#success(row, outcome, struck);
  }

  takeUnpaid(): string {
    const taken = this.#unpaid.join("");
    this.#unpaid = [];
    return taken;
  }

  #failure(row: RequestRow, error: ServiceError): void {
    this.#failed += 1;
    this.#unpaid.push(`${JSON.stringify(row.key ?? null)}\n`);
    const told = lineError(error, this.#job.embedder.behaviour);
    const line = { ...identity(row, this.#job), ...told, ...row.echoed };
    this.bytes.text(`${JSON.stringify(line)}\n`);
  }

  #success(row: RequestRow, embedding: Embedding, struck: ReadonlySet<RowFault>): void {
    this.#successful += 1;
    if (struck.has("missing")) return;
    if (struck.has("malformed")) {
      this.bytes.text(`${garbledLine(row.key ?? "", this.#variant(row))}\n`);
      return;
    }
    const named = struck.has("no-key") ? { ...row, key: undefined } : row;
    this.#line(named, embedding, struck);
    if (struck.has("double")) this.#line(named, embedding, struck);
    if (struck.has("conflict")) {
      this.#line(named, { ...embedding, text: `${embedding.text}\u0000` }, struck);
    }
    if (struck.has("unknown-key")) {
      this.#line({ ...row, key: `unknown-${row.key}` }, embedding, struck);
    }
  }

  /** The shapes of real lines: key last with -001, first with -2; the token counts differ too. */
  #line(row: RequestRow, embedding: Embedding, struck: ReadonlySet<RowFault>): void {
    const members = JSON.stringify({ ...identity(row, this.#job), ...row.echoed }).slice(1, -1);
    const { tokens } = embedding;
    if (embedding.shape.model === "gemini-embedding-001") {
      this.bytes.text(`{"response":{"tokenCount":"${tokens}","embedding":{"values":[`);
      this.#values(embedding, struck, this.#variant(row));
      this.bytes.text(`]}}${members === "" ? "" : `,${members}`}}\n`);
    } else {
      this.bytes.text(`{${members === "" ? "" : `${members},`}"response":{"embedding":{"values":[`);
      this.#values(embedding, struck, this.#variant(row));
      this.bytes.text(`]},"usageMetadata":{"promptTokenCount":${tokens}}}}\n`);
    }
  }

  #values(embedding: Embedding, struck: ReadonlySet<RowFault>, variant: number): void {
    const values = oddVector(unitsOf(embedding), struck, variant);
    if (typeof values === "string") this.bytes.text(values);
    else this.bytes.values(values);
  }

  #variant(row: RequestRow): number {
    return this.#job.faults.variant(this.#job.batchNumber, row.key ?? "");
  }
}

function identity(row: RequestRow, job: ResultsJob): Record<string, unknown> {
  if (job.inline) return row.metadata === undefined ? {} : { metadata: row.metadata };
  if (row.key === undefined) return {};
  const isUsual = job.embedder.behaviour.is("line-keys", "top-level");
  return isUsual ? { key: row.key } : { metadata: { key: row.key } };
}
