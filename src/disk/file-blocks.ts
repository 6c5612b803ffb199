/**
 * A file from its start to its end, through two buffers that are filled in turn: one is read ahead
 * while the other is used. A stream hands out a new buffer for every read, and over files of many
 * gigabytes making and collecting these costs more than the reading.
 */
import { close, fstat, open, read } from "node:fs";
import { promisify } from "node:util";

const BLOCK_BYTES = 512 * 1024;
/** No more than a small file takes: memory that is not used is to be collected all the same. */
const MIN_BLOCK_BYTES = 16 * 1024;

const openFile = promisify(open);
const statFile = promisify(fstat);
const readFile = promisify(read);
const closeFile = promisify(close);

/** Each block holds until the next one is asked for. Rejects with the system's error. `start`: where the first one begins. */
export async function* readBlocks(path: string, start = 0): AsyncGenerator<Buffer> {
  const file = await openFile(path, "r");
  const { size } = await statFile(file);
  const bytes = Math.min(Math.max(size, MIN_BLOCK_BYTES), BLOCK_BYTES);
  let [filling, spare] = [Buffer.allocUnsafeSlow(bytes), Buffer.allocUnsafeSlow(bytes)];
  let next = start;
  // a pipe has no places: it is read from where it is
  const from = () => (start === 0 ? null : next);
  let reading = fill(file, filling, from());
  try {
    for (;;) {
      const block = await reading;
      if (block.length === 0) return;
      next += block.length;
      [filling, spare] = [spare, filling];
      reading = fill(file, filling, from());
      yield block;
    }
  } finally {
    // until then the system may write into the buffer
    await Promise.allSettled([reading]);
    await closeFile(file);
  }
}

/** Empty at the end of the file. One that fails is told where it is awaited. */
function fill(file: number, buffer: Buffer, place: number | null): Promise<Buffer> {
  const filled = readFile(file, buffer, 0, buffer.length, place).then(({ bytesRead }) =>
    buffer.subarray(0, bytesRead),
  );
  filled.catch(() => {});
  return filled;
}
