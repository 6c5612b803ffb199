// I open a failed file's CSV in a spreadsheet: does it show what failed, and run nothing?
import fc from "fast-check";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import type { FailedLine } from "../../src/row/failed-line.ts";
import { writeFailedFile } from "../../src/jobs-folder/failed-file.ts";
import { jobFiles } from "../../src/manifest/file-names.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const FINGERPRINT = "0123456789abcdef0123456789abcdef";

function failedLine(id: string, message: string, code?: number): FailedLine {
  return {
    key: `${id}@${FINGERPRINT}`,
    request: { content: { parts: [{ text: "a text" }] }, outputDimensionality: 768 },
    job: "0001",
    attempt: 1,
    error: {
      class: "permanent",
      reason: "service",
      ...(code === undefined ? {} : { code }),
      message,
    },
  };
}

/** The file's rows and cells, read by the rules of RFC 4180. */
function cells(csv: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^,\n"]*))(,|\n)/g)) {
    rows.at(-1)?.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (end === "\n") rows.push([]);
  }
  return rows.slice(0, -1);
}

async function csvOf(...lines: FailedLine[]): Promise<string> {
  const files = jobFiles(await temporaryFolder(), "0001");
  await writeFailedFile(files, lines);
  return readFile(files.failedCsv, "utf8");
}

test("a line for each row under a header: id, class, code, message", async () => {
  const csv = await csvOf(failedLine("7", "too hot", 3), failedLine("8", "no line"));
  expect(csv).toBe("id,class,code,message\n7,permanent,3,too hot\n8,permanent,,no line\n");
});

test.each(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x","y")'])(
  "%j is shown as text, as a message and as an id",
  async (formula) => {
    const [, row] = cells(await csvOf(failedLine(formula, formula)));
    expect(row).toEqual([`'${formula}`, "permanent", "", `'${formula}`]);
  },
);

test("commas, quotes and line ends stay within their cell, whatever the message", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "grapheme" }), async (message) => {
      const [, row, ...more] = cells(await csvOf(failedLine("1", message)));
      expect(more).toEqual([]);
      expect(row?.[3]?.replace(/^'/, "")).toBe(message.replace(/^'/, ""));
      expect(row?.[3]).not.toMatch(/^[=+\-@\t\r]/);
    }),
    { numRuns: 50 },
  );
});
