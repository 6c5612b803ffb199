/**
 * My laptop falls asleep, my container is suspended, just as a create request is about to leave; another
 * process takes the work over, and then the first one goes on. Are my rows in one batch all the same?
 */
import { readFile, utimes, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/clock.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { GeminiError } from "../../src/gemini/port.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import type { Manifest } from "../../src/manifest/manifest.ts";
import { nextTry } from "../../src/quota/next-try.ts";
import { submitJob } from "../../src/submit/submit-job.ts";
import { runHere, start } from "../command-line.ts";
import { startTrial, texts, type Trial } from "../trial.ts";
import { API_KEY, hastyClock, openWorkshop, type Workshop } from "../workshop.ts";
import { onlyWhere, sized } from "../size.ts";

const LATE_CREATE = fileURLToPath(new URL("../late-create.ts", import.meta.url));
const HOUR_MS = 3_600_000;
const GRACE_MS = 60_000;

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

/** Batches of jobs; a throw-away file's is no job's. */
function batchesOf({ emulator }: Trial): string[] {
  return emulator
    .batches()
    .flatMap(({ displayName, inputFile = "" }) =>
      displayName.startsWith("vecfill-check-") ? [] : [inputFile],
    );
}

async function expectPaidOnce(trial: Trial, rows: number): Promise<void> {
  await trial.poll();
  expect(await trial.import()).toMatchObject({ written: rows, failed: 0 });
  expect(Object.values(await trial.paid())).toEqual(Array.from({ length: rows }, () => 1));
}

/** Types of the journal's events of a job, or of all. */
async function told(trial: Trial, job?: string): Promise<string[]> {
  const lines = (await trial.text("manifest.ndjson")).trimEnd().split("\n").slice(1);
  return lines.flatMap((line) => {
    const event: unknown = JSON.parse(line);
    if (typeof event !== "object" || event === null || !("type" in event)) return [];
    const own = "job" in event ? String(event.job) : "";
    if (job === undefined) return [`${own} ${String(event.type)}`];
    return own === job ? [String(event.type)] : [];
  });
}

/** Stopped, and its lock looks like that of a machine elsewhere, long without a beat. */
async function stopped(trial: Trial, moment: string) {
  const process = start([LATE_CREATE, trial.folder, trial.emulator.url, API_KEY, moment]);
  await expect.poll(() => stateOf(process.child.pid), { timeout: 30_000 }).toBe("T");
  const lock = trial.path("manifest.lock");
  const holder: unknown = JSON.parse(await readFile(lock, "utf8"));
  await writeFile(lock, JSON.stringify(Object.assign({}, holder, { host: "elsewhere" })));
  const longAgo = new Date(Date.now() - HOUR_MS);
  await utimes(lock, longAgo, longAgo);
  return {
    goesOn: async () => {
      process.child.kill("SIGCONT");
      return (await process.ended).stdout;
    },
  };
}

async function stateOf(pid: number | undefined): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2)[0];
}

/** As whoever comes next does, from another machine. */
async function takeOver(trial: Trial, instead: Parameters<Trial["submit"]>[1] = {}) {
  await (await openManifest(trial.folder, hastyClock)).close();
  return trial.submit({ reconcileGraceMs: 100 }, instead);
}

function gone(): Promise<never> {
  return Promise.reject(new GeminiError("notFound", "told by the test"));
}

