// I start `run` and go home. Whatever happens in the night, is everything that can be in the column
// in it in the morning, paid for once, and does the report add up?
import { rename, rm, utimes, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { interruption, isInterruption } from "../../src/cli/interrupt.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import type { Store } from "../../src/store/port.ts";
import { balanced } from "../../src/row/sums.ts";
import { errorLine, range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { IN_FULL, sized } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Bounds of jobs of so many rows. */
function rowsAJob(maxRows: number) {
  return { ...workshop.bounds, maxRows };
}

function small(trial: Trial, maxRows: number) {
  return { export: trial.exportOptions({ bounds: rowsAJob(maxRows) }) };
}

/** Every job has one batch, and no two jobs ask for the same row with the same text and attempt. */
async function expectPaidOncePerAttempt(trial: Trial): Promise<void> {
  const names = trial.emulator.batches().map(({ displayName }) => displayName);
  const jobs = names.map((name) => /-(\d{4,})-\d+-[0-9a-f]{8}$/.exec(name)?.[1]);
  expect(jobs).toHaveLength(new Set(jobs).size);
  const asked: string[] = [];
  for (const { id, attempt } of await trial.jobs()) {
    const lines = await trial.lines(`${id}.requests.jsonl`);
    asked.push(...lines.map((line) => `${attempt} ${JSON.stringify(line)}`));
  }
  expect(asked).toHaveLength(new Set(asked).size);
}

/** What holds whenever no process is at work. */
async function expectConsistent(trial: Trial): Promise<void> {
  const unbalanced = (await trial.jobs()).filter(({ sums }) => sums && !balanced(sums));
  expect(unbalanced).toEqual([]);
  const left = (await trial.files()).filter((name) => /\.(part|next|lock)$/.test(name));
  expect(left).toEqual([]);
}

describe("a run in which nothing goes wrong", () => {
  test("fills the column, several jobs at a time, and says what it cost", async () => {
    const trial = await startTrial(workshop, [...texts(50), "", null], { batchSeconds: 0.1 });
    const summary = await trial.run(small(trial, 10));
    expect(summary).toMatchObject({
      requests: 50,
      written: 50,
      failed: 0,
      remaining: 2,
      jobs: ["0001", "0002", "0003", "0004", "0005"],
      skipped: { empty: 2 },
      pending: [],
      failedFiles: [],
      timedOut: false,
    });
    const billed = (await trial.jobs()).map((job) => job.billedTokens ?? 0);
    const tokens = billed.reduce((sum, each) => sum + each, 0);
    expect(tokens).toBeGreaterThan(0);
    expect(summary.cost.tokens).toBe(tokens);
    expect(summary.cost.usd).toBeCloseTo((tokens / 1_000_000) * 0.075, 12);
    expect(await trial.rightIds()).toEqual(range(1, 50));
    await expectPaidOncePerAttempt(trial);
    await expectConsistent(trial);
  });

  test("a second one does nothing, and counts nothing", async () => {
    const trial = await startTrial(workshop, texts(5));
    await trial.run();
    const before = await trial.text("manifest.ndjson");
    expect(await trial.run()).toMatchObject({
      jobs: [],
      requests: 0,
      remaining: 0,
      cost: { tokens: 0, usd: 0 },
    });
    expect(await trial.text("manifest.ndjson")).toBe(before);
  });

  test("with a limit takes so many rows", async () => {
    const trial = await startTrial(workshop, texts(9));
    const limited = { export: trial.exportOptions({ limit: 4 }) };
    expect(await trial.run(limited)).toMatchObject({ written: 4, remaining: 5 });
    expect(await trial.run()).toMatchObject({ written: 5, remaining: 0 });
  });

  test("goes on with what the single stages left at every stage", async () => {
    const trial = await startTrial(workshop, texts(12));
    const take = { limit: 3 };
    await trial.untilEnded(take);
    await trial.export(take);
    await trial.submit();
    await trial.export(take);
    expect(await trial.run()).toMatchObject({
      jobs: ["0001", "0002", "0003", "0004"],
      requests: 12,
      written: 12,
    });
    await expectPaidOncePerAttempt(trial);
  });
});

describe("rows that fail", () => {
  test("in every way there is: retried where it may help, and each counted once", async () => {
    const faults =
      "shuffle,double=0.1,missing=0.1,conflict=0.05,malformed=0.1,retryable=0.1,permanent=0.05,unknown-key=0.1,no-key=0.05,wrong-width=0.03,zero=0.05,nan=0.05";
    const trial = await startTrial(workshop, texts(80), { faults });
    const summary = await trial.run({ ...small(trial, 40), maxAttempts: 9 });
    expect(balanced(summary)).toBe(true);
    expect(summary.requests).toBe(80);
    expect(summary.written + summary.failed).toBe(80);
    expect(summary.remaining).toBe(summary.failed);
    expect(summary.failed).toBeGreaterThan(0);
    expect(await trial.rightIds()).toHaveLength(summary.written);
    const outstanding = (await trial.jobs()).map((job) => job.outstanding);
    expect(outstanding.reduce((sum, each) => sum + each.lines, 0)).toBe(summary.failed);
    expect(outstanding.reduce((sum, each) => sum + each.retryable, 0)).toBe(0);
    await expectPaidOncePerAttempt(trial);
    await expectConsistent(trial);
  });

  test("again and again are sent as often as allowed, and no more", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "retryable=1" });
    expect(await trial.run({ maxAttempts: 3 })).toMatchObject({
      requests: 4,
      written: 0,
      failed: 4,
      remaining: 4,
      jobs: ["0001", "0002", "0003"],
      failedFiles: [trial.path("0003.failed.jsonl")],
    });
    expect((await trial.jobs()).map(({ attempt, parents }) => [attempt, ...parents])).toEqual([
      [1],
      [2, "0001"],
      [3, "0002"],
    ]);
    expect(await trial.lines("0003.failed.jsonl")).toMatchObject(
      [1, 2, 3, 4].map(() => ({ attempt: 3 })),
    );
    expect(await trial.run({ maxAttempts: 3 })).toMatchObject({ jobs: [], requests: 0 });
    trial.emulator.setFaults("");
    expect(await trial.run({ maxAttempts: 4 })).toMatchObject({ jobs: ["0004"], written: 4 });
  });

  test("for good are sent once, and wait; the retryable ones beside them go", async () => {
    const trial = await startTrial(workshop, texts(4));
    const [once, twice] = [errorLine(3), errorLine(14)];
    let downloads = 0;
    trial.setResults({
      1: once,
      2: (line) => ((downloads += 1) === 1 ? twice(line) : [line]),
    });
    expect(await trial.run()).toMatchObject({ requests: 4, written: 3, failed: 1 });
    expect(await trial.idsIn("0001.failed.jsonl")).toEqual([1]);
    expect(await trial.idsIn("0002.requests.jsonl")).toEqual([2]);
    expect(await trial.run()).toMatchObject({ jobs: [], failed: 0, skipped: { failedBefore: 1 } });
  });

  test("before this run are sent again by it, where that may help", async () => {
    const trial = await startTrial(workshop, texts(4));
    trial.setResults({ 1: errorLine(3), 2: errorLine(14) });
    await trial.untilEnded();
    await trial.import();
    trial.setWire((_call, send) => send());
    expect(await trial.run()).toMatchObject({ jobs: ["0002"], requests: 1, written: 1, failed: 0 });
    expect(await trial.emptyIds()).toEqual([1]);
  });

  test("of another vector space are left alone", async () => {
    const trial = await startTrial(workshop, texts(4), { faults: "batch-fail=1x" });
    await trial.untilEnded({ limit: 2 });
    const target = { ...trial.target, taskType: "RETRIEVAL_QUERY" };
    const options = { ...trial.exportOptions({ target, limit: 1 }) };
    await trial.export({ target, limit: 1 });
    expect(await trial.run({ export: options })).toMatchObject({ failed: 0 });
    expect((await trial.job("0001")).outstanding).toEqual({ lines: 2, retryable: 2 });
  });

  test("because their batch died are sent again", IN_FULL, async () => {
    const faults = "batch-fail=1x,batch-expire=1x,batch-cancel=1x";
    const trial = await startTrial(workshop, texts(20), { faults });
    expect(await trial.run(small(trial, 4))).toMatchObject({
      requests: 20,
      written: 20,
      failed: 0,
    });
    const states = (await trial.jobs()).map((job) => job.state);
    expect(states.filter((state) => state !== "imported").toSorted()).toEqual([
      "cancelled",
      "expired",
      "failed",
    ]);
    expect(Object.values(await trial.paid())).toEqual(range(1, 20).map(() => 1));
  });
});

