/**
 * A disturbed run: processes one after the other, each with its own faults at the border, until
 * none is left; then undisturbed ones until the work is done; then the books.
 */
import { importEnded, poll, submit } from "../../../src/run/alone.ts";
import { readManifest } from "../../../src/jobs-folder/open.ts";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { type Emulator, startEmulator } from "../../../src/emulator/emulator.ts";
import { exportAll, type ExportOptions } from "../../../src/export/export.ts";
import { failureOf } from "../../../src/output/failure.ts";
import { connectGemini } from "../../../src/gemini/client.ts";
import { retryingGemini } from "../../../src/gemini/retry.ts";
import { pricesOf } from "../../../src/cost/tariff.ts";
import { IndexKeeper } from "../../../src/import/index-keeper.ts";
import type { Job } from "../../../src/manifest/job.ts";
import type { LaneChoice } from "../../../src/cost/lane.ts";
import { isOpen } from "../../../src/manifest/states.ts";
import { plan as planRun } from "../../../src/plan/plan.ts";
import { resubmitJobs, retryableLine } from "../../../src/resubmit/resubmit.ts";
import { run } from "../../../src/run/run.ts";
import { cell } from "../../../src/store/database.ts";
import { withRetry } from "../../../src/store/retry.ts";
import { keyIdOf, Secret } from "../../../src/settings/environment/secret.ts";
import { createSqlStore } from "../../../src/store/postgres/sql-store.ts";
import {
  API_KEY,
  hastyClock,
  RACE,
  racingClock,
  type Workshop,
  type WorkshopServices,
} from "../../workshop.ts";
import { audit } from "./books.ts";
import { Border, borderDatabase, borderFetch, type Fault, underTest } from "./outside.ts";
import { PaidAtOnce } from "./paid-at-once.ts";

export type Disturbance = Readonly<{
  /** What goes wrong in each of the first processes. */
  processes: readonly (readonly Fault[])[];
  /** Stage by stage rather than `run`. */
  stages?: boolean;
  rows?: number;
  rowsPerJob?: number;
  maxActiveJobs?: number;
  /** `sync`: everything is embedded at once. */
  lane?: "batch" | "sync";
  reconcileGraceMs?: number;
  /** What the emulator does wrong, as it reads it, from the first process to the last. */
  emulatorFaults?: string;
  emulatorSeed?: number;
  /** Gemini counts the rows' tokens first, as `vecfill run` has it do. */
  counts?: boolean;
  /** There are keys of two projects. */
  hasTwoProjects?: boolean;
  /** The column has indexes, which are dropped and built again. */
  rebuildIndex?: boolean;
  /**
   * Time goes a thousand times as fast for the processes, not for the emulator: what a refusal for quota
   * teaches makes them wait for minutes otherwise.
   */
  isRacing?: boolean;
}>;

export type SweptRun = Readonly<{
  /** Names of the calls that went wrong. */
  hits: readonly string[];
  /** Calls over the border in the disturbed processes. */
  calls: number;
}>;

type Plan = Required<Disturbance>;

const SMALL = {
  stages: false,
  rows: 7,
  rowsPerJob: 3,
  maxActiveJobs: 90,
  lane: "batch",
  reconcileGraceMs: 20,
  emulatorFaults: "",
  emulatorSeed: 1,
  counts: false,
  hasTwoProjects: false,
  rebuildIndex: false,
  isRacing: false,
} as const;
const MAX_ATTEMPTS = 3;
/** Without faults at the emulator one is enough; with them, a lost answer may come again. */
const MAX_RECOVERIES = 20;

