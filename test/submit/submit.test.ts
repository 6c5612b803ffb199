// Creating a batch is not idempotent: when an answer is lost, when a key is refused, when a file is
// gone, is there exactly one batch for every job in the end, and is nothing paid for twice?
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { keyIdOf } from "../../src/settings/environment/secret.ts";
import { Secret } from "../../src/settings/environment/secret.ts";
import { batchDisplayName, jobOfBatch, remoteFileName } from "../../src/jobs-folder/batch-names.ts";
import { newJob } from "../manifest/sample.ts";
import { nextTry } from "../../src/quota/next-try.ts";
import { startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

const HOUR_MS = 3_600_000;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Jobs of two rows each. */
async function exported(jobs: number, options: Parameters<typeof startTrial>[2] = {}) {
  const trial = await startTrial(workshop, texts(jobs * 2), options);
  await trial.export({ bounds: { ...workshop.bounds, maxRows: 2 } });
  return trial;
}

/** The trial's creates are answered so, by something before the emulator. */
function answerCreates(trial: Trial, status: number, error: object): void {
  trial.setWire(async ({ url }, send) =>
    url.pathname.endsWith(":asyncBatchEmbedContent")
      ? Response.json({ error }, { status })
      : send(),
  );
}

function warnings(): string[] {
  return workshop.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
}

/** Everything ends well, and was paid for once. */
async function expectPaidOnce(trial: Trial, rows: number): Promise<void> {
  await trial.submit();
  await trial.poll();
  expect(await trial.import()).toMatchObject({ written: rows, failed: 0 });
  expect(Object.values(await trial.paid())).toEqual(Array.from({ length: rows }, () => 1));
}

describe("the window", () => {
  test("lets so many jobs be queued at once, the oldest first, and the rest later", async () => {
    const trial = await exported(5);
    const window = { maxActiveJobs: 2, maxEnqueuedTokens: 500_000 };
    expect(await trial.submit({ window })).toMatchObject({
      submitted: ["0001", "0002"],
      waiting: ["0003", "0004", "0005"],
      why: expect.stringContaining("2 of 2 jobs"),
    });
    expect(await trial.submit({ window })).toMatchObject({ submitted: [] });
    await trial.poll();
    expect(await trial.submit({ window })).toMatchObject({ submitted: ["0003", "0004"] });
    expect(trial.emulator.batches()).toHaveLength(4);
  });

  test("lets so many tokens be queued at once", async () => {
    const trial = await exported(3);
    const [first, second] = await trial.jobs();
    const maxEnqueuedTokens = (first?.tokens ?? 0) + (second?.tokens ?? 0);
    expect(await trial.submit({ window: { maxActiveJobs: 90, maxEnqueuedTokens } })).toMatchObject({
      submitted: ["0001", "0002"],
      waiting: ["0003"],
      why: expect.stringContaining("tokens"),
    });
  });

  test("never keeps out a job that is alone: only the service can refuse that", async () => {
    const trial = await exported(2);
    const window = { maxActiveJobs: 90, maxEnqueuedTokens: 1 };
    expect(await trial.submit({ window })).toMatchObject({ submitted: ["0001"] });
  });

  test("counts a job whose create got no answer as queued", async () => {
    const trial = await exported(2);
    const [job, uncertain] = await trial.jobs();
    if (job === undefined || uncertain === undefined) throw new Error("no jobs");
    const jobs = [job, { ...uncertain, state: "submitting" } as const];
    const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
    const next = nextTry(job, { jobs, window, quotaWaitMs: 60_000, nowMs: 0 });
    expect(next).toMatchObject({ atMs: Infinity, waitsFor: "jobs" });
    // the tokens of a model are its own
    const full = { maxActiveJobs: 90, maxEnqueuedTokens: job.tokens };
    const waits = (model: typeof job.target.model) => {
      const its = { ...job, target: { ...job.target, model } };
      return nextTry(its, { jobs, window: full, quotaWaitMs: 60_000, nowMs: 0 }).atMs === Infinity;
    };
    expect([waits(job.target.model), waits("gemini-embedding-2")]).toEqual([true, false]);
  });
});

test("a job that is refused although nothing else is queued: what to do is said", async () => {
  const trial = await exported(1, { quotaTokens: 1 });
  workshop.events.length = 0;
  await trial.submit();
  expect(warnings()).toEqual([]);
  await trial.submit();
  expect(warnings()).toEqual([expect.stringContaining("Job 0001")]);
});

describe("a refusal", () => {
  test("for quota: the jobs wait, nothing was created, and later they go", async () => {
    const trial = await exported(2, { faults: "create-429=1x" });
    expect(await trial.submit()).toMatchObject({
      submitted: [],
      waiting: ["0001", "0002"],
      why: expect.stringContaining("quota"),
    });
    expect(await trial.states()).toEqual(["0001 exported", "0002 exported"]);
    expect(trial.emulator.batches()).toEqual([]);
    expect(await trial.submit()).toMatchObject({ submitted: ["0001", "0002"], why: undefined });
    await expectPaidOnce(trial, 4);
  });

  const refusals: Record<string, [number, object]> = {
    "of the key": [403, { code: 403, status: "PERMISSION_DENIED", message: "no billing" }],
    "of the request": [400, { code: 400, status: "INVALID_ARGUMENT", message: "no such field" }],
    "of the model": [404, { code: 404, status: "NOT_FOUND", message: "models/m is not found" }],
  };

  test.each(Object.entries(refusals))(
    "%s: the command fails, the job is as before",
    async (_, how) => {
      const trial = await exported(1);
      answerCreates(trial, ...how);
      await expect(trial.submit()).rejects.toMatchObject({ name: "UserError", exit: "fatal" });
      expect(await trial.job("0001")).toMatchObject({ state: "exported", batch: undefined });
      trial.setWire((_call, send) => send());
      await expectPaidOnce(trial, 2);
      expect(trial.emulator.batches()).toHaveLength(1);
    },
  );

  test("of the key already at the upload: nothing is recorded of a submission", async () => {
    const trial = await exported(1, { apiKey: "wrong-key" });
    await expect(trial.submit()).rejects.toMatchObject({
      exit: "fatal",
      hint: expect.stringContaining("GEMINI_API_KEY"),
    });
    expect(await trial.job("0001")).toMatchObject({ state: "exported", submissions: 0 });
    expect(trial.emulator.calls("create")).toBe(0);
    await trial.submit({}, { gemini: trial.clientOf("another-key") });
    expect(await trial.states()).toEqual(["0001 submitted"]);
  });
});

/** Uploaded, then refused for quota: the file waits at Gemini. */
async function uploaded(): Promise<Trial> {
  const trial = await exported(1, { faults: "create-429=1x", frozen: true });
  await trial.submit();
  expect((await trial.job("0001")).remoteFile?.name).toMatch(/^files\//);
  return trial;
}

describe("the uploaded file", () => {
  test("is used as long as it outlives the batch's time in the queue", async () => {
    const trial = await uploaded();
    const { remoteFile } = await trial.job("0001");
    await trial.clock.sleep(11 * HOUR_MS);
    await trial.submit();
    expect(await trial.job("0001")).toMatchObject({ state: "submitted", remoteFile });
  });

  test("is uploaded again when it does not", async () => {
    const trial = await uploaded();
    const { remoteFile } = await trial.job("0001");
    await trial.clock.sleep(13 * HOUR_MS);
    await trial.submit();
    const after = await trial.job("0001");
    expect(after.state).toBe("submitted");
    expect(after.remoteFile?.name).not.toBe(remoteFile?.name);
    expect(trial.emulator.batches()).toMatchObject([{ inputFile: after.remoteFile?.name }]);
  });

  test("is uploaded again when the create says that it is gone", async () => {
    const trial = await uploaded();
    const { remoteFile } = await trial.job("0001");
    await trial.clientOf("another-key").deleteFile(remoteFile?.name ?? "");
    expect(await trial.submit()).toMatchObject({ submitted: ["0001"] });
    await expectPaidOnce(trial, 2);
    expect(trial.emulator.batches()).toHaveLength(1);
  });
});

describe("a request file that is not the one recorded", () => {
  test.each([["missing"], ["changed"]])(
    "is %s: says how to mend it, and sends nothing",
    async (how) => {
      const trial = await exported(1);
      const path = trial.path("0001.requests.jsonl");
      const whole = await readFile(path);
      await (how === "missing"
        ? rename(path, `${path}.away`)
        : writeFile(path, `${whole.toString()} `));
      await expect(trial.submit()).rejects.toMatchObject({
        name: "UserError",
        message: expect.stringContaining(how),
        hint: expect.stringContaining("vecfill cancel 0001"),
      });
      expect(trial.emulator.calls("upload")).toBe(0);
      expect(await trial.states()).toEqual(["0001 exported"]);
      await writeFile(path, whole);
      expect(await trial.submit()).toMatchObject({ submitted: ["0001"] });
    },
  );

  test("stops the create too, when it was uploaded before", async () => {
    const trial = await exported(1, { faults: "create-429=1x" });
    await trial.submit();
    await rm(trial.path("0001.requests.jsonl"));
    await expect(trial.submit()).rejects.toMatchObject({ name: "UserError" });
    expect(trial.emulator.calls("create")).toBe(1);
    expect(await trial.states()).toEqual(["0001 exported"]);
  });
});

test("the intent is on disk before the create leaves, the batch before anything else", async () => {
  const trial = await exported(1);
  const seen: string[][] = [];
  trial.setWire(async ({ url }, send) => {
    if (url.pathname.endsWith(":asyncBatchEmbedContent")) seen.push(await trial.states());
    return send();
  });
  await trial.submit();
  expect(seen).toEqual([["0001 submitting"]]);
  expect(await trial.states()).toEqual(["0001 submitted"]);
});

describe("a create without an answer", () => {
  test.each(["create-503=1x", "create-reset=1x", "create-ambiguous=1x"])(
    "%s: the batch is found in the list and adopted",
    async (faults) => {
      const trial = await exported(2, { faults });
      expect(await trial.submit({ reconcileGraceMs: 30 })).toMatchObject({
        submitted: ["0002"],
        adopted: ["0001"],
        waiting: [],
      });
      expect(trial.emulator.calls("create")).toBe(2);
      await expectPaidOnce(trial, 4);
    },
  );

  // the list is read at least twice before the file is revoked, and twice after that
  test.each([2, 5])(
    "whose batch does not show in the first %i readings is not sent again, however short the grace",
    async (unseen) => {
      const trial = await exported(1, { faults: "create-503=1x" });
      let lists = 0;
      trial.setWire(async ({ method, url }, send) => {
        if (method !== "GET" || !url.pathname.endsWith("/batches")) return send();
        lists += 1;
        return lists <= unseen ? Response.json({}) : send();
      });
      expect(await trial.submit({ reconcileGraceMs: 0 })).toMatchObject({ adopted: ["0001"] });
      expect(trial.emulator.batches()).toHaveLength(1);
      await expectPaidOnce(trial, 2);
    },
  );

  test("that created nothing is sent once more, after the list has been read again", async () => {
    const trial = await exported(1, { faults: "create-lost=1x", frozen: true });
    const startMs = trial.clock.elapsedMs();
    const summary = await trial.submit({ reconcileGraceMs: 60_000 });
    expect(summary).toMatchObject({ submitted: ["0001"], adopted: [], waiting: [] });
    expect(trial.clock.elapsedMs() - startMs).toBeGreaterThanOrEqual(60_000);
    expect(trial.emulator.calls("list")).toBeGreaterThanOrEqual(5);
    expect(await trial.job("0001")).toMatchObject({ submissions: 2 });
    expect(trial.emulator.batches()).toHaveLength(1);
    await expectPaidOnce(trial, 2);
  });

  test("again and again: the job is left uncertain, and the next call goes on", async () => {
    const trial = await exported(1, { faults: "create-lost=3x", frozen: true });
    expect(await trial.submit()).toMatchObject({
      submitted: [],
      waiting: ["0001"],
      why: expect.stringContaining("no answer"),
    });
    expect(await trial.states()).toEqual(["0001 submitting"]);
    await expectPaidOnce(trial, 2);
  });

  test("whose batch shows up late in the list is still adopted", async () => {
    const faults = "create-reset=1x,create-late=45";
    const trial = await exported(1, { faults, frozen: true });
    const summary = await trial.submit({ reconcileGraceMs: 60_000 });
    expect(summary).toMatchObject({ submitted: [], adopted: ["0001"] });
    expect(trial.emulator.batches()).toHaveLength(1);
    await expectPaidOnce(trial, 2);
  });

  test("whose batch shows up after an interruption is adopted too", async () => {
    const faults = "create-reset=1x,create-late=100";
    const trial = await exported(2, { faults, frozen: true });
    const stop = new AbortController();
    const report = () => {
      if (trial.clock.elapsedMs() > 45_000) stop.abort();
    };
    await trial
      .submit({ reconcileGraceMs: 60_000 }, { report, signal: stop.signal })
      .catch(() => {});
    expect((await trial.states())[0]).toBe("0001 submitting");
    await trial.clock.sleep(100_000);
    expect(await trial.submit({ reconcileGraceMs: 60_000 })).toMatchObject({ adopted: ["0001"] });
    await expectPaidOnce(trial, 4);
    expect(trial.emulator.batches()).toHaveLength(2);
  });

  test("while the list cannot be read: nothing is sent, nothing is decided", async () => {
    const trial = await exported(1, { faults: "create-reset=1x", frozen: true });
    hideListAfterCreate(trial);
    await expect(trial.submit()).rejects.toMatchObject({ exit: "unfinished" });
    expect(await trial.states()).toEqual(["0001 submitting"]);
    expect(trial.emulator.calls("create")).toBe(1);
    trial.setWire((_call, send) => send());
    expect(await trial.submit()).toMatchObject({ adopted: ["0001"] });
    await expectPaidOnce(trial, 2);
  });

  test("because the process died before it left: looked for, then sent once", async () => {
    const trial = await exported(1, { frozen: true });
    await trial.services({}, async ({ manifest }) => {
      const displayName = batchDisplayName(manifest.id, manifest.job("0001"), 1);
      await manifest.record({ type: "submitting", job: "0001", displayName, submission: 1 });
    });
    // killed after the intent: nothing was uploaded either
    expect(await trial.submit({ reconcileGraceMs: 60_000 })).toMatchObject({ submitted: ["0001"] });
    expect(trial.emulator.batches()).toHaveLength(1);
    await expectPaidOnce(trial, 2);
  });
});

describe("with a key of another project", () => {
  const apiKey = "key-of-one-project";
  const keys = { [apiKey]: "one", "key-of-another": "another" };
  const own = { keyId: keyIdOf(new Secret(apiKey)) };

  /** The create of the first job got no answer, and the list could not be read. */
  async function uncertain(jobs: number) {
    const trial = await exported(jobs, { keys, apiKey, faults: "create-reset=1x", frozen: true });
    hideListAfterCreate(trial);
    const window = { maxActiveJobs: 1, maxEnqueuedTokens: 1e9 };
    await trial.submit({ window }, own).catch(() => {});
    trial.setWire((_call, send) => send());
    const gemini = trial.clientOf("key-of-another");
    return { trial, other: { gemini, keyId: keyIdOf(new Secret("key-of-another")) } };
  }

  test("an uncertain create cannot be judged: it is refused, and nothing is sent", async () => {
    const { trial, other } = await uncertain(1);
    const before = await trial.text("manifest.ndjson");
    await expect(trial.submit({}, other)).rejects.toMatchObject({
      name: "UserError",
      hint: expect.stringContaining("GEMINI_API_KEY"),
    });
    expect(await trial.text("manifest.ndjson")).toBe(before);
    expect(trial.emulator.batches()).toHaveLength(1);
    expect(await trial.submit({}, own)).toMatchObject({ adopted: ["0001"] });
    expect(trial.emulator.batches()).toHaveLength(1);
  });

  test("nor where that key has sent others of this folder", async () => {
    const { trial, other } = await uncertain(2);
    expect(await trial.states()).toEqual(["0001 submitting", "0002 exported"]);
    await expect(trial.submit({}, other)).rejects.toMatchObject({ name: "UserError" });
    await expect(trial.submit({}, other)).rejects.toMatchObject({ name: "UserError" });
    expect(await trial.states()).toEqual(["0001 submitting", "0002 submitted"]);
    expect(trial.emulator.batches()).toHaveLength(2);
    expect(await trial.submit({}, own)).toMatchObject({ adopted: ["0001"] });
    expect(trial.emulator.batches()).toHaveLength(2);
  });
});

/** From the first create on, the batch list cannot be read. */
function hideListAfterCreate(trial: Trial): void {
  trial.setWire(({ url }, send) => {
    const hidden = url.pathname.endsWith("/batches") && trial.emulator.calls("create") > 0;
    return hidden ? Promise.resolve(new Response("{}", { status: 503 })) : send();
  });
}

/** The job's create got no answer, and there are two batches of its name. */
async function doubled(faults: string): Promise<Trial> {
  const trial = await exported(1, { faults, frozen: true });
  await trial.services({}, async ({ manifest, gemini }) => {
    const displayName = batchDisplayName(manifest.id, manifest.job("0001"), 1);
    const path = manifest.files("0001").requests;
    const { requestFile } = manifest.job("0001");
    const remoteName = `${displayName}-x`;
    const remoteFile = await gemini.uploadFile({ path, ...requestFile, remoteName });
    await manifest.record({ type: "uploaded", job: "0001", remoteFile });
    await manifest.record({ type: "submitting", job: "0001", displayName, submission: 1 });
    const model = trial.target.model;
    for (const _ of "12") {
      await gemini.createBatch({ model, file: remoteFile.name, displayName });
      await trial.clock.sleep(1_000);
    }
  });
  return trial;
}

describe("two batches of one job", () => {
  test("one is adopted, the other recorded and warned about, nothing is cancelled", async () => {
    const trial = await doubled("");
    workshop.events.length = 0;
    expect(await trial.submit()).toMatchObject({ submitted: [], adopted: ["0001"] });
    const { batch, duplicateBatches } = await trial.job("0001");
    const names = trial.emulator.batches().map(({ name }) => name);
    expect(names).toHaveLength(2);
    expect(new Set([batch, ...duplicateBatches])).toEqual(new Set(names));
    expect(warnings()).toEqual([expect.stringContaining(duplicateBatches.join())]);
    expect(trial.emulator.calls("cancel") + trial.emulator.calls("delete")).toBe(0);
    await trial.poll();
    expect(await trial.import()).toMatchObject({ written: 2 });
  });

  test("the one that has results is preferred, and the other is warned about once", async () => {
    const trial = await doubled("batch-fail=1x");
    workshop.events.length = 0;
    await trial.submit();
    const [failed, succeeded] = trial.emulator.batches();
    expect(failed?.state).toBe("BATCH_STATE_FAILED");
    expect(await trial.job("0001")).toMatchObject({
      batch: succeeded?.name,
      duplicateBatches: [failed?.name],
    });
    await trial.submit();
    expect(warnings()).toHaveLength(1);
  });

  test("a batch that shows up after its job was sent again is recorded at the next poll", async () => {
    const faults = "create-reset=1x,create-late=300";
    const trial = await exported(1, { faults, frozen: true });
    expect(await trial.submit({ reconcileGraceMs: 60_000 })).toMatchObject({
      submitted: ["0001"],
    });
    const [late, used] = trial.emulator.batches();
    expect(await trial.job("0001")).toMatchObject({ batch: used?.name, duplicateBatches: [] });
    await trial.clock.sleep(600_000);
    trial.emulator.setFaults("create-reset=1x");
    await trial.sql("INSERT INTO questions VALUES (9, 'one more')");
    await trial.export();
    expect(await trial.submit({ reconcileGraceMs: 60_000 })).toMatchObject({ adopted: ["0002"] });
    expect(await trial.job("0001")).toMatchObject({
      batch: used?.name,
      duplicateBatches: [late?.name],
    });
    expect(trial.emulator.calls("cancel")).toBe(0);
  });
});

describe("batches that are not ours", () => {
  test("are left alone, however much their names are like ours", async () => {
    const trial = await exported(1, { frozen: true });
    await trial.services({}, async ({ manifest, gemini }) => {
      const displayName = batchDisplayName(manifest.id, manifest.job("0001"), 1);
      const file = { path: manifest.files("0001").requests, remoteName: "somebody" };
      const { requestFile } = manifest.job("0001");
      const remote = await gemini.uploadFile({ ...file, ...requestFile });
      await manifest.record({ type: "submitting", job: "0001", displayName, submission: 1 });
      for (const name of ["vecfill-otherone-0001-1", `${displayName} copy`, `x${displayName}`]) {
        await gemini.createBatch({
          model: trial.target.model,
          file: remote.name,
          displayName: name,
        });
      }
    });
    expect(await trial.submit()).toMatchObject({ submitted: ["0001"], adopted: [] });
    expect(await trial.job("0001")).toMatchObject({ duplicateBatches: [] });
  });

  test("nor is one of ours with the same number that asks for something else, as after a backup was put back", async () => {
    const trial = await exported(1, { frozen: true });
    await trial.services({}, async ({ manifest, gemini }) => {
      const job = manifest.job("0001");
      const other = { ...job, requestFile: { ...job.requestFile, sha256: "0".repeat(64) } };
      const displayName = batchDisplayName(manifest.id, other, 1);
      const path = manifest.files("0001").requests;
      const remoteName = remoteFileName(manifest.id, other, 1);
      const remote = await gemini.uploadFile({ path, ...job.requestFile, remoteName });
      await gemini.createBatch({ model: trial.target.model, file: remote.name, displayName });
      await manifest.record({
        type: "submitting",
        job: "0001",
        displayName: batchDisplayName(manifest.id, job, 1),
        submission: 1,
      });
    });
    expect(await trial.submit({ reconcileGraceMs: 60_000 })).toMatchObject({
      submitted: ["0001"],
      adopted: [],
    });
    expect(await trial.job("0001")).toMatchObject({ duplicateBatches: [] });
    expect(trial.emulator.batches()).toHaveLength(2);
  });

  test("a display name tells its job only where all of it is ours", () => {
    const { target, file: requestFile } = newJob("12345");
    const job = { id: "12345", target, requestFile };
    const name = batchDisplayName("abcd1234", job, 7);
    expect(jobOfBatch("abcd1234", name)).toBe("12345");
    expect(jobOfBatch("abcd1235", name)).toBeUndefined();
    expect(jobOfBatch("abcd1234", `${name}-1`)).toBeUndefined();
    expect(jobOfBatch("abcd1234", "vecfill-abcd1234-12-1")).toBeUndefined();
  });
});

test("an interrupted submit sends nothing more, and says what waits", async () => {
  const trial = await exported(3);
  const controller = new AbortController();
  const summary = await trial.submit(
    {},
    {
      signal: controller.signal,
      report: ({ type }) => {
        if (type === "submitted") controller.abort();
      },
    },
  );
  expect(summary).toMatchObject({ submitted: ["0001"], waiting: ["0002", "0003"] });
  expect(trial.emulator.batches()).toHaveLength(1);
  await expectPaidOnce(trial, 6);
});
