// A cron line asks whether rows wait too long for their vectors. Does it ring when they do, stay silent when
// they do not, and say so where nobody can know?
import { expect, test } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { type Folders, openFolders } from "../folders.ts";

const AGE = ["--age-column", "created_at"];

/** One row waits for three hours, one for ten minutes, one has no text and one has a vector. */
async function aged(): Promise<Folders> {
  const folders = await openFolders(["Waits long", "Waits a little", "  ", "Filled"]);
  await folders.sql(
    `ALTER TABLE questions ADD COLUMN created_at timestamptz, ADD COLUMN kind text`,
  );
  await folders.sql(`UPDATE questions SET created_at = now() - CASE id
    WHEN 1 THEN interval '3 hours' WHEN 2 THEN interval '10 minutes' ELSE interval '9 days' END`);
  await folders.sql(`UPDATE questions SET embedding = array_fill(sqrt(1 / 128.0), ARRAY[128])::vector
    WHERE id = 4`);
  return folders;
}

test("with a column that tells, it is told to the second", async () => {
  const { vecfill, sql } = await aged();
  const tooOld = await vecfill("jobs", "verify", "--max-age", "1h", ...AGE);
  expect(tooOld).toMatchObject({
    code: EXIT_CODES.rowsFailed,
    stdout: expect.stringMatching(
      /^ {2}waiting longest: row 1, for 3 h.*\n {2}That is longer than 1 h \(--max-age\)\.$/m,
    ),
  });
  expect(await vecfill("jobs", "verify", "--max-age", "4h", ...AGE)).toMatchObject({ code: 0 });
  const json = JSON.parse((await vecfill("jobs", "verify", "--json", ...AGE)).stdout);
  expect(json.oldestWaiting).toMatchObject({ id: "1", isLeast: false });
  expect(json.oldestWaiting.seconds).toBeGreaterThanOrEqual(3 * 3600);
  // a row without a text is never filled
  await sql("DELETE FROM questions WHERE id IN (1, 2)");
  expect(await vecfill("jobs", "verify", "--max-age", "1h", ...AGE)).toMatchObject({
    stdout: expect.stringMatching(/None of them waits/),
  });
});

test.each([
  ["kind", /--age-column kind tells no time/],
  ["creatd_at", /--age-column creatd_at tells no time: column .* does not exist/],
])("a column that tells none is told: %s", async (column, words) => {
  const { vecfill, sql } = await aged();
  await sql("UPDATE questions SET kind = 'a'");
  expect(await vecfill("jobs", "verify", "--age-column", column)).toMatchObject({
    code: EXIT_CODES.usage,
    stderr: expect.stringMatching(words),
  });
});

test("without one, rows have waited since they were first exported, and at least that", async () => {
  const { vecfill, sql } = await aged();
  expect(await vecfill("jobs", "verify", "--max-age", "0s")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /Since when they wait is not known, as no job is under way with them/,
    ),
  });
  await vecfill("jobs", "export");
  const { code, stdout } = await vecfill("jobs", "verify", "--max-age", "0s", "--json");
  const { oldestWaiting } = JSON.parse(stdout);
  expect(oldestWaiting).toMatchObject({ who: "rows of job 0001", isLeast: true });
  // it was exported a moment ago
  expect(code).toBe(oldestWaiting.seconds > 0 ? EXIT_CODES.rowsFailed : 0);
  // who has filled the rows otherwise need not wait
  await sql(`UPDATE questions SET embedding = array_fill(sqrt(1 / 128.0), ARRAY[128])::vector`);
  const after = JSON.parse((await vecfill("jobs", "verify", "--json")).stdout);
  expect(after.oldestWaiting).toBe(null);
});