/** Throws where a promise was broken; the message names the disturbance. */
export async function runDisturbed(
  workshop: Workshop,
  disturbance: Disturbance,
): Promise<SweptRun> {
  const plan: Plan = { ...SMALL, ...disturbance };
  const breach = (what: string) => new Error(`${what}\nby ${JSON.stringify(disturbance)}`);
  const { emulatorFaults: faults, emulatorSeed: seed } = plan;
  const keys = plan.hasTwoProjects ? { keys: PROJECTS } : {};
  const emulator = await startEmulator({ batchSeconds: 0, tier: "off", faults, seed, ...keys });
  try {
    await workshop.seed(
      Array.from({ length: plan.rows }, (_, index) => ({ id: index + 1, text: textOf(index) })),
    );
    if (plan.rebuildIndex) for (const sql of INDEXES) await workshop.database.query(sql);
    const definitions = await indexDefinitions(workshop);
    const disturbed = new Process(workshop, emulator, plan);
    const swept = await disturbed.untilDone();
    if (swept.bug !== undefined) throw breach(`a bug: ${swept.bug}`);
    if (!swept.done) throw breach(`not finished after ${MAX_RECOVERIES} repetitions`);
    const { database, target, folder } = workshop;
    const lostAtOnce = disturbed.paidAtOnce.lost;
    const books = await audit({ database, target, folder, emulator, lostAtOnce });
    const all = faults === "" && books.right !== plan.rows ? ["not every row has its vector"] : [];
    const same = String(await indexDefinitions(workshop)) === String(definitions);
    const indexes = same ? [] : ["the indexes are not as they were"];
    const { breaches: paidAgain } = disturbed.paidAtOnce;
    const breaches = [...books.breaches, ...paidAgain, ...all, ...indexes];
    if (breaches.length > 0) throw breach(breaches.join("\n"));
    return swept;
  } finally {
    await emulator.close();
  }
}

const INDEXES = [
  "CREATE INDEX ann ON questions USING hnsw (embedding vector_cosine_ops) WITH (m = 8)",
  `CREATE INDEX "Half" ON questions USING hnsw ((embedding::halfvec(128)) halfvec_l2_ops) WHERE id > 0`,
];

/** Those that are valid. */
async function indexDefinitions({ database }: Workshop): Promise<string[]> {
  const rows = await database.query(
    `SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index
     WHERE indrelid = 'questions'::regclass AND indisvalid ORDER BY 1`,
  );
  return rows.map((row) => cell(row, "definition"));
}

/** Every third row has the text of the one before it. */
function textOf(index: number): string {
  return `row ${index % 3 === 2 ? index - 1 : index}`;
}

class Process {
  readonly #workshop: Workshop;
  readonly #emulator: Emulator;
  readonly #plan: Plan;
  readonly paidAtOnce: PaidAtOnce;
  readonly #clock: Clock;
  readonly #hits: string[] = [];
  #calls = 0;
  #bug: string | undefined;

  constructor(workshop: Workshop, emulator: Emulator, plan: Plan) {
    this.#workshop = workshop;
    this.#emulator = emulator;
    this.#plan = plan;
    this.#clock = plan.isRacing ? racingClock() : hastyClock;
    this.paidAtOnce = new PaidAtOnce(emulator, workshop.folder);
  }