describe("the table changes under it", () => {
  test("rows edited under way are exported again, and end with the vector of their text", async () => {
    const trial = await startTrial(workshop, texts(12), { batchSeconds: 0.05 });
    let edits: Promise<unknown> | undefined;
    const report = ({ type }: ProgressEvent) => {
      if (type !== "submitted") return;
      edits ??= trial.sql("UPDATE questions SET question_text = 'edited ' || id WHERE id < 4");
    };
    const summary = await trial.run({ ...small(trial, 4), timeoutMs: 1_000_000 }, { report });
    await edits;
    expect(summary).toMatchObject({
      requests: 15,
      written: 12,
      stale: 3,
      remaining: 0,
      timedOut: false,
    });
    expect(await trial.rightIds()).toEqual(range(1, 12));
  });

  test(
    "a table that never rests is left at last, with what changed to be exported again",
    IN_FULL,
    async () => {
      const trial = await startTrial(workshop, texts(3), { batchSeconds: 0.1 });
      const pending: Promise<unknown>[] = [];
      const report = ({ type }: ProgressEvent) => {
        const sql = "UPDATE questions SET question_text = question_text || '!' WHERE id = 1";
        if (type === "submitted") pending.push(trial.sql(sql));
      };
      const summary = await trial.run({ timeoutMs: 1_000_000 }, { report });
      await Promise.all(pending);
      expect(summary).toMatchObject({ written: 2, remaining: 1, timedOut: false });
      expect(summary.stale).toBe(summary.jobs.length);
      expect(summary.jobs.length).toBeLessThan(5);
      expect(await trial.run()).toMatchObject({ written: 1, remaining: 0 });
    },
  );
});

