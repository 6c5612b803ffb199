/**
 * One round: fresh rows, an empty jobs folder, an emulator with faults of its own. Commands are
 * started and killed until the round has had its kills; then they are repeated undisturbed until the
 * work is done, and the books are checked.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { EXIT_CODES } from "../src/errors.ts";
import type { Job } from "../src/manifest/job.ts";
import { readManifest } from "../src/jobs-folder/open.ts";
import { type Audit, audit } from "../test/scenarios/faults/books.ts";
import { type CommandEnd, runCommand, type Strike } from "./command.ts";
import type { Dice } from "./dice.ts";
import { EmulatorProcess } from "./emulator-process.ts";
import { drawFaults } from "./faults.ts";
import type { Moments } from "./moments.ts";
import { filesWithSecrets, namesSecret } from "./secrets.ts";
import type { TortureDatabase } from "./server.ts";
import {
  addRows,
  countEmpty,
  cutConnections,
  hasIndex,
  makeIndex,
  makeTable,
  meddle,
  TARGET,
} from "./table.ts";

export type RoundOptions = Readonly<{
  folder: string;
  database: TortureDatabase;
  dice: Dice;
  moments: Moments;
  kills: number;
}>;

export type Tally = {
  kills: number;
  commands: number;
  emulatorKills: number;
  connectionCuts: number;
  meddlings: number;
};

export type RoundEnd = Readonly<{
  audit: Audit;
  breaches: readonly string[];
  tally: Tally;
  plan: string;
}>;

const API_KEY = "torture-key-that-no-output-may-show";

/** A command that finds nothing to do cannot be killed at work: the rows are topped up. */
const MAX_COMMANDS_PER_KILL = 8;
/** Undisturbed; the emulator's faults go on, so one is seldom enough. */
const MAX_REPEATS = 30;
const MAX_RESUBMITS = 3;

const EMULATOR_KILL_SHARE = 0.2;
const CONNECTION_CUT_SHARE = 0.3;
const MEDDLING_SHARE = 0.4;

/** How the round is set up: everything but the moments, which are chosen as it goes. */
type Plan = Readonly<{
  stages: boolean;
  rows: number;
  jobRows: number;
  faults: string;
  batchSeconds: number;
  activeJobs: number;
  lane: "batch" | "sync" | "auto";
  /** The column has an index, which is dropped and built again. */
  rebuildIndex: boolean;
}>;

export async function runRound(options: RoundOptions): Promise<RoundEnd> {
  const round = new Round(options);
  await round.prepare();
  try {
    await round.torment();
    await round.finish();
    return await round.end();
  } finally {
    await round.close();
  }
}