  async untilDone(): Promise<SweptRun & { done: boolean; bug: string | undefined }> {
    let done = false;
    for (const faults of this.#plan.processes) await this.#run(faults);
    for (let attempt = 0; attempt < MAX_RECOVERIES && !done; attempt++) {
      done = (await this.#run([])) && (await this.#isDone());
    }
    return { hits: this.#hits, calls: this.#calls, done, bug: this.#bug };
  }

  /** True when it came to its end. */
  async #run(faults: readonly Fault[]): Promise<boolean> {
    const border = new Border(faults);
    let ended = false;
    await underTest.run(border, async () => {
      try {
        await (this.#plan.stages ? this.#stages() : this.#pipeline());
        ended = true;
      } catch (error) {
        if (!border.isDead && failureOf(error).bug) this.#bug ??= failureOf(error).stack;
      }
    });
    await border.quiet();
    this.#hits.push(...border.hits);
    this.#calls += border.calls;
    await this.#letLockGo();
    const losesItself = LOSING.some((name) => this.#plan.emulatorFaults.includes(name));
    const { hits, asked, struck } = border;
    if (!ended && !border.isDead && hits.length > 0 && hits.every(isCount)) {
      this.#bug ??= "a count that was not answered ended the run";
    }
    await this.paidAtOnce.close({ struck, asked, losesItself });
    return ended;
  }

  async #isDone(): Promise<boolean> {
    const manifest = await readManifest(this.#workshop.folder);
    const jobs = manifest.jobs();
    if (manifest.droppedIndexes().length > 0) return false;
    return !jobs.some(isOpen) && !jobs.some((job) => this.#canBeResubmitted(job));
  }

  #canBeResubmitted(job: Job): boolean {
    return job.outstanding.retryable > 0 && job.attempt < MAX_ATTEMPTS;
  }

  async #pipeline(): Promise<void> {
    const { maxActiveJobs } = this.#plan;
    const reconcileGraceMs = this.#graceMs();
    await this.#withServices(async (services) => {
      if (this.#plan.counts) await this.#count(services);
      return run(services, {
        export: this.#exportOptions(),
        window: { maxActiveJobs, maxEnqueuedTokens: MAX_ENQUEUED_TOKENS },
        prices: pricesOf({}),
        lane: this.#lane(),
        reconcileGraceMs,
        quotaWaitMs: 20,
        pollIntervalMs: 5,
        maxAttempts: MAX_ATTEMPTS,
        timeoutMs: undefined,
        stuckAfterMs: STUCK_AFTER_MS,
      });
    });
  }

  async #count(services: WorkshopServices): Promise<void> {
    const { target, bounds } = this.#exportOptions();
    const { sample } = await planRun(services, {
      target,
      bounds,
      limit: undefined,
      onTooLong: "skip",
      countsDistinct: false,
      prices: pricesOf({}),
      tier: "1",
      maxEnqueuedTokens: MAX_ENQUEUED_TOKENS,
      maxAttempts: MAX_ATTEMPTS,
    });
    if (sample !== undefined) await services.manifest.recordCounted(target, sample);
  }

  /** As a script would: each stage a command of its own, and the first that fails ends it. */
  async #stages(): Promise<void> {
    const { maxActiveJobs } = this.#plan;
    const reconcileGraceMs = this.#graceMs();
    const window = { maxActiveJobs, maxEnqueuedTokens: MAX_ENQUEUED_TOKENS };
    await this.#withServices((services) => exportAll(services, this.#exportOptions()));
    for (let rounds = 0; rounds < MAX_RECOVERIES; rounds++) {
      const lane = this.#lane();
      await this.#withServices((services) => submit(services, { window, reconcileGraceMs, lane }));
      await this.#withServices((services) =>
        poll(services, {
          pollIntervalMs: 5,
          once: false,
          timeoutMs: undefined,
          stuckAfterMs: STUCK_AFTER_MS,
        }),
      );
      await this.#withServices((services) => importEnded(services));
      await this.#withServices((services) => this.#resubmit(services));
      if (await this.#isDone()) return;
      // as a script does that is told that the queue is full for minutes
      if (this.#plan.isRacing) await this.#clock.sleep(FULL_QUEUE_WAIT_MS);
    }
  }

  async #resubmit(services: WorkshopServices): Promise<void> {
    const jobs = services.manifest.jobs().filter((job) => this.#canBeResubmitted(job));
    const { bounds } = this.#exportOptions();
    await resubmitJobs(services, jobs, bounds, retryableLine);
  }

  /** Of the emulator's time. */
  #graceMs(): number {
    const { isRacing, reconcileGraceMs } = this.#plan;
    return isRacing ? reconcileGraceMs * RACE : reconcileGraceMs;
  }

  #lane(): LaneChoice {
    return { lane: this.#plan.lane, syncUpToTokens: 0 };
  }

