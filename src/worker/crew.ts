/**
 * What this process does of a backlog that several work on: it takes duties that nobody has, says every few seconds that it
 * has them still, and offers what the manifest says there is to do, so that a task that was lost is made again. A duty only says
 * who looks: whatever is recorded or written meanwhile counts only where nobody else has gone on with it.
 */
import type { Clock } from "../clock.ts";
import {
  AT_GEMINI,
  type Crew,
  type CrewWorld,
  DUTIES,
  type Duties,
  type Duty,
  type Hindrances,
  LEASE_MS,
} from "../gates/duties.ts";
import { IDLE, type Lane } from "../gates/step.ts";
import { UserError } from "../errors.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";
import type { Report } from "../progress.ts";
import { DEFAULT_PROJECT } from "../row/project.ts";
import type { Engine, Lease, Task } from "./engine.ts";

const TURN_MS = 2_000;
/** Where there was something to import, and may be more. */
const SHORT_TURN_MS = 250;
/** What is lost of the tasks is made again within that time. */
const OFFER_EVERY_MS = 15_000;
const RENEWALS_A_LEASE = 3;
/** More at once gain nothing in one process. */
const IMPORTS = 4;

export type Working = Readonly<{
  /** The other duties are left to others. */
  only?: readonly Duty[] | undefined;
  /** It ends as soon as all there is to do is to wait. */
  once?: boolean;
  leaseMs?: number;
}>;

export type CrewOptions = Working &
  Readonly<{
    manifest: Manifest;
    /** Whose keys are here; undefined: there is one project alone. */
    projects?: readonly string[];
    /** Asked again where the engine's own tables are gone. */
    openEngine: () => Promise<Engine>;
    clock: Clock;
    report: Report;
    /** Told what it does, each time that it renews. */
    note?: (duties: readonly string[]) => Promise<void>;
    /** Told that it has left. */
    leave?: () => Promise<void>;
  }>;

export type OpenCrew = Crew & Readonly<{ close(): Promise<void> }>;

export async function openCrew(options: CrewOptions): Promise<OpenCrew> {
  const leases = new Leases(options, await options.openEngine());
  return {
    duties: leases,
    laneIn: (world) => crewLane(options, leases, world),
    close: () => leases.close(),
  };
}

/** Waits for as long as anybody has something under way; with `once`, only while somebody works here. */
function crewLane(
  { manifest, clock, once = false }: CrewOptions,
  leases: Leases,
  world: CrewWorld,
): Lane {
  let dueMs = -Infinity;
  let quietTurns = 0;
  let isOver = false;
  const isMoreToCome = () => {
    const isHeld = world.held();
    return manifest.jobs().some((job) => isOpen(job) && !isHeld(job));
  };
  const turn = async () => {
    const isBusy = await leases.turn(world);
    dueMs = clock.elapsedMs() + (isBusy ? SHORT_TURN_MS : TURN_MS);
  };
  return {
    next: (isQuiet, nobodyWorks) => {
      const leftMs = dueMs - clock.elapsedMs();
      quietTurns = nobodyWorks ? quietTurns + (leftMs < 1 ? 1 : 0) : 0;
      if (isOver) return IDLE;
      if (leftMs < 1) return turn;
      // until it looks again others may find more to do
      if (isQuiet && leases.hasLooked && !isMoreToCome()) {
        isOver = true;
        return () => leases.giveAllBack();
      }
      if (once && quietTurns >= QUIET_TURNS) return async () => world.stop.abort();
      return leftMs;
    },
  };
}

const QUIET_TURNS = 3;
/** What makes no sense where nothing more is sent. */
const SENDS: readonly Duty[] = ["export", "submit", "resubmit"];

class Leases implements Duties {
  readonly #options: CrewOptions;
  readonly #leaseMs: number;
  readonly #projects: readonly string[];
  #engine: Engine | undefined;
  #held: readonly Lease[] = [];
  #renewedMs = -Infinity;
  /** When each task was, by its key. */
  readonly #offered = new Map<string, number>();
  #isWarned = false;
  #told = "";
  #hindrances: Hindrances | undefined;

  constructor(options: CrewOptions, engine: Engine) {
    this.#options = options;
    this.#engine = engine;
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    this.#projects = options.projects ?? [DEFAULT_PROJECT];
  }

