/**
 * My laptop sleeps, its clock is set an hour back or a year ahead, a batch hangs for a day, and cron
 * starts vecfill twice at once: is nothing given up, taken over or paid for by mistake?
 */
import { rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Clock, sharedClock, systemClock } from "../../src/clock.ts";
import { startEmulator } from "../../src/emulator/emulator.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { exportAll } from "../../src/export/export.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { openShared } from "../../src/manifest/tables/open-shared.ts";
import { pollJob } from "../../src/poll/poll-job.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { CLI, runHere, start } from "../command-line.ts";
import { submitJob } from "../../src/submit/submit-job.ts";
import { newJob, temporaryFolder } from "../manifest/sample.ts";
import { sharing } from "../manifest/tables/sharing.ts";
import { range, startTrial, texts } from "../trial.ts";
import { hastyClock, openWorkshop, type Workshop } from "../workshop.ts";
import { IN_FULL } from "../size.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const YEAR_MS = 365 * 24 * HOUR_MS;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

function warnings(): Extract<ProgressEvent, { type: "warning" }>[] {
  return workshop.events.filter((event) => event.type === "warning");
}

/** The wall clock is off by so much, for each look at it the next of them, and the last for good. */
function jumping(clock: Clock, ...offsetsMs: readonly number[]): Clock {
  let looks = 0;
  return {
    ...clock,
    now: () => {
      const offsetMs = offsetsMs[Math.min(looks, offsetsMs.length - 1)] ?? 0;
      looks += 1;
      return new Date(clock.now().getTime() + offsetMs);
    },
  };
}

describe("a batch that does not end", () => {
  const stuck = { frozen: true, faults: "batch-stuck" } as const;

  it("is reported once, with the choice, and goes on until Gemini ends it", async () => {
    const trial = await startTrial(workshop, texts(3), stuck);
    await trial.export();
    await trial.submit();
    workshop.events.length = 0;
    const early = { pollIntervalMs: HOUR_MS, timeoutMs: 23 * HOUR_MS };
    expect(await trial.poll(early)).toEqual({ ended: [], pending: ["0001"] });
    expect(warnings()).toEqual([]);
    expect(await trial.poll({ pollIntervalMs: HOUR_MS })).toEqual({ ended: ["0001"], pending: [] });
    expect(warnings()).toEqual([
      {
        type: "warning",
        // the trial's clock and the manifest's are some moments apart
        message: expect.stringMatching(/^Job 0001 has been at Gemini for 1 d(?: 1 h)?, /),
        hint: expect.stringMatching(/48 hours.*`vecfill cancel 0001`.*`vecfill resubmit`/),
      },
    ]);
    expect(await trial.job("0001")).toMatchObject({ state: "expired", outstanding: { lines: 3 } });
    expect(trial.emulator.calls("cancel")).toBe(0);
  });

  it("is reported by run, too, as early as asked for", async () => {
    const trial = await startTrial(workshop, texts(3), stuck);
    workshop.events.length = 0;
    const summary = await trial.run({
      pollIntervalMs: HOUR_MS,
      stuckAfterMs: 2 * HOUR_MS,
      maxAttempts: 1,
    });
    expect(summary).toMatchObject({ failed: 3, pending: [] });
    // some moments apart, as above
    const told = expect.stringMatching(/ for (?:2 h 59 min|3 h), /);
    expect(warnings()).toMatchObject([{ message: told }]);
    expect(await trial.states()).toEqual(["0001 expired"]);
    expect(trial.emulator.calls("cancel")).toBe(0);
  });

  it("stands in the result of poll and in the job's page, with the command to give it up", async () => {
    const trial = await startTrial(workshop, texts(3), { batchSeconds: 3_600 });
    await trial.export();
    await trial.submit();
    const env = { GEMINI_API_KEY: "a-key-for-tests", GOOGLE_GEMINI_BASE_URL: trial.emulator.url };
    const late = ["--stuck-after", "0", "--jobs-dir", trial.folder];
    const poll = await runHere(["poll", "--once", ...late], { env });
    const cancel = `vecfill cancel 0001 --jobs-dir ${trial.folder}`;
    expect(poll.code).toBe(EXIT_CODES.unfinished);
    expect(poll.stdout).toMatch(/^Job 0001 has been at Gemini for \d+ s; to give it up: vecfill/m);
    expect(poll.stdout).toContain(cancel);
    expect(poll.stderr).toContain(`\`${cancel}\``);
    expect((await runHere(["jobs", "0001", ...late])).stdout).toMatch(
      /^waiting for +\d+ s, stuck: .*cancel 0001/m,
    );
    const usual = ["--jobs-dir", trial.folder];
    const json = await runHere(["poll", "--once", "--json", ...usual], { env });
    expect(JSON.parse(json.stdout)).toMatchObject({ pending: ["0001"], stuck: [] });
    expect((await runHere(["jobs", "0001", ...usual])).stdout).not.toContain("stuck");
  });
});

