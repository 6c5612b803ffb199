// Some rows failed: can I send them again as they are, edited, or only some of them, without ever
// sending one twice, and is every row always in exactly one place?
import { mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { resubmitJobs, retryableLine } from "../../src/resubmit/resubmit.ts";
import { runHere } from "../command-line.ts";
import { errorLine, idOf, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const FAILED = "0001.failed.jsonl";

/** Six rows: 1 and 2 written, 3 and 4 failed for good, 5 and 6 retryable. */
async function partlyFailed(options: Parameters<typeof startTrial>[2] = {}): Promise<Trial> {
  const trial = await startTrial(workshop, texts(6), options);
  trial.setResults({ 3: errorLine(3), 4: errorLine(3), 5: errorLine(14), 6: errorLine(14) });
  await trial.untilEnded();
  await trial.import();
  trial.setWire((_call, send) => send());
  return trial;
}

async function finish(trial: Trial) {
  await trial.submit();
  await trial.poll();
  return trial.import();
}

type Line = Record<string, unknown>;

/** A copy of the failed file in the jobs folder, changed by hand. */
async function edited(trial: Trial, change: (lines: Line[]) => Line[]): Promise<string> {
  const lines: Line[] = JSON.parse(JSON.stringify(await trial.lines(FAILED)));
  const path = trial.path("edited.jsonl");
  await writeFile(
    path,
    change(lines)
      .map((line) => `${JSON.stringify(line)}\n`)
      .join(""),
  );
  return path;
}

function withText(line: Line, text: string): Line {
  return {
    ...line,
    request: Object.assign({}, line["request"], { content: { parts: [{ text }] } }),
  };
}

/** Everything that a refused resubmission must leave alone. */
async function everything(trial: Trial) {
  const names = await trial.files();
  return Promise.all(names.map(async (name) => [name, await trial.text(name)]));
}

describe("failed lines as they are", () => {
  test("become a job of their own, with the very same request lines", async () => {
    const trial = await partlyFailed();
    const [child] = await trial.resubmit();
    expect(child).toMatchObject({ id: "0002", parents: ["0001"], attempt: 2, requests: 4 });
    const sent = (await trial.lines("0001.requests.jsonl")).filter((line) => idOf(line) > 2);
    expect(await trial.lines("0002.requests.jsonl")).toEqual(sent);
    expect(await trial.job("0001")).toMatchObject({
      state: "imported",
      children: ["0002"],
      outstanding: { lines: 0, retryable: 0 },
      sums: { requests: 6, written: 2, failed: 4 },
    });
    expect((await trial.files()).filter((name) => name.includes("failed"))).toEqual([]);
    expect(await finish(trial)).toMatchObject({ written: 4, failed: 0 });
    expect(await trial.rightIds()).toEqual(range(1, 6));
  });

  test("that fail once more know how often they were sent", async () => {
    const trial = await partlyFailed();
    await trial.resubmit();
    await trial.submit();
    await trial.poll();
    trial.setResults({ 5: errorLine(14) });
    await trial.import();
    expect(await trial.lines("0002.failed.jsonl")).toMatchObject([{ job: "0002", attempt: 2 }]);
    expect(await trial.resubmit()).toMatchObject([{ id: "0003", parents: ["0002"], attempt: 3 }]);
  });

  test("are cut into jobs within the bounds, all made known at once", async () => {
    const trial = await startTrial(workshop, texts(10), { faults: "batch-fail=1x" });
    await trial.untilEnded();
    const bounds = { ...workshop.bounds, maxRows: 4 };
    const made = await trial.services({}, (all) =>
      resubmitJobs(all, [all.manifest.job("0001")], bounds, () => true),
    );
    expect(made.map(({ id, requests }) => [id, requests])).toEqual([
      ["0002", 4],
      ["0003", 4],
      ["0004", 2],
    ]);
    expect((await trial.job("0001")).children).toEqual(["0002", "0003", "0004"]);
    expect(await finish(trial)).toMatchObject({ written: 10 });
  });

  test("that may succeed go alone where it is asked so: the others stay", async () => {
    const trial = await partlyFailed();
    const retry = () =>
      trial.services({}, (all) =>
        resubmitJobs(all, [all.manifest.job("0001")], workshop.bounds, retryableLine),
      );
    expect(await retry()).toMatchObject([{ id: "0002", requests: 2 }]);
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([5, 6]);
    expect(await trial.idsIn(FAILED)).toEqual([3, 4]);
    expect((await trial.job("0001")).outstanding).toEqual({ lines: 2, retryable: 0 });
    expect(await trial.text("0001.failed.csv")).toMatch(/^id,.*\n3,.*\n4,.*\n$/);
    expect(await retry()).toEqual([]);
    expect(await trial.resubmit()).toMatchObject([{ id: "0003", requests: 2 }]);
    expect(await finish(trial)).toMatchObject({ written: 4 });
  });
});

describe("a failed file edited by hand", () => {
  test("sends the text that stands there now", async () => {
    const trial = await partlyFailed();
    const path = await edited(trial, (lines) => lines.map((line) => withText(line, "by hand")));
    await writeFile(trial.path(FAILED), await trial.text("edited.jsonl"));
    await rm(path);
    await trial.resubmit();
    expect(await trial.text("0002.requests.jsonl")).toMatch(/^(.*"by hand".*\n){4}$/);
    expect(await finish(trial)).toMatchObject({ written: 4 });
    // the rows have other texts: the vector is of the text that a person chose for them
    expect(await trial.rightIds()).toEqual([1, 2]);
  });

  test("with lines deleted sends the others, and the deleted rows are exported again", async () => {
    const trial = await partlyFailed();
    await edited(trial, (lines) => lines.slice(1));
    await writeFile(trial.path(FAILED), await trial.text("edited.jsonl"));
    expect(await trial.resubmit()).toMatchObject([{ requests: 3 }]);
    expect(await trial.export()).toMatchObject({ exported: 1, skipped: { inFlight: 3 } });
    expect(await trial.idsIn("0003.requests.jsonl")).toEqual([3]);
    expect(await finish(trial)).toMatchObject({ written: 4 });
  });

  test("with lines of another job pasted into it sends no row twice", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=2x" });
    await trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 2 } });
    await writeFile(
      trial.path(FAILED),
      (await trial.text(FAILED)) + (await trial.text("0002.failed.jsonl")),
    );
    const made = await trial.resubmit(trial.path(FAILED));
    expect(made).toMatchObject([{ parents: ["0001", "0002"], requests: 4 }]);
    expect(await finish(trial)).toMatchObject({ written: 4 });
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1 });
  });

  test("that was deleted altogether is no obstacle", async () => {
    const trial = await partlyFailed();
    await rm(trial.path(FAILED));
    expect(await trial.resubmit()).toEqual([]);
    await expect(trial.resubmit(trial.path(FAILED))).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("There is no file"),
    });
    expect(await trial.run({}, {})).toMatchObject({ remaining: 0, written: 4 });
  });
});

