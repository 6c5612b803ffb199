/** Everything that stands on the page, from the manifest, the failed files and the database. */
import type { Coverage } from "../../cli/coverage.ts";
import type { Prices } from "../../cost/tariff.ts";
import { type Cost, spentOn } from "../../cost/cost.ts";
import { finalSums } from "../../cost/final-sums.ts";
import type { Job } from "../../manifest/job.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import type { Migration } from "../../manifest/migration/table-migration.ts";
import { readStateChanges } from "../../jobs-folder/state-changes.ts";
import type { ReadEvents } from "../../jobs-folder/open.ts";
import type { Sums } from "../../row/sums.ts";
import { sameTarget, tableName, type Target } from "../../row/target.ts";
import type { Store } from "../../store/port.ts";
import { type Failures, readFailures } from "../../words/failures.ts";
import {
  exportedRows,
  queuedTokens,
  type Series,
  type Stretch,
  stretches,
  writtenRows,
} from "./series.ts";

export type ReportJob = Readonly<{ job: Job; usd: number; life: readonly Stretch[] }>;

export type ReportData = Readonly<{
  madeAt: Date;
  /** Of other targets in the same folder, which are not on the page. */
  otherJobs: number;
  table: string;
  target: Target;
  /** Why the database was not asked, where it could not be. */
  coverage: Coverage | string;
  sums: Sums;
  cost: Cost;
  jobs: readonly ReportJob[];
  exported: Series;
  written: Series;
  queued: Series;
  /** From the first export to the last thing that happened; to now while jobs are open. */
  span: Readonly<{ fromMs: number; toMs: number }>;
  /** What may be queued at once. */
  enqueuedTokensMax: number;
  failures: Failures;
  /** Of the table: the way to the model that it has, or is to have. */
  migration: Migration | undefined;
}>;

export type ReportOptions = Readonly<{
  readEvents: ReadEvents;
  target: Target;
  prices: Prices;
  enqueuedTokensMax: number;
  now: Date;
  /** Undefined where the database was not asked. */
  store: Store | undefined;
}>;

export async function gatherReport(
  manifest: ManifestView,
  coverage: Coverage | string,
  options: ReportOptions,
): Promise<ReportData> {
  const { readEvents, target, prices, enqueuedTokensMax, now, store } = options;
  const all = manifest.jobs();
  const jobs = all.filter((job) => sameTarget(job.target, target));
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const changes = (await readStateChanges(readEvents)).filter(({ job }) => byId.has(job));
  const lives = stretches(changes, now.getTime());
  return {
    madeAt: now,
    otherJobs: all.length - jobs.length,
    table: tableName(target),
    target,
    coverage,
    sums: finalSums(jobs),
    cost: spentOn(jobs, prices),
    jobs: jobs.map((job) => ({
      job,
      usd: spentOn([job], prices).usd,
      life: lives.get(job.id) ?? [],
    })),
    exported: exportedRows(changes, byId),
    written: writtenRows(changes, byId),
    queued: queuedTokens(changes, byId),
    span: spanOf([...lives.values()].flat(), now),
    enqueuedTokensMax,
    failures: await readFailures(jobs, (job) => manifest.bring(job), store),
    migration: manifest.migration(target),
  };
}

function spanOf(stretchesOfAll: readonly Stretch[], now: Date): ReportData["span"] {
  const fromMs = stretchesOfAll.reduce(
    (least, each) => Math.min(least, each.fromMs),
    now.getTime(),
  );
  return { fromMs, toMs: stretchesOfAll.reduce((most, { toMs }) => Math.max(most, toMs), fromMs) };
}