describe("a wall clock that jumps", () => {
  it("back: a batch is never younger than new", async () => {
    const trial = await startTrial(workshop, texts(3), { frozen: true, batchSeconds: 3_600 });
    await trial.export();
    await trial.submit();
    workshop.events.length = 0;
    const clock = jumping(trial.clock, -YEAR_MS);
    await trial.poll({ pollIntervalMs: undefined, timeoutMs: 10 * MINUTE_MS }, { clock });
    const ages = workshop.events.flatMap((event) =>
      event.type === "pending" ? [event.ageSeconds] : [],
    );
    expect([new Set(ages), warnings()]).toEqual([new Set([0]), []]);
    // looked at as often as a new one, and not all the time
    expect(ages.length).toBeGreaterThan(10);
    expect(ages.length).toBeLessThan(200);
  });

  it("a year ahead: a batch is reported, not given up, and its results are taken", async () => {
    const trial = await startTrial(workshop, texts(3), { frozen: true, batchSeconds: 3_600 });
    await trial.export();
    await trial.submit();
    workshop.events.length = 0;
    const clock = jumping(trial.clock, YEAR_MS);
    expect(await trial.poll({ pollIntervalMs: MINUTE_MS }, { clock })).toEqual({
      ended: ["0001"],
      pending: [],
    });
    expect(warnings()).toHaveLength(1);
    await trial.import({ clock });
    expect(await trial.rightIds()).toEqual([1, 2, 3]);
  });

  it("to and fro, while a batch is looked for: the grace period is waited out all the same", async () => {
    const late = { frozen: true, faults: "create-ambiguous=1x,create-late=40" } as const;
    const trial = await startTrial(workshop, texts(3), late);
    await trial.export();
    const clock = jumping(trial.clock, 0, YEAR_MS, -YEAR_MS, HOUR_MS, -HOUR_MS, YEAR_MS);
    const summary = await trial.submit({ reconcileGraceMs: MINUTE_MS }, { clock });
    expect(summary).toMatchObject({ adopted: ["0001"], waiting: [] });
    expect(trial.emulator.batches()).toHaveLength(1);
    await trial.poll({}, { clock });
    await trial.import({ clock });
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1 });
  });

  it.each([
    ["ahead", 40 * HOUR_MS],
    ["back", -40 * HOUR_MS],
  ])("%s, between upload and create: one batch, of a file that is still there", async (_, ms) => {
    const trial = await startTrial(workshop, texts(3), { frozen: true, faults: "create-429=1x" });
    await trial.export();
    expect(await trial.submit()).toMatchObject({ waiting: ["0001"] });
    const clock = jumping(trial.clock, ms);
    expect(await trial.run({}, { clock })).toMatchObject({ written: 3, remaining: 0 });
    expect(trial.emulator.batches()).toHaveLength(1);
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1 });
  });
});

describe("a lock whose holder lives where another clock goes", () => {
  const BEAT_MS = 20;

  /** Beats as a holder on another host does, by a clock that is off by so much. */
  async function foreignHolder(offMs: number) {
    const folder = await temporaryFolder();
    const path = join(folder, "manifest.lock");
    const since = new Date().toISOString();
    const holder = { token: "other", pid: 1, host: "elsewhere", started: "1", since };
    await writeFile(path, JSON.stringify(holder));
    const beat = async (): Promise<void> => {
      const now = new Date(Date.now() + offMs);
      await utimes(path, now, now);
    };
    await beat();
    const timer = setInterval(() => void beat().catch(() => {}), BEAT_MS);
    return { folder, stop: () => clearInterval(timer) };
  }

  it.each([
    ["behind", -2 * HOUR_MS],
    ["ahead", 2 * HOUR_MS],
  ])("%s is believed while it beats, and not when it has stopped", async (_, offMs) => {
    const { folder, stop } = await foreignHolder(offMs);
    await expect(openManifest(folder, hastyClock)).rejects.toMatchObject({ exit: "locked" });
    stop();
    await new Promise((soon) => setTimeout(soon, 2 * BEAT_MS));
    const manifest = await openManifest(folder, hastyClock);
    await manifest.recordExported(newJob("0001"));
    await manifest.close();
  });

  it("is believed by who wakes up with a clock a year ahead", async () => {
    const { folder, stop } = await foreignHolder(0);
    const clock = jumping(hastyClock, YEAR_MS);
    await expect(openManifest(folder, clock)).rejects.toMatchObject({ exit: "locked" });
    stop();
  });
});

