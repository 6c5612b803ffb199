/**
 * After an uncertain create, Gemini's own list is the judge. It is read whole, again and again over
 * a grace period, since a batch may show up late. A batch that is found is adopted. Where none shows, the
 * create may still come: so its input file is revoked (`revoke.ts`), and the list read over another grace
 * period, for what slipped in before. Only then may the job be sent once more. Nothing is ever cancelled
 * here: a second batch is reported, and a person decides.
 */
import { isOfProject, missingKeyHint } from "../gates/keys.ts";
import { projectOf, type StageServices } from "../jobs-folder/stage-services.ts";
import { MS_PER_SECOND } from "../clock.ts";
import { JobBlocked, UserError } from "../errors.ts";
import type { Batch } from "../gemini/port.ts";
import { batchesOf, batchPrefix } from "../jobs-folder/batch-names.ts";
import type { Job } from "../manifest/job.ts";
import type { Pause } from "../gates/outages.ts";
import type { World } from "../gates/world.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import type { Found } from "./adopt.ts";
import type { Creates } from "./creates.ts";
import { GONE_TIMES } from "./fence-check.ts";
import { isSameSubmission, revokeInput } from "./revoke.ts";

const READS_PER_GRACE = 6;
const MIN_READS = 2;
const MAX_WAIT_BETWEEN_READS_MS = 15_000;
const SELDOM_READ_MS = 10 * 60 * 1000;

/** What was seen of a submission since this process watches it. */
type Watch = {
  readonly submission: number;
  /** Readings of the list, and since when: from the start, or, once the file is gone, from then on. */
  reads: number;
  sinceMs: number;
  /** Since when its file is being revoked; and how often in a row it was found gone. */
  revokedSinceMs: number | undefined;
  gone: number;
  /** Its file has to expire, or nobody tells: the list is read seldom, and nobody waits for it. */
  isSeldom: boolean;
};

type SettleWorld = World &
  Readonly<{
    creates: Creates;
    /** How long a batch that may exist is looked for before its job is sent once more. */
    reconcileGraceMs: number;
    /** Of a stage by itself: begins when nothing else is to be sent, and ends when only held jobs are left. */
    alone?: boolean;
  }>;

/** Settles every job that is uncertain, each in its own time while other lanes work. A batch of a job that was recorded as absent is found by any reading, too (`adopt.ts`). */
export class SettleLane implements Lane {
  readonly #world: SettleWorld;
  readonly #pause: Pause = {};
  readonly #watches = new Map<string, Watch>();
  /** When the list is read next. */
  #dueMs = 0;

  constructor(world: SettleWorld) {
    this.#world = world;
  }

