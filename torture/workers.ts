/**
 * `--workers N`: N real workers on one shared manifest, on a native server. They are killed, stopped beyond their leases, cut
 * off from the database or from Gemini, lose their disks and the tables of tasks; the server crashes; half of them come to it by
 * a pooler in transaction mode; the clock of one is an hour off; creates arrive after others have taken over. With `--projects`
 * there are two queues, and half of them have the key of one alone. Then one of them ends the work undisturbed, and the books are checked.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startEmulator } from "../src/emulator/emulator.ts";
import { changeState } from "../src/manifest/tables/tables.ts";
import { whichDatabase } from "../src/manifest/tables/which-database.ts";
import type { Database } from "../src/store/database.ts";
import { Dice } from "./dice.ts";
import { SABOTAGES } from "./sabotage.ts";
import { openTortureDatabase, type OwnServer } from "./server.ts";
import { judgeShared, limitsNow, spentNow } from "./shared-books.ts";
import { addRows, countEmpty, cutConnections, makeTable } from "./table.ts";
import {
  type Crew,
  LATE_MS,
  LEASE_MS,
  MAX_ACTIVE,
  PROJECT_OF_KEY,
  WorkerProcess,
} from "./worker-process.ts";

export type WorkersOptions = Readonly<{
  workers: number;
  seconds: number;
  seed: number;
  projects: boolean;
  sabotage: string | undefined;
  say: (line: string) => void;
  /** Ends the torment early. */
  stop: AbortSignal;
}>;

/** What the emulator does besides; lines that fail are not billed. */
const FAULTS =
  "shuffle=1,retryable=0.03,create-ambiguous=0.1,create-429=0.05,upload-cut=0.05,download-cut=0.1,list-5xx=0.02";
const ROWS_A_SECOND = 12;
const BATCH_SECONDS = 1.5;
const HOUR_MS = 3_600_000;
/** In tokens, at a dollar each. */
const LIMIT_STEP = 6_000;
const PAUSE_SEEN_MS = 3_000;
const DRAIN_LIMIT_MS = 240_000;
const MAX_DRAINS = 4;
/** Between two deeds. */
const REST_MS = { least: 1_500, most: 5_000 };
const LOOK_EVERY_MS = 100;
const ANSWERED_MS = 2_000;

const DEEDS = [
  "kill",
  "stop",
  "stall",
  "cut",
  "late",
  "tasks",
  "connections",
  "pause",
  "crash",
] as const;
type Deed = (typeof DEEDS)[number];
/** How often each is drawn. */
const WEIGHTS: Readonly<Record<Deed, number>> = {
  kill: 10,
  stop: 4,
  stall: 2.5,
  cut: 1.5,
  late: 2,
  tasks: 0.3,
  connections: 0.5,
  pause: 1.5,
  crash: 0.8,
};

/** Resolves to the number of breaches. */
export async function tortureWorkers(options: WorkersOptions): Promise<number> {
  const { say, sabotage } = options;
  if (sabotage !== undefined && !Object.hasOwn(SABOTAGES, sabotage))
    throw new Error(`--sabotage takes ${Object.keys(SABOTAGES).join(", ")}`);
  const folder = await mkdtemp(join(tmpdir(), "vecfill-torture-"));
  const database = await openTortureDatabase(folder, say);
  const emulator = await startEmulator({
    folder: join(folder, "emulator"),
    batchSeconds: BATCH_SECONDS,
    faults: FAULTS,
    seed: options.seed,
    keys: PROJECT_OF_KEY,
  });
  let breaches: readonly string[] = [];
  try {
    if (!database.native) throw new Error("workers take a native server");
    if (database.own === undefined) say("VECFILL_TEST_DATABASE_URL: no pooler, and no crashes");
    breaches = await database.use((open) =>
      new Torment(options, { folder, url: database.url, own: database.own, open, emulator }).run(),
    );
    for (const breach of breaches.slice(0, MAX_SAID)) say(`  BREACH ${breach}`);
    await writeFile(join(folder, "breaches.txt"), breaches.join("\n"));
  } finally {
    await emulator.close();
    await database.dispose();
    if (breaches.length === 0) await rm(folder, { recursive: true, force: true });
    else say(`  kept for inspection: ${folder}`);
  }
  return breaches.length;
}

const MAX_SAID = 10;
const ACTIVE = /PENDING|RUNNING/;

type Place = Readonly<{
  folder: string;
  url: string;
  own: OwnServer | undefined;
  open: Database;
  emulator: Awaited<ReturnType<typeof startEmulator>>;
}>;