describe("Gemini makes difficulties", () => {
  test("it refuses for quota: waited out", async () => {
    const trial = await startTrial(workshop, texts(8), { faults: "create-429=3x", frozen: true });
    expect(await trial.run(small(trial, 4))).toMatchObject({ written: 8, failed: 0 });
    await expectPaidOncePerAttempt(trial);
    expect((await trial.job("0001")).submissions).toBe(4);
  });

  test(
    "it takes one batch at a time: the next one goes as soon as the first has ended",
    IN_FULL,
    async () => {
      const options = { activeBatchesMax: 1, batchSeconds: 1.5 };
      const trial = await startTrial(workshop, texts(8), options);
      workshop.events.length = 0;
      const startedMs = performance.now();
      // twenty seconds for the clock of a trial
      const summary = await trial.run({ ...small(trial, 4), quotaWaitMs: 2_000_000 });
      expect(performance.now() - startedMs).toBeLessThan(15_000);
      const waited = workshop.events.filter(({ type }) => type === "quotaFull");
      expect(waited).toContainEqual(expect.objectContaining({ refusals: 1 }));
      expect(summary).toMatchObject({ written: 8, failed: 0 });
      await expectPaidOncePerAttempt(trial);
    },
  );

  test("it answers no create, breaks connections, and is down at times", async () => {
    const faults =
      "create-ambiguous=0.4,create-lost=0.2,upload-5xx=0.05,get-5xx=0.05,list-5xx=0.2,download-cut=0.3,rate-429=0.05";
    const trial = await startTrial(workshop, texts(30), { faults });
    expect(await trial.run(small(trial, 5))).toMatchObject({ written: 30, failed: 0, pending: [] });
    expect(trial.emulator.batches()).toHaveLength(6);
    expect(Object.values(await trial.paid())).toEqual(range(1, 30).map(() => 1));
  });

  test("it loses the answer to a create, and then the connection whenever the list is asked for: waited out", async () => {
    const trial = await startTrial(workshop, texts(8), { frozen: true });
    let creates = 0;
    let lists = 0;
    trial.setWire(async ({ method, url }, send) => {
      const isCreate = url.pathname.endsWith(":asyncBatchEmbedContent");
      const isList = method === "GET" && url.pathname.endsWith("/batches");
      const answer = await send();
      if (isCreate) creates += 1;
      if (isList && creates === 2) lists += 1;
      const isLost = (isCreate && creates === 2) || (isList && creates === 2 && lists <= 10);
      if (isLost) throw new TypeError("fetch failed", { cause: new Error("read ECONNRESET") });
      return answer;
    });
    expect(await trial.run(small(trial, 4))).toMatchObject({ written: 8, failed: 0, pending: [] });
    expect(lists).toBeGreaterThan(10);
    await expectPaidOncePerAttempt(trial);
  });

  test("the list of batches is not read all the time while a refused job waits for room", async () => {
    const options = { activeBatchesMax: 1, batchSeconds: 0.3 };
    const trial = await startTrial(workshop, texts(8), options);
    await trial.export({ bounds: rowsAJob(4) });
    await trial.submit();
    expect((await trial.jobs()).map((job) => job.submissions)).toEqual([1, 1]);
    const before = trial.emulator.calls("list");
    const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
    expect(await trial.run({ window, pollIntervalMs: 10_000 })).toMatchObject({ written: 8 });
    expect(trial.emulator.calls("list") - before).toBeLessThan(20);
  });
});

