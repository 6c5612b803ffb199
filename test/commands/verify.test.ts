// Is what is in the column right, whoever wrote it, and would I be told if it were not? Is the ledger
// sound, are the files there, and does a script see it by the exit code?
import { appendFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Job } from "../../src/manifest/job.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { verifyColumn } from "../../src/commands/verify/column.ts";
import { type Finding, Findings } from "../../src/commands/verify/findings.ts";
import { checkFiles, unbalancedJobs } from "../../src/commands/verify/recorded-jobs.ts";
import { comparable, drawPlaces, unlikeRows } from "../../src/search/sample.ts";
import { runHere } from "../command-line.ts";
import { TARGET, temporaryFolder } from "../manifest/sample.ts";
import { range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { keepOpen } from "../embedded/kept.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

async function filled(rows: readonly string[]): Promise<Trial> {
  const trial = await startTrial(workshop, rows);
  await trial.run();
  return trial;
}

/** What is said of the column, and of which rows. */
async function verified(trial: Trial, picks: readonly number[] = []) {
  const findings = new Findings();
  const { signal } = new AbortController();
  const store = createSqlStore(workshop.database, trial.target, { where: undefined });
  const { picked, ...summary } = await verifyColumn(
    { store, report: () => {}, signal },
    picks,
    findings,
  );
  await findings.write(trial.folder, trial.path("verify.jsonl"));
  const off = findings.count === 0 ? [] : await offRows(trial);
  return { summary, picked, off, findings };
}

async function offRows(trial: Trial): Promise<(readonly [string, string])[]> {
  const lines = (await trial.text("verify.jsonl")).trimEnd().split("\n");
  return lines.map((line) => {
    const { id, problem }: Finding = JSON.parse(line);
    return [id, problem] as const;
  });
}

async function sampled(trial: Trial) {
  const { picked } = await verified(trial, drawPlaces(100, 20));
  const findings = new Findings();
  const rows = comparable(picked, trial.target);
  const { signal } = new AbortController();
  const unlike = await trial.services({}, ({ gemini }) =>
    unlikeRows({ gemini, signal }, trial.target, rows),
  );
  for (const { id, cosine } of unlike) findings.add({ id, problem: "sample", detail: `${cosine}` });
  const off = unlike.length;
  await findings.write(trial.folder, trial.path("verify.jsonl"));
  return { ids: picked.map(({ id }) => Number(id)), rows: rows.length, off };
}

function away(): Promise<never> {
  return Promise.reject(new Error("the table is away"));
}

const CLEAN = { wrongDimensions: 0, notUnitLength: 0, notFinite: 0, identicalVectors: 0 };

describe("the column", () => {
  test("filled by vecfill is right, and no file says otherwise", async () => {
    const trial = await filled([...texts(25), "   "]);
    const { summary, findings } = await verified(trial);
    expect(summary).toEqual({ total: 26, withEmbedding: 25, ...CLEAN });
    expect(findings.count).toBe(0);
    expect(await trial.files()).not.toContain("verify.jsonl");
  });

  test("is told with every row that is off, and right again once it is mended", async () => {
    const trial = await filled(texts(8));
    await trial.sql("ALTER TABLE questions ALTER embedding TYPE vector");
    await trial.sql("UPDATE questions SET embedding = '[1,0,0]' WHERE id = 2");
    await trial.sql("UPDATE questions SET embedding = embedding + embedding WHERE id = 5");
    await trial.sql("UPDATE questions SET embedding = NULL WHERE id = 6");
    const broken = await verified(trial);
    expect(broken.summary).toEqual({
      total: 8,
      withEmbedding: 7,
      ...CLEAN,
      wrongDimensions: 1,
      notUnitLength: 1,
    });
    expect(broken.off).toEqual([
      ["2", "dimensions"],
      ["5", "length"],
    ]);
    await trial.sql("UPDATE questions SET embedding = NULL WHERE id IN (2, 5)");
    expect((await verified(trial)).summary).toEqual({ total: 8, withEmbedding: 5, ...CLEAN });
    expect(await trial.files()).not.toContain("verify.jsonl");
  });

  test("with one vector under several texts is off, but not where texts differ in spaces", async () => {
    const trial = await filled([...texts(4), "the same", "the same", " the  same "]);
    await trial.sql(
      "UPDATE questions SET embedding = (SELECT embedding FROM questions WHERE id = 6) WHERE id IN (5, 7)",
    );
    expect((await verified(trial)).summary).toMatchObject({ identicalVectors: 0 });
    await trial.sql(
      "UPDATE questions SET embedding = (SELECT embedding FROM questions WHERE id = 1) WHERE id = 3",
    );
    const { summary, off } = await verified(trial);
    expect(summary).toMatchObject({ identicalVectors: 1, withEmbedding: 7 });
    expect(off).toEqual([
      ["1", "identical"],
      ["3", "identical"],
    ]);
  });
});

describe("a sample", () => {
  test("of a column that is right is alike", async () => {
    const trial = await filled(texts(20));
    expect(await sampled(trial)).toEqual({ ids: range(1, 20), rows: 20, off: 0 });
  });

  test("finds vectors of other rows, and texts that were changed since", async () => {
    const trial = await filled(texts(20));
    await trial.sql("UPDATE questions SET question_text = 'Something else.' WHERE id = 4");
    await trial.sql(
      "UPDATE questions SET embedding = (SELECT embedding FROM questions WHERE id = 1) WHERE id = 9",
    );
    await trial.sql("UPDATE questions SET question_text = ' ' WHERE id = 12");
    expect(await sampled(trial)).toMatchObject({ rows: 19, off: 2 });
    expect(await offRows(trial)).toEqual([
      ["4", "sample"],
      ["9", "sample"],
    ]);
  });

  test("leaves out rows that the model does not take whole", () => {
    const given = ["short", "word ".repeat(3_000), " "];
    const rows = given.map((text, place) => ({ id: `${place}`, text, vector: [] }));
    expect(comparable(rows, TARGET).map(({ id }) => id)).toEqual(["0"]);
  });

  test("is drawn without repeats, within the rows there are", () => {
    expect(drawPlaces(5, 3)).toEqual([0, 1, 2]);
    expect(drawPlaces(3, 0)).toEqual([]);
    const some = drawPlaces(50, 60);
    expect([new Set(some).size, Math.max(...some) < 60]).toEqual([50, true]);
    expect(some).toEqual(some.toSorted((a, b) => a - b));
  });
});

describe("the manifest", () => {
  test("names jobs whose rows are not all accounted for", async () => {
    const trial = await filled(texts(3));
    const [job] = await trial.jobs();
    if (job?.sums === undefined) throw new Error("no sums");
    const lost: Job = { ...job, id: "0002", sums: { ...job.sums, written: 2 } };
    const invented: Job = { ...job, id: "0003", requests: 4 };
    expect(unbalancedJobs([job, lost, invented])).toEqual(["0002", "0003"]);
  });

  test("names files that are needed and gone or changed, and no others", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=1x" });
    await trial.untilEnded({ limit: 1 });
    await trial.untilEnded({ limit: 1 });
    await trial.import();
    await trial.untilEnded({ limit: 1 });
    await trial.export({ limit: 1 });
    const storeOf = async () => ({ ...workshop.store, apply: away });
    await expect(trial.import({ storeOf })).rejects.toThrow("the table is away");
    const check = async () => checkFiles(await readManifest(trial.folder));
    expect(await check()).toEqual({ checked: 4, problems: [] });
    await rm(trial.path("0002.requests.jsonl"));
    await rm(trial.path("0002.results.jsonl"));
    expect(await check()).toEqual({ checked: 4, problems: [] });
    await rm(trial.path("0001.failed.jsonl"));
    await rm(trial.path("0003.results.jsonl"));
    await appendFile(trial.path("0003.requests.jsonl"), "x");
    await rm(trial.path("0004.requests.jsonl"));
    expect((await check()).problems).toMatchObject([
      { job: "0001", file: "failed", problem: "missing" },
      { job: "0003", file: "requests", problem: "changed" },
      { job: "0003", file: "results", problem: "missing" },
      { job: "0004", file: "requests", problem: "missing" },
    ]);
  });
});

