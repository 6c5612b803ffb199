// Do I get the same lines however the bytes arrive, and does no file, however odd, cost more memory
// than its longest line?
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Line, LineCounter, readLines, splitLines } from "../../src/disk/jsonl.ts";
import { sized } from "../size.ts";

const MEBIBYTE = 1024 * 1024;
const ENDLESS_MB = sized({ quick: 15, full: 100 });
const LF = 0x0a;

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vecfill-jsonl-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("splitting", () => {
  test("gives the same lines for any cut into chunks", async () => {
    await fc.assert(
      fc.asyncProperty(sources(), async ({ whole, chunks }) => {
        const lines = await collect(splitLines(arriving(chunks)));
        expect(lines.map(({ bytes }) => bytes?.toString("latin1"))).toEqual(expectedLines(whole));
      }),
    );
  });

  test("counts the ones that are not empty without splitting them off", async () => {
    await fc.assert(
      fc.asyncProperty(sources(), async ({ whole, chunks }) => {
        const counter = new LineCounter();
        for (const chunk of chunks) counter.push(chunk);
        expect(counter.lines).toBe(expectedLines(whole).filter((line) => line !== "").length);
      }),
    );
  });

  test("loses no byte: every line stands in the source where it says", async () => {
    await fc.assert(
      fc.asyncProperty(sources(), async ({ whole, chunks }) => {
        const lines = await collect(splitLines(arriving(chunks)));
        const put = lines.map(({ bytes, terminated }) =>
          Buffer.concat([bytes ?? Buffer.from("?"), Buffer.alloc(terminated ? 1 : 0, LF)]),
        );
        expect(Buffer.concat(put).equals(whole)).toBe(true);
        for (const { offset, byteLength, bytes } of lines) {
          expect(bytes?.equals(whole.subarray(offset, offset + byteLength))).toBe(true);
        }
        expect(lines.map(({ number }) => number)).toEqual(lines.map((_, index) => index + 1));
      }),
    );
  });

  test("only a last line without its LF is not terminated", async () => {
    await fc.assert(
      fc.asyncProperty(sources(), async ({ whole, chunks }) => {
        const lines = await collect(splitLines(arriving(chunks)));
        const torn = lines.filter(({ terminated }) => !terminated);
        expect(torn).toEqual(whole.length > 0 && whole.at(-1) !== LF ? lines.slice(-1) : []);
      }),
    );
  });

  test("leaves out exactly the lines that are too long, and says how long they are", async () => {
    await fc.assert(
      fc.asyncProperty(sources(), fc.nat({ max: 12 }), async ({ whole, chunks }, maxLineBytes) => {
        const lines = await collect(splitLines(arriving(chunks), { maxLineBytes }));
        const expected = expectedLines(whole);
        expect(lines.map(({ byteLength }) => byteLength)).toEqual(expected.map((l) => l.length));
        expect(lines.map(({ bytes }) => bytes?.toString("latin1"))).toEqual(
          expected.map((line) => (line.length > maxLineBytes ? undefined : line)),
        );
      }),
    );
  });

  test("does not take U+2028, U+2029, U+0085 or CR for an end of line", async () => {
    const text = '{"a":"\u2028\u2029\u0085"}\r\n{"b":"\r"}';
    const lines = await collect(splitLines(arriving([Buffer.from(text)])));
    expect(lines.map(({ bytes }) => bytes?.toString())).toEqual([
      '{"a":"\u2028\u2029\u0085"}\r',
      '{"b":"\r"}',
    ]);
  });

  test("takes plain Uint8Arrays that begin anywhere in their memory", async () => {
    const memory = new Uint8Array(Buffer.from("xxab\ncdxx"));
    const lines = await collect(splitLines(arriving([memory.subarray(2, 7)])));
    expect(lines.map(({ bytes }) => bytes?.toString())).toEqual(["ab", "cd"]);
  });

  test(`keeps nothing of ${ENDLESS_MB} MB without a newline`, async () => {
    const gc = garbageCollector();
    let mostHeld = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let sent = 0; sent < ENDLESS_MB; sent += 1) {
        yield Buffer.alloc(MEBIBYTE, "x");
        if (sent % 15 !== 14) continue;
        gc();
        // The memory of dead buffers is counted off on the side, by the end of the next collection.
        gc();
        mostHeld = Math.max(mostHeld, process.memoryUsage().arrayBuffers - before);
      }
      yield Buffer.from("\nshort\n");
    }
    gc();
    const before = process.memoryUsage().arrayBuffers;
    const lines = await collect(splitLines(endless(), { maxLineBytes: MEBIBYTE }));
    expect(lines.map(({ byteLength }) => byteLength)).toEqual([ENDLESS_MB * MEBIBYTE, 5]);
    expect(lines.map(({ bytes }) => bytes?.toString())).toEqual([undefined, "short"]);
    expect(mostHeld).toBeLessThan(8 * MEBIBYTE);
  });
});

describe("reading a file", () => {
  test("gives its lines over many reads", async () => {
    const path = join(folder, "many.jsonl");
    const wanted = Array.from(
      { length: 30_000 },
      (_, index) => `${index} ${"y".repeat(index % 60)}`,
    );
    await writeFile(path, wanted.join("\n"));
    const texts: (string | undefined)[] = [];
    const ends: boolean[] = [];
    for await (const lines of readLines(path)) {
      texts.push(...lines.map(({ bytes }) => bytes?.toString()));
      ends.push(...lines.map(({ terminated }) => terminated));
    }
    expect(texts).toEqual(wanted);
    expect(ends.at(-1)).toBe(false);
  });

  test("gives no line for an empty file, and fails for a missing one", async () => {
    const path = join(folder, "empty.jsonl");
    await writeFile(path, "");
    expect(await collect(readLines(path))).toEqual([]);
    await expect(collect(readLines(join(folder, "missing.jsonl")))).rejects.toThrow("ENOENT");
  });
});

/** Bytes rich in line ends, and a way to cut them. */
function sources(): fc.Arbitrary<{ whole: Buffer; chunks: Buffer[] }> {
  const byte = fc.oneof({ weight: 1, arbitrary: fc.constant(LF) }, fc.nat({ max: 255 }));
  const bytes = fc.oneof(
    fc.array(byte, { maxLength: 60 }),
    fc.array(fc.constantFrom(LF, 0x61), { maxLength: 40 }),
  );
  return fc.tuple(bytes, fc.array(fc.nat({ max: 60 }), { maxLength: 12 })).map(([values, cuts]) => {
    const whole = Buffer.from(values);
    return { whole, chunks: cut(whole, cuts) };
  });
}

function cut(whole: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
  // Copies, so that a splitter that joins wrongly cannot profit from neighbours in memory.
  return places.slice(1).map((end, index) => Buffer.from(whole.subarray(places[index], end)));
}

function expectedLines(whole: Buffer): string[] {
  const lines = whole.toString("latin1").split("\n");
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

async function* arriving(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

async function collect(source: AsyncIterable<Line[]>): Promise<Line[]> {
  const all: Line[] = [];
  for await (const lines of source) all.push(...lines);
  return all;
}

function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc !== "function") throw new Error("this Node gives no access to its collector");
  return () => void gc();
}
