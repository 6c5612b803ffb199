/** My manifest moves to the database, or back, and is killed on its way. Is anything lost, sent again, or gone on with twice? */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sharedClock } from "../../../src/clock.ts";
import { exportAll } from "../../../src/export/export.ts";
import { openManifest, readManifest } from "../../../src/jobs-folder/open.ts";
import { moveToDatabase } from "../../../src/jobs-folder/scratch/to-database.ts";
import { moveToFolder } from "../../../src/jobs-folder/scratch/to-folder.ts";
import {
  journalLines,
  openJournal,
  readHeaderOf,
  readJournal,
} from "../../../src/manifest/journal/journal.ts";
import { type Manifest, newHeader } from "../../../src/manifest/manifest.ts";
import { openShared, readShared } from "../../../src/manifest/tables/open-shared.ts";
import { changeState, readHead, type Tables } from "../../../src/manifest/tables/tables.ts";
import { everyLine, resubmitJobs } from "../../../src/resubmit/resubmit.ts";
import { run } from "../../../src/run/run.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { CLOCK, sharing } from "../../manifest/tables/sharing.ts";
import { IN_FULL } from "../../size.ts";
import { errorLine, range, startTrial, texts, type Trial } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";

let workshop: Workshop;
beforeAll(async () => (workshop = await openWorkshop()));
afterAll(() => workshop.close());
beforeEach(async () => {
  await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
});

/** Whose call of that number fails before it has taken effect, or after. */
function failing(tables: Tables, number: number, isAfter: boolean): Tables {
  let calls = 0;
  const through = async <T>(call: () => Promise<T>): Promise<T> => {
    calls += 1;
    const isNow = calls === number;
    if (isNow && !isAfter) throw new Error("killed");
    const answer = await call();
    if (isNow) throw new Error("killed");
    return answer;
  };
  return {
    query: (...given) => through(() => tables.query(...given)),
    script: (sql) => through(() => tables.script(sql)),
  };
}

function once<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

function placeOf(tables: Tables = workshop.database, jobsDir = workshop.folder) {
  return { tables, again: once, clock: sharedClock(CLOCK), jobsDir };
}

/** Killed at each call of the database, and called again until it ends; anew from the first call on when it has come further. Says how often. */
async function killedAtEach(
  isAfter: boolean,
  move: (tables: Tables) => Promise<unknown>,
): Promise<number> {
  let kills = 0;
  let stage = await stageNow();
  for (let call = 1; await isKilled(move, call, isAfter); call += 1) {
    kills += 1;
    const before = stage;
    stage = await stageNow();
    if (stage !== before) call = 0;
  }
  return kills;
}

/** Who has it: as the folder's journal begins, and as the tables say. */
async function stageNow(): Promise<string> {
  const header = await readHeaderOf(join(workshop.folder, "manifest.ndjson"));
  const head = await readHead(workshop.database);
  return `${header?.version} ${head?.state}`;
}

async function isKilled(
  move: (tables: Tables) => Promise<unknown>,
  call: number,
  isAfter: boolean,
): Promise<boolean> {
  try {
    await move(failing(workshop.database, call, isAfter));
    return false;
  } catch (error) {
    if (error instanceof Error && error.message === "killed") return true;
    throw error;
  }
}

/** Two rows are written, one failed, and three are at Gemini: one of them in a batch that the manifest does not know. */
async function underWay(): Promise<Trial> {
  const trial = await startTrial(workshop, texts(6), { batchSeconds: 0.05 });
  trial.setResults({ 2: errorLine(13, "no \u0000 text") });
  const bounds = { ...workshop.bounds, maxRows: 3 };
  await trial.export({ bounds, limit: 3 });
  await trial.submit();
  await trial.poll();
  await trial.import();
  await trial.export({ bounds, limit: 2 });
  await trial.submit();
  await trial.export({ bounds });
  await trial.forgetting(() => trial.submit());
  trial.setResults({});
  return trial;
}

/** Another process, with an empty disk. */
async function elsewhere(): Promise<Manifest> {
  return openShared(sharing(workshop.database, await temporaryFolder()));
}

/** What the stages need but for the manifest. */
function servicesOf(trial: Trial) {
  return trial.services({}, async (all) => all);
}

const INDEX = {
  name: "by_meaning",
  method: "hnsw",
  definition: "",
  tablespace: undefined,
  comment: undefined,
  valid: true,
};

const NONE_LEFT = { remaining: 0, failed: 0 };