describe("the command", () => {
  test("has the fields that scripts are promised, and its exit code says whether all is well", async () => {
    const folder = await temporaryFolder();
    const url = keepOpen(join(folder, "database"));
    const sql = async (...statements: readonly string[]) => {
      const database = await openDatabase({ url });
      for (const statement of statements) await database.query(statement);
      await database.close();
    };
    const unit = `[1${",0".repeat(127)}]`;
    await sql(
      "CREATE EXTENSION vector",
      "CREATE TABLE questions (id int PRIMARY KEY, question_text text, embedding vector(128))",
      `INSERT INTO questions VALUES (1, 'one', '${unit}'), (2, 'two', NULL), (3, 'three', NULL)`,
    );
    const jobs = join(folder, "jobs");
    const command = (...args: readonly string[]) =>
      runHere([...args, "--dimensions", "128", "--jobs-dir", jobs], { env: { DATABASE_URL: url } });
    const verify = (...args: readonly string[]) => command("verify", ...args);
    const fine = await verify("--json", "--sample", "5", "--dry-run");
    expect(fine.code).toBe(0);
    expect(JSON.parse(fine.stdout)).toMatchObject({
      schemaVersion: 1,
      command: "verify",
      total: 3,
      withEmbedding: 1,
      withoutEmbedding: 2,
      percentComplete: 33.33,
      ...CLEAN,
      manifestBalanced: true,
      sample: { rows: 1, off: 0, usd: expect.stringMatching(/^0\.0000/) },
      problemsFile: null,
    });
    await command("export");
    await rm(join(jobs, "0001.requests.jsonl"));
    const missing = await verify();
    expect(missing.code).toBe(1);
    expect(missing.stdout).toMatch(/0001\.requests\.jsonl of job 0001 is missing$/m);
    await rm(jobs, { recursive: true });
    await sql(`UPDATE questions SET embedding = '${unit}' WHERE id = 3`);
    const off = await verify();
    expect(off.code).toBe(1);
    expect(off.stdout).toContain("same under different texts  1");
    expect(off.stdout).toContain(`2 lines in ${join(jobs, "verify.jsonl")}`);
    await rm(folder, { recursive: true, force: true });
  });
});
