// My batches run for hours: when is a job over, what becomes of its rows when the batch dies, and
// how often is Gemini asked?
import { rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { keyIdOf } from "../../src/settings/environment/secret.ts";
import type { Job } from "../../src/manifest/job.ts";
import { adaptiveIntervalMs, pollSchedule } from "../../src/poll/schedule.ts";
import { Secret } from "../../src/settings/environment/secret.ts";
import { startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** One job of three rows, at Gemini. */
async function submitted(options: Parameters<typeof startTrial>[2] = {}): Promise<Trial> {
  const trial = await startTrial(workshop, texts(3), options);
  await trial.export();
  await trial.submit();
  return trial;
}

/** A look at a batch is answered so, by something before the emulator. */
function answerLooks(trial: Trial, change: (operation: object) => object): void {
  trial.setWire(async ({ url, method }, send) => {
    const answer = await send();
    if (method !== "GET" || !url.pathname.includes("/batches/")) return answer;
    return Response.json(change(JSON.parse(await answer.text())));
  });
}

describe("a batch that ends well", () => {
  test("makes its job importable", async () => {
    const trial = await submitted();
    expect(await trial.poll()).toEqual({ ended: ["0001"], pending: [] });
    const job = await trial.job("0001");
    expect(job).toMatchObject({ state: "succeeded", resultsName: expect.any(String) });
    expect(job.sums).toBeUndefined();
  });

  test("ends in a state nobody knows before that: it is waited for", async () => {
    const trial = await submitted({
      faults: "batch-unknown-state=1x",
      frozen: true,
      batchSeconds: 600,
    });
    await trial.clock.sleep(5 * MINUTE_MS);
    workshop.events.length = 0;
    // the manifest's own clock goes on while the emulator's stands still
    const aboutFiveMinutes = expect.closeTo(300, -2);
    expect(await trial.poll({ once: true })).toEqual({ ended: [], pending: ["0001"] });
    expect(workshop.events).toMatchObject([
      {
        type: "pending",
        batchState: "BATCH_STATE_AWAITING_CAPACITY",
        ageSeconds: aboutFiveMinutes,
      },
    ]);
    expect(await trial.poll()).toEqual({ ended: ["0001"], pending: [] });
  });
});

describe("a batch that dies", () => {
  const deaths: [string, string, string | undefined][] = [
    ["batch-fail=1x", "failed", "internal error"],
    ["batch-expire=1x", "expired", "expired"],
    ["batch-cancel=1x", "cancelled", "cancelled"],
  ];

  test.each(deaths)(
    "%s: its rows are in the failed file, as `batch`",
    async (faults, state, word) => {
      const trial = await submitted({ faults });
      expect(await trial.poll()).toEqual({ ended: ["0001"], pending: [] });
      expect(await trial.job("0001")).toMatchObject({
        state,
        error: { message: expect.stringContaining(word ?? "") },
        sums: { requests: 3, written: 0, failed: 3, stale: 0, filled: 0, gone: 0 },
        outstanding: { lines: 3, retryable: 3 },
      });
      const requests = await trial.lines("0001.requests.jsonl");
      expect(await trial.lines("0001.failed.jsonl")).toEqual(
        requests.map((line) =>
          Object.assign({}, line, {
            job: "0001",
            attempt: 1,
            error: {
              class: "retryable",
              reason: "batch",
              code: expect.any(Number),
              message: expect.stringContaining(word ?? ""),
            },
          }),
        ),
      );
      expect(await trial.text("0001.failed.csv")).toMatch(/^id,class,code,message\n1,retryable,/);
    },
  );

  test("can be resubmitted without an export, and its rows are paid for once", async () => {
    const trial = await submitted({ faults: "batch-expire=1x" });
    await trial.poll();
    expect(await trial.export()).toMatchObject({ exported: 0, skipped: { failedBefore: 3 } });
    await trial.resubmit();
    await trial.submit();
    await trial.poll();
    expect(await trial.import()).toMatchObject({ imported: ["0002"], written: 3 });
    expect(await trial.rightIds()).toEqual([1, 2, 3]);
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1 });
  });

  test("tells it with nothing but an error at the top, whatever its state says", async () => {
    const trial = await submitted({ batchSeconds: 3600 });
    const error = { code: 8, message: "out of capacity" };
    answerLooks(trial, (operation) => ({ ...operation, error }));
    await trial.poll({ once: true });
    expect(await trial.job("0001")).toMatchObject({ state: "failed", error });
  });

  test("and left results all the same: they are paid for, and taken", async () => {
    const trial = await submitted();
    const wire = { state: "BATCH_STATE_EXPIRED" };
    answerLooks(trial, (operation) => {
      const metadata = "metadata" in operation ? operation.metadata : {};
      return { ...operation, metadata: Object.assign({}, metadata, wire) };
    });
    await trial.poll();
    expect(await trial.states()).toEqual(["0001 succeeded"]);
    expect(await trial.import()).toMatchObject({ written: 3 });
  });

  test("is not given up while its request file is another one; where it is away, its rows are selected anew", async () => {
    const trial = await submitted({ faults: "batch-fail=1x" });
    const whole = await trial.text("0001.requests.jsonl");
    await writeFile(trial.path("0001.requests.jsonl"), `${whole}\n`);
    await expect(trial.poll()).rejects.toMatchObject({ name: "UserError" });
    expect(await trial.states()).toEqual(["0001 submitted"]);
    await rm(trial.path("0001.requests.jsonl"));
    await trial.poll();
    expect(await trial.job("0001")).toMatchObject({ state: "failed", outstanding: { lines: 0 } });
    expect(await trial.export()).toMatchObject({ exported: 3 });
  });
});

