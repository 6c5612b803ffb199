// A rollback dies, or loses an answer, at any of its calls to the database and the disk. Repeated,
// does it come to the same rows and the same count as one that nothing disturbed?
import { cp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { failureOf } from "../../../src/output/failure.ts";
import { readManifest } from "../../../src/jobs-folder/open.ts";
import { UNPACED } from "../../../src/import/pace.ts";
import { rollbackJob } from "../../../src/commands/rollback/rollback.ts";
import { createSqlStore } from "../../../src/store/postgres/sql-store.ts";
import { withRetry } from "../../../src/store/retry.ts";
import { startTrial, texts, type Trial } from "../../trial.ts";
import { hastyClock, openWorkshop, type Workshop } from "../../workshop.ts";
import { Border, borderDatabase, type Fault, underTest } from "./outside.ts";
import { borderDisk } from "./border-disk.ts";
import { someFileCalls } from "./sweep.ts";

borderDisk();

const MAX_CALLS = 500;
let workshop: Workshop;
let trial: Trial;
let saved: string;

/** Seven rows imported; one is NULL again and one is gone, so that five can be taken back. */
async function prepare(): Promise<void> {
  trial = await startTrial(workshop, texts(7));
  await trial.untilEnded();
  await trial.import();
  await trial.sql("UPDATE questions SET embedding = NULL WHERE id = 2");
  await trial.sql("DELETE FROM questions WHERE id = 5");
  await trial.sql("CREATE TABLE as_it_was AS SELECT * FROM questions");
  saved = `${trial.folder}.saved`;
  await cp(trial.folder, saved, { recursive: true });
}

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(async () => {
  await rm(saved, { recursive: true, force: true });
  await workshop.close();
});

async function restore(): Promise<void> {
  await rm(trial.folder, { recursive: true, force: true });
  await cp(saved, trial.folder, { recursive: true });
  await trial.sql("DELETE FROM questions");
  await trial.sql("INSERT INTO questions SELECT * FROM as_it_was");
}

/** Two rows a statement; waits and retries as a command does. */
async function rollback(): Promise<void> {
  const { database, target } = workshop;
  const bare = createSqlStore(borderDatabase(database), target, { where: undefined });
  const store = withRetry(bare, { clock: hastyClock, report: () => {} });
  const pacer = { ...UNPACED, maxRows: 2 };
  await workshop.withServices(async (all) => {
    const job = all.manifest.job("0001");
    if (job.state === "imported") await rollbackJob({ ...all, store, pacer }, job);
  });
}

/** Names of the calls that went wrong. */
async function disturbed(fault: Fault): Promise<readonly string[]> {
  await restore();
  const border = new Border([fault]);
  await underTest.run(border, async () => {
    await rollback().catch((error: unknown) => {
      if (!border.isDead && failureOf(error).bug) throw error;
    });
  });
  await border.quiet();
  const names = await readdir(trial.folder);
  for (const name of names.filter((each) => each.startsWith("manifest.lock"))) {
    await rm(join(trial.folder, name), { force: true });
  }
  await rollback();
  const job = (await readManifest(trial.folder)).job("0001");
  expect([fault, job.state, job.rolledBack]).toEqual([fault, "rolledBack", 5]);
  expect(await trial.emptyIds()).toEqual([1, 2, 3, 4, 6, 7]);
  return border.hits;
}

test("every call of a rollback, before and after it took effect, as an error and as a death", async () => {
  await prepare();
  const hits: string[] = [];
  for (const kind of ["database", "file"] as const) {
    for (const when of ["before", "after"] as const) {
      for (const how of ["error", "kill"] as const) {
        const first = hits.length + 1;
        const calls = kind === "file" ? someFileCalls(first) : { first: 1, step: 1 };
        for (let nth = calls.first; nth < MAX_CALLS; nth += calls.step) {
          const struck = await disturbed({ nth, when, how, kind });
          if (struck.length === 0) break;
          hits.push(...struck);
        }
      }
    }
  }
  expect(hits.filter((hit) => hit.startsWith("database UPDATE")).length).toBeGreaterThan(8);
  expect(hits.filter((hit) => hit.startsWith("file")).length).toBeGreaterThan(5);
}, 300_000);
