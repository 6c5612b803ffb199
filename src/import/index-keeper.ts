/**
 * What becomes of the ANN indexes while vectors are written. By default they stay, and it is said once
 * what that costs. With `--rebuild-index` they are dropped before a table's first row is written and
 * built again when all rows are in; the journal has each one's definition before it is dropped, so
 * that whatever comes between, the same command finishes the job.
 *
 * When all rows are in: for `import`, at the end of every import that came to its end. For `run`, when
 * none of its jobs is on its way any more: a run that leaves for a time limit or a full quota will be
 * started again, and an index over a million rows that is built and dropped every hour helps nobody.
 * Jobs that the limit on cost holds back do not count: whether they go on is for a person to say.
 * Until then what is missing, and the command that builds it now, are said at every end.
 */
import type { TargetDescription } from "../row/target-description.ts";
import type { Clock } from "../clock.ts";
import { UserError, usageError } from "../errors.ts";
import type { DroppedIndex } from "../manifest/dropped-index.ts";
import type { Job } from "../manifest/job.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";
import { droppedIndexesText } from "../words/dropped-index-text.ts";
import { writeCostWarnings } from "../words/write-cost-text.ts";
import type { Report } from "../progress.ts";
import type { AnnIndex, Store, StoreIndexes } from "../store/port.ts";
import { watchedBuild } from "../gates/watched-build.ts";
import { tableName, type Target } from "../row/target.ts";
import { writeCost } from "../row/write-cost.ts";

export type IndexKeeperOptions = Readonly<{
  manifest: Manifest;
  report: Report;
  clock: Clock;
  /** Ends a build that is under way. */
  signal: AbortSignal;
  storeOf: (target: Target) => Promise<Store>;
  /** `--rebuild-index` */
  rebuild: boolean;
}>;

/** Names: what was built again, and what does not stand yet. */
export type IndexSummary = Readonly<{ built: readonly string[]; missing: readonly string[] }>;

export const NO_INDEXES: IndexSummary = { built: [], missing: [] };

export class IndexKeeper {
  readonly #options: IndexKeeperOptions;
  /** Tables that have been seen to. */
  readonly #tables = new Set<string>();

  readonly #built: string[] = [];

  constructor(options: IndexKeeperOptions) {
    this.#options = options;
  }

  get summary(): IndexSummary {
    const missing = this.#options.manifest.droppedIndexes().map(({ index }) => index.name);
    return { built: this.#built, missing };
  }

  /** Before the first row of a job is written: the first one for a table sees to its indexes. */
  async beforeWriting(store: Store, job: Job, description: TargetDescription): Promise<void> {
    const { target } = job;
    const table = JSON.stringify([target.schema, target.table, target.embedding]);
    if (this.#tables.has(table)) return;
    this.#warn(target, description);
    if (this.#options.rebuild) await this.#drop(indexesOf(store), target);
    this.#tables.add(table);
  }

  /** The work, and then the indexes: built where `isAllIn` says so of its result, else told. */
  async around<T>(work: () => Promise<T>, isAllIn: (result: T) => boolean): Promise<T> {
    let builds = false;
    try {
      const result = await work();
      builds = this.#options.rebuild && !this.#options.signal.aborted && isAllIn(result);
      if (builds) await this.#buildAll();
      return result;
    } finally {
      this.#tellMissing();
    }
  }

  /** With `--rebuild-index` what is dropped slows nothing down, and triggers do all the same. */
  #warn(target: Target, description: TargetDescription): void {
    const { manifest, rebuild, report } = this.#options;
    const onTheirWay = manifest
      .jobs()
      .filter((job) => isOpen(job) && tableName(job.target) === tableName(target));
    const rows = onTheirWay.reduce((sum, job) => sum + job.requests, 0);
    const cost = writeCost(description, rows);
    const told = rebuild ? { ...cost, seconds: undefined } : cost;
    for (const warning of writeCostWarnings(target, told, rows)) {
      report({ type: "warning", ...warning });
    }
  }

  async #drop(indexes: StoreIndexes, target: Target): Promise<void> {
    const { manifest, report } = this.#options;
    for (const { obstacle, ...index } of await indexes.read()) {
      if (obstacle !== undefined) {
        report({ type: "warning", ...stays(target, index, obstacle) });
        continue;
      }
      await manifest.recordIndex({ type: "indexDropping", target, index });
      await indexes.drop(index.name);
      await manifest.recordIndex({ type: "indexDropped", target, name: index.name });
      report({ type: "indexDropped", index: index.name });
    }
  }

  /** One that cannot be built keeps no other from it. */
  async #buildAll(): Promise<void> {
    const { manifest, signal } = this.#options;
    const failures: unknown[] = [];
    for (const dropped of manifest.droppedIndexes()) {
      try {
        await this.#build(dropped);
      } catch (error) {
        if (signal.aborted || !(error instanceof UserError)) throw error;
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  async #build({ target, index }: DroppedIndex): Promise<void> {
    const { manifest, report, clock, signal, storeOf } = this.#options;
    const indexes = indexesOf(await storeOf(target));
    const { how, seconds } = await watchedBuild({ indexes, report, clock }, index, signal);
    await manifest.recordIndex({ type: "indexSettled", target, name: index.name, how });
    if (how === "replaced") return report({ type: "warning", ...replaced(target, index) });
    if (how === "built") this.#built.push(index.name);
    const took = how === "built" ? seconds : undefined;
    report({ type: "indexBuilt", index: index.name, seconds: took });
  }

  #tellMissing(): void {
    const missing = this.#options.manifest.droppedIndexes();
    for (const warning of droppedIndexesText(missing)) {
      this.#options.report({ type: "warning", ...warning });
    }
  }
}

/** Throws a UserError where only an API is to be had. */
function indexesOf({ indexes }: Store): StoreIndexes {
  if (indexes !== undefined) return indexes;
  throw usageError(
    "An index is dropped and built by the database itself, not by its API.",
    "Set DATABASE_URL to the database's own address (in Supabase: Connect, Session pooler), or leave --rebuild-index out.",
  );
}

function stays(target: Target, { name }: AnnIndex, obstacle: string) {
  return {
    message: `The index ${name} on ${tableName(target)} is left as it is, since ${obstacle}: writing under it is slow.`,
    hint: undefined,
  };
}

function replaced(target: Target, { name, definition }: AnnIndex) {
  return {
    message: `There is another index by the name ${name} on ${tableName(target)}; it is left as it is.`,
    hint: `What was dropped was: ${definition}`,
  };
}