test("a batch without results that does not say when it ended may have run for two days", async () => {
  const trial = await submitted({ batchSeconds: 60, frozen: true });
  answerLooks(trial, ({ name }: { name?: string }) => ({
    name,
    metadata: { name, state: "BATCH_STATE_SUCCEEDED" },
  }));
  await trial.clock.sleep(2 * 24 * HOUR_MS);
  expect(await trial.poll({ once: true })).toEqual({ ended: [], pending: ["0001"] });
  await trial.clock.sleep(25 * HOUR_MS);
  expect(await trial.poll({ once: true })).toEqual({ ended: ["0001"], pending: [] });
});

describe("a batch that is not there", () => {
  const keys = { "key-of-one-project": "one", "key-of-another": "another" };
  const apiKey = "key-of-one-project";
  const own = { keyId: keyIdOf(new Secret(apiKey)) };

  test("for the key that made it, some minutes after, was deleted: the job has failed", async () => {
    const trial = await submitted({ batchSeconds: 3_600, frozen: true });
    const { batch } = await trial.job("0001");
    await trial.clientOf("any-key").deleteBatch(batch ?? "");
    await trial.poll({ once: true });
    expect((await trial.job("0001")).state).toBe("submitted");
    await trial.clock.sleep(11 * MINUTE_MS);
    await trial.poll({ once: true });
    expect(await trial.job("0001")).toMatchObject({
      state: "failed",
      error: { message: expect.stringContaining("deleted") },
      outstanding: { lines: 3, retryable: 3 },
    });
  });

  test("but still stands in the list is waited for: giving it up would pay twice", async () => {
    const trial = await submitted({ batchSeconds: 3_600, frozen: true });
    await trial.clock.sleep(11 * MINUTE_MS);
    const blind = { gemini: { ...trial.clientOf("any-key"), getBatch: async () => undefined } };
    expect(await trial.poll({ once: true }, blind)).toEqual({ ended: [], pending: ["0001"] });
    await trial.clock.sleep(60 * MINUTE_MS);
    expect(await trial.poll({ once: true })).toEqual({ ended: ["0001"], pending: [] });
  });

  test("for another project's key proves nothing: refused, and nothing is changed", async () => {
    const trial = await startTrial(workshop, texts(3), { keys, apiKey });
    await trial.export();
    await trial.submit({}, own);
    const before = await trial.text("manifest.ndjson");
    const other = {
      gemini: trial.clientOf("key-of-another"),
      keyId: keyIdOf(new Secret("key-of-another")),
    };
    await expect(trial.poll({}, other)).rejects.toMatchObject({
      name: "UserError",
      exit: "fatal",
      hint: expect.stringContaining("GEMINI_API_KEY"),
    });
    expect(await trial.text("manifest.ndjson")).toBe(before);
    expect(await trial.poll({}, own)).toEqual({ ended: ["0001"], pending: [] });
  });

  test("nor where that key has sent others of this folder", async () => {
    const trial = await startTrial(workshop, texts(20), { keys, apiKey });
    const other = {
      gemini: trial.clientOf("key-of-another"),
      keyId: keyIdOf(new Secret("key-of-another")),
    };
    await trial.export();
    await trial.submit({ window: { maxActiveJobs: 1, maxEnqueuedTokens: 1e9 } }, own);
    await trial.submit({}, other);
    expect(trial.emulator.batches()).toHaveLength(2);
    await expect(trial.poll({}, other)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("job 0001"),
    });
    expect(await trial.states()).toEqual(["0001 submitted", "0002 succeeded"]);
    expect(await trial.poll({}, own)).toEqual({ ended: ["0001"], pending: [] });
  });
});

