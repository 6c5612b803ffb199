// Lines in, request files out: is every line in exactly one file, in order, and is no file larger
// than asked for or smaller than it need be?
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fingerprint } from "../fingerprints.ts";
import {
  type CutFile,
  type CutRow,
  type JobBounds,
  RequestCutter,
} from "../../src/jobs-folder/cut.ts";

type Line = Readonly<{ text: string; tokens: number }>;
type File = {
  job: string;
  lines: string[];
  copies: string[];
  end: "open" | "committed" | "abandoned";
};

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
    const file: File = {
      job: String(files.length + 1),
      lines: [],
      copies: [],
      end: "open",
    };
    files.push(file);
    const writer = {
      add: async (line: Uint8Array) => void file.lines.push(textOfLine(line)),
      addCopy: async (line: Uint8Array) => void file.copies.push(textOfLine(line)),
      commit: async () => {
        file.end = "committed";
        return {
          file: recordOf(file.lines),
          copies:
            file.copies.length === 0
              ? undefined
              : { rows: file.copies.length, file: recordOf(file.copies) },
        };
      },
      abandon: async () => {
        if (file.end === "open") file.end = "abandoned";
      },
    };
    return { job: file.job, writer };
  };
  return { files, open };
}

/** What is left without the newline that ends it. */
function textOfLine(line: Uint8Array): string {
  const text = Buffer.from(line).toString();
  expect(text.at(-1)).toBe("\n");
  return text.slice(0, -1);
}

function recordOf(held: readonly string[]) {
  return { bytes: Buffer.byteLength(held.join("\n")) + 1, sha256: "" };
}

/** A row of its own text, whatever its line. */
function alone({ text, tokens }: Line, number: number): CutRow {
  return { line: text, tokens, ...textOf(String(number)) };
}

function textOf(text: string): Pick<CutRow, "digest" | "fingerprint"> {
  return { digest: fingerprint(text), fingerprint: fingerprint(text) };
}

function told(line: string, text: string, tokens = 10): CutRow {
  return { line, tokens, ...textOf(text) };
}

async function cutAll(all: readonly Line[], limits: JobBounds) {
  const { files, open } = folder();
  const cutter = new RequestCutter(limits, open);
  const cuts: (CutFile | undefined)[] = [];
  for (const row of all.map(alone)) cuts.push(await cutter.add(row));
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
  const rows = ["a", "b", "c"].map((text) => ({ text, tokens: 1 }));
  for (const row of rows.map(alone)) await cutter.add(row);
  await cutter.abandon();
  expect(files.map(({ lines: held, end }) => [...held, end])).toEqual([
    ["a", "b", "committed"],
    ["c", "abandoned"],
  ]);
});

describe("rows whose text repeats", () => {
  const WIDE = { maxRows: 99, maxTokens: 99, maxBytes: 999 };

  async function cutRows(rows: readonly CutRow[], limits: JobBounds = WIDE) {
    const { files, open } = folder();
    const cutter = new RequestCutter(limits, open);
    const cuts: (CutFile | undefined)[] = [];
    for (const row of rows) cuts.push(await cutter.add(row));
    cuts.push(await cutter.finish());
    return { files, cuts: cuts.filter((cut) => cut !== undefined) };
  }

  const texts = fc.array(fc.constantFrom("a", "b", "c", "d"), { maxLength: 30 });

  test("have one line a text in each job, and are all there; only lines count as tokens and bytes", async () => {
    await fc.assert(
      fc.asyncProperty(texts, bounds, async (all, limits) => {
        const rows = all.map((text, number) => told(`${number}:${text}`, text, 7));
        const { files, cuts } = await cutRows(rows, limits);
        const numbers = files
          .flatMap((file) => [...file.lines, ...file.copies])
          .map((line) => Number.parseInt(line, 10));
        expect(numbers.toSorted((a, b) => a - b)).toEqual(all.map((_, number) => number));
        for (const [index, { lines: held, copies }] of files.entries()) {
          const distinct = held.map((line) => line.split(":")[1]);
          expect(new Set(distinct).size).toBe(held.length);
          for (const copy of copies) expect(distinct).toContain(copy.split(":")[1]);
          expect(cuts[index]).toMatchObject({
            requests: held.length + copies.length,
            tokens: 7 * held.length,
          });
          expect(cuts[index]?.copies?.rows ?? 0).toBe(copies.length);
          expect(held.length + copies.length).toBeLessThanOrEqual(limits.maxRows);
        }
      }),
    );
  });

  test("fit where no further line would", async () => {
    const rows = [told("1", "a"), told("2", "a"), told("3", "b"), told("4", "a")];
    const { files } = await cutRows(rows, { ...WIDE, maxTokens: 10 });
    expect(files.map((file) => [file.lines, file.copies])).toEqual([
      [["1"], ["2"]],
      [["3"], []],
      [["4"], []],
    ]);
  });

  test("are taken for one only when the texts are, whatever their fingerprints say", async () => {
    const twin = { ...told("2", "b"), fingerprint: textOf("a").fingerprint };
    const rows = [told("1", "a"), twin, { ...twin, line: "3" }, told("4", "a"), told("5", "b")];
    const { files } = await cutRows(rows);
    // a copy is linked to the first line of its fingerprint: the twin has none
    expect(files.map((file) => [file.lines, file.copies])).toEqual([[["1", "2", "3", "5"], ["4"]]]);
  });
});
