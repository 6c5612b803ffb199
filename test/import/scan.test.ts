// Results are looked through while they come, in whatever pieces, and from the start again where a connection broke. Is
// what is then known of their lines what the file on the disk tells?
import fc from "fast-check";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { RequestRows } from "../../src/import/row-outcomes.ts";
import { ResultsScan, scanResults } from "../../src/import/scan.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const FINGERPRINT = "0123456789abcdef0123456789abcdef";
const ROWS = 4;

function keyOf(row: number): string {
  return `${row}@${FINGERPRINT}`;
}

function newRows(): RequestRows {
  const rows = new RequestRows(ROWS);
  for (let row = 0; row < ROWS; row += 1) rows.add(keyOf(row));
  return rows;
}

/** What the rows know of lines. */
function known(rows: RequestRows): unknown[] {
  return Array.from({ length: ROWS }, (_, row) => [
    rows.hasSeveralLines(row),
    rows.hasConflict(row),
  ]);
}

/** Of a row that was asked for or not, with one of two vectors; or what no one can read. */
const line = fc.oneof(
  fc
    .tuple(fc.nat(ROWS), fc.nat(1))
    .map(
      ([row, value]) =>
        `{"response":{"embedding":{"values":[0.${value + 1}]}},"key":"${keyOf(row)}"}`,
    ),
  fc.constantFrom("", "{", '{"key":7}'),
);

test("what is known of lines that came in pieces, after any number of false starts, is what the file tells", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "results.jsonl");
  const file = fc.tuple(fc.array(line, { maxLength: 12 }), fc.boolean());
  const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(file, sizes, fc.array(fc.nat(600), { maxLength: 2 }), async (...drawn) => {
      const [[lines, isTerminated], pieces, starts] = drawn;
      const bytes = Buffer.from(lines.join("\n") + (isTerminated ? "\n" : ""));
      await writeFile(path, bytes);
      const [onDisk, coming] = [newRows(), newRows()];
      const { summary } = await scanResults(path, onDisk);
      const scan = new ResultsScan(coming);
      for (const end of [...starts, bytes.length]) {
        scan.restart();
        let at = 0;
        for (let nth = 0; at < Math.min(end, bytes.length); nth += 1) {
          // its own memory, which is somebody else's afterwards
          const chunk = Uint8Array.from(
            bytes.subarray(at, at + (pieces[nth % pieces.length] ?? 1)),
          );
          scan.push(chunk);
          at += chunk.length;
          chunk.fill(0);
        }
      }
      expect(await scan.end(path)).toEqual(summary);
      expect(summary.lines).toBe(lines.filter((each) => each !== "").length);
      expect(known(coming)).toEqual(known(onDisk));
    }),
    { numRuns: 200 },
  );
  await rm(folder, { recursive: true });
});
