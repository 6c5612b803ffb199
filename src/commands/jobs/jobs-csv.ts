import { csvLine } from "../../disk/csv.ts";
import type { ListedJob } from "./listed-job.ts";

type Cell = string | number | null;

const COLUMNS: readonly (readonly [title: string, cell: (job: ListedJob) => Cell])[] = [
  ["id", ({ id }) => id],
  ["state", ({ state }) => state],
  ["requests", ({ requests }) => requests],
  ["written", ({ written }) => written],
  ["failed", ({ failed }) => failed],
  ["stale", ({ stale }) => stale],
  ["filled", ({ filled }) => filled],
  ["gone", ({ gone }) => gone],
  ["tokens", ({ tokens }) => tokens],
  ["batch", ({ batch }) => batch],
  ["parent", ({ parent }) => parent],
  ["attempt", ({ attempt }) => attempt],
  ["createdAt", ({ createdAt }) => createdAt],
  ["updatedAt", ({ updatedAt }) => updatedAt],
  ["requestsFile", ({ files }) => files.requests],
  ["resultsFile", ({ files }) => files.results],
  ["failedFile", ({ files }) => files.failed],
  ["errorCode", ({ error }) => error?.code ?? null],
  ["errorMessage", ({ error }) => error?.message ?? null],
  ["usd", ({ usd }) => usd],
  ["lane", ({ lane }) => lane],
  ["copies", ({ copies }) => copies],
  ["copiesFile", ({ files }) => files.copies],
  ["parents", ({ parents }) => parents.join(" ")],
  ["rolledBack", ({ rolledBack }) => rolledBack],
  ["project", ({ project }) => project],
];

/** A line of titles and a line for each job, without the last line's end. */
export function jobsCsv(jobs: readonly ListedJob[]): string {
  const titles = csvLine(COLUMNS.map(([title]) => title));
  const lines = jobs.map((job) => csvLine(COLUMNS.map(([, cell]) => cell(job) ?? undefined)));
  return [titles, ...lines].join("").trimEnd();
}
