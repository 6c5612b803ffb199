// Many jobs have failed a few rows each. Do these go again in few jobs, not one a job, and is each of them in
// exactly one place at any moment, whatever else is still at Gemini?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Manifest } from "../../src/manifest/manifest.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { balanced } from "../../src/row/sums.ts";
import { everyLine, resubmitJobs } from "../../src/resubmit/resubmit.ts";
import { runHere } from "../command-line.ts";
import { errorLine, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { IN_FULL } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS_A_JOB = 3;
const FEW = 5;

function idsTo(jobs: number): string[] {
  return range(1, jobs).map((id) => String(id).padStart(4, "0"));
}

/** The job that the failed rows of so many others make. */
function poolOf(jobs: number) {
  const [id] = idsTo(jobs + 1).slice(-1);
  return { id, parents: idsTo(jobs), attempt: 2, requests: jobs };
}

function rowsAJob(maxRows: number) {
  return { ...workshop.bounds, maxRows };
}

/** From now on these rows fail the first time that they are asked for. */
function failOnce(trial: Trial, ids: readonly number[]): void {
  const left = new Set(ids);
  trial.setResults(
    Object.fromEntries(
      ids.map((id) => [id, (line) => (left.delete(id) ? errorLine(14)(line) : [line])]),
    ),
  );
}

/** Jobs of three rows at Gemini, of each of which the first will fail. */
async function sent(jobs: number): Promise<Trial> {
  const trial = await startTrial(workshop, texts(jobs * ROWS_A_JOB));
  await trial.export({ bounds: rowsAJob(ROWS_A_JOB) });
  await trial.submit();
  failOnce(
    trial,
    range(0, jobs - 1).map((job) => job * ROWS_A_JOB + 1),
  );
  return trial;
}

async function failed(jobs = FEW): Promise<Trial> {
  const trial = await sent(jobs);
  await trial.poll();
  await trial.import();
  return trial;
}

function resubmit(trial: Trial, bounds = rowsAJob(100)) {
  return trial.services({}, ({ manifest, report }) =>
    resubmitJobs({ manifest, report }, manifest.jobs(), bounds, everyLine),
  );
}

function run(trial: Trial) {
  return trial.run({ export: trial.exportOptions({ bounds: rowsAJob(100) }) });
}

async function finish(trial: Trial) {
  await trial.submit();
  await trial.poll();
  return trial.import();
}

async function expectAllThere(trial: Trial, rows: number): Promise<void> {
  expect(await trial.rightIds()).toEqual(range(1, rows));
  const jobs = await trial.jobs();
  expect(jobs.filter(({ sums }) => sums === undefined || !balanced(sums))).toEqual([]);
  expect(jobs.filter(({ outstanding }) => outstanding.lines > 0)).toEqual([]);
  expect((await trial.files()).filter((name) => /failed|\.next|\.part/.test(name))).toEqual([]);
}

describe("the rows that many jobs have failed", () => {
  test("make one job by `resubmit`, in one line of the journal", IN_FULL, async () => {
    const trial = await failed(13);
    expect(await resubmit(trial)).toMatchObject([poolOf(13)]);
    const events = (await trial.lines("manifest.ndjson")).filter((line) =>
      JSON.stringify(line).includes('"resubmitted"'),
    );
    const [child] = [{ parent: "0001", parents: idsTo(13) }];
    expect(events).toMatchObject([{ job: "0001", children: [child] }]);
    expect(await finish(trial)).toMatchObject({ requests: 13, written: 13 });
    await expectAllThere(trial, 39);
  });

  test("make one job by `run`, which waits for those that are still at Gemini", async () => {
    const trial = await sent(13);
    const summary = await run(trial);
    expect(summary).toMatchObject({ requests: 39, written: 39, failed: 0 });
    expect(summary.jobs).toEqual(idsTo(14));
    expect(await trial.job("0014")).toMatchObject(poolOf(13));
    await expectAllThere(trial, 39);
  });

  test("make one job by a `run` that finds them", async () => {
    const trial = await failed();
    expect(await run(trial)).toMatchObject({ jobs: ["0006"], written: FEW });
    await expectAllThere(trial, FEW * ROWS_A_JOB);
  });

  test("and the other way round: each of them says where its rows went", async () => {
    const trial = await failed();
    await resubmit(trial);
    const shown = async (job: string, ...more: string[]) =>
      (await runHere(["jobs", job, "--jobs-dir", trial.folder, ...more])).stdout;
    expect(JSON.parse(await shown("0006", "--json")).jobs).toMatchObject([
      { parent: "0001", parents: idsTo(FEW) },
    ]);
    expect(await shown("0006")).toMatch(/made from +0001, 0002, .*0005\n/);
    expect(await shown("0003")).toMatch(/resubmitted as +0006\n(.*\n)*.*resubmitted +.*0006/);
  });

  test("are cut where they are too many for one, and each job knows its own", async () => {
    const trial = await failed();
    const made = await resubmit(trial, rowsAJob(2));
    const parents = idsTo(FEW);
    expect(made.map((job) => job.parents)).toEqual([
      parents.slice(0, 2),
      parents.slice(2, 4),
      parents.slice(4),
    ]);
    expect((await trial.job("0003")).children).toEqual(["0007"]);
    await finish(trial);
    await expectAllThere(trial, FEW * ROWS_A_JOB);
  });
});

describe("a process that dies", () => {
  type Dying = (manifest: Manifest) => Manifest["recordResubmitted"];
  const dead: readonly (readonly [string, Dying])[] = [
    ["before", () => () => Promise.reject(new Error("killed"))],
    [
      "after",
      (manifest) => async (children, parents) => {
        await manifest.recordResubmitted(children, parents);
        throw new Error("killed");
      },
    ],
  ];

  test.each(dead)("%s the journal's line leaves each row in one place", async (when, dying) => {
    const trial = await failed();
    const died = trial.services({}, ({ manifest, report }) => {
      const deadly = { ...manifest, recordResubmitted: dying(manifest) };
      return resubmitJobs({ manifest: deadly, report }, manifest.jobs(), rowsAJob(100), everyLine);
    });
    await expect(died).rejects.toThrow("killed");
    const isMade = when === "after";
    expect(await trial.export()).toMatchObject({
      exported: 0,
      skipped: isMade ? { inFlight: FEW } : { failedBefore: FEW },
    });
    const waiting = (await trial.files()).filter((name) => name.includes("failed.jsonl"));
    expect(waiting).toHaveLength(isMade ? 0 : FEW);
    expect(await resubmit(trial)).toMatchObject(isMade ? [] : [poolOf(FEW)]);
    await finish(trial);
    await expectAllThere(trial, FEW * ROWS_A_JOB);
    const paid = Object.values(await trial.paid()).reduce((sum, times) => sum + times);
    expect(paid).toBe(FEW * ROWS_A_JOB + FEW);
  });
});

describe("rows that do not go together", () => {
  test("are those of another target", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=2x" });
    const target = { ...trial.target, text: "{question_text}!" };
    await trial.export({ limit: 2 });
    await trial.export({ target, limit: 2 });
    await trial.submit();
    await trial.poll();
    const [first, second] = await resubmit(trial);
    expect(first).toMatchObject({ parents: ["0001"], target: trial.target, requests: 2 });
    expect(second).toMatchObject({ parents: ["0002"], target, requests: 2 });
  });

  test("are those that were sent more often", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=3x" });
    await trial.untilEnded({ limit: 2 });
    await resubmit(trial);
    await trial.untilEnded();
    const again = (await resubmit(trial)).map(({ attempt, parents }) => [attempt, ...parents]);
    expect(again).toEqual([
      [2, "0003"],
      [3, "0002"],
    ]);
    await finish(trial);
    await expectAllThere(trial, 4);
  });

  test("are two texts of one row: the second goes in a job of its own", async () => {
    const trial = await startTrial(workshop, texts(3), { faults: "batch-fail=2x" });
    await trial.untilEnded();
    await trial.sql("UPDATE questions SET question_text = 'edited' WHERE id = 2");
    await trial.untilEnded();
    const made = (await resubmit(trial)).map(({ parents, requests }) => [requests, ...parents]);
    expect(made).toEqual([
      [3, "0001"],
      [1, "0002"],
    ]);
    expect(await finish(trial)).toMatchObject({ written: 3, stale: 1 });
    await expectAllThere(trial, 3);
  });
});