describe.each(["before", "after"])("killed at each step, %s it is done", IN_FULL, (when) => {
  const killed = (move: (tables: Tables) => Promise<unknown>) =>
    killedAtEach(when === "after", move);

  test("there with batches under way, back, and there again: all goes on, and nothing is sent twice", async () => {
    const trial = await underWay();
    const all = await servicesOf(trial);
    const before = await trial.jobs();
    expect(await killed((tables) => moveToDatabase(placeOf(tables)))).toBeGreaterThan(20);
    await expect(trial.jobs()).rejects.toMatchObject({
      exit: "usage",
      hint: expect.stringContaining("--manifest postgres"),
    });
    await expect(openManifest(trial.folder, CLOCK)).rejects.toThrow("has moved to the database");
    const shared = await elsewhere();
    expect(shared.jobs()).toEqual(before);
    expect(await run({ ...all, manifest: shared }, trial.runOptions())).toMatchObject(NONE_LEFT);
    expect(trial.emulator.batches()).toHaveLength(4);

    expect(await killed((tables) => moveToFolder(placeOf(tables)))).toBeGreaterThan(20);
    expect(await trial.jobs()).toEqual(shared.jobs());
    expect((await trial.files()).filter((name) => /failed|arriving/.test(name))).toEqual([]);
    await expect(elsewhere()).rejects.toThrow(`has moved to a jobs folder, ${trial.folder} on`);
    await expect(shared.recordCounted(trial.target, COUNT)).rejects.toThrow("has moved");
    await trial.sql("INSERT INTO questions VALUES (7, 'Question number 7?')");
    trial.setResults({ 7: errorLine(3) });
    expect(await trial.run()).toMatchObject({ requests: 1, failed: 1 });

    expect(await killed((tables) => moveToDatabase(placeOf(tables)))).toBeGreaterThan(20);
    const again = await elsewhere();
    trial.setResults({});
    await resubmitJobs({ ...all, manifest: again }, again.jobs(), workshop.bounds, everyLine);
    await expect(shared.stillHeld()).rejects.toThrow("was paused, moved or resumed meanwhile");
    expect(await run({ ...all, manifest: again }, trial.runOptions())).toMatchObject(NONE_LEFT);
    expect(await trial.rightIds()).toEqual(range(1, 7));
    // those that failed at first
    expect(await trial.paid()).toEqual({ 1: 1, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1, 7: 2 });
  });
});

const COUNT = { rows: 1, estimated: 10, counted: 11 };

async function emptyFolder(trial: Trial): Promise<void> {
  for (const name of await trial.files()) await rm(trial.path(name), { recursive: true });
}

