import { readRows } from "./import-job.ts";
import type { RequestRows } from "./row-outcomes.ts";
import { scanResults } from "./scan.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import type { Job } from "../manifest/job.ts";
import { readLines } from "../disk/jsonl.ts";
import { type EmbeddedQuestion, parseKey } from "../row/question.ts";
import { parseResultLine, roomForValues } from "../row/result-line/result-line.ts";
import { checkVector } from "../row/vector.ts";

/**
 * Every row that the job's import may have written, with the vector that it would have written, as
 * the import reads them: the same lines, the same check. Which of them it did write only the column
 * tells. In chunks.
 */
export async function* writableRows(
  files: JobFiles,
  job: Job,
  chunkRows: number,
): AsyncGenerator<EmbeddedQuestion[]> {
  const rows = await readRows(files, job, files.results);
  await scanResults(files.results, rows);
  const room = roomForValues();
  let chunk: EmbeddedQuestion[] = [];
  for await (const lines of readLines(files.results)) {
    for (const { bytes } of lines) {
      for (const row of bytes === undefined ? [] : rowsOf(bytes, rows, job, room)) {
        chunk.push(row);
        if (chunk.length < chunkRows) continue;
        yield chunk;
        chunk = [];
      }
    }
  }
  if (chunk.length > 0) yield chunk;
}

/** The line's row, and those with the same text. */
function* rowsOf(
  bytes: Buffer,
  rows: RequestRows,
  job: Job,
  room: Float64Array,
): Generator<EmbeddedQuestion> {
  const line = parseResultLine(bytes, room);
  if (line.kind !== "vector") return;
  const ordinal = rows.ordinalOf(line.key);
  if (ordinal === undefined || rows.hasConflict(ordinal) || !rows.take(ordinal)) return;
  const checked = checkVector(line.values, job.target.dimensions);
  const key = parseKey(line.key);
  if (!checked.ok || key === undefined) return;
  yield { ...key, vector: checked.vector };
  for (const { id } of rows.copiesOf(ordinal)) yield { ...key, id, vector: checked.vector };
}