class Round {
  readonly #options: RoundOptions;
  readonly #plan: Plan;
  readonly #emulator: EmulatorProcess;
  readonly #folder: string;
  readonly #breaches: string[] = [];
  readonly #filled = new Set<string>();
  readonly #tally: Tally = {
    kills: 0,
    commands: 0,
    emulatorKills: 0,
    connectionCuts: 0,
    meddlings: 0,
  };
  /** What the strikes of the running command have started; settled before the next command. */
  #underWay: Promise<unknown>[] = [];
  #resubmits = 0;

  constructor(options: RoundOptions) {
    const { dice, folder } = options;
    this.#options = options;
    this.#plan = drawPlan(dice);
    this.#folder = join(folder, "jobs");
    this.#emulator = new EmulatorProcess({
      folder: join(folder, "emulator"),
      cwd: folder,
      env: plainEnvironment(),
      faults: this.#plan.faults,
      seed: dice.between(1, 1_000_000),
      batchSeconds: this.#plan.batchSeconds,
    });
  }

  async prepare(): Promise<void> {
    const { database, folder } = this.#options;
    await mkdir(folder, { recursive: true });
    await this.#emulator.start();
    await database.use(async (open) => {
      await makeTable(open);
      if (this.#plan.rebuildIndex) await makeIndex(open);
      await addRows(open, this.#plan.rows);
    });
  }

  async torment(): Promise<void> {
    const { kills, moments, dice, database } = this.#options;
    const most = kills * MAX_COMMANDS_PER_KILL;
    while (this.#tally.kills < kills && this.#tally.commands < most) {
      const command = await this.#nextCommand();
      if (command === undefined) {
        await database.use((open) => addRows(open, this.#plan.rows));
        continue;
      }
      let killed = false;
      const kill: Strike = {
        aim: moments.aim(command, dice),
        strike: (now) => {
          killed = true;
          now();
        },
      };
      const end = await this.#run(command, [kill, ...this.#otherStrikes(command)]);
      if (end.code !== null || !killed) continue;
      this.#tally.kills += 1;
      moments.struck(command, end.last);
    }
  }

  /** Repeats the work undisturbed until nothing is left to do. */
  async finish(): Promise<void> {
    for (let repeat = 0; repeat < MAX_REPEATS; repeat++) {
      const done = this.#plan.stages ? await this.#finishStages() : await this.#finishRun();
      if (done) return;
    }
    this.#breaches.push(`not finished after ${MAX_REPEATS} repetitions`);
  }

  async end(): Promise<RoundEnd> {
    const { database } = this.#options;
    const books = await this.#emulator.withLedger((emulator) =>
      database.use((open) =>
        audit({
          database: open,
          target: TARGET,
          folder: this.#folder,
          emulator,
          lostAtOnce: { get: () => this.#mayBeLost() },
          filledByOthers: this.#filled,
        }),
      ),
    );
    const told = await filesWithSecrets(this.#folder, this.#secrets());
    const isIndexed = await database.use(hasIndex);
    const breaches = [
      ...this.#breaches,
      ...(isIndexed === this.#plan.rebuildIndex ? [] : ["the index is not as it was"]),
      ...books.breaches,
      ...told.map((name) => `${name} holds a secret`),
    ];
    return { audit: books, breaches, tally: this.#tally, plan: JSON.stringify(this.#plan) };
  }

  /**
   * How often a text may have been paid for at once and its answer lost: with each death, here or at
   * Gemini, and wherever the emulator is told to lose it.
   */
  #mayBeLost(): number {
    const { kills, emulatorKills } = this.#tally;
    return /sync-cut|sync-count/.test(this.#plan.faults) ? Infinity : kills + emulatorKills;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    await this.#emulator.kill();
  }

  async #finishRun(): Promise<boolean> {
    const { code } = await this.#run("run", []);
    return code === EXIT_CODES.done || code === EXIT_CODES.rowsFailed;
  }

  /** As a person would: what can be resubmitted is, a few times; then the rest is left to wait. */
  async #finishStages(): Promise<boolean> {
    let isWaiting = false;
    for (const stage of ["export", "submit", "poll", "import"]) {
      const { code } = await this.#run(stage, []);
      // no room at Gemini for all jobs: they are submitted when those there have ended
      if (code === EXIT_CODES.unfinished) isWaiting = true;
      else if (code !== EXIT_CODES.done && code !== EXIT_CODES.rowsFailed) return false;
    }
    if (isWaiting) return false;
    const waits = (await this.#jobs()).some(({ outstanding }) => outstanding.lines > 0);
    if (!waits || this.#resubmits >= MAX_RESUBMITS) return true;
    this.#resubmits += 1;
    await this.#run("resubmit", []);
    return false;
  }

  /** One that has work to do; undefined when there is none left. */
  async #nextCommand(): Promise<string | undefined> {
    const { database, dice } = this.#options;
    const jobs = await this.#jobs();
    const stages = jobs.flatMap((job) => NEXT_STAGE[job.state] ?? []);
    const taken = jobs.reduce((sum, job) => sum + rowsTakenBy(job), 0);
    if ((await database.use(countEmpty)) > taken) stages.push("export");
    if (!this.#plan.stages) return stages.length > 0 ? "run" : undefined;
    if (jobs.some(({ outstanding }) => outstanding.retryable > 0)) stages.push("resubmit");
    return stages.length > 0 ? dice.pick([...new Set(stages)]) : undefined;
  }

  async #jobs(): Promise<readonly Job[]> {
    return (await readManifest(this.#folder)).jobs();
  }

  async #run(command: string, strikes: readonly Strike[]): Promise<CommandEnd> {
    const { folder, database, moments } = this.#options;
    this.#tally.commands += 1;
    const end = await runCommand({
      args: [command, ...this.#flags(command)],
      env: {
        ...plainEnvironment(),
        GEMINI_API_KEY: API_KEY,
        GOOGLE_GEMINI_BASE_URL: this.#emulator.url,
        DATABASE_URL: database.url,
      },
      cwd: folder,
      jobsFolder: this.#folder,
      strikes,
      onMoment: (moment) => moments.see(command, moment),
    });
    await Promise.all(this.#underWay);
    this.#underWay = [];
    this.#judge(command, end);
    return end;
  }

  #flags(command: string): string[] {
    const flags = ["--verbose", `--jobs-dir=${this.#folder}`];
    const table = [`--dimensions=${TARGET.dimensions}`];
    const jobs = [`--max-job-rows=${this.#plan.jobRows}`];
    const submits = [
      "--reconcile-grace=1",
      "--quota-wait=0.2",
      `--max-active-jobs=${this.#plan.activeJobs}`,
    ];
    const polls = ["--poll-interval=0.05"];
    const lane = [`--lane=${this.#plan.lane}`, `--sync-up-to=${SMALL_JOB_TOKENS}`];
    const rebuild = this.#plan.rebuildIndex ? ["--rebuild-index"] : [];
    // the emulator counts the lines that it leaves out
    const believes = ["--results-grace=0"];
    const more: Readonly<Record<string, readonly string[]>> = {
      run: [...table, ...jobs, ...submits, ...polls, ...lane, ...rebuild, ...believes],
      export: [...table, ...jobs],
      import: [...rebuild, ...believes],
      submit: [...submits, ...lane],
      poll: polls,
      resubmit: jobs,
    };
    return [...flags, ...(more[command] ?? [])];
  }

  /** What no command may do, however it is disturbed. */
  #judge(command: string, { code, isOverLimit, stdout, stderr }: CommandEnd): void {
    const breach = (what: string) =>
      this.#breaches.push(`${command} ${what}: ${stderr.slice(-2000)}`);
    if (isOverLimit) breach("hung");
    if (stderr.includes("This is a bug in vecfill")) breach("met a bug");
    if (code !== null && !EXPECTED_CODES.includes(code)) breach(`left with ${code}`);
    if (namesSecret(stdout + stderr, this.#secrets()))
      this.#breaches.push(`${command} told a secret`);
  }

  #secrets(): string[] {
    const { database } = this.#options;
    const password = database.native ? decodeURIComponent(new URL(database.url).password) : "";
    return [API_KEY, ...(password === "" ? [] : [password])];
  }

  #otherStrikes(command: string): Strike[] {
    const { dice, moments, database } = this.#options;
    const strikes: Strike[] = [];
    const add = (share: number, deed: () => Promise<unknown>) => {
      if (!dice.chance(share)) return;
      const aim = moments.aim(command, dice);
      strikes.push({ aim, strike: () => void this.#underWay.push(deed()) });
    };
    add(EMULATOR_KILL_SHARE, async () => {
      this.#tally.emulatorKills += 1;
      await this.#emulator.kill();
      await this.#emulator.start();
    });
    if (!database.native) return strikes;
    add(CONNECTION_CUT_SHARE, async () => {
      this.#tally.connectionCuts += await database.use(cutConnections);
    });
    add(MEDDLING_SHARE, async () => {
      this.#tally.meddlings += 1;
      const filled = await database.use((open) => meddle(open, dice, this.#filled));
      for (const id of filled) this.#filled.add(id);
    });
    return strikes;
  }
}

const EXPECTED_CODES: readonly number[] = [
  EXIT_CODES.done,
  EXIT_CODES.rowsFailed,
  EXIT_CODES.fatal,
  EXIT_CODES.unfinished,
];

function rowsTakenBy({ state, requests, outstanding }: Job): number {
  return NEXT_STAGE[state] === undefined ? outstanding.lines : requests;
}

const NEXT_STAGE: Readonly<Partial<Record<string, string>>> = {
  exported: "submit",
  embedding: "submit",
  submitting: "submit",
  submitted: "poll",
  succeeded: "import",
  downloaded: "import",
};

/** With `--lane auto` about half of the jobs are embedded at once. */
const SMALL_JOB_TOKENS = 400;

/** In many jobs or few, each of one chunk or several. */
const SIZES = [
  { rows: 12, jobRows: 3 },
  { rows: 60, jobRows: 20 },
  { rows: 200, jobRows: 40 },
  { rows: 1300, jobRows: 700 },
];

function drawPlan(dice: Dice): Plan {
  return {
    stages: dice.chance(0.5),
    ...dice.pick(SIZES),
    faults: drawFaults(dice),
    batchSeconds: dice.pick([0, 0.1, 0.4]),
    activeJobs: dice.pick([1, 3, 90]),
    lane: dice.pick(["batch", "batch", "sync", "auto"] as const),
    rebuildIndex: dice.chance(0.2),
  };
}

/** No key, address or setting of the person who runs this. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const names = ["PATH", "HOME", "TMPDIR", "LANG", "NODE_COMPILE_CACHE", "SystemRoot"];
  return Object.fromEntries(names.map((name) => [name, process.env[name]]));
}
