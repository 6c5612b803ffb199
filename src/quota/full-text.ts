/** What is waited for and since when, in words. */
import type { Job } from "../manifest/job.ts";
import type { QuotaLog } from "../manifest/quota/quota-log.ts";
import { count, counted } from "../words/figures.ts";
import type { NextTry } from "./next-try.ts";
import { isQueued } from "../manifest/states.ts";

/** `quota full: 480,000 of 500,000 tokens queued in 3 jobs, oldest since 12:03 UTC; next try 12:15 UTC`. */
export function fullText(next: NextTry, jobs: readonly Job[], log: QuotaLog): string {
  return `${reasonText(next, jobs.filter(isQueued), log)}; ${tryText(next)}`;
}

function reasonText(next: NextTry, active: readonly Job[], log: QuotaLog): string {
  const { waitsFor, queued, allowed } = next;
  const since = oldestText(active);
  switch (waitsFor) {
    case "jobs":
      return `quota full: ${count(queued)} of ${counted(allowed, "job")} at Gemini${since}`;
    case "tokens":
      return `quota full: ${count(queued)} of ${counted(allowed, "token")} queued in ${counted(active.length, "job")}${since}`;
    case "pause":
      return `quota full: refused ${timesText(log.refusalsInRow)}, last ${clockText(log.lastTryMs)}; ${queuedText(queued, active)}`;
    case "pace":
      return `quota in use: sent at the pace at which it was given back; ${queuedText(queued, active)}`;
  }
}

function queuedText(tokens: number, active: readonly Job[]): string {
  if (active.length === 0) return "nothing of this folder is queued";
  return `${counted(tokens, "token")} queued in ${counted(active.length, "job")}${oldestText(active)}`;
}

function timesText(times: number): string {
  return times === 1 ? "once" : `${count(times)} times in a row`;
}

function tryText({ atMs, waitsFor }: NextTry): string {
  if (!Number.isFinite(atMs)) return "next try when one of them ends";
  return `next try ${clockText(atMs)}${waitsFor === "tokens" ? " or when one of them ends" : ""}`;
}

function oldestText(active: readonly Job[]): string {
  const times = active.map((job) => Date.parse(job.submittedAt ?? job.updatedAt));
  return times.length === 0 ? "" : `, oldest since ${clockText(Math.min(...times))}`;
}

const MINUTE_FROM = "2026-11-22T".length;
const MINUTE_TO = "2026-11-22T12:03".length;

function clockText(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(MINUTE_FROM, MINUTE_TO)} UTC`;
}