test("the same text of two jobs is sent once, and written to both rows", async () => {
  const trial = await startTrial(workshop, ["same", "other", "same", "more"], {
    faults: "batch-fail=2x",
  });
  await trial.untilEnded({ bounds: rowsAJob(2) });
  expect(await resubmit(trial)).toMatchObject([{ requests: 4, copies: { rows: 1 } }]);
  expect(await finish(trial)).toMatchObject({ requests: 4, written: 4 });
  expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 4: 1 });
  await expectAllThere(trial, 4);
});

describe("a run does not wait", () => {
  test("where the rows fill a job", async () => {
    const trial = await startTrial(workshop, texts(6), { faults: "batch-fail=1x" });
    const bounds = rowsAJob(ROWS_A_JOB);
    await trial.export({ bounds });
    await trial.submit();
    const second = trial.emulator.batches()[1]?.name ?? "";
    // nobody can tell how it stands until the rows of the first are there again
    trial.setWire(async ({ url, method }, send) => {
      const asks = method === "GET" && url.pathname.endsWith(second);
      const isAlone = trial.emulator.batches().length < 3;
      return asks && isAlone ? new Response("{}", { status: 503 }) : send();
    });
    await trial.run({ export: trial.exportOptions({ bounds }) });
    const [again, isThere] = [await trial.job("0003"), await trial.job("0002")];
    expect(Date.parse(again.submittedAt ?? "")).toBeLessThan(Date.parse(isThere.updatedAt));
    await expectAllThere(trial, 6);
  });

  test("for a batch that is stuck", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-stuck=1x" });
    await trial.export({ bounds: rowsAJob(2) });
    await trial.submit();
    failOnce(trial, [3]);
    const controller = new AbortController();
    const report = (event: ProgressEvent) => {
      if (event.type === "submitted") controller.abort();
    };
    const options = { stuckAfterMs: 100, timeoutMs: 3_000_000 };
    await trial.run(options, { report, signal: controller.signal }).catch(() => {});
    expect((await trial.jobs()).map(({ state }) => state)).toEqual([
      "submitted",
      "imported",
      "submitted",
    ]);
    expect(await trial.job("0003")).toMatchObject({ parents: ["0002"], requests: 1 });
  });
});
