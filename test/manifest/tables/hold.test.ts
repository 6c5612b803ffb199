/** An importer sleeps, and another process goes on with its job. Does a vector of it reach the column when it wakes up? */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { rollbackJob } from "../../../src/commands/rollback/rollback.ts";
import { HoldLost } from "../../../src/errors.ts";
import { exportAll } from "../../../src/export/export.ts";
import { importResults } from "../../../src/import/import.ts";
import type { Job } from "../../../src/manifest/job.ts";
import type { Manifest } from "../../../src/manifest/manifest.ts";
import { pollJob } from "../../../src/poll/poll-job.ts";
import type { EmbeddedQuestion } from "../../../src/row/question.ts";
import { run } from "../../../src/run/run.ts";
import { openShared } from "../../../src/manifest/tables/open-shared.ts";
import { changeState } from "../../../src/manifest/tables/tables.ts";
import type { Store } from "../../../src/store/port.ts";
import { createSqlStore } from "../../../src/store/postgres/sql-store.ts";
import { submitJob } from "../../../src/submit/submit-job.ts";
import { newJob } from "../sample.ts";
import { DIMENSIONS, embedded, qualified, QUESTIONS } from "../../store/contract.ts";
import {
  createNativeDatabase,
  type NativeDatabase,
  ON_NATIVE,
  openSession,
} from "../../store/postgres/native-database.ts";
import { range, startTrial, texts, type Trial } from "../../trial.ts";
import { openWorkshop, type Workshop, type WorkshopServices } from "../../workshop.ts";
import { openLog, sharing } from "./sharing.ts";

const NOTHING_LEFT = { outstanding: { lines: 0, retryable: 0 }, failedFile: undefined };
const SUMS = { requests: 3, written: 0, failed: 3, stale: 0, filled: 0, gone: 0 };

/** Another process gives it up. */
function giveUp(manifest: Manifest, job: string): Promise<unknown> {
  const error = { message: "given up" };
  return manifest.record({ type: "cancelled", job, error, sums: SUMS, ...NOTHING_LEFT });
}

describe("over a manifest in the same database", () => {
  let workshop: Workshop;
  beforeAll(async () => (workshop = await openWorkshop()));
  afterAll(() => workshop.close());
  beforeEach(async () => {
    await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
  });

  /** Of two who share the manifest one has made a job whose batch has ended. */
  async function endedOfTwo(trial: Trial, all: WorkshopServices) {
    const manifest = await openShared(sharing(workshop.database, workshop.folder));
    const other = await openShared(sharing(workshop.database, workshop.folder));
    const its = { ...all, manifest };
    await exportAll(its, trial.exportOptions());
    await submitJob(its, manifest.job("0001"));
    await trial.emulator.advance(1_000);
    return { its, other, ended: await pollJob(its, manifest.job("0001")) };
  }

  test("a run fills the column as over a folder, and each row is paid for once", async () => {
    const trial = await startTrial(workshop, texts(25));
    await trial.services({}, async (all) => {
      const manifest = await openShared(sharing(workshop.database, workshop.folder));
      const summary = await run({ ...all, manifest }, trial.runOptions());
      expect(summary).toMatchObject({ requests: 25, written: 25, remaining: 0 });
      const later = await openShared(sharing(workshop.database, workshop.folder));
      expect(later.jobs()).toEqual(manifest.jobs());
      expect(later.quota(trial.target.model)).toEqual(manifest.quota(trial.target.model));
    });
    expect(await trial.rightIds()).toEqual(range(1, 25));
    expect(Object.values(await trial.paid())).toEqual(range(1, 25).map(() => 1));
  });

  test("no vector is written of a job that others have moved since it was taken in hand", async () => {
    const trial = await startTrial(workshop, texts(3), { frozen: true });
    await trial.services({}, async (all) => {
      const { its, ended, other } = await endedOfTwo(trial, all);
      const apply: Store["apply"] = async (...given) => {
        await other.refresh();
        await giveUp(other, "0001");
        return all.store.apply(...given);
      };
      const storeOf = async () => ({ ...all.store, apply });
      await expect(importResults({ ...its, storeOf }, ended)).rejects.toThrow(HoldLost);
    });
    expect(await workshop.emptyIds()).toEqual([1, 2, 3]);
  });

  test("a rollback that slept through another one clears nothing that was written since", async () => {
    const trial = await startTrial(workshop, texts(3), { frozen: true });
    await trial.services({}, async (all) => {
      const { its, ended, other } = await endedOfTwo(trial, all);
      await importResults(its, ended);
      await trial.sql("CREATE TABLE written AS SELECT id, embedding FROM questions");
      const clear: Store["clear"] = async (...given) => {
        await other.refresh();
        await rollbackJob({ ...all, manifest: other }, other.job("0001"));
        await trial.sql(
          "UPDATE questions q SET embedding = w.embedding FROM written w WHERE w.id = q.id",
        );
        return all.store.clear(...given);
      };
      const late = rollbackJob(
        { ...its, store: { ...all.store, clear } },
        its.manifest.job("0001"),
      );
      await expect(late).rejects.toThrow(HoldLost);
      await trial.sql("DROP TABLE written");
    });
    expect(await trial.rightIds()).toEqual([1, 2, 3]);
  });

  test("whoever writes vectors locks the row of the job, so that nobody moves it meanwhile", async () => {
    const trial = await startTrial(workshop, texts(1));
    await trial.services({}, async (all) => {
      const manifest = await openShared(sharing(workshop.database, workshop.folder));
      await exportAll({ ...all, manifest }, trial.exportOptions());
      const [row] = await all.store.readPending({ after: undefined, limit: 1 });
      const vector = new Float32Array(trial.target.dimensions).fill(1);
      const rows = row === undefined ? [] : [{ ...row, vector }];
      await all.store.apply(rows, manifest.holdOf(manifest.job("0001")));
    });
    // of a row that nobody has locked or changed since it was written, it is 0
    const [lock] = await workshop.database.query("SELECT xmax::text AS by FROM vecfill.job");
    expect(await workshop.emptyIds()).toEqual([]);
    expect(lock).not.toEqual({ by: "0" });
  });
});