describe("a run that ends early", () => {
  test("at its timeout: the batches go on, and the next run takes what they gave", async () => {
    const trial = await startTrial(workshop, texts(6), { batchSeconds: 600 });
    // a second for the clock of a trial: both batches are made by then, on a busy machine too
    const lasts = { timeoutMs: 100_000, pollIntervalMs: 10_000 };
    const summary = await trial.run({ ...small(trial, 3), ...lasts });
    expect(summary).toMatchObject({
      timedOut: true,
      requests: 0,
      pending: ["0001", "0002"],
      remaining: 6,
    });
    expect(trial.emulator.calls("cancel")).toBe(0);
    await expectConsistent(trial);
    await trial.emulator.advance(600_000);
    expect(await trial.run()).toMatchObject({ written: 6, timedOut: false });
    expect(Object.values(await trial.paid())).toEqual(range(1, 6).map(() => 1));
  });

  test.each([
    ...sized({
      quick: [],
      full: ["exporting", "exported", "uploading", "downloaded", "resubmitted"],
    }),
    "submitted",
    "ended",
    "downloading",
    "importing",
    "imported",
  ])("interrupted at `%s`: consistent at once, and finished by the next run", async (at) => {
    const faults = "shuffle,retryable=0.5";
    const trial = await startTrial(workshop, texts(6), { faults });
    const controller = new AbortController();
    const { signal } = controller;
    const report = ({ type }: ProgressEvent) => {
      if (type === at) controller.abort(interruption(["run"]));
    };
    await trial.run(small(trial, 2), { report, signal }).catch((error: unknown) => {
      if (!isInterruption(error, signal)) throw error;
    });
    expect(signal.aborted).toBe(true);
    await expectConsistent(trial);
    trial.emulator.setFaults("");
    const { pending } = await trial.run({ ...small(trial, 2), maxAttempts: 9 });
    expect(pending).toEqual([]);
    expect(await trial.rightIds()).toEqual(range(1, 6));
    await expectPaidOncePerAttempt(trial);
  });

  test("because a task failed: the others stop, and the next run finishes", async () => {
    const trial = await startTrial(workshop, texts(20), { batchSeconds: 0.02 });
    let calls = 0;
    const store: Store = {
      ...workshop.store,
      apply: async (rows) => {
        calls += 1;
        if (calls === 2) throw new UserError("the database is full", { hint: "-", exit: "fatal" });
        return workshop.store.apply(rows);
      },
    };
    const started = performance.now();
    await expect(
      trial.run({ ...small(trial, 4), pollIntervalMs: 3_000 }, { storeOf: async () => store }),
    ).rejects.toThrow("the database is full");
    expect(performance.now() - started).toBeLessThan(5_000);
    await expectConsistent(trial);
    await trial.run();
    expect(await trial.rightIds()).toEqual(range(1, 20));
    expect(Object.values(await trial.paid())).toEqual(range(1, 20).map(() => 1));
  });

  test("because the key is refused: nothing is submitted, everything waits", async () => {
    const trial = await startTrial(workshop, texts(4), { apiKey: "wrong-key" });
    await expect(trial.run()).rejects.toMatchObject({ exit: "fatal" });
    expect(await trial.states()).toEqual(["0001 exported"]);
    await expectConsistent(trial);
    expect(await trial.run({}, { gemini: trial.clientOf("another-key") })).toMatchObject({
      written: 4,
    });
  });
});

/** What is exported while the answer is on its way has not been looked for. */
function slowList(listMs: number): Parameters<Trial["setWire"]>[0] {
  return async ({ url, method }, send) => {
    const answer = await send();
    const isList = method === "GET" && url.pathname.endsWith("/batches");
    if (isList) await new Promise((soon) => setTimeout(soon, listMs));
    return answer;
  };
}

