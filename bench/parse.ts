/** Reading result lines that are in memory: what import does with each, beside what scripts use. */
import { isUtf8 } from "node:buffer";
import { Readable } from "node:stream";
import ndjson from "ndjson";
import { parseResultLine, roomForValues } from "../src/row/result-line/result-line.ts";
import { checkVector } from "../src/row/vector.ts";
import { resultLine } from "./ended-job.ts";
import { DIMENSIONS, someValues } from "./questions.ts";
import { alternate, type Contestant, type Figure } from "./rounds.ts";

const FINGERPRINT = "0123456789abcdef0123456789abcdef";
const PIECE_BYTES = 64 * 1024;
const MS = 1000;

export type ParseSizes = Readonly<{ lines: number; rounds: number }>;

export async function measureParse({ lines, rounds }: ParseSizes): Promise<Figure> {
  const all = Array.from({ length: lines }, (_, seed) =>
    Buffer.from(resultLine(`${seed}@${FINGERPRINT}`, someValues(seed).join(","))),
  );
  const whole = Buffer.concat(all);
  const room = roomForValues();
  const vector = new Float32Array(DIMENSIONS);
  const timed = (name: string, work: () => number | Promise<number>): Contestant => ({
    name,
    run: async () => {
      const startMs = performance.now();
      const read = await work();
      const seconds = (performance.now() - startMs) / MS;
      if (read !== lines) throw new Error(`${name} read ${read} of ${lines} lines`);
      return { value: lines / seconds, size: `${lines} lines` };
    },
  });
  return alternate({ name: "parse", unit: "lines/s", rounds }, [
    timed("vecfill: parsed, checked, normalised", () =>
      count(all, (line) => {
        const parsed = parseResultLine(line, room);
        return parsed.kind === "vector" && checkVector(parsed.values, DIMENSIONS, vector).ok;
      }),
    ),
    timed("vecfill: parsed", () =>
      count(all, (line) => parseResultLine(line, room).kind === "vector"),
    ),
    timed("JSON.parse, and a look at its UTF-8", () =>
      count(all, (line) => isUtf8(line) && JSON.parse(line.toString()) !== null),
    ),
    timed("ndjson.parse, a stream", () => countStream(whole)),
  ]);
}

function count(lines: readonly Buffer[], isSound: (line: Buffer) => boolean): number {
  let sound = 0;
  for (const line of lines) if (isSound(line)) sound += 1;
  return sound;
}

async function countStream(whole: Buffer): Promise<number> {
  let read = 0;
  const pieces = Array.from({ length: Math.ceil(whole.length / PIECE_BYTES) }, (_, at) =>
    whole.subarray(at * PIECE_BYTES, (at + 1) * PIECE_BYTES),
  );
  const parser = Readable.from(pieces).pipe(ndjson.parse());
  parser.on("data", () => (read += 1));
  await new Promise((resolve, reject) => {
    parser.on("end", resolve);
    parser.on("error", reject);
  });
  return read;
}
