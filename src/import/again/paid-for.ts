/**
 * Rows that are paid for and hold no vector any more: the database was restored from a backup, or lost its last commits
 * in a failover. Such a row waits with the very text that a job was imported with, and that job's results, which
 * are here, would be written into it. No row of these is sent: a run and `import --again` write them, at no cost.
 * Where nobody has the results any more they are sent again, which is said before; while Gemini is away they wait. What
 * a person rolled back is sent again.
 */
import { exists } from "../../disk/presence.ts";
import { JobBlocked, UserError } from "../../errors.ts";
import { lacksRows } from "../../jobs-folder/found-rows.ts";
import { readRequestKeys } from "../../jobs-folder/request-file.ts";
import { hasResults } from "../../jobs-folder/results-file.ts";
import { hasTextKeys, type Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { isImported, wasImported } from "../../manifest/states.ts";
import type { Report } from "../../progress.ts";
import { KeySet, KeyTable } from "../../row/key-table.ts";
import { formatKey, rowIdOf } from "../../row/question.ts";
import { type Kin, sameTarget, type Target } from "../../row/target.ts";
import type { Store } from "../../store/port.ts";
import { tableEnds } from "../../words/paid-rows.ts";
import { type AgainServices, emptyOf, writeAgain } from "./again.ts";
import { CHUNK_ROWS } from "../chunk-writer.ts";
import { writableRows } from "../written-rows.ts";

type Services = Readonly<{
  manifest: ManifestView;
  store: Pick<Store, "compare">;
  report: Report;
  /** Results that are lost here, as far as Gemini has them still. */
  fetch?: (job: Job) => Promise<Job | undefined>;
  /** A person said to pay again for what cannot be fetched here, whoever may have it. */
  beside?: boolean | undefined;
}>;

/** Keys of rows that a job would write again. */
export type PaidJob = Readonly<{ job: Job; keys: KeySet }>;

/**
 * Request files of imported jobs are read when the first row is asked for, 16 bytes a row; results only of
 * jobs that such a row is of.
 */
export class PaidRows {
  readonly #services: Services;
  /** Of earlier versions no key tells the text; of another partition such a key is like none here. */
  readonly #hasKeys: (job: Job) => boolean;
  /** Its own and then those of kin, the newest first: what it came to holds for the row. */
  readonly #jobs: readonly Job[];
  #places: Promise<KeyTable> | undefined;
  /** What the job at this place would write; of jobs of earlier versions, ids. */
  readonly #writable = new Map<number, Writable>();
  readonly #found = new Map<number, KeySet>();
  /** A job wrote them, and nobody has their vectors any more. */
  readonly #gone = new KeySet();
  #isAway = false;

  /** A row that was gone from another partition may wait here. */
  constructor(services: Services, target: Target, kin?: Kin) {
    this.#services = services;
    const jobs = services.manifest.jobs().toReversed();
    this.#hasKeys = (job) => hasTextKeys(job) || !sameTarget(job.target, target);
    this.#jobs = [
      ...jobs.filter((job) => sameTarget(job.target, target) && hasWritten(job)),
      ...jobs.filter((job) => kin?.has(job.target) === true && hasLostRows(job)),
    ];
  }

  /** Undefined where no job was imported: then nothing need be asked of any row. */
  get ask(): ((keys: readonly string[]) => Promise<ReadonlySet<string>>) | undefined {
    return this.#jobs.some(wasImported) ? (keys) => this.#paidAmong(keys) : undefined;
  }

  /** Of keys of rows that wait, and that no open job and no failed file has. */
  async #paidAmong(keys: readonly string[]): Promise<ReadonlySet<string>> {
    const paid = new Set<string>();
    if (keys.length === 0) return paid;
    const places = await (this.#places ??= this.#readPlaces());
    for (const key of keys) {
      const place = places.get(key) ?? places.get(rowIdOf(key));
      if (place === undefined) continue;
      const writable = await this.#writableOf(place);
      if (writable === "gone") this.#gone.add(key);
      else if (writable === "later") paid.add(key);
      else if (writable.has(key) || writable.has(rowIdOf(key))) {
        paid.add(key);
        this.#foundIn(place).add(key);
      }
    }
    return paid;
  }

  /** It has to be paid for again. */
  isGone(key: string): boolean {
    return this.#gone.has(key);
  }

  /** What was found so far, by job. */
  found(): readonly PaidJob[] {
    return this.#jobs.flatMap((job, place) => {
      const keys = this.#found.get(place);
      return keys === undefined ? [] : [{ job, keys }];
    });
  }

  #foundIn(place: number): KeySet {
    const keys = this.#found.get(place) ?? new KeySet();
    this.#found.set(place, keys);
    return keys;
  }

  async #readPlaces(): Promise<KeyTable> {
    const rows = this.#jobs.reduce((sum, { requests }) => sum + requests, 0);
    const places = new KeyTable(rows);
    const { manifest } = this.#services;
    for (const [place, job] of this.#jobs.entries()) {
      const files = await manifest.bring(job);
      if ((await lacksRows(files, job)) || !(await hasCopies(files.copies, job))) continue;
      for await (const keys of readRequestKeys(files, job))
        for (const key of keys) places.add(this.#hasKeys(job) ? key : rowIdOf(key), place);
    }
    return places;
  }

  async #writableOf(place: number): Promise<Writable> {
    const known = this.#writable.get(place);
    if (known !== undefined) return known;
    const job = this.#jobs[place];
    const found = job !== undefined && wasImported(job) ? await this.#readWritable(job) : NOTHING;
    this.#writable.set(place, found);
    return found;
  }

  async #readWritable(job: Job): Promise<Writable> {
    const files = await this.#services.manifest.bring(job);
    const fetched = (await hasResults(files, job)) ? job : await this.#fetched(job);
    if (fetched === "later") return fetched;
    if (fetched !== undefined) return this.#keysOf(job);
    // an older key does not prove that the text is the same
    if (!this.#hasKeys(job)) return NOTHING;
    this.#warn(goneText(job, this.#services.fetch === undefined));
    return "gone";
  }

  /** While Gemini is away nothing more is asked of it. What no key here sees may be there all the same. */
  async #fetched(job: Job): Promise<Job | "later" | undefined> {
    try {
      if (!this.#isAway) return await this.#services.fetch?.(job);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const message = `The results of job ${job.id} could not be fetched again: ${error.message}`;
      this.#warn(message, error.hint);
      this.#isAway = !(error instanceof JobBlocked);
    }
    const { beside = false } = this.#services;
    return this.#hasKeys(job) && (this.#isAway || !beside) ? "later" : undefined;
  }

  /** As the import would write them. Keys of earlier versions do not tell whether a text is the same: the table does. */
  async #keysOf(job: Job): Promise<KeySet> {
    const { manifest, store } = this.#services;
    const keys = new KeySet();
    try {
      for await (const chunk of writableRows(await manifest.bring(job), job, CHUNK_ROWS)) {
        if (this.#hasKeys(job)) for (const row of chunk) keys.add(formatKey(row));
        else for (const { id } of await emptyOf(store, chunk)) keys.add(id);
      }
      return keys;
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#warn(`What job ${job.id} wrote cannot be written again: ${error.message}`);
      return NOTHING;
    }
  }

  #warn(message: string, hint?: string): void {
    this.#services.report({ type: "warning", message, hint });
  }
}