describe("a manifest that was restored from a backup", () => {
  test.each([0, 30])(
    "and is older than the exports meets the batches of all jobs that it makes again (the list takes %i ms)",
    async (listMs) => {
      const trial = await startTrial(workshop, texts(34));
      const options = small(trial, 10);
      await trial.export({ bounds: rowsAJob(10), limit: 10 });
      await trial.forgetting(async () => {
        await trial.export({ bounds: rowsAJob(10) });
        await trial.submit();
      });
      trial.setWire(slowList(listMs));
      expect(await trial.run(options)).toMatchObject({ written: 34, failed: 0 });
      expect(trial.emulator.batches()).toHaveLength(4);
      expect(await trial.rightIds()).toEqual(range(1, 34));
      await expectPaidOncePerAttempt(trial);
    },
  );

  test("and than answers that came out of order, meets the batches that are still under way", async () => {
    const trial = await startTrial(workshop, texts(34));
    await trial.export({ bounds: rowsAJob(10), limit: 10 });
    await trial.forgetting(async () => {
      await trial.untilEnded({ bounds: rowsAJob(10) });
      await trial.import();
    });
    // as if 0003 alone had ended
    for (const job of ["0001", "0002", "0004"]) await rm(trial.path(`${job}.results.jsonl`));
    await trial.sql("UPDATE questions SET embedding = NULL WHERE id NOT BETWEEN 21 AND 30");
    expect(await trial.run(small(trial, 10))).toMatchObject({ written: 24, failed: 0 });
    expect(trial.emulator.batches()).toHaveLength(4);
    expect(await trial.rightIds()).toEqual(range(1, 34));
    await expectPaidOncePerAttempt(trial);
    expect(await trial.files()).not.toContainEqual(expect.stringContaining("unknown"));
  });

  test("writes over no other requests: the later manifest, put back in its turn, gets what it paid for", async () => {
    const rows = [...texts(12), ...texts(12)];
    const trial = await startTrial(workshop, rows);
    await trial.export({ bounds: rowsAJob(4), limit: 4 });
    let later = "";
    await trial.forgetting(async () => {
      await trial.export({ bounds: rowsAJob(20) });
      await trial.submit();
      later = await trial.text("manifest.ndjson");
    });
    // it waited for its turn all the while
    const monthsAgo = new Date(Date.now() - 90 * 24 * 3_600_000);
    await utimes(trial.path("0002.requests.jsonl"), monthsAgo, monthsAgo);
    await trial.export({ bounds: rowsAJob(6) });
    await writeFile(trial.path("manifest.ndjson"), later);
    await expect(trial.run(small(trial, 4))).rejects.toMatchObject({
      hint: expect.stringContaining("0002.requests.jsonl.unknown"),
    });
    for (const name of ["0002.requests.jsonl", "0002.copies.jsonl"]) {
      await rename(trial.path(`${name}.unknown`), trial.path(name));
    }
    expect(await trial.run(small(trial, 4))).toMatchObject({ remaining: 0, failed: 0 });
    expect(await trial.rightIds()).toEqual(range(1, 24));
    await expectPaidOncePerAttempt(trial);
  });

  test("gets the batches that it knows nothing of back, and pays for none again", async () => {
    const trial = await startTrial(workshop, texts(20));
    await trial.export({ bounds: rowsAJob(10) });
    await trial.forgetting(trial.submit);
    expect(await trial.run(small(trial, 10))).toMatchObject({ written: 20, remaining: 0 });
    expect(trial.emulator.batches()).toHaveLength(2);
    expect(await trial.rightIds()).toEqual(range(1, 20));
    await expectPaidOncePerAttempt(trial);
  });

  test.each([
    ["sync", 0, 0],
    ["auto", 25, 0],
    ["auto", 25, 30],
    ["sync", 0, 30],
  ] as const)(
    "with --lane %s, too, whichever comes first (small are %i tokens; the list takes %i ms)",
    async (lane, syncUpToTokens, listMs) => {
      const trial = await startTrial(workshop, texts(14));
      await trial.export({ bounds: rowsAJob(10) });
      await trial.forgetting(trial.submit);
      trial.setWire(slowList(listMs));
      const options = { ...small(trial, 10), lane: { lane, syncUpToTokens } };
      expect(await trial.run(options)).toMatchObject({ written: 14, atOnce: [] });
      expect(trial.emulator.embeddedNow()).toBe(0);
      expect(await trial.rightIds()).toEqual(range(1, 14));
      await expectPaidOncePerAttempt(trial);
    },
  );
});