describe("one statement", ON_NATIVE, () => {
  const TABLE = qualified(QUESTIONS);
  let native: NativeDatabase;
  let manifest: Manifest;
  let store: Store;
  let rows: EmbeddedQuestion[];
  let job: Job;

  beforeAll(async () => {
    native = await createNativeDatabase();
    await native.database.query(
      `CREATE TABLE ${TABLE} (id bigint PRIMARY KEY, question_text text, embedding vector(${DIMENSIONS}))`,
    );
    store = createSqlStore(native.database, QUESTIONS, { where: undefined });
    manifest = await openLog(native.database);
  });
  afterAll(() => native.drop());

  beforeEach(async () => {
    await native.database.query(`TRUNCATE ${TABLE}`);
    await native.database.query(
      `INSERT INTO ${TABLE} SELECT i, 'question ' || i FROM generate_series(1, 3) i`,
    );
    rows = (await store.readPending({ after: undefined, limit: 3 })).map(embedded);
    job = await manifest.recordExported(newJob(await manifest.reserveJobId()));
  });

  const written = async () => {
    const found = await native.database.query(
      `SELECT count(*)::text AS n FROM ${TABLE} WHERE embedding IS NOT NULL`,
    );
    return Number(found[0]?.["n"]);
  };

  /** Until a statement waits for what the session holds. */
  const blocked = async () => {
    for (;;) {
      const waiting = await native.database.query(
        "SELECT 1::text AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      if (waiting.length > 0) return;
      await systemClock.sleep(5);
    }
  };

  test("writes, and says so again where nothing is left to write", async () => {
    const hold = manifest.holdOf(job);
    expect(await store.apply(rows, hold)).toEqual(["written", "written", "written"]);
    expect(await store.apply(rows, hold)).toEqual(["written", "written", "written"]);
  });

  test("tells stale, filled and gone rows as without", async () => {
    await native.database.query(`UPDATE ${TABLE} SET question_text = 'new' WHERE id = 1`);
    await native.database.query(`DELETE FROM ${TABLE} WHERE id = 2`);
    expect(await store.apply(rows, manifest.holdOf(job))).toEqual(["stale", "gone", "written"]);
  });

  test("that comes while the job is moved waits, and writes nothing then", async () => {
    const other = await openSession(native.url);
    await other.query("BEGIN");
    await other.query("UPDATE vecfill.job SET seq = seq + 1 WHERE id = $1", [job.id]);
    const applied = store.apply(rows, manifest.holdOf(job)).catch((error: unknown) => error);
    await blocked();
    await other.query("COMMIT");
    await other.end();
    expect(await applied).toBeInstanceOf(HoldLost);
    expect(await written()).toBe(0);
  });

  test("that is under way keeps the job as it is until it has ended", async () => {
    const other = await openSession(native.url);
    await other.query("BEGIN");
    await other.query(`SELECT FROM ${TABLE} WHERE id = 3 FOR UPDATE`);
    const ends: string[] = [];
    const applied = store.apply(rows, manifest.holdOf(job)).then(() => ends.push("applied"));
    await blocked();
    const moved = giveUp(manifest, job.id).then(() => ends.push("moved"));
    await systemClock.sleep(50);
    expect(ends).toEqual([]);
    await other.query("COMMIT");
    await other.end();
    await Promise.all([applied, moved]);
    expect(ends).toEqual(["applied", "moved"]);
    expect(await written()).toBe(3);
  });

  test("that is under way is waited for by who pauses, and what comes after that writes nothing", async () => {
    const other = await openSession(native.url);
    await other.query("BEGIN");
    await other.query(`SELECT FROM ${TABLE} WHERE id = 3 FOR UPDATE`);
    const ends: string[] = [];
    const applied = store.apply(rows, manifest.holdOf(job)).then(() => ends.push("applied"));
    await blocked();
    // and meanwhile others record what they do
    const { id } = await manifest.recordExported(newJob(await manifest.reserveJobId()));
    const paused = changeState(native.database, "paused", "").then(() => ends.push("paused"));
    await systemClock.sleep(50);
    expect(ends).toEqual([]);
    await other.query("COMMIT");
    await other.end();
    await Promise.all([applied, paused]);
    expect(ends).toEqual(["applied", "paused"]);
    await native.database.query(`UPDATE ${TABLE} SET embedding = NULL`);
    for (const each of [manifest.job(id), job])
      await expect(store.apply(rows, manifest.holdOf(each))).rejects.toThrow(HoldLost);
    await changeState(native.database, "active", "");
    await expect(store.apply(rows, manifest.holdOf(job))).rejects.toThrow(HoldLost);
    await expect(store.clear(rows, manifest.holdOf(job))).rejects.toThrow(HoldLost);
    expect(await written()).toBe(0);
    manifest = await openLog(native.database);
    expect(await store.apply(rows, manifest.holdOf(job))).toHaveLength(3);
  });
});
