/**
 * How near to the best Gemini's queue is filled, over a grid of what may be behind its refusals: every cell
 * played by the functions that decide (quota/play.ts), and a few of them through the real pipeline.
 */
import type { Figure, Row } from "./rounds.ts";
import { play, type Played } from "./quota/play.ts";
import { simulate, START_MS } from "./quota/simulation.ts";
import {
  ACTIVE_MAX,
  BATCH_MS,
  bestMs,
  type Cell,
  CREATE_MS,
  everyCell,
  GIVING,
  nameOf,
  planOf,
  QUEUE,
  SIZE,
  UPLOAD_MS,
} from "./quota/world.ts";

/** Where 33 fill the queue, as many queues as where 10 do. */
const JOBS = { 33: 264, 10: 120, 1: 120 } as const;
/** Of the cells that the emulator's quota can be, every so many. */
const EACH_THROUGH_PIPELINE = 97;
const JOBS_THROUGH_PIPELINE = 60;
const TOKENS_PER_ROW = 1_000;
const NINETY_FIVE = 0.95;
const PERCENT = 100;

export async function measureGrid(): Promise<Figure> {
  const played = everyCell().map((cell) => ({ cell, ...play(cell, jobsOf(cell)) }));
  const byTime = played.toSorted((a, b) => a.ratio - b.ratio);
  const worst = byTime.at(-1);
  const idle = Math.max(...played.map((each) => Math.max(each.idlePauses, each.endPauses)));
  const tooOften = played.filter((each) => each.tooOften > 0).length;
  const note = [
    `95 % of the cells: ${at(byTime, NINETY_FIVE)?.ratio.toFixed(2)} ×`,
    `worst: ${worst === undefined ? "" : nameOf(worst.cell)}`,
    `longest without a try: ${idle.toFixed(3)} pauses`,
    `refused again within a pause: ${tooOften} cells`,
  ].join("; ");
  return { name: "quota-grid", unit: "× the best", rows: rowsOf(played), note };
}

type InCell = Readonly<{ cell: Cell }> & Played;

function rowsOf(played: readonly InCell[]): Row[] {
  const parts = (["giving", "batch", "size", "change", "jobsAQueue", "stop"] as const).flatMap(
    (dimension) =>
      [...Map.groupBy(played, ({ cell }) => `${dimension} ${cell[dimension]}`)].map(([name, own]) =>
        row(name, own),
      ),
  );
  return [row("all", played), ...parts];
}

function row(name: string, played: readonly InCell[]): Row {
  const times = played.map(({ ratio }) => ratio).toSorted((a, b) => a - b);
  const shares = played.map(({ refused, creates }) => refused / creates).toSorted((a, b) => a - b);
  const refused = ((at(shares, 1 / 2) ?? 0) * PERCENT).toFixed(1);
  return {
    name,
    size: `${played.length} cells`,
    unit: `× the best, ${at(times, NINETY_FIVE)?.toFixed(2)} in 95 %, ${refused} % of creates refused`,
    ratio: 1,
    median: at(times, 1 / 2) ?? 0,
    least: times[0] ?? 0,
    most: times.at(-1) ?? 0,
  };
}

function at<T>(sorted: readonly T[], share: number): T | undefined {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

function jobsOf({ jobsAQueue }: Cell): number[] {
  return Array.from({ length: JOBS[jobsAQueue] }, () => QUEUE / jobsAQueue);
}

/** The same through export, submit, poll and import, against the emulator's quota. */
export async function measureThroughPipeline(): Promise<Figure> {
  const cells = everyCell()
    .filter(isPlayable)
    .filter((_, index) => index % EACH_THROUGH_PIPELINE === 0);
  const rows: Row[] = [];
  for (const cell of cells) rows.push(await throughPipeline(cell));
  return { name: "quota-pipeline", unit: "× the best", rows };
}

/** One quota, which changes once at most; jobs that fit. */
function isPlayable({ giving, size, change, jobsAQueue, stop }: Cell): boolean {
  const isOne = giving !== "both" && change !== "half for an hour" && stop === "none";
  return isOne && jobsAQueue === 10 && size !== "tenth";
}

async function throughPipeline(cell: Cell): Promise<Row> {
  const size = QUEUE / cell.jobsAQueue;
  const jobs = Array.from({ length: JOBS_THROUGH_PIPELINE }, () => size);
  const plan = planOf(cell, jobs);
  const giving: Readonly<{ holds?: number; refillMs?: number }> = GIVING[cell.giving];
  const [change] = plan.changes;
  const tokens = QUEUE * SIZE[cell.size];
  const outcome = await simulate({
    rows: (JOBS_THROUGH_PIPELINE * size) / TOKENS_PER_ROW,
    tokensPerRow: TOKENS_PER_ROW,
    window: { maxActiveJobs: ACTIVE_MAX, maxEnqueuedTokens: QUEUE, isAdvertised: true },
    bounds: { maxRows: 100_000, maxTokens: size, maxBytes: 100_000_000 },
    quota: {
      kind: giving.refillMs === undefined ? "level" : "bucket",
      tokens,
      refillMs: giving.refillMs ?? 1,
      change: change && { atMs: START_MS + change.atMs, tokens: tokens * change.times },
      cancelled: "released",
    },
    batchMs: BATCH_MS[cell.batch],
    releaseMs: giving.holds ?? 0,
    uploadMs: UPLOAD_MS,
    createMs: CREATE_MS,
  });
  const { refused, refusedShare, sentAfterMs, uploadsWasted } = outcome;
  const ratio = sentAfterMs / bestMs(cell, jobs, plan);
  const share = (refusedShare * PERCENT).toFixed(1);
  const unit = `× the best; ${refused} refused (${share} %), ${uploadsWasted} uploads wasted`;
  console.error(`quota: ${nameOf(cell)}: ${ratio.toFixed(2)} ${unit}`);
  return {
    name: nameOf(cell),
    size: `${outcome.jobs} jobs`,
    unit,
    ratio: 1,
    median: ratio,
    least: ratio,
    most: ratio,
  };
}
