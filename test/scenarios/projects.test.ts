/** I have keys of several projects. Do my rows go through all their queues, each once, and does no key speak for a project that it does not see? */
import { rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import { isOwnTurn, mayGoTo, withKeyOf } from "../../src/gates/keys.ts";
import { KeyCheck } from "../../src/gates/markers.ts";
import { type Gemini, GeminiError } from "../../src/gemini/port.ts";
import type { Key } from "../../src/jobs-folder/stage-services.ts";
import type { Job } from "../../src/manifest/job.ts";
import { reconcile } from "../../src/run/alone.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { createsOf } from "../../src/submit/creates.ts";
import { keyIdOf, Secret } from "../../src/settings/environment/secret.ts";
import { startTrial, texts, type Trial } from "../trial.ts";
import { API_KEY, openWorkshop, type Workshop } from "../workshop.ts";

/** Of the emulator's projects. */
const KEYS = { [API_KEY]: "one", "key-b": "two", "another-b": "two", "key-c": "three" };
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Jobs of two rows each. */
function begin(jobs: number, options: Parameters<typeof startTrial>[2] = {}) {
  return startTrial(workshop, texts(jobs * 2), { keys: KEYS, ...options });
}

/** A process that has these keys, by the names of their projects. */
function having(trial: Trial, named: Readonly<Record<string, string>>) {
  const keys = Object.entries(named).flatMap(([project, given]) =>
    given.split(",").map((key) => {
      return { project, keyId: keyIdOf(new Secret(key)), gemini: trial.clientOf(key) };
    }),
  );
  const [first] = keys;
  if (first === undefined) throw new Error("there is no key");
  return { ...first, keys };
}

/** A file that is gone is refused first, which proves where it is asked that nothing can come of a create. */
function withCreate(key: Key, createBatch: Gemini["createBatch"]): Key {
  const { gemini } = key;
  const create: Gemini["createBatch"] = async (request) =>
    (await gemini.hasFile(request.file)) ? createBatch(request) : gemini.createBatch(request);
  return { ...key, gemini: { ...gemini, createBatch: create } };
}

const BOTH = { default: API_KEY, b: "key-b" };

function smallJobs(trial: Trial) {
  return { export: trial.exportOptions({ bounds: { ...workshop.bounds, maxRows: 2 } }) };
}

/** Of each job's batch, throw-away ones left out. */
function projectsOf({ emulator }: Trial): string[] {
  return emulator
    .batches()
    .flatMap(({ displayName, project }) =>
      displayName.startsWith("vecfill-check-") ? [] : [project],
    )
    .toSorted();
}

async function expectPaidOnce(trial: Trial, rows: number): Promise<void> {
  expect(Object.values(await trial.paid())).toEqual(Array.from({ length: rows }, () => 1));
  expect(await trial.emptyIds()).toEqual([]);
}

describe("a run with keys of two projects", () => {
  test("keeps both queues full, and each row is paid for once", async () => {
    const trial = await begin(6, { activeBatchesMax: 2, batchSeconds: 1 });
    const window = { maxActiveJobs: 2, maxEnqueuedTokens: 500_000 };
    const most = { one: 0, two: 0 };
    trial.setWire(async (_call, send) => {
      const active = trial.emulator.batches().filter(({ state }) => /PENDING|RUNNING/.test(state));
      for (const name of ["one", "two"] as const)
        most[name] = Math.max(most[name], active.filter(({ project }) => project === name).length);
      return send();
    });
    await trial.run({ ...smallJobs(trial), window }, having(trial, BOTH));
    expect(most).toEqual({ one: 2, two: 2 });
    const jobs = await trial.jobs();
    expect(new Set(jobs.map(({ project }) => project))).toEqual(new Set(["default", "b"]));
    await expectPaidOnce(trial, 12);
  });

  test("sends what one of them refuses to the other one, uploaded anew", async () => {
    const trial = await begin(3);
    const both = having(trial, BOTH);
    const [first, ...others] = both.keys;
    if (first === undefined) throw new Error("there are two keys");
    const keys = [withCreate(first, refuse), ...others];
    await trial.run(smallJobs(trial), { ...both, keys });
    expect(projectsOf(trial)).toEqual(["two", "two", "two"]);
    const quota = await trial.services({}, async ({ manifest }) => {
      const logs = ["default", "b"].map((name) => manifest.quota(trial.target.model, name));
      return logs.map(({ lastRefusalMs }) => lastRefusalMs !== undefined);
    });
    expect(quota).toEqual([true, false]);
    await expectPaidOnce(trial, 6);
  });

  test("goes on with the other one where one has no money, and tries it again", async () => {
    const trial = await begin(6, { activeBatchesMax: 1, batchSeconds: 0.2 });
    const both = having(trial, BOTH);
    const [first, second] = both.keys;
    if (first === undefined || second === undefined) throw new Error("there are two keys");
    let refusals = 0;
    const broke = async (...given: Parameters<Gemini["createBatch"]>) => {
      refusals += 1;
      return refusals <= mostRefusals ? noMoney() : second.gemini.createBatch(...given);
    };
    const keys = [first, withCreate(second, broke)];
    let mostRefusals = Infinity;
    await trial.export(smallJobs(trial).export);
    await trial.submit({}, { ...both, keys });
    expect(new Set(projectsOf(trial))).toEqual(new Set(["one"]));
    mostRefusals = refusals + 2;
    await trial.run(smallJobs(trial), { ...both, keys });
    const warnings = workshop.events.flatMap((event) =>
      event.type === "warning" && event.message.includes("to the project b") ? [event.message] : [],
    );
    expect(warnings.at(-1)).toMatch(/for now: .*no credit/);
    expect(new Set(projectsOf(trial))).toEqual(new Set(["one", "two"]));
    await expectPaidOnce(trial, 12);
  });

  test("cuts no more jobs for one that takes none than it tries", async () => {
    const trial = await begin(40, { activeBatchesMax: 1, batchSeconds: 0.1 });
    const { keys, ...both } = having(trial, BOTH);
    const full = keys.map((key) => (key.project === "b" ? withCreate(key, refuse) : key));
    const bounds = { ...workshop.bounds, maxRows: 10, maxTokens: 100 };
    const options = { export: trial.exportOptions({ bounds }), quotaWaitMs: 10 };
    await trial.run(options, { ...both, keys: full });
    const states = (await trial.jobs()).map(({ state }) => state);
    expect(states.filter((state) => state === "cancelled").length).toBeGreaterThan(0);
    expect(states.length).toBeLessThan(22);
    await expectPaidOnce(trial, 80);
  });

  test("ends the sending where no project takes anything", async () => {
    const trial = await begin(2);
    const both = having(trial, BOTH);
    const keys = both.keys.map((key) => withCreate(key, noMoney));
    const ended = trial.run(smallJobs(trial), { ...both, keys });
    await expect(ended).rejects.toThrow("no credit");
    expect(await trial.states()).toEqual(["0001 exported", "0002 exported"]);
  });

  test("finds what was sent to either before a backup was put back", async () => {
    const trial = await begin(4);
    await trial.export(smallJobs(trial).export);
    const both = having(trial, BOTH);
    const window = { maxActiveJobs: 2, maxEnqueuedTokens: 500_000 };
    await trial.forgetting(() => trial.submit({ window }, both));
    expect(projectsOf(trial)).toEqual(["one", "one", "two", "two"]);
    await trial.run(smallJobs(trial), both);
    expect(projectsOf(trial)).toEqual(["one", "one", "two", "two"]);
    await expectPaidOnce(trial, 8);
  });

  test("settles a lost create where it was sent, and that one comes late in vain", async () => {
    const trial = await begin(2, { faults: "create-lost=2x" });
    await trial.run({ ...smallJobs(trial), reconcileGraceMs: 300 }, having(trial, BOTH));
    const lines = (await trial.text("manifest.ndjson")).split("\n");
    expect(lines.filter((line) => line.includes('"absent"'))).toHaveLength(2);
    // the check of each key
    expect(trial.emulator.createsOfGoneFiles()).toBe(2);
    await expectPaidOnce(trial, 4);
  });
});

async function noMoney(): Promise<never> {
  throw new GeminiError("billing", "no credit");
}

async function refuse(): Promise<never> {
  throw new GeminiError("quota", "told by the test", { httpStatus: 429 });
}

/** A job of b whose create had no answer. */
async function uncertain() {
  const trial = await begin(2, { faults: "create-reset=1x" });
  await trial.export(smallJobs(trial).export);
  await trial.services(having(trial, { b: "key-b" }), async (all) => {
    const { projects } = createsOf(all, 1);
    for (const { creates } of projects) {
      await creates.lookBefore(all.manifest.job("0001"));
      await creates.send(all.manifest.job("0001"), {});
    }
  });
  expect(await trial.job("0001")).toMatchObject({ state: "submitting", project: "b" });
  return trial;
}

describe("a job in a queue whose key is not here", () => {
  test("is left alone, and said to be; the others go on", async () => {
    const trial = await uncertain();
    const before = trial.emulator.calls("create");
    const ended = trial.run(smallJobs(trial), having(trial, { default: API_KEY }));
    await expect(ended).rejects.toMatchObject({
      message: expect.stringContaining("of the project b"),
      hint: expect.stringContaining("VECFILL_KEY_B"),
    });
    expect(await trial.states()).toEqual(["0001 submitting", "0002 imported"]);
    expect(trial.emulator.calls("create")).toBe(before + 1);
    const settled = trial.services(having(trial, { default: API_KEY }), (all) => reconcile(all, 0));
    await expect(settled).rejects.toMatchObject({ hint: expect.stringContaining("VECFILL_KEY_B") });
    await trial.run(smallJobs(trial), having(trial, BOTH));
    await expectPaidOnce(trial, 4);
  });

  test("is found by a poll with all keys", async () => {
    const trial = await uncertain();
    await trial.poll({ once: true }, having(trial, BOTH));
    expect(await trial.states()).not.toContain("0001 submitting");
  });

  test("is settled by another key of its project, which sees its marker", async () => {
    const trial = await uncertain();
    await trial.run(smallJobs(trial), having(trial, { b: "another-b" }));
    await expectPaidOnce(trial, 4);
  });

  test("but not by a key that does not, under whatever name; the others go on", async () => {
    const trial = await uncertain();
    const wrong = having(trial, { ...BOTH, b: "key-c" });
    await expect(trial.run(smallJobs(trial), wrong)).rejects.toMatchObject({
      message: expect.stringContaining("cannot be told with this API key"),
      hint: expect.stringMatching(/VECFILL_KEY_B .*cancel 0001 --give-up/),
    });
    expect(await trial.states()).toEqual(["0001 submitting", "0002 imported"]);
    await trial.run(smallJobs(trial), having(trial, { b: "key-b" }));
    await expectPaidOnce(trial, 4);
  });
});

/** Two jobs, the first of b, whose batches have ended. */
async function bothEnded() {
  const trial = await begin(2);
  await trial.export(smallJobs(trial).export);
  const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
  await trial.submit({ window }, having(trial, { b: "key-b" }));
  await trial.submit({ window }, having(trial, { default: API_KEY }));
  await trial.poll({}, having(trial, BOTH));
  expect(await trial.states()).toEqual(["0001 succeeded", "0002 succeeded"]);
  return trial;
}

/** Given up by a person, with these keys. */
function giveUp(trial: Trial, named: Readonly<Record<string, string>>) {
  return trial.services(having(trial, named), (all) => {
    const gemini = async (job: Job) => withKeyOf(all, job).gemini;
    return cancelJob({ ...all, gemini }, all.manifest.job("0001"), true);
  });
}

describe("a job that has ended, and whose key is not here", () => {
  test.each([
    ["no key of its project", { default: API_KEY }],
    ["another project's under its name", { default: API_KEY, b: "key-c" }],
  ])("keeps no other from the column, and can be given up: %s", async (_which, named) => {
    const trial = await bothEnded();
    await expect(trial.import(having(trial, named))).rejects.toMatchObject({
      message: expect.stringMatching(/^Job 0001: /),
      hint: expect.stringMatching(/VECFILL_KEY_B .* `vecfill cancel 0001 --give-up`/),
    });
    expect(await trial.states()).toEqual(["0001 succeeded", "0002 imported"]);
    await expect(giveUp(trial, BOTH)).rejects.toMatchObject({ exit: "usage" });
    expect(await giveUp(trial, named)).toBe("givenUp");
    expect(await trial.states()).toEqual(["0001 cancelled", "0002 imported"]);
  });

  test.each([
    ["another-b", "failed"],
    ["key-c", "succeeded"],
  ])(
    "is lost where a key of its project sees neither batch nor results: %s",
    async (key, state) => {
      const trial = await bothEnded();
      // its marker
      await trial.services(having(trial, { b: "key-b" }), (all) => new KeyCheck(all).check());
      const { batch = "" } = await trial.job("0001");
      await trial.clientOf("key-b").deleteBatch(batch);
      const gone = {
        error: { code: 403, message: "You do not have permission to access the File" },
      };
      trial.setWire(async ({ url }, send) =>
        url.pathname.endsWith(":download") ? Response.json(gone, { status: 403 }) : send(),
      );
      await trial.import(having(trial, { ...BOTH, b: key })).catch(() => {});
      expect((await trial.job("0001")).state).toBe(state);
    },
  );

  test("and whose rows have lost their vectors: they wait, and are paid for again only by --beside", async () => {
    const trial = await bothEnded();
    await trial.import(having(trial, BOTH));
    await trial.sql("UPDATE questions SET embedding = NULL");
    await rm(trial.path("0001.results.jsonl"));
    await trial.run(smallJobs(trial), having(trial, { default: API_KEY }));
    expect([await trial.emptyIds(), Object.values(await trial.paid())]).toEqual([
      [1, 2],
      [1, 1, 1, 1],
    ]);
    await trial.run(smallJobs(trial), having(trial, BOTH));
    await expectPaidOnce(trial, 4);
    await trial.sql("UPDATE questions SET embedding = NULL WHERE id < 3");
    await rm(trial.path("0001.results.jsonl"));
    const beside = { ...smallJobs(trial), beside: true };
    await trial.run(beside, having(trial, { default: API_KEY }));
    expect(Object.values(await trial.paid())).toEqual([2, 2, 1, 1]);
  });
});

describe("keys of one project", () => {
  test("are refused under two names, in one process or in several", async () => {
    const trial = await begin(2);
    const once = trial.run(smallJobs(trial), having(trial, { b: "key-b", c: "another-b" }));
    await expect(once).rejects.toMatchObject({
      exit: "usage",
      message: expect.stringMatching(/VECFILL_KEY_[BC] is of the project that is called [bc]/),
    });
    await trial.export(smallJobs(trial).export);
    const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
    await trial.submit({ window }, having(trial, { b: "key-b" }));
    const other = trial.run(smallJobs(trial), having(trial, { c: "another-b" }));
    await expect(other).rejects.toMatchObject({ hint: expect.stringContaining("VECFILL_KEY_B") });
  });

  test("are taken under one, and each fetches what it sent", async () => {
    const trial = await begin(2);
    await trial.export(smallJobs(trial).export);
    await trial.submit({}, having(trial, { b: "another-b" }));
    await trial.run(smallJobs(trial), having(trial, { b: "key-b,another-b" }));
    expect(projectsOf(trial)).toEqual(["two", "two"]);
    await expectPaidOnce(trial, 4);
  });

  test("leave no file where there is one without a name", async () => {
    const trial = await begin(1);
    const uploads: string[] = [];
    const its = having(trial, { default: API_KEY });
    const uploadFile: typeof its.gemini.uploadFile = (file, signal) => {
      uploads.push(file.remoteName);
      return trial.gemini.uploadFile(file, signal);
    };
    const gemini = { ...its.gemini, uploadFile };
    const keys = its.keys.map((key) => ({ ...key, gemini }));
    await trial.run(smallJobs(trial), { ...its, gemini, keys });
    expect(uploads).toEqual([expect.stringContaining("-0001-1-")]);
    expect((await trial.text("manifest.ndjson")).includes("project")).toBe(false);
  });

  test("leave a new one each day that they send something, and keep their names when all are gone", async () => {
    const trial = await begin(2, { frozen: true });
    await trial.export(smallJobs(trial).export);
    const markers = new Set<string>();
    trial.setWire(async ({ url }, send) => {
      const [marker] = /vecfill-\w{8}-[0-9a-f]{12}-\d+$/.exec(url.pathname) ?? [];
      if (marker !== undefined) markers.add(marker);
      return send();
    });
    const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
    await trial.submit({ window }, having(trial, { b: "key-b" }));
    await trial.services(having(trial, { b: "key-b" }), async (all) => {
      const check = new KeyCheck(all);
      for (let day = 0; day < 3; day += 1) {
        await check.check();
        await check.check();
        await trial.clock.sleep(DAY_MS);
      }
    });
    expect(markers.size).toBe(3);
    await trial.clock.sleep(4 * DAY_MS);
    const renamed = trial.submit({}, having(trial, { other: "key-b" }));
    await expect(renamed).rejects.toMatchObject({ hint: expect.stringContaining("VECFILL_KEY_B") });
  });
});

test("of two workers each begins with other jobs, and is told what it leaves to the other", async () => {
  const trial = await uncertain();
  await trial.services({}, async ({ manifest, ...all }) => {
    const sent = new Map(Object.values(BOTH).map((key, at) => [key, Object.keys(BOTH)[at] ?? ""]));
    const shared = { ...manifest, isShared: true, keys: () => sent };
    const turns = Object.entries(BOTH).map(([project, key]) => {
      const own = { ...all, ...having(trial, { [project]: key }), manifest: shared };
      return manifest.jobs().flatMap((job) => (isOwnTurn(own, job) ? [job.id] : []));
    });
    expect(new Set(turns.map(String))).toEqual(new Set(["0001", "0002"]));
    const events: ProgressEvent[] = [];
    const report = (event: ProgressEvent) => events.push(event);
    const own = { ...all, ...having(trial, { default: API_KEY }), manifest: shared, report };
    await reconcile(own, 0);
    expect(events).toMatchObject([
      {
        message: expect.stringMatching(/^Job 0001: .* b, .* left to others\.$/),
        hint: expect.stringContaining("VECFILL_KEY_B"),
      },
    ]);
  });
});

test("a job goes to another project when its own refuses it, is not here, or does not send it for long", async () => {
  const trial = await begin(1);
  await trial.export(smallJobs(trial).export);
  await trial.services(having(trial, BOTH), async (all) => {
    const { manifest } = all;
    const may = (
      job: Job,
      isShared: boolean,
      ageMs: number,
      named: Record<string, string> = BOTH,
    ) => {
      const now = () => new Date(Date.parse(job.updatedAt) + ageMs);
      const clock = { ...all.clock, now };
      return mayGoTo({ ...having(trial, named), manifest: { ...manifest, isShared }, clock }, job);
    };
    const [exported] = manifest.jobs();
    if (exported === undefined) throw new Error("there is a job");
    expect(may(exported, true, 0)).toBe(true);
    const remoteFile = { name: "files/x" };
    const job = "0001";
    const uploaded = await manifest.record({ type: "uploaded", job, project: "b", remoteFile });
    expect([may(uploaded, true, 0), may(uploaded, true, 11 * MINUTE_MS)]).toEqual([false, true]);
    expect(may(uploaded, true, 0, { b: "key-b" })).toBe(true);
    const alone = { default: API_KEY };
    expect([may(uploaded, true, 0, alone), may(uploaded, false, 0, alone)]).toEqual([false, true]);
    const sent = { displayName: "d", submission: 1, project: "b", keyId: "k" };
    const sending = await manifest.record({ type: "submitting", job, ...sent });
    expect(may(sending, false, 11 * MINUTE_MS, alone)).toBe(false);
    const error = { code: 429, message: "quota" };
    const refused = await manifest.record({ type: "refused", job, error, fileGone: false });
    expect(may(refused, true, 0)).toBe(true);
  });
});