/** `gone`: nobody has the results; `later`: they could not be fetched for now. */
type Writable = KeySet | "gone" | "later";

const NOTHING = new KeySet();

function goneText({ id, cleaned }: Job, isUnasked: boolean): string {
  const lost = `Rows of job ${id} have lost their vectors, and its results`;
  if (cleaned.includes("results")) return `${lost} were deleted by clean: they are paid for again.`;
  return isUnasked
    ? `${lost} are not in the jobs folder: a run asks Gemini for them, and pays again for what it does not get.`
    : `${lost} are not to be had any more: they are paid for again.`;
}

/** What it was paid for may be in the column, or was and is rolled back. */
function hasWritten(job: Job): boolean {
  return isRolledBack(job) || (isImported(job) && job.sums?.written !== 0);
}

/** Of these its results are the only ones. */
function hasLostRows(job: Job): boolean {
  return isImported(job) && (job.sums?.gone ?? 0) > 0;
}

/** How many rows have their vectors again. What stands against one job is told, and keeps no other from it. */
export async function writePaid(
  services: AgainServices,
  found: readonly PaidJob[],
): Promise<number> {
  const { report, signal } = services;
  let rows = 0;
  for (const { job, keys: named } of found) {
    if (signal.aborted) break;
    try {
      const { written, refusal } = tableEnds(await writeAgain(services, job, { named }));
      rows += written;
      if (refusal === "") continue;
      report({ type: "warning", message: `Job ${job.id}: ${refusal}`, hint: undefined });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      report({ type: "warning", message: error.message, hint: "`vecfill import --again`" });
    }
  }
  return rows;
}

function isRolledBack({ rollback }: Job): boolean {
  return rollback !== undefined;
}

async function hasCopies(path: string, { copies, rowsFile }: Job): Promise<boolean> {
  return copies === undefined || rowsFile !== undefined || exists(path);
}