describe("a copy of failed lines elsewhere", () => {
  test("takes only the lines in it: the others go on waiting", async () => {
    const trial = await partlyFailed();
    const path = await edited(trial, (lines) =>
      lines.slice(0, 1).map((line) => withText(line, "x")),
    );
    expect(await trial.resubmit(path)).toMatchObject([{ id: "0002", requests: 1, attempt: 2 }]);
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([3]);
    expect(await trial.idsIn(FAILED)).toEqual([4, 5, 6]);
    expect((await trial.job("0001")).outstanding).toEqual({ lines: 3, retryable: 2 });
  });

  test("given twice sends nothing the second time", async () => {
    const trial = await partlyFailed();
    const path = await edited(trial, (lines) => lines);
    expect(await trial.resubmit(path)).toHaveLength(1);
    expect(await trial.resubmit(path)).toEqual([]);
    expect(await trial.states()).toEqual(["0001 imported", "0002 exported"]);
    await finish(trial);
    expect(await trial.resubmit(path)).toEqual([]);
  });

  test("of several jobs makes one of them", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=2x" });
    await trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 2 } });
    const path = trial.path("all.jsonl");
    await writeFile(path, (await trial.text("0002.failed.jsonl")) + (await trial.text(FAILED)));
    expect(await trial.resubmit(path)).toMatchObject([{ parents: ["0002", "0001"] }]);
    expect(await finish(trial)).toMatchObject({ written: 4 });
  });

  test("that names a job nobody knows is refused before anything is made", async () => {
    const trial = await partlyFailed();
    const path = await edited(trial, (lines) => [...lines, { ...lines[0], job: "0077" }]);
    const before = await everything(trial);
    await expect(trial.resubmit(path)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("0077"),
    });
    expect(await everything(trial)).toEqual(before);
  });
});