class Torment {
  readonly #options: WorkersOptions;
  readonly #place: Place;
  readonly #dice: Dice;
  readonly #crew: Crew;
  readonly #deeds = new Map<Deed, number>();
  readonly #answers: number[] = [];
  readonly #breaches: string[] = [];
  #workers: WorkerProcess[] = [];
  #underWay: Promise<unknown>[] = [];
  #limit = LIMIT_STEP;
  #mostActive = 0;
  #keepsCreate = false;
  #kept = 0;
  #pauses = 0;
  #starts = 0;
  #drains = "";

  constructor(options: WorkersOptions, place: Place) {
    this.#options = options;
    this.#place = place;
    this.#dice = new Dice(options.seed, "workers");
    const { url, own, emulator, folder } = place;
    const { sabotage, projects } = options;
    const databaseUrls = [url, own?.pooledUrl ?? url] as const;
    this.#crew = { databaseUrls, geminiUrl: emulator.url, folder, sabotage, projects };
  }

  async run(): Promise<readonly string[]> {
    const { open, emulator } = this.#place;
    const rows = this.#options.seconds * ROWS_A_SECOND;
    await makeTable(open);
    await addRows(open, rows);
    const watching = new AbortController();
    const watched = this.#watchQueue(watching.signal);
    this.#workers.push(await this.#start());
    while ((await limitsNow(open)).maxActiveJobs === undefined) await delay(LOOK_EVERY_MS);
    for (let number = 2; number <= this.#options.workers; number += 1)
      this.#workers.push(await this.#start());
    await this.#torment();
    for (const worker of this.#workers) await this.#end(worker);
    await this.#drain();
    await Promise.all(this.#underWay);
    watching.abort();
    await watched;
    const breaches = [...this.#breaches, ...(await judgeShared({ database: open, emulator }))];
    if (this.#mostActive > MAX_ACTIVE) breaches.push(`${this.#mostActive} batches were active`);
    const used = new Set(emulator.batches().map(({ project }) => project));
    if (used.size < 2 && this.#options.projects) breaches.push("one project alone had batches");
    if (!this.#answers.includes(404)) breaches.push("no create came late: nothing was shown");
    this.#say(rows, breaches.length);
    return breaches;
  }

  async #torment(): Promise<void> {
    const { seconds, stop } = this.#options;
    const endsAtMs = performance.now() + seconds * 1_000;
    while (performance.now() < endsAtMs && !stop.aborted) {
      await delay(this.#dice.between(REST_MS.least, REST_MS.most));
      await this.#raiseLimit();
      for (const worker of this.#workers.filter(({ hasEnded }) => hasEnded))
        await this.#replace(worker);
      const deed = this.#dice.pickBy(DEEDS, (each) => WEIGHTS[each]);
      this.#deeds.set(deed, (this.#deeds.get(deed) ?? 0) + 1);
      await this.#do(deed, this.#dice.pick(this.#workers));
    }
  }

  async #do(deed: Deed, worker: WorkerProcess): Promise<void> {
    const { open } = this.#place;
    const ms = LEASE_MS * (0.5 + 2.5 * this.#dice.share());
    const way = this.#dice.pick([worker.toDatabase, worker.toGemini]);
    switch (deed) {
      case "kill":
        return this.#replace(worker);
      case "stop":
        this.#underWay.push(worker.stopFor(ms));
        return;
      case "stall":
        this.#underWay.push(way.stall(ms / 2));
        return;
      case "cut":
        return way.cut();
      case "late":
        return this.#keepNextCreate();
      case "tasks":
        return void (await open.query("DROP SCHEMA IF EXISTS vecfill_boss CASCADE"));
      case "connections":
        return void (await cutConnections(open));
      case "pause":
        return this.#pauseAtNextWrite();
      case "crash":
        return this.#place.own?.crash();
    }
  }

  /** Whoever sends it dies, and others take over before it arrives. */
  #keepNextCreate(): void {
    this.#keepsCreate = true;
    for (const worker of this.#workers) this.#keepNextOf(worker);
  }

  #keepNextOf(worker: WorkerProcess): void {
    worker.toGemini.keepNextCreate({
      ms: LATE_MS,
      onKept: () => {
        worker.kill();
        this.#kept += 1;
        this.#keepsCreate = false;
        for (const { toGemini } of this.#workers) toGemini.keepNextCreate(undefined);
        this.#underWay.push(delay(LATE_MS + ANSWERED_MS));
      },
      onAnswer: (status) => this.#answers.push(status),
    });
  }

  /** What is on its way to the database then must not be written any more. */
  #pauseAtNextWrite(): void {
    for (const { toDatabase } of this.#workers) toDatabase.holdNextWrite(() => this.#pause());
  }

  async #pause(): Promise<void> {
    const { open } = this.#place;
    for (const { toDatabase } of this.#workers) toDatabase.holdNextWrite(undefined);
    const database = await whichDatabase(open);
    await changeState(open, "paused", database);
    const before = await countEmpty(open);
    this.#pauses += 1;
    const look = async () => {
      await delay(PAUSE_SEEN_MS);
      const after = await countEmpty(open);
      if (after !== before)
        this.#breaches.push(`${before - after} vectors were written while paused`);
      await changeState(open, "active", database);
    };
    this.#underWay.push(look());
  }

  async #replace(worker: WorkerProcess): Promise<void> {
    await this.#end(worker);
    const next = await this.#start();
    this.#workers = this.#workers.map((each) => (each === worker ? next : each));
  }

  async #end(worker: WorkerProcess): Promise<void> {
    const bug = await worker.end();
    if (bug !== undefined) this.#breaches.push(`a worker ended by a bug: ${bug}`);
    if (this.#dice.chance(0.5)) await rm(worker.folder, { recursive: true, force: true });
  }

  /** The first is told the limits; one in so many has a clock that is wrong. */
  async #start(): Promise<WorkerProcess> {
    const number = (this.#starts += 1);
    const limits = ["--max-cost", String(this.#limit), "--max-active-jobs", String(MAX_ACTIVE)];
    const clockOffMs = number % 3 === 0 ? this.#dice.pick([HOUR_MS, -HOUR_MS]) : 0;
    const args = number === 1 ? limits : [];
    await mkdir(join(this.#place.folder, `worker-${number}`));
    const worker = await WorkerProcess.start(this.#crew, { number, args, clockOffMs });
    if (this.#keepsCreate) this.#keepNextOf(worker);
    return worker;
  }

  /** By a worker that is told another one, as a person would do it. */
  async #raiseLimit(): Promise<void> {
    const [first] = this.#workers;
    const spent = await spentNow(this.#place.open);
    if (first === undefined || spent < this.#limit - LIMIT_STEP / 2) return;
    this.#limit += LIMIT_STEP;
    await this.#end(first);
    const number = (this.#starts += 1);
    await mkdir(join(this.#place.folder, `worker-${number}`));
    const args = ["--max-cost", String(this.#limit)];
    const next = await WorkerProcess.start(this.#crew, { number, args, clockOffMs: 0 });
    this.#workers = this.#workers.with(0, next);
  }

  /** Undisturbed, and with no limit on cost. */
  async #drain(): Promise<void> {
    const sinceMs = performance.now();
    for (let drains = 1; drains <= MAX_DRAINS; drains += 1) {
      const number = (this.#starts += 1);
      await mkdir(join(this.#place.folder, `worker-${number}`));
      const args = ["--drain", "--max-cost", "off"];
      const worker = await WorkerProcess.start(this.#crew, { number, args, clockOffMs: 0 });
      const code = await worker.ended(DRAIN_LIMIT_MS);
      const bug = await worker.end();
      if (bug !== undefined) this.#breaches.push(`the last worker ended by a bug: ${bug}`);
      const seconds = Math.round((performance.now() - sinceMs) / 1_000);
      this.#drains = `ended by ${drains} in ${seconds} s`;
      if (code === 0 && (await countEmpty(this.#place.open)) === 0) return;
      if (drains === MAX_DRAINS) this.#breaches.push(`not finished (${code}): ${worker.said}`);
    }
  }

  async #watchQueue(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const active = this.#place.emulator.batches().filter(({ state }) => ACTIVE.test(state));
      for (const own of Map.groupBy(active, ({ project }) => project).values())
        this.#mostActive = Math.max(this.#mostActive, own.length);
      await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #say(rows: number, breaches: number): void {
    const { say, seed } = this.#options;
    const deeds = [...this.#deeds].map(([deed, times]) => `${deed} ${times}`).join(", ");
    say(
      `seed ${seed}: ${rows} rows, ${this.#starts} workers; ${deeds}. Pauses under a write: ${this.#pauses}. Creates that came late: ${this.#kept}, answered by ${this.#answers.join(", ") || "none"}; ${this.#mostActive} of ${MAX_ACTIVE} batches of a project at once; ${this.#drains}. Breaches: ${breaches}.`,
    );
  }
}
