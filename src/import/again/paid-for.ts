/**
 * Rows that are paid for and hold no vector any more: the database was restored from a backup, or lost its last commits
 * in a failover. Such a row waits with the very text that a job was imported with, and that job's results, which
 * are here, would be written into it. No row of these is sent: a run and `import --again` write them, at no cost.
 * What a person rolled back is sent again.
 */
import { exists } from "../../disk/presence.ts";
import { UserError } from "../../errors.ts";
import { lacksRows } from "../../jobs-folder/found-rows.ts";
import { readRequestKeys } from "../../jobs-folder/request-file.ts";
import { hasResults } from "../../jobs-folder/results-file.ts";
import { hasTextKeys, type Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { isImported, wasImported } from "../../manifest/states.ts";
import type { Report } from "../../progress.ts";
import { KeySet, KeyTable } from "../../row/key-table.ts";
import { formatKey, rowIdOf } from "../../row/question.ts";
import { sameTarget, type Target } from "../../row/target.ts";
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
}>;

/** Keys of rows that a job would write again. */
export type PaidJob = Readonly<{ job: Job; keys: KeySet }>;

/**
 * Request files of imported jobs are read when the first row is asked for, 16 bytes a row; results only of
 * jobs that such a row is of.
 */
export class PaidRows {
  readonly #services: Services;
  /** The newest first: what it came to holds for the row. */
  readonly #jobs: readonly Job[];
  #places: Promise<KeyTable> | undefined;
  /** What the job at this place would write; of jobs of earlier versions, ids. */
  readonly #writable = new Map<number, KeySet>();
  readonly #found = new Map<number, KeySet>();

  constructor(services: Services, target: Target) {
    this.#services = services;
    this.#jobs = services.manifest
      .jobs()
      .filter((job) => sameTarget(job.target, target) && (isImported(job) || isRolledBack(job)))
      .toReversed();
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
      const writable = place === undefined ? undefined : await this.#writableOf(place);
      if (place === undefined || !(writable?.has(key) || writable?.has(rowIdOf(key)))) continue;
      paid.add(key);
      this.#foundIn(place).add(key);
    }
    return paid;
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
    const { manifest, fetch } = this.#services;
    for (const [place, job] of this.#jobs.entries()) {
      const files = manifest.files(job.id);
      const isKnown = !(await lacksRows(files, job)) && (await hasCopies(files.copies, job));
      const isOver = wasImported(job) && fetch === undefined && !(await exists(files.results));
      if (!isKnown || isOver) continue;
      for await (const keys of readRequestKeys(files, job))
        for (const key of keys) places.add(hasTextKeys(job) ? key : rowIdOf(key), place);
    }
    return places;
  }

  async #writableOf(place: number): Promise<KeySet> {
    const known = this.#writable.get(place);
    if (known !== undefined) return known;
    const job = this.#jobs[place];
    const found = job !== undefined && wasImported(job) ? await this.#readWritable(job) : undefined;
    this.#writable.set(place, found ?? new KeySet());
    return found ?? new KeySet();
  }

  /** As the import would write them. Keys of earlier versions do not tell whether a text is the same: the table does. */
  async #readWritable(job: Job): Promise<KeySet | undefined> {
    const { manifest, store, report, fetch } = this.#services;
    const files = manifest.files(job.id);
    const writable = new KeySet();
    try {
      if (!(await hasResults(files, job)) && (await fetch?.(job)) === undefined) return undefined;
      for await (const chunk of writableRows(files, job, CHUNK_ROWS)) {
        if (hasTextKeys(job)) for (const row of chunk) writable.add(formatKey(row));
        else for (const { id } of await emptyOf(store, chunk)) writable.add(id);
      }
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const message = `What job ${job.id} wrote cannot be written again: ${error.message}`;
      report({ type: "warning", message, hint: undefined });
      return undefined;
    }
    return writable;
  }
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

async function hasCopies(path: string, { copies }: Job): Promise<boolean> {
  return copies === undefined || exists(path);
}
