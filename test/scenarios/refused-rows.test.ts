/**
 * The table refuses some of my rows, each for a reason of its own. Is that all that they cost, and are
 * they written without being paid for again once the table takes them?
 */
import { writeFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { planCleaning } from "../../src/commands/clean/what-may-go.ts";
import { JobBlocked, UserError } from "../../src/errors.ts";
import { settleUnsent, writeRefused } from "../../src/import/again/again.ts";
import { ChunkWriter } from "../../src/import/chunk-writer.ts";
import { UNPACED } from "../../src/import/pace.ts";
import { RequestRows } from "../../src/import/row-outcomes.ts";
import type { EmbeddedQuestion } from "../../src/row/question.ts";
import { IN_COLUMN, readFailedLines } from "../../src/jobs-folder/failed-file.ts";
import { everyLine, resubmitJobs, type ResubmitServices } from "../../src/resubmit/resubmit.ts";
import { TableRefusal } from "../../src/store/port.ts";
import { paidRows } from "../../src/words/paid-rows.ts";
import { errorLine, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { IN_FULL, sized } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());
beforeEach(() => workshop.database.query(TAKE_ALL));

const TAKE_ALL = "ALTER TABLE IF EXISTS questions DROP CONSTRAINT IF EXISTS odd";

/** These rows, and no others. */
async function refuse(rows: string): Promise<void> {
  await workshop.database.query(TAKE_ALL);
  await workshop.database.query(
    `ALTER TABLE questions ADD CONSTRAINT odd CHECK (embedding IS NULL OR NOT (${rows}))`,
  );
}

/** What is paid for and was refused is offered to the table once more, of the first job. */
function offer(trial: Trial, path = trial.path("0001.failed.jsonl")) {
  return trial.services({}, async (all) => {
    const ends = await writeRefused(all, all.manifest.job("0001"), readFailedLines(path));
    return paidRows([...ends.values()]);
  });
}

/** As the command does it, with nothing said. */
function resubmit(trial: Trial) {
  return trial.services({}, async (all) => {
    const job = all.manifest.job("0001");
    const writePaid: NonNullable<ResubmitServices["writePaid"]> = (parent, lines) =>
      settleUnsent(all, parent, lines);
    return resubmitJobs({ ...all, writePaid }, [job], workshop.bounds, everyLine);
  });
}

const once = (ids: readonly number[]) => Object.fromEntries(ids.map((id) => [id, 1]));
const BOUNDS = { maxRows: 300, maxTokens: 1_000_000, maxBytes: 10_000_000 };

const run = (trial: Trial) => trial.run({ export: trial.exportOptions({ bounds: BOUNDS }) });

/** Job 0001 of nine rows, imported. */
async function refused(rows = "id IN (2, 4, 5)"): Promise<Trial> {
  const trial = await startTrial(workshop, texts(9));
  await refuse(rows);
  await trial.untilEnded();
  await trial.import();
  return trial;
}

describe("nine hundred rows in three jobs", () => {
  test.each([
    [3, "id IN (7, 301, 302)", [7, 301, 302]],
    ...sized<[number, string, number[]][]>({ quick: [], full: [[1, "id = 450", [450]]] }),
  ])("of which %i are refused: the others are written", async (_, rows, ids) => {
    const trial = await startTrial(workshop, texts(900));
    await refuse(rows);
    const { requests, written, failed } = await run(trial);
    expect({ requests, written, failed }).toEqual({
      requests: 900,
      written: 900 - ids.length,
      failed: ids.length,
    });
    expect(await trial.emptyIds()).toEqual(ids);
    const jobs = (await trial.jobs()).filter(({ outstanding }) => outstanding.lines > 0);
    const lines = await Promise.all(jobs.map(({ id }) => trial.lines(`${id}.failed.jsonl`)));
    expect(lines.flat()).toHaveLength(ids.length);
    for (const line of lines.flat()) {
      expect(line).toMatchObject({
        error: { class: "permanent", reason: "table", message: expect.stringMatching(/"odd"/) },
      });
    }
    await run(trial);
    expect(await trial.paid()).toEqual(once(range(1, 900)));
  });

  test("of which 600 are refused: it is the table, and no row is sent again", IN_FULL, async () => {
    const trial = await startTrial(workshop, texts(900));
    // nothing more would be sent once the first job is refused
    await trial.untilEnded({ bounds: BOUNDS });
    await refuse("id <= 600");
    const error = await run(trial).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(JobBlocked);
    expect(error).toMatchObject({ exit: "fatal", cause: expect.any(TableRefusal) });
    expect(String(error)).toMatch(/51 of the first 100 rows/);
    // one that is blocked keeps no other from being written
    expect(await trial.emptyIds()).toEqual(range(1, 600));
    await trial.sql(TAKE_ALL);
    expect(await run(trial)).toMatchObject({ written: 600, failed: 0 });
    expect(await trial.emptyIds()).toEqual([]);
    expect(await trial.paid()).toEqual(once(range(1, 900)));
  });
});

/** Of 400 rows, those that are refused, and what they came to. */
async function offered(isRefused: (id: number) => boolean) {
  const rows = new RequestRows(400);
  const refusal = new TableRefusal("odd.", { hint: "-", isOfARow: true });
  const apply = async (some: readonly EmbeddedQuestion[]) => {
    if (some.some(({ id }) => isRefused(Number(id)))) throw refusal;
    return some.map(() => "written" as const);
  };
  const store = { ...workshop.store, apply };
  const { signal } = new AbortController();
  const options = { store, rows, dimensions: 1, hold: undefined, pacer: UNPACED, signal };
  const writer = new ChunkWriter(options);
  for (const id of range(1, 400).map(String)) {
    const fingerprint = id.padStart(32, "0");
    rows.add(`${id}@${fingerprint}`);
    writer.add(Number(id) - 1, { id, fingerprint, vector: writer.roomForVector() });
  }
  await writer.finish();
  return rows.sums();
}

test("however many later rows of a job are refused, it is not the table", async () => {
  expect(await offered((id) => id > 100)).toMatchObject({ written: 100, failed: 300 });
  expect(await offered((id) => id <= 50)).toMatchObject({ written: 350, failed: 50 });
});

test("where more than half of the first are refused, it is the table, which says of how many", async () => {
  await expect(offered((id) => id <= 51)).rejects.toThrow(
    /^odd\. So it is with 51 of the first 100 rows/,
  );
});

describe("rows that the table refused", () => {
  test("are written from the results where they are taken, and the others wait", async () => {
    const trial = await refused();
    await refuse("id = 4");
    expect(await offer(trial)).toMatchObject({ written: 2, refused: 1 });
    expect(await trial.rightIds()).toEqual([1, 2, 3, 5, 6, 7, 8, 9]);
    expect(await trial.idsIn("0001.failed.jsonl")).toEqual([4]);
    expect(await trial.job("0001")).toMatchObject({
      sums: { requests: 9, written: 8, failed: 1 },
      outstanding: { lines: 1, retryable: 0 },
      children: [],
    });
    await trial.sql(TAKE_ALL);
    expect(await offer(trial)).toMatchObject({ written: 1, refused: 0 });
    expect(await trial.files()).not.toContain("0001.failed.jsonl");
    expect(await trial.job("0001")).toMatchObject({ sums: { written: 9, failed: 0 } });
    expect(await trial.paid()).toEqual(once(range(1, 9)));
  });

  test("are not sent by a resubmission, taken or not", async () => {
    const trial = await refused();
    await refuse("id = 4");
    expect(await resubmit(trial)).toEqual([]);
    expect(await trial.rightIds()).toEqual([1, 2, 3, 5, 6, 7, 8, 9]);
    expect(await trial.idsIn("0001.failed.jsonl")).toEqual([4]);
  });

  test("are sent where a person edited their text, or deleted the results", async () => {
    const trial = await refused("id IN (2, 4)");
    await trial.sql(TAKE_ALL);
    const text = await trial.text("0001.failed.jsonl");
    await writeFile(trial.path("0001.failed.jsonl"), text.replace("number 2?", "number two?"));
    const made = await resubmit(trial);
    expect(made).toMatchObject([{ id: "0002", requests: 1 }]);
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([2]);
    expect(await trial.rightIds()).toEqual([1, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("count as what they came to where they need no vector any more", async () => {
    const trial = await refused();
    await trial.sql(TAKE_ALL);
    await trial.sql("UPDATE questions SET question_text = 'another' WHERE id = 2");
    await trial.sql("DELETE FROM questions WHERE id = 4");
    expect(await offer(trial)).toMatchObject({
      written: 1,
      refused: 0,
      lines: [
        expect.stringMatching(/^1 row .* written/),
        expect.stringMatching(/^2 rows .* changed, filled or deleted since/),
      ],
    });
    expect(await trial.job("0001")).toMatchObject({
      sums: { requests: 9, written: 7, failed: 0, stale: 1, gone: 1 },
    });
  });

  test("leave a failed file that a crash left behind, and not one that is put back later", async () => {
    const trial = await refused();
    const text = await trial.text("0001.failed.jsonl");
    await trial.sql(TAKE_ALL);
    await offer(trial);
    await writeFile(trial.path("0001.failed.jsonl"), text);
    await writeFile(trial.path("0001.failed.jsonl.next"), `${IN_COLUMN}\n`);
    await trial.services({}, async () => {});
    expect(await trial.files()).not.toContain("0001.failed.jsonl");
    await writeFile(trial.path("0001.failed.jsonl"), text);
    await trial.services({}, async () => {});
    expect(await trial.files()).toContain("0001.failed.jsonl");
  });

  test("keep their results from being cleaned", async () => {
    const trial = await refused();
    const parts = () =>
      trial.services({}, async ({ manifest }) => {
        const plan = await planCleaning(manifest, { keepResults: false, now: new Date() });
        return plan.flatMap(({ local }) => local.map(({ part }) => part));
      });
    expect(await parts()).toEqual([]);
    await trial.sql(TAKE_ALL);
    await offer(trial);
    expect(await parts()).toEqual(["requests", "results"]);
  });
});

test("what has ended is fetched before an import fails, and is written by the next", async () => {
  const trial = await startTrial(workshop, texts(25));
  await trial.untilEnded();
  const away = new UserError("The database is away.", { hint: "Wait.", exit: "fatal" });
  const storeOf = () => Promise.reject(away);
  await expect(trial.import({ storeOf })).rejects.toBe(away);
  expect(await trial.states()).toEqual(["0001 downloaded", "0002 downloaded", "0003 downloaded"]);
  await trial.emulator.close();
  await trial.import();
  expect(await trial.rightIds()).toEqual(range(1, 25));
});

test("failed lines whose rows are filled, have another text or are gone by now are sent by no resubmission", async () => {
  const trial = await startTrial(workshop, texts(6));
  trial.setResults(Object.fromEntries(range(2, 6).map((id) => [id, errorLine(3)])));
  await trial.untilEnded();
  await trial.import();
  await trial.sql(
    "UPDATE questions SET embedding = (SELECT embedding FROM questions WHERE id = 1) WHERE id = 2",
  );
  await trial.sql("UPDATE questions SET question_text = 'mended' WHERE id = 3");
  await trial.sql("DELETE FROM questions WHERE id = 4");
  expect(await resubmit(trial)).toMatchObject([{ requests: 2 }]);
  expect(await trial.idsIn("0002.requests.jsonl")).toEqual([5, 6]);
  expect(await trial.job("0001")).toMatchObject({
    sums: { requests: 6, written: 1, filled: 1, stale: 1, gone: 1, failed: 2 },
    outstanding: { lines: 0 },
  });
  expect(await trial.files()).not.toContain("0001.failed.jsonl");
});