  has(duty: Duty, project = DEFAULT_PROJECT): boolean {
    const isAnyOf = !AT_GEMINI.includes(duty);
    return this.#current().some(
      (lease) => lease.duty === duty && (isAnyOf || lease.project === project),
    );
  }

  imports({ id }: Job): boolean {
    return this.#current().some(({ duty, key }) => duty === "import" && key === id);
  }

  /** Whoever exports has seen whether there is anything to do; where that is not ours to do, there is nothing to wait for. */
  get hasLooked(): boolean {
    return this.has("export") || !this.#wants("export");
  }

  /** Whether the next one comes soon. What fails is said once, and tried again then: the work in hand goes on. */
  async turn(hindrances: Hindrances): Promise<boolean> {
    this.#hindrances = hindrances;
    try {
      const engine = (this.#engine ??= await this.#options.openEngine());
      await this.#renew(engine);
      await this.#giveBack(engine);
      await this.#offer(engine);
      const isBusy = await this.#take(engine);
      await this.#giveBack(engine);
      await this.#tell();
      this.#isWarned = false;
      return isBusy;
    } catch (error) {
      await this.#engine?.close().catch(() => {});
      this.#engine = undefined;
      if (this.#isWarned) return false;
      this.#isWarned = true;
      const message = `Tasks could not be shared out: ${error instanceof Error ? error.message : String(error)}`;
      const hint = error instanceof UserError ? error.hint : "It is tried again every few seconds.";
      this.#options.report({ type: "warning", message, hint });
      return false;
    }
  }

  /** Who cannot be told finds out when the leases are over. */
  async giveAllBack(): Promise<void> {
    const [engine, held] = [this.#engine, this.#held];
    this.#held = [];
    await engine?.giveBack(held).catch(() => {});
    // for others to take at once
    await engine?.offer(held).catch(() => {});
  }

  async close(): Promise<void> {
    await this.giveAllBack();
    await this.#engine?.close().catch(() => {});
    await this.#options.leave?.().catch(() => {});
  }

  /** None where they could not be renewed for too long: others may have them by now. */
  #current(): readonly Lease[] {
    const isOver = this.#options.clock.elapsedMs() - this.#renewedMs >= this.#leaseMs;
    return isOver ? [] : this.#held;
  }

  #wants(duty: Duty): boolean {
    const mayAtAll = this.#options.only?.includes(duty) ?? true;
    return mayAtAll && !(this.#hindrances?.outages.halted.aborted === true && SENDS.includes(duty));
  }

  async #renew(engine: Engine): Promise<void> {
    const nowMs = this.#options.clock.elapsedMs();
    if (nowMs - this.#renewedMs < this.#leaseMs / RENEWALS_A_LEASE) return;
    await engine.sweep();
    this.#held = await engine.renew(this.#held);
    this.#renewedMs = nowMs;
    this.#told = "";
  }

  /** Each time that it has renewed, or does something else. */
  async #tell(): Promise<void> {
    const duties = this.#held.map(({ duty, key }) => (duty === "import" ? `${duty} ${key}` : key));
    const text = `at work: ${duties.join(", ")}`;
    if (text === this.#told) return;
    await this.#options.note?.(duties);
    this.#told = text;
  }

  /** What is done, and what cannot be done here. */
  async #giveBack(engine: Engine): Promise<void> {
    const due = new Set(this.#imports().map(({ key }) => key));
    const isKept = ({ duty, key }: Task) =>
      this.#wants(duty) && (duty !== "import" || due.has(key));
    const [kept, left] = [this.#held.filter(isKept), this.#held.filter((each) => !isKept(each))];
    if (left.length === 0) return;
    this.#held = kept;
    await engine.giveBack(left);
    await engine.offer(left.filter(({ duty }) => !this.#wants(duty)));
  }

  /** What nobody has at the time is to be had by somebody: each task again from time to time. */
  async #offer(engine: Engine): Promise<void> {
    const nowMs = this.#options.clock.elapsedMs();
    const tasks = [...this.#standing(), ...this.#imports().slice(0, MAX_OFFERS)];
    const sinceMs = ({ duty, key }: Task) =>
      nowMs - (this.#offered.get(`${duty} ${key}`) ?? -Infinity);
    const isToOffer = (task: Task) => !this.#isHeld(task) && sinceMs(task) >= OFFER_EVERY_MS;
    const due = tasks.filter(isToOffer);
    await engine.offer(due);
    for (const { duty, key } of due) this.#offered.set(`${duty} ${key}`, nowMs);
  }

  /** Whether there was an import to be had. */
  async #take(engine: Engine): Promise<boolean> {
    let isBusy = false;
    for (const task of this.#standing()) {
      if (!this.#wants(task.duty) || this.#isHeld(task)) continue;
      this.#held = [...this.#held, ...(await engine.take(task, 1))];
    }
    const left = this.#wants("import") ? this.#imports().filter((task) => !this.#isHeld(task)) : [];
    for (const [project, own] of Map.groupBy(left, (task) => task.project)) {
      const inHand = this.#held.filter(({ duty }) => duty === "import");
      const most = Math.min(IMPORTS - inHand.length, own.length);
      if (most <= 0) continue;
      const taken = await engine.take({ duty: "import", project }, most);
      this.#held = [...this.#held, ...taken];
      isBusy ||= taken.length > 0;
    }
    return isBusy;
  }

  #isHeld({ duty, key }: Task): boolean {
    return this.#held.some((lease) => lease.duty === duty && lease.key === key);
  }

  /** What there is to be done all the time. */
  #standing(): readonly Task[] {
    return DUTIES.filter((duty) => duty !== "import").flatMap((duty): readonly Task[] => {
      if (!AT_GEMINI.includes(duty)) return [{ duty, key: duty }];
      const keyIn = (project: string) =>
        project === DEFAULT_PROJECT ? duty : `${duty} ${project}`;
      return this.#projects.map((project) => ({ duty, project, key: keyIn(project) }));
    });
  }

  #imports(): readonly Task[] {
    const { manifest } = this.#options;
    const isToDo = (job: Job) =>
      this.#projects.includes(job.project ?? DEFAULT_PROJECT) &&
      this.#hindrances?.blocked.has(job) !== true;
    const jobs = manifest.needing("fetch", "write").filter(isToDo);
    return jobs.map(({ id, project = DEFAULT_PROJECT }) => ({ duty: "import", project, key: id }));
  }
}

/** The rest is offered when these are done. */
const MAX_OFFERS = 20;