  next(isQuiet: boolean): Step {
    const { duties, outages, creates, clock, alone = false } = this.#world;
    if (!duties.has("submit", projectOf(this.#world))) return IDLE;
    const open = this.#open();
    if (open.length === 0 || creates.hasLostTooMany || (alone && !isQuiet)) return IDLE;
    const restMs = outages.sendingRestMs(this.#pause);
    if (restMs > 0) return restMs;
    const isNew = (job: Job) => this.#watches.get(job.id)?.submission !== job.submissions;
    const leftMs = open.some(isNew) ? 0 : this.#dueMs - clock.elapsedMs();
    if (leftMs < 1) return () => outages.guarded(() => this.#readAndAdvance(), this.#pause);
    return alone && open.every(this.#isSeldom) ? IDLE : leftMs;
  }

  #open(): readonly Job[] {
    const { manifest, creates, blocked } = this.#world;
    const isToSettle = (job: Job) =>
      isOfProject(this.#world, job) && !creates.isBeingSent(job) && !blocked.has(job);
    return manifest.needing("settle").filter(isToSettle);
  }

  readonly #isSeldom = ({ id }: Job): boolean => this.#watches.get(id)?.isSeldom === true;

  /** One reading of the whole list, and what comes of it for each uncertain job. */
  async #readAndAdvance(): Promise<void> {
    const readAtMs = this.#world.clock.elapsedMs();
    const found = await this.#world.creates.adoptListed();
    for (const job of this.#open())
      if (!(await found.isProjectOf(job.keyId))) this.#block(notItsKey(job));
    for (const job of this.#open()) {
      const watch = this.#watchOf(job, readAtMs);
      watch.reads += 1;
      await this.#advance(job, watch, { readAtMs, found });
    }
    this.#dueMs = readAtMs + this.#waitMs();
  }

  #block(error: JobBlocked): void {
    const { message, hint } = error;
    this.#world.blocked.add(error);
    this.#world.report({ type: "warning", message, hint });
  }

  /** Until the next poll. */
  #waitMs(): number {
    const open = this.#open();
    if (open.every(this.#isSeldom)) return SELDOM_READ_MS;
    const waitMs = waitBetweenMs(this.#world.reconcileGraceMs);
    const why = `for a batch of job ${open.map(({ id }) => id).join(", ")} to show at Gemini`;
    this.#world.report({ type: "waiting", why, seconds: Math.ceil(waitMs / MS_PER_SECOND) });
    return waitMs;
  }

  #watchOf(job: Job, nowMs: number): Watch {
    const known = this.#watches.get(job.id);
    if (known?.submission === job.submissions) return known;
    const watch: Watch = {
      submission: job.submissions,
      reads: 0,
      sinceMs: nowMs,
      revokedSinceMs: undefined,
      gone: 0,
      isSeldom: false,
    };
    this.#watches.set(job.id, watch);
    return watch;
  }

  async #advance(
    job: Job,
    watch: Watch,
    { readAtMs, found }: Readonly<{ readAtMs: number; found: Found }>,
  ): Promise<void> {
    // of the first grace, or of the one after the file is gone
    const isGraceOver =
      watch.reads >= MIN_READS && readAtMs - watch.sinceMs >= this.#world.reconcileGraceMs;
    // third: the list, once more over a grace, after the file is gone
    if (watch.gone >= GONE_TIMES)
      return isGraceOver ? this.#recordAbsent(job, watch, found) : undefined;
    // first: the list alone, over a grace
    if (job.revoking === undefined && (!isGraceOver || this.#isYoung(job))) return;
    // second: the file
    checkNameless(this.#world, job, found.nameless);
    await this.#revoke(job, watch, readAtMs);
  }

  async #revoke(job: Job, watch: Watch, readAtMs: number): Promise<void> {
    const sinceMs = (watch.revokedSinceMs ??= readAtMs);
    const revocation = await revokeInput(this.#world, job, watch.reads);
    watch.gone = revocation === "gone" ? watch.gone + 1 : 0;
    // what is not told by then is looked at again, but not waited for
    const isLate =
      readAtMs > sinceMs &&
      readAtMs - sinceMs >= REVOKE_TAKES_GRACES * this.#world.reconcileGraceMs;
    watch.isSeldom = revocation === "held" || (revocation === "open" && isLate);
    if (watch.gone < GONE_TIMES) return;
    watch.reads = 0;
    watch.sinceMs = this.#world.clock.elapsedMs();
  }

  /** The job may be sent again. */
  async #recordAbsent(job: Job, watch: Watch, { nameless }: Found): Promise<void> {
    checkNameless(this.#world, job, nameless);
    const { reads } = watch;
    const event = { type: "absent", job: job.id, reads, revoked: true } as const;
    await this.#world.manifest.recordIf((now) => isSameSubmission(now, job), event);
  }

  #isYoung({ updatedAt }: Job): boolean {
    const ageMs = this.#world.clock.now().getTime() - Date.parse(updatedAt);
    // an intent that seems to lie ahead is older than a clock that was set back
    return ageMs >= 0 && ageMs < CREATE_TAKES_GRACES * this.#world.reconcileGraceMs;
  }
}

/** The service may take longer over a create than the grace; it starts with the request. */
const CREATE_TAKES_GRACES = 3;
/** And over the deletion of a file. */
const REVOKE_TAKES_GRACES = 3;

/**
 * The list of another project never shows the batch. Keys of one project see the same, but which
 * project a key belongs to nobody tells; so only the key of the create, or one that sees other
 * batches of ours or that key's marker, can say that there is none. Other jobs go on.
 */
function notItsKey(job: Job): JobBlocked {
  const why =
    "whether it has a batch at Gemini cannot be told with this API key, which is not the one that sent it.";
  return new JobBlocked(job.id, new UserError(why, { hint: missingKeyHint(job) }));
}

/**
 * A batch that tells no name may be that of the lost answer, unless it is known, or was made of something
 * else, or long before. Then the list proves nothing, and sending the job again could pay twice.
 */
function checkNameless({ manifest }: StageServices, job: Job, nameless: readonly Batch[]): void {
  const known = batchesOf(manifest.jobs());
  const strangers = nameless.filter(({ name }) => !known.has(name));
  const ownFiles = `files/${batchPrefix(manifest.id)}${job.id}-`;
  const [first, ...others] = strangers.filter((batch) => mayBeOf(job, batch, ownFiles));
  if (first === undefined) return;
  const more = others.length === 0 ? "" : ` and ${others.length} more`;
  throw new UserError(
    `Whether job ${job.id} has a batch at Gemini cannot be told: its list shows ${first.name}${more} without a name, which may be the job's. It was not sent again.`,
    {
      hint: `Run the same command again later. If it stays so, \`vecfill cancel ${job.id} --give-up\` gives the job up: a batch that exists all the same is paid for and lost.`,
      exit: "unfinished",
    },
  );
}

/** The two clocks may differ by so much; and an earlier intent may be so much older. */
const CLOCKS_DIFFER_MS = 7 * 24 * 60 * 60 * 1000;

function mayBeOf(
  { target, updatedAt }: Job,
  { model, inputFile, createdAt }: Batch,
  ownFiles: string,
): boolean {
  if (model !== undefined && model !== target.model) return false;
  if (inputFile !== undefined) return inputFile.startsWith(ownFiles);
  return !(Date.parse(createdAt ?? "") < Date.parse(updatedAt) - CLOCKS_DIFFER_MS);
}

function waitBetweenMs(graceMs: number): number {
  return Math.min(MAX_WAIT_BETWEEN_READS_MS, Math.max(1, graceMs / READS_PER_GRACE));
}