/** Bare request lines of rows that no job has taken. */
async function byHand(trial: Trial): Promise<string> {
  await trial.sql("INSERT INTO questions VALUES (11, 'eleven'), (12, 'twelve')");
  await trial.export({ limit: 2 });
  const path = trial.path("by-hand.jsonl");
  await writeFile(path, await trial.text("0002.requests.jsonl"));
  return path;
}

describe("lines written by hand", () => {
  test("become a job without a parent, unless their rows are on their way already", async () => {
    const trial = await partlyFailed();
    const path = await byHand(trial);
    expect(await trial.resubmit(path)).toEqual([]);
    for (const name of await trial.files())
      if (trial.path(name) !== path) await rm(trial.path(name));
    expect(await trial.resubmit(path)).toMatchObject([
      { id: "0001", parents: [], attempt: 1, requests: 2 },
    ]);
    const warnings = workshop.events.filter(({ type }) => type === "warning");
    expect(JSON.stringify(warnings.at(-1))).toMatch(/name no job.* rows of public\.questions/);
    expect(await trial.resubmit(path)).toEqual([]);
    expect(await finish(trial)).toMatchObject({ written: 2 });
    expect(await trial.rightIds()).toContain(12);
  });

  test("for a row that waits in a failed file leave it there", async () => {
    const trial = await partlyFailed();
    const path = await edited(trial, (lines) =>
      lines.map(({ key, request }) => ({ key, request })),
    );
    expect(await trial.resubmit(path)).toEqual([]);
    expect(await trial.idsIn(FAILED)).toEqual([3, 4, 5, 6]);
  });
});

const request = (line: Line, changes: object): Line => ({
  ...line,
  request: Object.assign({}, line["request"], changes),
});

