/** A results file on disk is whole or is not there. */
import { createDurableFile, type DurableFile } from "../disk/durable-file.ts";
import { LineCounter } from "../disk/jsonl.ts";
import { serviceError, unusable } from "./http/failure.ts";
import { fields, text } from "./http/json.ts";
import { parseJson } from "../row/json-value.ts";
import type { SavedResults, Watching } from "./port.ts";

const LF = 0x0a;
const CLOSING_BRACE = 0x7d;

/** Where a download ended in the middle of a line, by the path it was meant for. */
export type TornDownloads = Map<string, number>;

/**
 * Writes the chunks to `path` once all have come; their memory is nobody's afterwards. A connection can
 * end cleanly in the middle of a line, as through a proxy; so the last byte must end a line or an
 * object. A file that ends there twice, at the same byte, is what the service has: it costs one row.
 */
export async function saveResults(
  chunks: AsyncIterable<Uint8Array>,
  path: string,
  torn: TornDownloads,
  watching: Watching,
): Promise<SavedResults> {
  const file = await createDurableFile(path);
  try {
    const { last, start, lines } = await writeAll(file, chunks, watching);
    if (isErrorBody(start)) throw unusable(`it is an error instead of results: ${start}`);
    const isWhole = last === undefined || last === LF || last === CLOSING_BRACE;
    if (!isWhole && torn.get(path) !== file.bytes) {
      torn.set(path, file.bytes);
      throw unusable(`the results file ends in the middle of a line, after ${file.bytes} bytes`);
    }
    torn.delete(path);
    return { file: await file.commit(), lines };
  } finally {
    await file.abandon();
  }
}

/** More than an error has, and enough to see that results are none. */
const START_BYTES = 2048;

type Written = Readonly<{ start: string; last: number | undefined; lines: number }>;

async function writeAll(
  file: DurableFile,
  chunks: AsyncIterable<Uint8Array>,
  { onBytes, reader }: Watching,
): Promise<Written> {
  reader?.restart();
  let start = "";
  let last: number | undefined;
  const counter = new LineCounter();
  for await (const chunk of chunks) {
    if (start.length < START_BYTES) start += Buffer.from(chunk.subarray(0, START_BYTES)).toString();
    counter.push(chunk);
    reader?.push(chunk);
    await file.write(chunk);
    last = chunk.at(-1) ?? last;
    onBytes?.(file.bytes);
    release(chunk);
  }
  return { start, last, lines: counter.lines };
}

/**
 * Frees the memory at once. It lies outside of the heap, ten kilobytes a row, and the collector that
 * would be sent to look for it takes as much of a CPU as everything else (docs/performance.md).
 */
function release({ buffer, byteLength }: Uint8Array): void {
  const isWhole = buffer.byteLength === byteLength;
  if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0);
}

/**
 * An error in place of a file, as an upload has been seen to end with a 200. Taken for results, it
 * would make every row of a batch that is paid for a failed one. A result line's error has a key
 * beside it, and no status inside.
 */
function isErrorBody(start: string): boolean {
  const hasStatus = text(serviceError(start)?.["status"]) !== undefined;
  return hasStatus && fields(parseJson(start))["key"] === undefined;
}
