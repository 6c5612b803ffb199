import type { Outcomes, ProgressEvent } from "../progress.ts";
import { bytes, count, counted, duration, someJobs } from "../words/figures.ts";
import { isDead, parseState } from "../manifest/states.ts";

export type Progress = Exclude<ProgressEvent, { type: "warning" }>;

/** What comes again and again, each time with a newer figure. */
const MOVING: readonly ProgressEvent["type"][] = [
  "planning",
  "exporting",
  "embedding",
  "importing",
  "downloading",
  "pending",
  "waiting",
  "rollingBack",
  "verifying",
  "searching",
  "indexBuilding",
  "quotaFull",
];

/** What is for the fold and for programs; people are told the same by another event. */
const SILENT: readonly ProgressEvent["type"][] = [
  "job",
  "goal",
  "exportEnded",
  "polled",
  "resumed",
  "stuck",
  "changedTexts",
];

export function isSilent(event: ProgressEvent): boolean {
  return SILENT.includes(event.type);
}

/** What somebody in front of a display wants to have said in a line of its own. */
export function isNoteworthy(event: ProgressEvent): boolean {
  if (event.type === "ended") return isDead({ state: parseState(event.state) });
  return ["canary", "indexDropped", "indexBuilt"].includes(event.type);
}

export function isMoving(event: ProgressEvent): boolean {
  return MOVING.includes(event.type);
}

/** Names what an event is about: a newer one with the same subject takes its place. */
export function subjectOf(event: ProgressEvent): string {
  if (event.type === "waiting") return `${event.type} ${event.why}`;
  return "job" in event ? `${event.type} ${event.job}` : event.type;
}

/** One line for people, without its end. */
export function progressLine(event: Progress): string {
  switch (event.type) {
    case "planning":
      return `counting: ${counted(event.rows, "row")}${skipped(event)}`;
    case "exporting":
      return `exporting: ${counted(event.exported, "row")}${skipped(event)}`;
    case "exported":
      return `${event.job} exported: ${counted(event.requests, "row")}, about ${counted(event.tokens, "token")}, ${bytes(event.bytes)}`;
    case "uploading":
      return `${event.job} uploading: ${bytes(event.bytes)}`;
    case "embedding":
      return `${event.job} embedding at once: ${count(event.rows)} of ${counted(event.requests, "row")}`;
    case "embedded":
      return `${event.job} embedded at once: ${counted(event.requests, "row")}`;
    case "submitted":
      return `${event.job} submitted: ${event.batch}${event.adopted ? ", found at Gemini" : ""}`;
    case "waiting":
      return `waiting ${duration(Math.ceil(event.seconds))}: ${event.why}`;
    case "quotaFull":
      return event.why;
    case "canary":
      return `the first ${counted(event.rows, "row")} go alone, to check the way; the rest follows`;
    case "pending":
      return `${event.job} pending: ${event.batchState} for ${duration(event.ageSeconds)}`;
    case "ended":
      return `${event.job} ended: ${event.state}${event.message === undefined ? "" : `, ${event.message}`}`;
    case "downloading":
      return `${event.job} downloading: ${bytes(event.bytes)}`;
    case "downloaded":
      return `${event.job} downloaded: ${bytes(event.bytes)}`;
    case "importing":
      return `${event.job} importing: ${count(event.rows)} of ${counted(event.requests, "row")}`;
    case "imported":
      return `${event.job} imported: ${outcomes(event)}`;
    case "resubmitted":
      return `${someJobs(event.jobs)} resubmitted: ${counted(event.requests, "row")} in ${event.into.join(", ")}`;
    case "verifying":
      return `verifying: ${counted(event.rows, "row")}`;
    case "searching":
      return `checking the neighbours: ${count(event.searches)} of ${counted(event.of, "row")}`;
    case "rollingBack":
      return `${event.job} rolling back: ${count(event.rows)} of ${counted(event.requests, "row")}`;
    case "rolledBack":
      return `${event.job} rolled back: ${counted(event.rows, "row")}`;
    case "indexDropped":
      return `index ${event.index} dropped, to be built again when the rows are in`;
    case "indexBuilding":
      return `index ${event.index}: ${event.phase}${event.percent === undefined ? "" : `, ${Math.floor(event.percent)} %`}, ${duration(event.seconds)} so far`;
    case "indexBuilt":
      return `index ${event.index} stands again${event.seconds === undefined ? "" : `, built in ${duration(event.seconds)}`}`;
    default:
      return asItIs(event);
  }
}

function skipped({ skipped: rows }: Readonly<{ skipped: number }>): string {
  return rows === 0 ? "" : `, ${count(rows)} skipped`;
}

/** A type without words of its own: `rebuilding: index questions_hnsw, percent 40`. */
function asItIs({ type, ...members }: Progress): string {
  const job = "job" in members ? `${members.job} ` : "";
  const facts = Object.entries(members)
    .filter(([name, value]) => name !== "job" && value !== undefined)
    .map(([name, value]) => `${name} ${typeof value === "number" ? count(value) : String(value)}`);
  return `${job}${type}: ${facts.join(", ")}`;
}

/** When Gemini is asked again; what is due is being done. */
export function pollText(seconds: number): string {
  return seconds < 0.5 ? "polling now" : `next poll in ${duration(seconds)}`;
}

/** `49,990 written, 10 failed`: what there is none of is left out, but for the written. */
export function outcomes(sums: Outcomes): string {
  return [`${count(sums.written)} written`, ...others(sums)].join(", ");
}

/** What there is of the others. */
export function others(sums: Outcomes): string[] {
  return (["failed", "stale", "filled", "gone"] as const)
    .filter((outcome) => sums[outcome] > 0)
    .map((outcome) => `${count(sums[outcome])} ${outcome}`);
}
