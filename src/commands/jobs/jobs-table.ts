import type { Prices } from "../../cost/tariff.ts";
import { costOf, spentOn } from "../../cost/cost.ts";
import { finalSums, rolledBackRows } from "../../cost/final-sums.ts";
import { mayHaveCost } from "../../manifest/bill.ts";
import type { Job } from "../../manifest/job.ts";
import { projectName } from "../../row/project.ts";
import { count, counted, dollarsTogether, minute, type Together } from "../../words/figures.ts";
import { folded, said } from "../../words/text-lines.ts";
import { outcomes } from "../../output/progress-lines.ts";
import { byGeminiText } from "../../words/cost-text.ts";
import { FIGURES_MEAN, type JobFigures, jobFigures } from "../../words/job-figures.ts";

type Column = Readonly<{
  title: string;
  align: "left" | "right";
  cell: (job: Job, figures: JobFigures | undefined) => string;
  /** Where the title does not tell. */
  means?: string | undefined;
}>;

/** Fits 80 columns for jobs of up to 200,000 rows. */
const COLUMNS: readonly Column[] = [
  { title: "job", align: "left", cell: ({ id }) => id },
  { title: "state", align: "left", cell: ({ state }) => state },
  { title: "rows", align: "right", cell: ({ requests }) => count(requests) },
  figures("written", ended),
  figures("failed", ended),
  figures("again", ifAny),
  figures("other", ifAny),
  {
    title: "tokens",
    align: "right",
    cell: ({ billedTokens, tokens }) => short(billedTokens ?? tokens),
  },
  { title: "updated (UTC)", align: "left", cell: ({ updatedAt }) => minute(updatedAt) },
];

/** In which they are given up where there is less room: what is in the totals as well comes first. */
const GIVEN_UP = ["tokens", "other", "again", "updated (UTC)", "rows"];

/** Where there is more room, as far as it goes. */
function extraColumns(costText: (job: Job) => string): Column[] {
  return [
    { title: "cost", align: "right", cell: costText },
    { title: "try", align: "right", cell: ({ attempt }) => (attempt === 1 ? "" : count(attempt)) },
    { title: "project", align: "left", cell: ({ project }) => projectName(project) },
    { title: "batch", align: "left", cell: ({ batch }) => batch ?? "" },
    { title: "error", align: "left", cell: ({ error }) => error?.message.split("\n")[0] ?? "" },
  ];
}

const GAP = "  ";

/**
 * Every job in a line, and under them what they come to; no line is wider than `width`, which is that of a terminal.
 * `all`: those that the sums are of, where not each has its line.
 */
export function jobsTable(
  jobs: readonly Job[],
  prices: Prices,
  width = Infinity,
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
  const listed: Listed = { jobs, figures: jobs.map(jobFigures) };
  const known = COLUMNS.map((column) => withCells(column, listed)).filter(hasCells);
  const columns = fitting(known, width);
  const extra = extraColumns(costText);
  // where something was given up, nothing is added
  const room = columns.length === known.length ? width : 0;
  for (const each of extra) addWhereItFits(columns, each, listed, room);
  const lines = ["", ...jobs].map((_, at) =>
    columns
      .map((column) => aligned(column, at))
      .join(GAP)
      .trimEnd()
      .slice(0, width),
  );
  const telling = extra.filter(({ cell }) =>
    jobs.some((job, at) => cell(job, listed.figures[at]) !== ""),
  );
  const notes = notesOn(
    columns,
    [...known, ...telling].map(({ title }) => title),
  );
  return [...lines, "", ...notes.map((line) => folded(line, width))];
}

function addWhereItFits(columns: Filled[], added: Column, listed: Listed, width: number) {
  // nothing is made that cannot be shown: there may be tens of thousands of jobs
  if (totalWidth(columns) + GAP.length + added.title.length > width) return;
  const column = withCells(added, listed);
  if (hasCells(column) && totalWidth([...columns, column]) <= width) columns.push(column);
}

/** What titles mean, and for which of those that tell something there is no room. */
function notesOn(columns: readonly Filled[], telling: readonly string[]): string[] {
  const told = columns.filter(({ cells, means }) => means !== undefined && cells.length > 1);
  const shown = columns.map(({ title }) => title);
  const missing = telling.filter((each) => !shown.includes(each));
  return said([
    ...told.map(({ title, means }) => `${title}: ${means}`),
    missing.length > 0 && `No room for: ${missing.join(", ")}.`,
  ]);
}

/** Jobs with the figures of each. */
type Listed = Readonly<{ jobs: readonly Job[]; figures: readonly (JobFigures | undefined)[] }>;

/** A column with its cells, the title first. */
type Filled = Column & Readonly<{ cells: readonly string[]; width: number }>;

function withCells(column: Column, { jobs, figures: known }: Listed): Filled {
  const cells = [column.title, ...jobs.map((job, at) => column.cell(job, known[at]))];
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

function figures(title: keyof JobFigures, told: (rows: number | undefined) => string): Column {
  const cell = (_: Job, known: JobFigures | undefined) => told(known?.[title]);
  return { title, align: "right", cell, means: FIGURES_MEAN[title] };
}

/** A dash until the job has ended: nothing is known yet. */
function ended(rows: number | undefined): string {
  return rows === undefined ? "-" : count(rows);
}

function ifAny(rows = 0): string {
  return rows > 0 ? count(rows) : "";
}

const MILLION = 1_000_000;

function short(tokens: number): string {
  return tokens < MILLION ? count(tokens) : `${(tokens / MILLION).toFixed(1)} M`;
}

/** One that was sent again is counted in its last job; a row whose text changed has a request for each text. */
function totals(jobs: readonly Job[]): string {
  const sums = finalSums(jobs);
  const taken = rolledBackRows(jobs);
  const open = jobs.reduce((rows, job) => rows + (job.sums === undefined ? job.requests : 0), 0);
  const requests = counted(sums.requests + taken + open, "request");
  const became = said([
    outcomes(sums),
    taken > 0 && `${count(taken)} rolled back`,
    open > 0 && `${count(open)} on the way`,
  ]);
  return `${counted(jobs.length, "job")}, ${requests}: ${became.join(", ")}`;
}

/** What was sent so far; a bill that Gemini has not counted yet is an estimate. */
function spent(jobs: readonly Job[], prices: Prices, { text, sum }: Together): string {
  const cost = spentOn(jobs, prices);
  return [`about ${sum} for ${count(cost.tokens)} tokens`, ...byGeminiText(cost, text)].join(", ");
}