describe("to the database", () => {
  test(
    "a folder that goes on after a move was broken off is moved as it is then",
    IN_FULL,
    async () => {
      const trial = await underWay();
      const all = await servicesOf(trial);
      const place = placeOf(failing(workshop.database, 12, true));
      await expect(moveToDatabase(place)).rejects.toThrow("killed");
      await expect(elsewhere()).rejects.toThrow("is on its way from a jobs folder");
      await expect(changeState(workshop.database, "active", "")).rejects.toThrow("is on its way");
      await trial.poll();
      await trial.import();
      await moveToDatabase(placeOf());
      expect(await run({ ...all, manifest: await elsewhere() }, trial.runOptions())).toMatchObject(
        NONE_LEFT,
      );
      expect(await trial.paid()).toEqual({ 1: 1, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1 });
    },
  );

  test("what was written by one who had lost the lock and did not know it goes along", async () => {
    const trial = await startTrial(workshop, texts(2));
    await trial.export();
    await closedFolder(trial);
    const path = trial.path("manifest.moved.ndjson");
    const content = await readJournal(path, () => {});
    const journal = await openJournal(path, content, newHeader(CLOCK.now()));
    await journal.append({ type: "counted", at: CLOCK.now().toISOString(), target: 0, ...COUNT });
    await journal.close();
    await moveToDatabase(placeOf());
    expect((await elsewhere()).counted(trial.target)).toEqual(COUNT);
  });

  test("what the database has lost since is brought again before it counts", async () => {
    const trial = await startTrial(workshop, texts(2));
    await trial.export();
    const before = await trial.jobs();
    await closedFolder(trial);
    await workshop.database.script(`
      ALTER TABLE vecfill.event DISABLE TRIGGER append_only;
      DELETE FROM vecfill.event WHERE number > 1; DELETE FROM vecfill.job; DELETE FROM vecfill.file;
      UPDATE vecfill.manifest SET last_event = 0, last_job = 0`);
    await moveToDatabase(placeOf());
    const shared = await elsewhere();
    expect(shared.jobs()).toEqual(before);
    await shared.bring(shared.job("0001"));
  });

  test("files that a person took away, and failed lines by hand, count there as they do in the folder", async () => {
    const trial = await underWay();
    const edited = (await trial.text("0001.failed.jsonl")).replace("retryable", "permanent");
    await writeFile(trial.path("0001.failed.jsonl"), edited);
    await rm(trial.path("0001.requests.jsonl"));
    await moveToDatabase(placeOf());
    const shared = await elsewhere();
    expect(shared.job("0001")).toMatchObject({
      outstanding: { lines: 1, retryable: 0 },
      cleaned: ["upload", "requests"],
    });
    const { failed } = await shared.bring(shared.job("0001"));
    expect(await readFile(failed, "utf8")).toBe(edited);
  });

  test("what the folder alone can go on with ends there first", IN_FULL, async () => {
    const trial = await underWay();
    await trial.poll();
    await rm(trial.path("0002.requests.jsonl"));
    await expect(moveToDatabase(placeOf())).rejects.toThrow("0002.requests.jsonl, which job 0002");
    await trial.services({}, ({ manifest }) => downloaded(manifest, "0002"));
    await expect(moveToDatabase(placeOf())).rejects.toMatchObject({
      exit: "usage",
      hint: expect.stringContaining("`vecfill import`"),
    });
    expect(await readShared(sharing(workshop.database))).toMatchObject({ id: undefined });
  });

  test.each<[string, RegExp, (manifest: Manifest, trial: Trial) => Promise<unknown>]>([
    [
      "a job that is being embedded at once",
      /Job 0001 is being embedded at once/,
      (manifest) => manifest.record({ type: "embedding", job: "0001" }),
    ],
    [
      "an index that was dropped",
      /The index by_meaning was dropped/,
      (manifest, { target }) =>
        manifest.recordIndex({ type: "indexDropping", target, index: INDEX }),
    ],
    [
      "a migration under way",
      /on its way to another model/,
      (manifest, { target }) => {
        const next = { ...target, embedding: "new" };
        const names = { old: "embedding", next: "new", kept: "kept", indexes: [] };
        const plan = { old: target, next, names, columnType: "vector", swaps: true } as const;
        return manifest.recordMigration(plan, { step: "planned" });
      },
    ],
  ])("%s ends in the folder first", async (_, words, begin) => {
    const trial = await startTrial(workshop, texts(2));
    await trial.export();
    await trial.services({}, ({ manifest }) => begin(manifest, trial));
    await expect(moveToDatabase(placeOf())).rejects.toMatchObject({
      exit: "usage",
      message: expect.stringMatching(words),
      hint: expect.stringMatching(/Nothing was moved\.$/),
    });
    expect(await trial.jobs()).toHaveLength(1);
  });

  test("where there is none, nothing moves", async () => {
    const empty = placeOf(workshop.database, await temporaryFolder());
    await expect(moveToDatabase(empty)).rejects.toThrow("There is no manifest in");
    await expect(moveToFolder(empty)).rejects.toThrow("There is no shared manifest there");
  });

  test("a database has one manifest: one that nobody has used makes way, any other does not", async () => {
    const trial = await startTrial(workshop, texts(2));
    const all = await servicesOf(trial);
    await trial.export();
    const unused = await elsewhere();
    const { id } = await moveToDatabase(placeOf());
    await expect(exportAll({ ...all, manifest: unused }, trial.exportOptions())).rejects.toThrow(
      "is gone",
    );
    expect((await elsewhere()).id).toBe(id);
    await emptyFolder(trial);
    await trial.services({}, () => Promise.resolve());
    await expect(moveToDatabase(placeOf())).rejects.toThrow("has a shared manifest already");
    expect(await trial.jobs()).toEqual([]);
  });

  test("a folder that it left before does not end the move of another", async () => {
    const trial = await startTrial(workshop, texts(2));
    await trial.run();
    await moveToDatabase(placeOf());
    const other = await temporaryFolder();
    await moveToFolder(placeOf(workshop.database, other));
    const half = failing(workshop.database, 10, true);
    await expect(moveToDatabase(placeOf(half, other))).rejects.toThrow("killed");
    await expect(moveToDatabase(placeOf())).rejects.toThrow("is on its way from a jobs folder");
    await expect(elsewhere()).rejects.toThrow("is on its way from a jobs folder");
    await moveToDatabase(placeOf(workshop.database, other));
    await moveToDatabase(placeOf());
    expect((await elsewhere()).jobs()).toHaveLength(1);
  });

  test("an older copy of the folder takes nothing back", async () => {
    const trial = await startTrial(workshop, texts(2));
    await trial.export();
    const older = await readFile(trial.path("manifest.ndjson"));
    await trial.submit();
    await moveToDatabase(placeOf());
    await writeFile(trial.path("manifest.ndjson"), older);
    await expect(moveToDatabase(placeOf())).rejects.toThrow("has a shared manifest already");
    expect((await elsewhere()).job("0001").state).toBe("submitted");
    await workshop.database.query("UPDATE vecfill.manifest SET state = 'left'");
    const before = await readHead(workshop.database);
    await expect(moveToDatabase(placeOf())).rejects.toThrow("another history");
    await trial.sql("INSERT INTO questions VALUES (3, 'Question number 3?')");
    await trial.export();
    await expect(moveToDatabase(placeOf())).rejects.toThrow("another history");
    expect(await readHead(workshop.database)).toEqual(before);
  });
});