describe("waiting", () => {
  test("`once` looks once at every job and leaves", async () => {
    const trial = await startTrial(workshop, texts(30), { batchSeconds: 60, frozen: true });
    await trial.export();
    await trial.submit();
    const looksBefore = trial.emulator.calls("get");
    expect(await trial.poll({ once: true })).toEqual({
      ended: [],
      pending: ["0001", "0002", "0003"],
    });
    expect(trial.emulator.calls("get") - looksBefore).toBe(3);
  });

  test("ends when every job has ended, each told once", async () => {
    const trial = await startTrial(workshop, texts(30), { batchSeconds: 600, frozen: true });
    await trial.export();
    await trial.submit({ window: { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 } });
    await trial.clock.sleep(5 * MINUTE_MS);
    await trial.submit();
    workshop.events.length = 0;
    expect(await trial.poll({ pollIntervalMs: undefined })).toEqual({
      ended: ["0001", "0002", "0003"],
      pending: [],
    });
    const ended = workshop.events.filter((event) => event.type === "ended");
    expect(ended.map((event) => event.job)).toEqual(["0001", "0002", "0003"]);
  });

  test("gives up after the timeout: the batches go on, and a later poll sees them end", async () => {
    const trial = await submitted({ batchSeconds: 3_600, frozen: true });
    const startMs = trial.clock.elapsedMs();
    const timeoutMs = 10 * MINUTE_MS;
    expect(await trial.poll({ pollIntervalMs: 30_000, timeoutMs })).toEqual({
      ended: [],
      pending: ["0001"],
    });
    expect(trial.clock.elapsedMs() - startMs).toBeLessThanOrEqual(timeoutMs);
    expect(await trial.states()).toEqual(["0001 submitted"]);
    expect(trial.emulator.calls("cancel")).toBe(0);
    expect(await trial.poll({ pollIntervalMs: 30_000 })).toEqual({ ended: ["0001"], pending: [] });
  });

  test("a timeout shorter than the interval is waited for, and there is a last look", async () => {
    const trial = await submitted({ batchSeconds: 30, frozen: true });
    const options = { pollIntervalMs: HOUR_MS, timeoutMs: MINUTE_MS };
    expect(await trial.poll(options)).toEqual({ ended: ["0001"], pending: [] });
  });

  test("is interrupted at once, and nothing is changed", async () => {
    const trial = await submitted({ batchSeconds: 3_600 });
    const before = await trial.text("manifest.ndjson");
    const signal = AbortSignal.timeout(50);
    expect(await trial.poll({ pollIntervalMs: HOUR_MS }, { signal })).toEqual({
      ended: [],
      pending: ["0001"],
    });
    expect(await trial.text("manifest.ndjson")).toBe(before);
  });

  test("nothing at Gemini: nothing is asked", async () => {
    const trial = await startTrial(workshop, texts(3));
    await trial.export();
    expect(await trial.poll()).toEqual({ ended: [], pending: [] });
    expect(trial.emulator.calls("get")).toBe(0);
  });
});

describe("the schedule", () => {
  test.each([
    [0, 5_000],
    [MINUTE_MS - 1, 5_000],
    [MINUTE_MS, 15_000],
    [10 * MINUTE_MS, 30_000],
    [HOUR_MS, MINUTE_MS],
    [48 * HOUR_MS, MINUTE_MS],
  ])("a batch of age %i ms is looked at every %i ms", (ageMs, intervalMs) => {
    expect(adaptiveIntervalMs(ageMs)).toBe(intervalMs);
  });

  test("every job is due at once, then each by its own age", async () => {
    const trial = await startTrial(workshop, texts(4), { frozen: true });
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 2 } });
    const start = trial.clock.now().getTime();
    const [young, old] = (await trial.jobs()).map((job, index): Job => {
      const submittedAt = new Date(start - index * 2 * HOUR_MS).toISOString();
      return { ...job, submittedAt };
    });
    if (young === undefined || old === undefined) throw new Error("no jobs");
    const schedule = pollSchedule(trial.clock, undefined);
    expect(schedule.takeDue([young, old])).toEqual([young, old]);
    expect(schedule.takeDue([young, old])).toEqual([]);
    expect(schedule.untilDueMs([young, old])).toBe(5_000);
    expect(schedule.untilDueMs([old])).toBe(MINUTE_MS);
    await trial.clock.sleep(5_000);
    expect(schedule.takeDue([young, old])).toEqual([young]);
    schedule.forget(old.id);
    expect(schedule.takeDue([old])).toEqual([old]);
    expect(schedule.untilDueMs([])).toBe(Infinity);
  });

  test("an interval that was asked for holds at any age", async () => {
    const trial = await submitted({ frozen: true });
    const jobs = await trial.jobs();
    await trial.clock.sleep(HOUR_MS);
    const schedule = pollSchedule(trial.clock, 7_000);
    expect(schedule.takeDue(jobs)).toEqual(jobs);
    expect(schedule.untilDueMs(jobs)).toBe(7_000);
  });
});
