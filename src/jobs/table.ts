import type { Prices } from "../gemini/tariff.ts";
import { spentOn } from "../job/cost.ts";
import { finalSums } from "../job/final-sums.ts";
import type { Job } from "../job/job.ts";
import { count, counted, dollars } from "../output/figures.ts";
import { outcomes } from "../output/progress.ts";
import type { Sums } from "../sums.ts";

type Column = Readonly<{ title: string; align: "left" | "right"; cell: (job: Job) => string }>;

/** Fits 80 columns for jobs of up to 200,000 rows. */
const COLUMNS: readonly Column[] = [
  { title: "job", align: "left", cell: ({ id }) => id },
  { title: "state", align: "left", cell: ({ state }) => state },
  { title: "rows", align: "right", cell: ({ requests }) => count(requests) },
  { title: "written", align: "right", cell: ({ sums }) => ended(sums, (of) => of.written) },
  { title: "failed", align: "right", cell: ({ sums }) => ended(sums, (of) => of.failed) },
  { title: "other", align: "right", cell: ({ sums }) => ended(sums, neitherNor) },
  {
    title: "tokens",
    align: "right",
    cell: ({ billedTokens, tokens }) => short(billedTokens ?? tokens),
  },
  { title: "updated (UTC)", align: "left", cell: ({ updatedAt }) => minute(updatedAt) },
];

/** Every job in a line, and under them what they come to. */
export function jobsTable(jobs: readonly Job[], prices: Prices): string {
  const rows = [COLUMNS.map(({ title }) => title), ...jobs.map(cellsOf)];
  const widths = COLUMNS.map((_, column) => widest(rows, column));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => aligned(cell, column, widths))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, "", totals(jobs), spent(jobs, prices)].join("\n");
}

function cellsOf(job: Job): string[] {
  return COLUMNS.map(({ cell }) => cell(job));
}

function widest(rows: readonly (readonly string[])[], column: number): number {
  return rows.reduce((width, row) => Math.max(width, row[column]?.length ?? 0), 0);
}

function aligned(cell: string, column: number, widths: readonly number[]): string {
  const width = widths[column] ?? 0;
  return COLUMNS[column]?.align === "right" ? cell.padStart(width) : cell.padEnd(width);
}

/** A dash until the job has ended: nothing is known yet. */
function ended(sums: Sums | undefined, figure: (sums: Sums) => number): string {
  return sums === undefined ? "-" : count(figure(sums));
}

function neitherNor({ stale, filled, gone }: Sums): number {
  return stale + filled + gone;
}

const MILLION = 1_000_000;

function short(tokens: number): string {
  return tokens < MILLION ? count(tokens) : `${(tokens / MILLION).toFixed(1)} M`;
}

const MINUTE_CHARS = "2026-11-22T10:00".length;

function minute(time: string): string {
  return time.slice(0, MINUTE_CHARS).replace("T", " ");
}

/** Rows as they are in the end: one that was sent again is counted in its last job. */
function totals(jobs: readonly Job[]): string {
  const sums = finalSums(jobs);
  const open = jobs.reduce((rows, job) => rows + (job.sums === undefined ? job.requests : 0), 0);
  const rest = open === 0 ? "" : `, ${count(open)} on the way`;
  const rows = counted(sums.requests + open, "row");
  return `${counted(jobs.length, "job")}, ${rows}: ${outcomes(sums)}${rest}`;
}

/** What was sent so far; a bill that Gemini has not counted yet is an estimate. */
function spent(jobs: readonly Job[], prices: Prices): string {
  const { tokens, usd, billedUsd } = spentOn(jobs, prices);
  const byGemini =
    usd === billedUsd ? "as counted by Gemini" : `${dollars(billedUsd)} of it as counted by Gemini`;
  return `about ${dollars(usd)} for ${count(tokens)} tokens${usd === 0 ? "" : `, ${byGemini}`}`;
}
