// A job should never have been imported. Do I get exactly its vectors out of the column, no matter
// what others did there since, how often I ask, and what breaks in between?
import { rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  countRollback,
  requireRollbackable,
  rollbackJob,
} from "../../src/commands/rollback/rollback.ts";
import { runHere } from "../command-line.ts";
import { errorLine, startTrial, texts, type Instead, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Job 0001 with rows 1 to `rows`, imported. */
async function imported(rows: number) {
  const trial = await startTrial(workshop, texts(rows));
  await trial.untilEnded();
  await trial.import();
  return trial;
}

function rollback(trial: Trial, instead: Instead = {}) {
  return trial.services(instead, async (all) => rollbackJob(all, all.manifest.job("0001")));
}

function counted(trial: Trial): Promise<number> {
  return trial.services({}, (all) => countRollback(all, all.manifest.job("0001")));
}

function allowed(trial: Trial, id: string): Promise<void> {
  return trial.services({}, ({ manifest }) => requireRollbackable(manifest, manifest.job(id)));
}

/** As a command, which sees the jobs folder, and no table that it would need here. */
function run(trial: Trial, ...args: readonly string[]) {
  const env = { DATABASE_URL: "pglite:memory" };
  return runHere(["rollback", ...args, "--jobs-dir", trial.folder], { env });
}

/** What others may do to rows that a job wrote: 1 and 6 keep its vectors. */
async function changedByOthers(trial: Trial): Promise<void> {
  await trial.sql(
    "UPDATE questions SET embedding = (SELECT embedding FROM questions WHERE id = 6) WHERE id = 2",
  );
  await trial.sql("DELETE FROM questions WHERE id = 3");
  await trial.sql("UPDATE questions SET embedding = NULL WHERE id = 4");
  await trial.sql(
    "UPDATE questions SET embedding = l2_normalize(embedding + (SELECT embedding FROM questions WHERE id = 1)) WHERE id = 5",
  );
}

describe("a job that was imported", () => {
  test("is taken back row by row, but for what others have changed since", async () => {
    const trial = await imported(6);
    await changedByOthers(trial);
    expect(await counted(trial)).toBe(2);
    expect(await trial.emptyIds()).toEqual([4]);
    expect(await rollback(trial)).toMatchObject({ state: "rolledBack", rolledBack: 2 });
    expect(await trial.emptyIds()).toEqual([1, 4, 6]);
    expect(await trial.idsIn("0001.rollback.jsonl")).toEqual([1, 6]);
  });

  test("gives its rows back to the next export, and they can be filled again", async () => {
    const trial = await imported(3);
    await rollback(trial);
    expect(await trial.export()).toMatchObject({ exported: 3, jobs: ["0002"] });
    await trial.submit();
    await trial.poll();
    await trial.import();
    expect(await trial.rightIds()).toEqual([1, 2, 3]);
  });

  test("keeps its failed rows for a resubmission, and they are not exported", async () => {
    const trial = await startTrial(workshop, texts(3));
    trial.setResults({ 2: errorLine(13) });
    await trial.untilEnded();
    await trial.import();
    expect(await rollback(trial)).toMatchObject({ rolledBack: 2 });
    expect(await trial.export()).toMatchObject({ exported: 2, skipped: { failedBefore: 1 } });
  });

  test("writes nothing of it when it only counts", async () => {
    const trial = await imported(3);
    const before = [await trial.files(), await trial.text("manifest.ndjson")];
    expect(await counted(trial)).toBe(3);
    expect([await trial.files(), await trial.text("manifest.ndjson")]).toEqual(before);
    expect(await trial.emptyIds()).toEqual([]);
  });

  test("leaves rows alone for which its results contradict themselves", async () => {
    const trial = await startTrial(workshop, texts(3));
    trial.setResults({ 2: (line) => [line, line.replace(/0\.\d/, "0.123")] });
    await trial.untilEnded();
    await trial.import();
    expect(await trial.emptyIds()).toEqual([2]);
    expect(await rollback(trial)).toMatchObject({ rolledBack: 2 });
  });
});

describe("interrupted and repeated", () => {
  test("it counts the rows that the first try emptied, also those edited since, and not those that were empty before", async () => {
    const trial = await imported(6);
    await changedByOthers(trial);
    const dies = trial.services({}, async (all) => {
      const store = {
        ...all.store,
        clear: async (rows: Parameters<typeof all.store.clear>[0]) => {
          await all.store.clear(rows);
          throw new Error("the process dies here");
        },
      };
      return rollbackJob({ ...all, store }, all.manifest.job("0001"));
    });
    await expect(dies).rejects.toThrow("dies here");
    expect(await trial.emptyIds()).toEqual([1, 4, 6]);
    expect(await trial.job("0001")).toMatchObject({ state: "imported", rollback: { rows: 2 } });
    await trial.sql("UPDATE questions SET question_text = 'edited since' WHERE id = 1");
    expect(await counted(trial)).toBe(2);
    expect(await rollback(trial)).toMatchObject({ state: "rolledBack", rolledBack: 2 });
  });

  test("it goes on chunk by chunk where Ctrl-C stopped it", async () => {
    const trial = await imported(6);
    const controller = new AbortController();
    const pacer = {
      maxRows: 2,
      paced: async <T>(_rows: number, _signal: AbortSignal, write: () => Promise<T>) => {
        const result = await write();
        controller.abort();
        return result;
      },
    };
    const stopped = await trial.services({ signal: controller.signal }, (all) =>
      rollbackJob({ ...all, pacer }, all.manifest.job("0001")),
    );
    expect(stopped).toBe(undefined);
    expect((await trial.emptyIds()).length).toBe(2);
    expect(await rollback(trial)).toMatchObject({ rolledBack: 6 });
    expect((await trial.emptyIds()).length).toBe(6);
  });

  test("it makes a new list where the old one was lost", async () => {
    const trial = await imported(3);
    await trial.services({}, ({ manifest }) =>
      manifest.record({
        type: "rollingBack",
        job: "0001",
        rows: 3,
        file: { bytes: 1, sha256: "0".repeat(64) },
      }),
    );
    expect(await rollback(trial)).toMatchObject({ rolledBack: 3 });
  });
});

describe("what cannot be taken back is refused in words", () => {
  test("a job that is not imported, with what to do instead", async () => {
    const trial = await startTrial(workshop, texts(3));
    await trial.export();
    await expect(allowed(trial, "0001")).rejects.toMatchObject({
      exit: "usage",
      message: expect.stringContaining("is exported: it has not been imported"),
      hint: expect.stringContaining("vecfill cancel 0001"),
    });
  });

  test("a job whose results file is gone, or another", async () => {
    const trial = await imported(3);
    await writeFile(trial.path("0001.results.jsonl"), "{}\n");
    await expect(allowed(trial, "0001")).rejects.toMatchObject({
      message: expect.stringContaining("is not the one that was imported"),
    });
    await rm(trial.path("0001.results.jsonl"));
    await expect(allowed(trial, "0001")).rejects.toMatchObject({
      message: expect.stringContaining("is gone"),
      hint: expect.stringContaining("set embedding = null"),
    });
  });
});

describe("the command", () => {
  test("does nothing for a job that was rolled back, and touches none when one is refused", async () => {
    const trial = await imported(3);
    await rollback(trial);
    const again = await run(trial, "0001", "--json");
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ rolledBack: [], rows: 0, changed: 0 });
    const mixed = await run(trial, "0001", "0007", "--yes");
    expect([mixed.code, mixed.stderr]).toEqual([2, expect.stringContaining("no job 0007")]);
  });
});
