import type { Prices } from "../../cost/tariff.ts";
import { costOf, spentOn } from "../../cost/cost.ts";
import { finalSums } from "../../cost/final-sums.ts";
import { mayHaveCost } from "../../manifest/bill.ts";
import type { Job } from "../../manifest/job.ts";
import { count, counted, dollarsTogether, minute, type Together } from "../../words/figures.ts";
import { folded, said } from "../../words/text-lines.ts";
import { outcomes } from "../../output/progress-lines.ts";
import { NO_ROWS, type Sums } from "../../row/sums.ts";

type Column = Readonly<{
  title: string;
  align: "left" | "right";
  cell: (job: Job) => string;
  /** Where the title does not tell. */
  means?: string;
}>;

/** What a list is made for where nobody knows how wide it may be. */
const USUAL_WIDTH = 80;

/** Fits 80 columns for jobs of up to 200,000 rows. */
const COLUMNS: readonly Column[] = [
  { title: "job", align: "left", cell: ({ id }) => id },
  { title: "state", align: "left", cell: ({ state }) => state },
  { title: "rows", align: "right", cell: ({ requests }) => count(requests) },
  { title: "written", align: "right", cell: (job) => ended(job, ({ written }) => written) },
  { title: "failed", align: "right", cell: (job) => ended(job, ({ failed }) => failed) },
  {
    title: "again",
    align: "right",
    cell: ({ sums, outstanding }) => {
      const again = (sums?.failed ?? 0) - outstanding.lines;
      return again > 0 ? count(again) : "";
    },
    means: "failed rows that were sent again: they count in their new job",
  },
  {
    title: "other",
    align: "right",
    cell: (job) => (neitherNor(job) > 0 ? count(neitherNor(job)) : ""),
    means: "rows whose text changed, filled by someone else, deleted, or rolled back",
  },
  {
    title: "tokens",
    align: "right",
    cell: ({ billedTokens, tokens }) => short(billedTokens ?? tokens),
  },
  { title: "updated (UTC)", align: "left", cell: ({ updatedAt }) => minute(updatedAt) },
];

/** In which they are given up where there is less room: what is in the totals as well comes first. */
const GIVEN_UP = ["tokens", "other", "again", "updated (UTC)", "rows"];

const COST = "cost";

/** Where there is more room, as far as it goes. */
function extraColumns(costText: (job: Job) => string): Column[] {
  return [
    { title: COST, align: "right", cell: costText },
    { title: "try", align: "right", cell: ({ attempt }) => (attempt === 1 ? "" : count(attempt)) },
    { title: "batch", align: "left", cell: ({ batch }) => batch ?? "" },
    { title: "error", align: "left", cell: ({ error }) => error?.message.split("\n")[0] ?? "" },
  ];
}

const GAP = "  ";

/**
 * Every job in a line, and under them what they come to; no line is wider than `width`. `all`: those that the
 * sums are of, where not each has its line.
 */
export function jobsTable(
  jobs: readonly Job[],
  prices: Prices,
  width = USUAL_WIDTH,
  all = jobs,
): string {
  const usdOf = (job: Job) => costOf(job, prices).usd;
  const money = dollarsTogether(all.filter(mayHaveCost).map(usdOf));
  const costText = (job: Job) => (mayHaveCost(job) ? money.text(usdOf(job)) : "-");
  const sums = folded(`${totals(all)}\n${spent(all, prices, money)}`, width);
  return [...jobLines(jobs, costText, width), sums].join("\n");
}

/** A line of titles, a line for each job, and what titles mean. */
function jobLines(jobs: readonly Job[], costText: (job: Job) => string, width: number): string[] {
  const known = COLUMNS.map((column) => withCells(column, jobs)).filter(hasCells);
  const columns = fitting(known, width);
  // where something was given up, nothing is added
  const extra = columns.length === known.length ? extraColumns(costText) : [];
  for (const each of extra) addWhereItFits(columns, each, jobs, width);
  const lines = ["", ...jobs].map((_, at) =>
    columns
      .map((column) => aligned(column, at))
      .join(GAP)
      .trimEnd()
      .slice(0, width),
  );
  const notes = notesOn(
    columns,
    known.map(({ title }) => title),
  );
  return [...lines, "", ...notes.map((line) => folded(line, width))];
}

