/** What is waited for and since when, in words. */
import type { Job } from "../manifest/job.ts";
import { count, counted } from "../words/figures.ts";
import type { Room } from "./window.ts";
import { isQueued } from "../manifest/states.ts";

export type NoRoom = Extract<Room, { hasRoom: false }>;

/** `quota full: 480,000 of 500,000 tokens queued in 3 jobs, oldest since 12:03 UTC; next try 12:15 UTC`. */
export function fullText(room: NoRoom, jobs: readonly Job[], now: Date): string {
  const active = jobs.filter(isQueued);
  const next = Number.isFinite(room.inMs)
    ? `next try ${clockText(new Date(now.getTime() + room.inMs))}`
    : "next try when one of them ends";
  return `quota full: ${queuedText(room, active)}${oldestText(active)}; ${next}`;
}

function queuedText({ limit, queued, allowed }: NoRoom, active: readonly Job[]): string {
  if (limit === "jobs") return `${count(queued)} of ${counted(allowed, "job")} at Gemini`;
  const tokens = `${count(queued)} of ${counted(allowed, "token")} queued`;
  return active.length === 0 ? `${tokens} lately` : `${tokens} in ${counted(active.length, "job")}`;
}

function oldestText(active: readonly Job[]): string {
  const oldest = active
    .map((job) => job.submittedAt ?? job.updatedAt)
    .toSorted((a, b) => Date.parse(a) - Date.parse(b))[0];
  return oldest === undefined ? "" : `, oldest since ${clockText(new Date(oldest))}`;
}

const MINUTE_FROM = "2026-11-22T".length;
const MINUTE_TO = "2026-11-22T12:03".length;

function clockText(at: Date): string {
  return `${at.toISOString().slice(MINUTE_FROM, MINUTE_TO)} UTC`;
}
