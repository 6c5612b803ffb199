/** The stages by themselves: each is a drive of its own lanes, in which no outage is retried. */
import { type CostStop, costStop } from "../cost/cost.ts";
import { isForSync } from "../cost/lane.ts";
import { embedLane } from "../embed/embed-lane.ts";
import { blockKeyless, eachProject, isOfProject } from "../gates/keys.ts";
import { worldOf } from "../gates/world.ts";
import { fetchingOnFailure, type ImportServices } from "../import/import.ts";
import { importLane } from "../import/import-lane.ts";
import { type IndexSummary, NO_INDEXES } from "../import/index-keeper.ts";
import { copiesOf, type Job } from "../manifest/job.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import { isBack, isImported, isOpen, isToSend, needs } from "../manifest/states.ts";
import { pollLane, type PollOptions } from "../poll/poll-lane.ts";
import type { Window } from "../quota/next-try.ts";
import { addSums, NO_ROWS, type Sums } from "../row/sums.ts";
import { adoptFound } from "../submit/adopt.ts";
import { createsOf } from "../submit/creates.ts";
import { SettleLane } from "../submit/settle-lane.ts";
import { type SendOptions, SubmitLane } from "../submit/submit-lane.ts";
import { heldText } from "../words/held-text.ts";
import { drive } from "./drive.ts";

export type SubmitOptions = SendOptions &
  Readonly<{
    window: Window;
    /** How long a batch that may exist is looked for before its job is sent once more. */
    reconcileGraceMs: number;
  }>;

export type SubmitSummary = Readonly<{
  submitted: readonly string[];
  /** Found at Gemini after an uncertain create. */
  adopted: readonly string[];
  /** Still exported, or uncertain: no room, refused for quota, or interrupted. */
  waiting: readonly string[];
  /** Why they wait; undefined when none does. */
  why: string | undefined;
  /** At once. */
  embedded: readonly string[];
  /** Of these, interrupted, or held back by the limit on cost; those that were begun go on where they stopped. */
  left: readonly string[];
  /** Undefined unless the limit on cost holds jobs back. */
  costStop: CostStop | undefined;
}>;

/** Creates in a row whose answer is lost before the rest is left for the next call. */
const MAX_LOST_ALONE = 2;

/** Every exported job that there is room for, the oldest first: batches, which work while the other lane is embedded. */
export async function submit(
  services: StageServices,
  options: SubmitOptions,
): Promise<SubmitSummary> {
  const { manifest, signal } = services;
  const { lane, costLimit } = options;
  const world = { ...worldOf(services), ...options, quotaWaitMs: 0, alone: true };
  blockKeyless(world);
  const { projects, readLists } = createsOf(world, MAX_LOST_ALONE);
  const batches = projects.map((own) => new SubmitLane(own));
  const embedded: string[] = [];
  const atOnce = embedLane({ ...world, readLists }, ({ id }) => embedded.push(id));
  // once in any case: a manifest restored from a backup does not know of its last batches
  if (manifest.jobs().some(isToSend)) await readLists();
  await drive([...batches, ...projects.map((own) => new SettleLane(own))], world);
  world.blocked.throwFirst();
  // begun at once or not: without that lane nothing is paid for at its price
  const isSync = lane !== undefined && lane.lane !== "batch";
  if (isSync) await drive([atOnce], world);
  const left = manifest.jobs().filter((job) => isSync && isForSync(job, lane));
  const isBatch = (job: Job) => needs(job) !== "send" || !isForSync(job, lane);
  const waiting = manifest.jobs().filter((job) => isToSend(job) && isBatch(job));
  const full = batches.find((each) => each.why !== undefined)?.why;
  const why = signal.aborted ? "interrupted" : (heldText(waiting) ?? full);
  return {
    submitted: batches.flatMap((each) => each.submitted),
    adopted: projects.flatMap(({ creates }) => creates.adopted),
    waiting: waiting.map(({ id }) => id),
    why: waiting.length === 0 ? undefined : why,
    embedded,
    left: left.map(({ id }) => id),
    costStop: costStop(manifest, costLimit),
  };
}

/** Finds out what became of uncertain submissions, and whether any job has a second batch. */
export async function reconcile(services: StageServices, reconcileGraceMs: number): Promise<void> {
  const world = { ...worldOf(services), reconcileGraceMs, alone: true };
  blockKeyless(world);
  const { projects, readLists } = createsOf(world, MAX_LOST_ALONE);
  await readLists();
  const lanes = projects.map((own) => new SettleLane(own));
  await drive(lanes, world);
  world.blocked.throwFirst();
}

export type PollAloneOptions = PollOptions &
  Readonly<{
    /** Look once and leave. */
    once: boolean;
    /** Give up waiting after so long; the batches go on. */
    timeoutMs: number | undefined;
  }>;

export type PollSummary = Readonly<{ ended: readonly string[]; pending: readonly string[] }>;

export async function poll(
  services: StageServices,
  options: PollAloneOptions,
): Promise<PollSummary> {
  const ended: string[] = [];
  const { once, timeoutMs = Infinity } = options;
  const onEnded = ({ id }: Job) => ended.push(id);
  const held = services.manifest.needing("settle");
  // what `submit` left held may have a batch by now
  for (const own of eachProject(services))
    if (held.some((job) => isOfProject(own, job))) await adoptFound(own);
  const world = { ...worldOf(services), ...options, onEnded };
  await drive([pollLane(world, services.clock.elapsedMs() + (once ? 0 : timeoutMs))], world);
  return { ended, pending: services.manifest.needing("poll").map((job) => job.id) };
}

export type ImportSummary = Sums &
  Readonly<{
    imported: readonly string[];
    /** Of the requests, rows that were embedded with another row of the same text. */
    copies: number;
    /** Files that hold this import's failed lines, also those of jobs whose results were gone. */
    failedFiles: readonly string[];
    indexes: IndexSummary;
  }>;

/** Writes what has ended into the column. With an index keeper, the indexes stand again at its end, also where there was nothing to import. */
export async function importEnded(
  services: ImportServices,
  takes: (job: Job) => boolean = () => true,
): Promise<ImportSummary> {
  const { manifest, indexes } = services;
  const ids = manifest
    .jobs()
    .filter((job) => isBack(job) && takes(job))
    .map(({ id }) => id);
  const world = worldOf(services);
  const importThem = () =>
    fetchingOnFailure(services, () => drive([importLane(world, takes)], world));
  await (indexes?.around(importThem, () => true) ?? importThem());
  // said once the others are in the column, and the indexes stand again
  world.blocked.throwFirst();
  const ended = ids.map((id) => manifest.job(id)).filter((job) => !isOpen(job));
  const failed = ended.filter((job) => job.failedFile !== undefined);
  return {
    ...ended.map(({ sums }) => sums ?? NO_ROWS).reduce(addSums, NO_ROWS),
    imported: ended.filter(isImported).map(({ id }) => id),
    copies: copiesOf(ended),
    failedFiles: failed.map(({ id }) => manifest.files(id).failed),
    indexes: indexes?.summary ?? NO_INDEXES,
  };
}