function addWhereItFits(columns: Filled[], added: Column, jobs: readonly Job[], width: number) {
  // nothing is made that cannot be shown: there may be tens of thousands of jobs
  if (totalWidth(columns) + GAP.length + added.title.length > width) return;
  const column = withCells(added, jobs);
  if (hasCells(column) && totalWidth([...columns, column]) <= width) columns.push(column);
}

/** What titles mean, and what there is no room for. */
function notesOn(columns: readonly Filled[], known: readonly string[]): string[] {
  const told = columns.filter(({ cells, means }) => means !== undefined && cells.length > 1);
  const shown = columns.map(({ title }) => title);
  const missing = [...known, COST].filter((each) => !shown.includes(each));
  return said([
    ...told.map(({ title, means }) => `${title}: ${means}`),
    missing.length > 0 && `No room for: ${missing.join(", ")}.`,
  ]);
}

/** A column with its cells, the title first. */
type Filled = Column & Readonly<{ cells: readonly string[]; width: number }>;

function withCells(column: Column, jobs: readonly Job[]): Filled {
  const cells = [column.title, ...jobs.map(column.cell)];
  const width = cells.reduce((widest, cell) => Math.max(widest, cell.length), 0);
  return { ...column, cells, width };
}

/** Not its title alone. */
function hasCells({ cells }: Filled): boolean {
  return cells.length === 1 || cells.some((cell, at) => at > 0 && cell !== "");
}

function fitting(columns: readonly Filled[], width: number): Filled[] {
  let left = [...columns];
  for (const title of GIVEN_UP) {
    if (totalWidth(left) <= width) break;
    left = left.filter((column) => column.title !== title);
  }
  return left;
}

function totalWidth(columns: readonly Filled[]): number {
  return columns.reduce((sum, column) => sum + column.width + GAP.length, -GAP.length);
}

function aligned({ align, cells, width }: Filled, at: number): string {
  const cell = cells[at] ?? "";
  return align === "right" ? cell.padStart(width) : cell.padEnd(width);
}

/** As the sum below counts it. A dash until the job has ended: nothing is known yet. */
function ended(job: Job, figure: (sums: Sums) => number): string {
  return job.sums === undefined ? "-" : count(figure(finalSums([job])));
}

function neitherNor({ sums: { written, stale, filled, gone } = NO_ROWS, rolledBack }: Job): number {
  return stale + filled + gone + Math.min(rolledBack, written);
}

const MILLION = 1_000_000;

function short(tokens: number): string {
  return tokens < MILLION ? count(tokens) : `${(tokens / MILLION).toFixed(1)} M`;
}

/** One that was sent again is counted in its last job; a row whose text changed has a request for each text. */
function totals(jobs: readonly Job[]): string {
  const sums = finalSums(jobs);
  const open = jobs.reduce((rows, job) => rows + (job.sums === undefined ? job.requests : 0), 0);
  const rest = open === 0 ? "" : `, ${count(open)} on the way`;
  const rows = counted(sums.requests + open, "request");
  return `${counted(jobs.length, "job")}, ${rows}: ${outcomes(sums)}${rest}`;
}

/** What was sent so far; a bill that Gemini has not counted yet is an estimate. */
function spent(jobs: readonly Job[], prices: Prices, { text, sum }: Together): string {
  const { tokens, usd, billedUsd } = spentOn(jobs, prices);
  const byGemini =
    usd === billedUsd ? "as counted by Gemini" : `${text(billedUsd)} of it as counted by Gemini`;
  return `about ${sum} for ${count(tokens)} tokens${usd === 0 ? "" : `, ${byGemini}`}`;
}