describe("to a folder", () => {
  test("nothing goes while a job is open, and the work goes on", async () => {
    const trial = await startTrial(workshop, texts(2));
    const all = await servicesOf(trial);
    const shared = await elsewhere();
    await exportAll({ ...all, manifest: shared }, trial.exportOptions());
    const folder = await temporaryFolder();
    await expect(moveToFolder(placeOf(workshop.database, folder))).rejects.toMatchObject({
      exit: "unfinished",
      message: expect.stringContaining("Job 0001 has not ended"),
    });
    expect(await run({ ...all, manifest: shared }, trial.runOptions())).toMatchObject(NONE_LEFT);
    await expect(moveToFolder(placeOf())).rejects.toThrow("has a manifest of its own");
    await shared.stillHeld();
    await moveToFolder(placeOf(workshop.database, folder));
    expect((await readManifest(folder)).jobs()).toEqual(shared.jobs());
  });

  test("where one is on its way, nobody begins another", async () => {
    const { target } = await startTrial(workshop, texts(2));
    await (await elsewhere()).recordCounted(target, COUNT);
    const folder = await temporaryFolder();
    const killed = dyingAt("SET state = 'left'", "after");
    await expect(moveToFolder(placeOf(killed, folder))).rejects.toThrow("killed");
    await expect(openManifest(folder, CLOCK)).rejects.toMatchObject({
      message: expect.stringContaining("is on its way into the folder"),
      hint: expect.stringContaining("`vecfill manifest move --to folder`"),
    });
    const path = join(folder, "manifest.ndjson");
    await writeFile(path, [...journalLines(newHeader(CLOCK.now()), [])].join("\n") + "\n");
    await expect(moveToFolder(placeOf(workshop.database, folder))).rejects.toThrow(
      "has a manifest of its own",
    );
    await rm(path);
    await moveToFolder(placeOf(workshop.database, folder));
    expect((await readManifest(folder)).counted(target)).toEqual(COUNT);
  });

  test(
    "one that was called back, or went to another folder, is not gone on with in the first",
    IN_FULL,
    async () => {
      const { target } = await startTrial(workshop, texts(2));
      const shared = await elsewhere();
      await shared.recordCounted(target, COUNT);
      const [one, two] = [await temporaryFolder(), await temporaryFolder()];
      const resume = () => changeState(workshop.database, "active", "");
      await expect(moveToFolder(placeOf(interrupted(resume), one))).rejects.toThrow("called back");
      await expect(shared.stillHeld()).rejects.toThrow("was paused, moved or resumed meanwhile");
      await (await elsewhere()).recordCounted(target, COUNT);
      const other = () => moveToFolder(placeOf(workshop.database, two));
      await expect(moveToFolder(placeOf(interrupted(other), one))).rejects.toThrow("called back");
      await expect(moveToFolder(placeOf(workshop.database, one))).rejects.toThrow(`${two} on`);
      expect((await readManifest(one)).id).toBeUndefined();
      expect((await readManifest(two)).counted(target)).toEqual(COUNT);
    },
  );
});

/** Closed, and not gone on with there yet. */
async function closedFolder(trial: Trial): Promise<void> {
  const killed = dyingAt("SET epoch = epoch + (state = 'arriving')", "before");
  await expect(moveToDatabase(placeOf(killed))).rejects.toThrow("killed");
  await expect(trial.jobs()).rejects.toThrow("has moved to the database");
}

/** Killed with that statement, before or after it has taken effect. */
function dyingAt(part: string, when: "before" | "after"): Tables {
  const query: Tables["query"] = async (sql, given) => {
    if (!sql.includes(part)) return workshop.database.query(sql, given);
    if (when === "after") await workshop.database.query(sql, given);
    throw new Error("killed");
  };
  return { ...workshop.database, query };
}

/** A move is asleep before its last word in the tables, while something else is done. */
function interrupted(meanwhile: () => Promise<unknown>): Tables {
  const query: Tables["query"] = async (sql, given) => {
    if (sql.includes("SET state = 'left'")) await meanwhile();
    return workshop.database.query(sql, given);
  };
  return { ...workshop.database, query };
}

/** As a process leaves it that dies before it has written a vector. */
async function downloaded(manifest: Manifest, job: string): Promise<void> {
  await manifest.record({ type: "downloaded", job, file: { bytes: 0, sha256: "0".repeat(64) } });
}