describe("a file that cannot be taken is refused as a whole", () => {
  const harms: Record<string, [(lines: Line[]) => Line[], RegExp]> = {
    "a line of another shape": [
      (lines) => [...lines, { key: "nonsense", request: {} }],
      /Line 5 of .*edited.jsonl/,
    ],
    "a wrong width": [
      (lines) =>
        lines.map((line, at) => (at === 3 ? request(line, { outputDimensionality: 256 }) : line)),
      /row 6@.*128/,
    ],
    "another task": [
      (lines) =>
        lines.map((line, at) => (at === 3 ? request(line, { taskType: "CLUSTERING" }) : line)),
      /row 6@.*RETRIEVAL_DOCUMENT/,
    ],
    "a line that stands twice": [(lines) => [...lines, ...lines.slice(0, 1)], /row 3 stands twice/],
  };

  test.each(Object.entries(harms))("%s", async (_, [harm, message]) => {
    const trial = await partlyFailed();
    const path = await edited(trial, harm);
    const before = await everything(trial);
    await expect(trial.resubmit(path)).rejects.toMatchObject({
      name: "UserError",
      exit: "usage",
      message: expect.stringMatching(message),
    });
    expect(await everything(trial)).toEqual(before);
    await edited(trial, () => []);
    expect(await trial.resubmit()).toMatchObject([{ requests: 4 }]);
  });

  test("also when whole request files were written before the line was met", async () => {
    const trial = await partlyFailed();
    const [harm] = harms["a wrong width"] ?? [];
    if (harm === undefined) throw new Error("no such harm");
    await edited(trial, harm);
    await writeFile(trial.path(FAILED), await trial.text("edited.jsonl"));
    const before = await everything(trial);
    const bounds = { ...workshop.bounds, maxRows: 1 };
    await expect(
      trial.services({}, (all) =>
        resubmitJobs(all, [all.manifest.job("0001")], bounds, () => true),
      ),
    ).rejects.toMatchObject({ name: "UserError" });
    expect(await everything(trial)).toEqual(before);
  });

  test("two texts for one row: no job could ask for both", async () => {
    const trial = await startTrial(workshop, texts(1));
    await trial.export();
    const [line] = await trial.lines("0001.requests.jsonl");
    const other = JSON.stringify(line).replace(/@\w{4}/, "@0000");
    await rm(trial.path("manifest.ndjson"));
    await rm(trial.path("0001.requests.jsonl"));
    await writeFile(trial.path("by-hand.jsonl"), `${JSON.stringify(line)}\n${other}\n`);
    await expect(trial.resubmit(trial.path("by-hand.jsonl"))).rejects.toThrow("stands twice");
  });
});

function dies(): Promise<never> {
  return Promise.reject(new Error("killed"));
}

describe("a resubmission that dies", () => {
  test("between the journal and the file is finished by the next command", async () => {
    const trial = await partlyFailed();
    const inTheWay = trial.path("0001.failed.csv");
    const path = await edited(trial, (lines) => lines.slice(2));
    await rm(inTheWay);
    await mkdir(inTheWay);
    await expect(trial.resubmit(path)).rejects.toThrow(/EISDIR|EEXIST|EPERM/);
    // the journal has it, the file not yet
    expect((await trial.job("0001")).children).toEqual(["0002"]);
    expect(await trial.idsIn(FAILED)).toEqual([3, 4, 5, 6]);
    await rmdir(inTheWay);
    expect(await trial.export()).toMatchObject({
      exported: 0,
      skipped: { inFlight: 2, failedBefore: 2 },
    });
    expect(await trial.idsIn(FAILED)).toEqual([3, 4]);
    expect(await trial.resubmit(path)).toEqual([]);
    await trial.resubmit();
    await finish(trial);
    expect(await trial.rightIds()).toEqual(range(1, 6));
  });

  test("before the journal leaves every line waiting", async () => {
    const trial = await partlyFailed();
    await expect(
      trial.services({}, (all) => {
        const manifest = { ...all.manifest, recordResubmitted: dies };
        return resubmitJobs(
          { ...all, manifest },
          [manifest.job("0001")],
          workshop.bounds,
          () => true,
        );
      }),
    ).rejects.toThrow("killed");
    expect(await trial.resubmit()).toMatchObject([{ id: "0002", requests: 4 }]);
    expect(await trial.files()).toEqual([
      "0001.requests.jsonl",
      "0001.results.jsonl",
      "0002.requests.jsonl",
      "manifest.ndjson",
    ]);
  });
});

test("a dry run counts the lines of a file that is no job's own, too", async () => {
  const trial = await partlyFailed();
  const path = trial.path("by-hand.jsonl");
  await writeFile(path, await trial.text("0001.requests.jsonl"));
  const dry = (file: string) =>
    runHere(["resubmit", file, "--dry-run", "--jobs-dir", trial.folder]);
  const { code, stdout, stderr } = await dry(path);
  expect(code).toBe(0);
  expect(stdout).toMatch(/Would submit up to 6 lines of .*by-hand\.jsonl/);
  expect(stderr).toContain(`resubmit ${path}`);
  expect((await dry(trial.path("none.jsonl"))).code).toBe(2);
});