  #exportOptions(): ExportOptions {
    const { target, bounds } = this.#workshop;
    return {
      target,
      bounds: { ...bounds, maxRows: this.#plan.rowsPerJob },
      limit: undefined,
      onTooLong: "skip",
    };
  }

  #withServices<T>(work: (services: WorkshopServices) => Promise<T>): Promise<T> {
    const { target, database } = this.#workshop;
    const clock = this.#clock;
    const client = { baseUrl: this.#emulator.url, fetch: borderFetch, limits: HASTY_LIMITS };
    const connect = (apiKey: string) => retryingGemini(connectGemini({ ...client, apiKey }), clock);
    const gemini = connect(API_KEY);
    const keys = Object.keys(PROJECTS).map((key, at) => ({
      project: at === 0 ? "default" : "b",
      keyId: keyIdOf(new Secret(key)),
      gemini: connect(key),
    }));
    const projects = this.#plan.hasTwoProjects ? { keys } : {};
    const store = withRetry(
      createSqlStore(borderDatabase(database), target, { where: undefined }),
      { clock, report: () => {} },
    );
    const signal = underTest.getStore()?.death ?? new AbortController().signal;
    const instead = { gemini, ...projects, store, clock, storeOf: async () => store, signal };
    const rebuild = this.#plan.rebuildIndex;
    return this.#workshop.withServices((services) => {
      // in real time no build here is long enough to be asked how far it is: the calls stay the same
      const unhurried = { ...services, ...instead, clock: systemClock };
      const indexes = new IndexKeeper({ ...unhurried, rebuild });
      return work({ ...services, ...instead, indexes });
    }, clock);
  }

  /** What a dead process holds is let go by the system; here it is let go by hand. */
  async #letLockGo(): Promise<void> {
    const { folder } = this.#workshop;
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter((each) => each.startsWith("manifest.lock"))) {
      await rm(join(folder, name), { force: true });
    }
  }
}

/** Of each key. */
const PROJECTS = { [API_KEY]: "one", "key-of-another": "two" };

/** What the emulator loses or spoils of answers that were paid for at once. */
const LOSING = ["sync-cut", "sync-silent", "sync-count"];

/** Without it, tokens are estimated. */
function isCount(hit: string): boolean {
  return hit.endsWith(":countTokens");
}

const FULL_QUEUE_WAIT_MS = 600_000;
const MAX_ENQUEUED_TOKENS = 500_000;
const STUCK_AFTER_MS = 86_400_000;
/** An upload that stumbles waits by real time otherwise. */
const HASTY_LIMITS = { firstStumbleDelayMs: 10, maxStumbleDelayMs: 50, activePollMs: 20 };

/** More than any run makes. */
const MAX_CALLS = 2_000;

/**
 * A run for every nth call of a kind, from the first on, until the runs have no such call any more.
 * Names of the calls that went wrong.
 */
export async function failEveryCall(
  workshop: Workshop,
  fault: Omit<Fault, "nth">,
  calls: Readonly<{ first: number; step: number }> = { first: 1, step: 1 },
  disturbance: Omit<Disturbance, "processes"> = {},
): Promise<string[]> {
  const hits: string[] = [];
  for (let nth = calls.first; nth < MAX_CALLS; nth += calls.step) {
    const processes = [[{ ...fault, nth }]];
    const swept = await runDisturbed(workshop, { ...disturbance, processes });
    if (swept.hits.length === 0) return hits;
    hits.push(...swept.hits);
  }
  throw new Error(`a run makes more than ${MAX_CALLS} calls`);
}

/** In CI every nth file system call is tried, each time from another start; `STEP=1` tries all. */
const FILE_STEP = Number(process.env["STEP"] ?? 16);

export function someFileCalls(first: number): Readonly<{ first: number; step: number }> {
  return { first: 1 + ((first - 1) % FILE_STEP), step: FILE_STEP };
}