describe("a process that stops before its create leaves, and goes on when another has its work", () => {
  const isLinux = onlyWhere(process.platform === "linux", "need /proc to see a process stop");

  test("its request is refused, since its file is gone: one batch", isLinux, async () => {
    const trial = await exported(1);
    const first = await stopped(trial, "as the request leaves");
    expect(await takeOver(trial)).toMatchObject({ submitted: ["0001"], adopted: [] });
    expect(trial.emulator.createsOfGoneFiles()).toBe(1);
    expect(await first.goesOn()).toBe("locked");
    // the throw-away file's, and the one that came late
    expect(trial.emulator.createsOfGoneFiles()).toBe(2);
    expect(batchesOf(trial)).toEqual([expect.stringContaining("-0001-2-")]);
    await expectPaidOnce(trial, 2);
  });

  test("without the revocation there would be two", isLinux, async () => {
    const trial = await exported(1);
    const first = await stopped(trial, "as the request leaves");
    const gemini: typeof trial.gemini = {
      ...trial.gemini,
      deleteFile: async () => {},
      hasFile: async () => false,
      createBatch: (request) =>
        request.displayName.includes("-check-") ? gone() : trial.gemini.createBatch(request),
    };
    await takeOver(trial, { gemini });
    await first.goesOn();
    expect(batchesOf(trial)).toHaveLength(2);
  });

  test(
    "before the request is made, it sees that the folder is another's: nothing leaves",
    isLinux,
    async () => {
      const trial = await exported(1);
      const first = await stopped(trial, "after the intent");
      expect(await takeOver(trial)).toMatchObject({ submitted: ["0001"] });
      expect(await first.goesOn()).toBe("locked");
      expect(trial.emulator.createsOfGoneFiles()).toBe(1);
      expect(trial.emulator.calls("create")).toBe(2);
      await expectPaidOnce(trial, 2);
    },
  );
});

describe("a process that was held up between its intent and its create", () => {
  const HELD_UP_MS = 20_000;

  const clocks: Record<string, (clock: Clock, offMs: () => number) => Clock> = {
    "by the monotonic clock": (clock, offMs) => ({
      ...clock,
      elapsedMs: () => clock.elapsedMs() + offMs(),
    }),
    "by the wall clock": (clock, offMs) => ({
      ...clock,
      now: () => new Date(clock.now().getTime() + offMs()),
    }),
  };

  test.each(Object.entries(clocks))(
    "%s, for 20 s, sends nothing: the list decides",
    async (_, off) => {
      const trial = await exported(1, { frozen: true });
      let offMs = 0;
      const outcome = await trial.services({}, (all) => {
        const manifest: Manifest = {
          ...all.manifest,
          recordIf: async (holds, event) => {
            const job = await all.manifest.recordIf(holds, event);
            if (event.type === "submitting") offMs = HELD_UP_MS;
            return job;
          },
        };
        const clock = off(trial.clock, () => offMs);
        return submitJob({ ...all, manifest, clock }, manifest.job("0001"));
      });
      expect(outcome).toMatchObject({
        kind: "uncertain",
        message: expect.stringContaining("20 s"),
      });
      expect(trial.emulator.calls("create")).toBe(0);
      expect(await trial.states()).toEqual(["0001 submitting"]);
      expect(await trial.submit({ reconcileGraceMs: GRACE_MS })).toMatchObject({
        submitted: ["0001"],
      });
      expect(batchesOf(trial)).toHaveLength(1);
      await expectPaidOnce(trial, 2);
    },
  );
});

