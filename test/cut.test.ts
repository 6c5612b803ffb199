// Lines in, request files out: is every line in exactly one file, in order, and is no file larger
// than asked for or smaller than it need be?
import fc from "fast-check";
import { expect, test } from "vitest";
import { type CutFile, type JobBounds, RequestCutter } from "../src/job/cut.ts";

type Line = Readonly<{ text: string; tokens: number }>;
type File = { job: string; lines: string[]; end: "open" | "committed" | "abandoned" };

const lines = fc.array(
  fc.record({ text: fc.string({ unit: "grapheme", maxLength: 12 }), tokens: fc.nat(20) }),
  { maxLength: 40 },
);
const bounds = fc.record({
  maxRows: fc.integer({ min: 1, max: 9 }),
  maxTokens: fc.integer({ min: 1, max: 60 }),
  maxBytes: fc.integer({ min: 1, max: 90 }),
});

/** Files in memory, as a folder would hold them. */
function folder() {
  const files: File[] = [];
  const open = async () => {
    const file: File = { job: String(files.length + 1), lines: [], end: "open" };
    files.push(file);
    const writer = {
      add: async (line: string) => void file.lines.push(line),
      commit: async () => {
        file.end = "committed";
        return { bytes: Buffer.byteLength(file.lines.join("\n")) + 1, sha256: "" };
      },
      abandon: async () => {
        if (file.end === "open") file.end = "abandoned";
      },
    };
    return { job: file.job, writer };
  };
  return { files, open };
}

async function cutAll(all: readonly Line[], limits: JobBounds) {
  const { files, open } = folder();
  const cutter = new RequestCutter(limits, open);
  const cuts: (CutFile | undefined)[] = [];
  for (const { text, tokens } of all) cuts.push(await cutter.add(text, tokens));
  cuts.push(await cutter.finish());
  await cutter.abandon();
  return { files, cuts: cuts.filter((cut) => cut !== undefined) };
}

function sizeOf(all: readonly Line[]) {
  return {
    rows: all.length,
    tokens: all.reduce((sum, line) => sum + line.tokens, 0),
    bytes: all.reduce((sum, line) => sum + Buffer.byteLength(line.text) + 1, 0),
  };
}

function isWithin(all: readonly Line[], limits: JobBounds): boolean {
  const { rows, tokens, bytes } = sizeOf(all);
  return rows <= limits.maxRows && tokens <= limits.maxTokens && bytes <= limits.maxBytes;
}

/** The given lines, as they lie in the files, in the order of the files. */
function dealt(all: readonly Line[], files: readonly File[]): Line[][] {
  let next = 0;
  return files.map((file) => all.slice(next, (next += file.lines.length)));
}

test("every line stands once, in order, in a file that was completed and told of", async () => {
  await fc.assert(
    fc.asyncProperty(lines, bounds, async (all, limits) => {
      const { files, cuts } = await cutAll(all, limits);
      expect(files.flatMap((file) => file.lines)).toEqual(all.map((line) => line.text));
      expect(files.every((file) => file.end === "committed")).toBe(true);
      expect(cuts.map((cut) => cut.job)).toEqual(files.map((file) => file.job));
    }),
  );
});

test("what is told of a file is what is in it", async () => {
  await fc.assert(
    fc.asyncProperty(lines, bounds, async (all, limits) => {
      const { files, cuts } = await cutAll(all, limits);
      const sizes = dealt(all, files).map(sizeOf);
      expect(
        cuts.map(({ requests, tokens, file }) => ({ rows: requests, tokens, bytes: file.bytes })),
      ).toEqual(sizes);
    }),
  );
});

test("no file is over a bound, save for one line alone; none could have taken the next line", async () => {
  await fc.assert(
    fc.asyncProperty(lines, bounds, async (all, limits) => {
      const { files } = await cutAll(all, limits);
      const parts = dealt(all, files);
      for (const [index, part] of parts.entries()) {
        expect(part.length === 1 || isWithin(part, limits)).toBe(true);
        const next = parts[index + 1]?.slice(0, 1);
        expect(next !== undefined && isWithin([...part, ...next], limits)).toBe(false);
      }
    }),
  );
});

test("a file that was begun and given up is abandoned, the ones before it stay", async () => {
  const { files, open } = folder();
  const cutter = new RequestCutter({ maxRows: 2, maxTokens: 99, maxBytes: 99 }, open);
  for (const text of ["a", "b", "c"]) await cutter.add(text, 1);
  await cutter.abandon();
  expect(files.map(({ lines: held, end }) => [...held, end])).toEqual([
    ["a", "b", "committed"],
    ["c", "abandoned"],
  ]);
});