describe("a wait of more days than a timer of Node's can hold", () => {
  it("is waited, and can be given up", async () => {
    const giveUp = new AbortController();
    const waiting = systemClock.sleep(2 ** 31 + HOUR_MS, giveUp.signal).then(
      () => "over",
      () => "given up",
    );
    const soon = systemClock.sleep(50).then(() => "not over");
    expect(await Promise.race([waiting, soon])).toBe("not over");
    giveUp.abort();
    expect(await waiting).toBe("given up");
  });
});

describe("several processes at once", () => {
  const ROWS = 6;
  const TOGETHER = 3;

  it.each(["submit", "run"])(
    "%s: the work is done once, and the others say who does it",
    IN_FULL,
    async (command) => {
      const home = await temporaryFolder();
      const emulator = await startEmulator({ batchSeconds: 0 });
      const DATABASE_URL = `pglite:${join(home, "database")}`;
      const database = await openDatabase({ url: DATABASE_URL });
      await database.query("CREATE EXTENSION vector");
      await database.query(
        "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
      );
      await database.query(
        `INSERT INTO questions SELECT n, 'Question ' || n FROM generate_series(1, ${ROWS}) n`,
      );
      await database.close();
      const env = { DATABASE_URL, GEMINI_API_KEY: "k", GOOGLE_GEMINI_BASE_URL: emulator.url };
      const jobsDir = ["--jobs-dir", join(home, "jobs")];
      const here = (args: readonly string[]) =>
        runHere([...args, ...jobsDir], { env, folder: home });
      await here(["export", "--max-job-rows", "2"]);

      const all = await Promise.all(
        range(1, TOGETHER).map(() => start([CLI, command, ...jobsDir], { env, cwd: home }).ended),
      );
      const lost = all.filter(({ code }) => code === EXIT_CODES.locked);
      expect(all.filter(({ code }) => code === EXIT_CODES.done).length).toBe(
        TOGETHER - lost.length,
      );
      expect(lost.length).toBeLessThan(TOGETHER);
      for (const { stderr } of lost)
        expect(stderr).toMatch(/in use by (`vecfill submit`, )?(process \d+|another process)/);

      expect((await here(["run"])).code).toBe(EXIT_CODES.done);
      const bill = await emulator.billing();
      expect([bill.size, new Set(bill.values())]).toEqual([ROWS, new Set([1])]);
      expect(emulator.batches()).toHaveLength(ROWS / 2);
      await emulator.close();
      await rm(home, { recursive: true, force: true });
    },
  );
});

describe("several machines on one manifest", () => {
  it.each([1, -1])("one whose clock is %i h off goes by the database's", async (hours) => {
    await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
    const trial = await startTrial(workshop, texts(2));
    const wrong: Clock = {
      ...systemClock,
      now: () => new Date(Date.now() + hours * HOUR_MS),
    };
    const clock = sharedClock(wrong);
    await trial.services({ clock }, async (all) => {
      const scratch = await temporaryFolder();
      const manifest = await openShared(sharing(workshop.database, scratch, clock));
      const gemini = {
        ...all.gemini,
        getBatch: async () => undefined,
        findBatches: async () => [],
      };
      const its = { ...all, manifest, gemini };
      await exportAll(its, trial.exportOptions());
      await submitJob(its, manifest.job("0001"));
      // it may not be visible yet: who is an hour ahead would give it up, and pay again
      expect(await pollJob(its, manifest.job("0001"))).toMatchObject({ state: "submitted" });
      expect(Math.abs(clock.now().getTime() - Date.now())).toBeLessThan(MINUTE_MS);
      await manifest.close();
    });
  });

  it("a pause of the process is seen also where an answer came after it; a clock that was set goes on as before", () => {
    const moment = { ms: 0 };
    const clock = sharedClock({ ...systemClock, now: () => new Date(moment.ms) });
    const heard = (toldMs: number, sinceMs: number) =>
      clock.heard(new Date(toldMs).toISOString(), new Date(sinceMs));
    moment.ms = 10 * MINUTE_MS;
    heard(1_000, 0);
    expect(clock.now().getTime()).toBe(10 * MINUTE_MS);
    moment.ms += HOUR_MS;
    heard(10 * MINUTE_MS, moment.ms - 1_000);
    expect(clock.now().getTime()).toBe(10 * MINUTE_MS + 1_000);
  });
});