describe("a create without an answer and without a batch", () => {
  test("is sent again from a file of its own, once that of the first is gone and the list was read again", async () => {
    const trial = await exported(1, { frozen: true, faults: "create-lost=1x" });
    const startMs = trial.clock.elapsedMs();
    await trial.submit({ reconcileGraceMs: GRACE_MS });
    const tookMs = trial.clock.elapsedMs() - startMs;
    expect(tookMs).toBeGreaterThanOrEqual(4 * GRACE_MS);
    expect(tookMs).toBeLessThan(5.5 * GRACE_MS);
    expect(await told(trial, "0001")).toEqual([
      "exported",
      "uploaded",
      "submitting",
      "revoking",
      "absent",
      "uploaded",
      "submitting",
      "submitted",
    ]);
    expect(batchesOf(trial)).toEqual([expect.stringContaining("-0001-2-")]);
    await expectPaidOnce(trial, 2);
  });

  test("has the free check made once for a folder", async () => {
    const trial = await exported(2, { frozen: true, faults: "create-lost=2x" });
    await trial.submit({ reconcileGraceMs: GRACE_MS });
    expect(trial.emulator.createsOfGoneFiles()).toBe(1);
    expect((await trial.files()).filter((name) => name.includes("throw-away"))).toEqual([]);
    await expectPaidOnce(trial, 4);
  });

  test.each([
    ["deleteFile", 1],
    ["deleteFile", 2],
    ["hasFile", 1],
    ["hasFile", 2],
  ] as const)("goes on where a crash left it: at its %s, number %i", async (method, nth) => {
    const trial = await exported(1, { frozen: true, faults: "create-lost=1x" });
    let calls = 0;
    const dies = async (name: string) => {
      if (name.includes("-0001-1-") && ++calls === nth) throw new Error("killed by the test");
    };
    const real = trial.gemini;
    const gemini: typeof trial.gemini = {
      ...trial.gemini,
      ...(method === "deleteFile"
        ? { deleteFile: (name) => dies(name).then(() => real.deleteFile(name)) }
        : { hasFile: (name, signal) => dies(name).then(() => real.hasFile(name, signal)) }),
    };
    const grace = { reconcileGraceMs: GRACE_MS };
    await expect(trial.submit(grace, { gemini })).rejects.toThrow("killed by the test");
    expect((await trial.job("0001")).revoking).toMatchObject({ fences: true });
    const before = await told(trial, "0001");
    expect(await trial.submit(grace)).toMatchObject({ submitted: ["0001"] });
    expect((await told(trial, "0001")).slice(before.length)[0]).toBe("absent");
    expect(trial.emulator.createsOfGoneFiles()).toBe(1);
    expect(batchesOf(trial)).toHaveLength(1);
    await expectPaidOnce(trial, 2);
  });

  test("that shows its batch while its file is revoked: the batch is adopted", async () => {
    // shows after the first readings, and before the last ones
    const faults = "create-reset=1x,create-late=215";
    const trial = await exported(1, { frozen: true, faults, behaviour: "input-gone=runs" });
    expect(await trial.submit({ reconcileGraceMs: GRACE_MS })).toMatchObject({ adopted: ["0001"] });
    expect(await told(trial, "0001")).toContain("revoking");
    expect(batchesOf(trial)).toHaveLength(1);
    await expectPaidOnce(trial, 2);
  });

  const commands: Record<string, (trial: Trial) => Promise<unknown>> = {
    submit: async (trial) => {
      await trial.export({ bounds: { ...workshop.bounds, maxRows: 2 } });
      return trial.submit({ reconcileGraceMs: 300 });
    },
    run: (trial) => {
      const bounds = { ...workshop.bounds, maxRows: 2 };
      return trial.run({ export: trial.exportOptions({ bounds }), reconcileGraceMs: 300 });
    },
  };

  test.each(Object.entries(commands).slice(sized({ quick: 1, full: 0 })))(
    "holds up no other job: %s",
    async (_, command) => {
      const trial = await startTrial(workshop, texts(6), { faults: "create-lost=1x" });
      const { emulator } = trial;
      // the list that settles it is not to be had before the others are at Gemini
      trial.setWire(async ({ method, url }, send) => {
        if (method === "GET" && url.pathname.endsWith("/batches")) {
          while (emulator.calls("create") > 0 && emulator.batches().length < 2) {
            await systemClock.sleep(5);
          }
        }
        return send();
      });
      await command(trial);
      const events = await told(trial);
      const others = ["0002 submitted", "0003 submitted"].map((event) => events.indexOf(event));
      expect(Math.min(...others)).toBeGreaterThan(0);
      expect(Math.max(...others)).toBeLessThan(events.indexOf("0001 absent"));
      expect(batchesOf(trial)).toHaveLength(3);
    },
  );
});

describe("where deletion is seen late", () => {
  test("it is waited for", async () => {
    const behaviour = "delete-seen=late";
    const trial = await exported(1, { frozen: true, faults: "create-lost=1x", behaviour });
    expect(await trial.submit({ reconcileGraceMs: GRACE_MS })).toMatchObject({
      submitted: ["0001"],
    });
    expect(trial.emulator.createsOfGoneFiles()).toBe(1);
    expect(batchesOf(trial)).toHaveLength(1);
    await expectPaidOnce(trial, 2);
  });
});

