/** Submit: every exported job that the window has room for, the oldest first. */
import type { StageServices } from "../manifest/stage-services.ts";
import { type CostLimit, type CostStop, costStop, withinLimit } from "../cost/cost.ts";
import type { Job } from "../manifest/job.ts";
import { adoptBatches } from "./adopt.ts";
import { reconcile } from "./reconcile.ts";
import { submitJob } from "./submit-job.ts";
import { fullText } from "../quota/full-text.ts";
import { nameUsualCauses, warnOfTooLarge } from "../quota/refused-alone.ts";
import { nextTry, type NextTry, type Window } from "../quota/next-try.ts";
import { isToSend, needs } from "../manifest/states.ts";
import { heldText } from "../words/held-text.ts";

export type SubmitOptions = Readonly<{
  window: Window;
  /** How long a batch that may exist is looked for before its job is sent once more. */
  reconcileGraceMs: number;
  /** Undefined: none. */
  costLimit?: CostLimit | undefined;
  /** Of the exported jobs, those that become batches; every one where nothing is said. */
  takes?: (job: Job) => boolean;
}>;

export type SubmitSummary = Readonly<{
  submitted: readonly string[];
  /** Found at Gemini after an uncertain create. */
  adopted: readonly string[];
  /** Still exported, or uncertain: no room, refused for quota, or interrupted. */
  waiting: readonly string[];
  /** Why they wait; undefined when none does. */
  why: string | undefined;
  /** Undefined unless the limit on cost holds jobs back. */
  costStop: CostStop | undefined;
}>;

/** What the sync lane did meanwhile. */
type EmbeddedAtOnce = Readonly<{
  embedded: readonly string[];
  /** Interrupted: they go on where they stopped. */
  left: readonly string[];
}>;

export type SubmittedByLane = SubmitSummary & EmbeddedAtOnce;

/** A create whose answer is lost again and again is left for the next call after so many rounds. */
const MAX_ROUNDS = 3;

export async function submitAll(
  services: StageServices,
  options: SubmitOptions,
): Promise<SubmitSummary> {
  const { manifest, signal } = services;
  const submitted: string[] = [];
  const adopted: string[] = [];
  let why: string | undefined;
  // once in any case: a manifest restored from a backup does not know of its last batches
  if (manifest.jobs().some(isToSend)) adopted.push(...(await adoptBatches(services)).adopted);
  for (let round = 1; !signal.aborted; round++) {
    // those of which nothing is uncertain first: a lost answer holds up its own job alone
    why = await submitRound(services, options, submitted);
    if (manifest.needing("settle").length === 0 || round === MAX_ROUNDS) break;
    const settled = await reconcile(services, options.reconcileGraceMs);
    adopted.push(...settled.adopted);
    why = heldText(manifest.jobs()) ?? why;
    if (settled.absent.length === 0) break;
  }
  const waiting = manifest
    .jobs()
    .filter((job) => isToSend(job) && mayTake(job, options))
    .map((job) => job.id);
  if (waiting.length === 0) why = undefined;
  return {
    submitted,
    adopted,
    waiting,
    why,
    costStop: costStop(manifest, options.costLimit),
  };
}

function mayTake(job: Job, { takes }: SubmitOptions): boolean {
  return needs(job) !== "send" || takes === undefined || takes(job);
}

/** Whoever calls again does not wait for a pause: being refused once more costs nothing. */
function isFull({ atMs, waitsFor }: NextTry, nowMs: number): boolean {
  return atMs > nowMs && (waitsFor === "jobs" || waitsFor === "tokens");
}

/** One pass over the exported jobs; says why it stopped early. */
async function submitRound(
  services: StageServices,
  options: SubmitOptions,
  submitted: string[],
): Promise<string | undefined> {
  const { manifest, signal, clock } = services;
  let lost: string | undefined;
  const isNext = (job: Job) => mayTake(job, options);
  for (const job of [...withinLimit(manifest, options.costLimit)].filter(isNext)) {
    if (signal.aborted) return "interrupted";
    const quota = manifest.quota(job.target.model);
    const jobs = manifest.needing("settle", "look");
    const nowMs = clock.now().getTime();
    const next = nextTry(job, { jobs, window: options.window, log: quota, quotaWaitMs: 0, nowMs });
    if (isFull(next, nowMs)) return fullText(next, jobs, quota);
    const outcome = await submitJob(services, job, next.probe);
    if (outcome.kind === "submitted") submitted.push(job.id);
    if (outcome.kind === "quota") {
      warnOfTooLarge(services, job);
      nameUsualCauses(services, job);
      return `Gemini refused for quota: ${outcome.message}`;
    }
    if (outcome.kind === "uncertain") lost = `no answer to the create: ${outcome.message}`;
  }
  return lost;
}
