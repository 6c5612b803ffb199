/** Lines of a file, a block at a time, so that reading a million does not cost a million waits. */
import { createReadStream } from "node:fs";

const BLOCK_BYTES = 64 * 1024;
/** The service's own limit for a whole inline request; no line may be longer. */
const LINE_CHARACTERS_MAX = 20 * 1024 * 1024;

/** Splits at LF only. A last line without LF counts; throws a RangeError when one is too long. */
export async function* lineBlocks(path: string): AsyncGenerator<string[]> {
  let rest = "";
  for await (const block of createReadStream(path, {
    encoding: "utf8",
    highWaterMark: BLOCK_BYTES,
  })) {
    const lines = (rest + String(block)).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LINE_CHARACTERS_MAX) throw new RangeError("a line is longer than 20 MB");
    if (lines.length > 0) yield lines;
  }
  if (rest !== "") yield [rest];
}