describe.each([
  "create-input=unchecked",
  ...sized({ quick: [], full: ["delete-seen=late-by-creates"] }),
])("where a create passes although its file was deleted (%s)", (behaviour) => {
  const lost = { frozen: true, faults: "create-lost=1x", behaviour } as const;

  test("the job is held until its file has expired, said so, counted, and then sent once", async () => {
    const trial = await exported(2, lost);
    const summary = await trial.submit({ reconcileGraceMs: GRACE_MS });
    expect(summary).toMatchObject({
      submitted: ["0002"],
      waiting: ["0001"],
      why: expect.stringContaining("held: 0001 until "),
    });
    const checks = trial.emulator
      .batches()
      .filter(({ displayName }) => displayName.startsWith("vecfill-check-"));
    expect(checks).toMatchObject([{ deleted: true }]);
    const { remoteFile, revoking } = await trial.job("0001");
    expect(revoking).toMatchObject({ fences: false });
    const { stdout } = await runHere(["jobs", "--jobs-dir", trial.folder]);
    expect(stdout).toContain("Jobs held: 0001 until ");
    const json = await runHere(["jobs", "0001", "--json", "--jobs-dir", trial.folder]);
    const untilMs = Date.parse(remoteFile?.expiresAt ?? "") + HOUR_MS;
    expect(JSON.parse(json.stdout).jobs[0]).toMatchObject({
      state: "submitting",
      heldUntil: new Date(untilMs).toISOString(),
    });

    await trial.clock.sleep(untilMs - trial.clock.now().getTime() - GRACE_MS);
    expect(await trial.submit({ reconcileGraceMs: 1_000 })).toMatchObject({ submitted: [] });
    await trial.clock.sleep(2 * GRACE_MS);
    expect(await trial.submit({ reconcileGraceMs: GRACE_MS })).toMatchObject({
      submitted: ["0001"],
    });
    expect(batchesOf(trial)).toHaveLength(2);
    await expectPaidOnce(trial, 4);
  });

  test("run waits it out, and poll adopts a batch that shows after all", async () => {
    const trial = await exported(1, lost);
    expect(await trial.run({ reconcileGraceMs: GRACE_MS })).toMatchObject({ written: 2 });
    expect(trial.clock.elapsedMs()).toBeGreaterThan(48 * HOUR_MS);
    expect(Object.values(await trial.paid())).toEqual([1, 1]);

    const late = await exported(1, { behaviour, faults: "create-reset=1x,create-late=600" });
    const env = { GEMINI_API_KEY: "a-key-for-tests", GOOGLE_GEMINI_BASE_URL: late.emulator.url };
    const flags = ["--jobs-dir", late.folder];
    const submit = await runHere(["submit", "--reconcile-grace", "0", ...flags], { env });
    expect(submit.code, submit.stderr).toBe(EXIT_CODES.unfinished);
    await late.emulator.advance(600_000);
    const poll = await runHere(["poll", "--poll-interval", "0.05", ...flags], { env });
    expect(poll.code, poll.stderr).toBe(EXIT_CODES.done);
    expect(batchesOf(late)).toHaveLength(1);
  });
});

async function unreachable(): Promise<never> {
  throw new GeminiError("unreachable", "no connection");
}

test("that a create passes is remembered, also where the batch that showed it cannot be deleted", async () => {
  const behaviour = "create-input=unchecked";
  const trial = await exported(2, { frozen: true, faults: "create-lost=2x", behaviour });
  const gemini = { ...trial.gemini, deleteBatch: unreachable };
  const summary = await trial.submit({ reconcileGraceMs: GRACE_MS }, { gemini });
  expect(summary).toMatchObject({ submitted: [], waiting: ["0001", "0002"] });
  const checks = trial.emulator
    .batches()
    .filter(({ displayName }) => displayName.startsWith("vecfill-check-"));
  expect(checks).toHaveLength(1);
});

describe("a held job", () => {
  test("counts as queued where a person set the limit, and not against an advertised one", async () => {
    const trial = await exported(2);
    const [next, other] = await trial.jobs();
    if (next === undefined || other === undefined) throw new Error("no jobs");
    const held = {
      ...other,
      state: "submitting",
      revoking: { keyId: "k", fences: false },
    } as const;
    const asked = { jobs: [held], quotaWaitMs: 60_000, nowMs: 0 };
    const window = { maxActiveJobs: 90, maxEnqueuedTokens: next.tokens };
    expect(nextTry(next, { ...asked, window })).toMatchObject({
      atMs: Infinity,
      waitsFor: "tokens",
    });
    const advertised = { ...window, isAdvertised: true };
    expect(nextTry(next, { ...asked, window: advertised }).atMs).toBeLessThanOrEqual(0);
  });
});
