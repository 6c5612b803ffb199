/** What becomes of a report: a line, a JSON object, or a change of the display. */
import { type Clock, MS_PER_SECOND } from "../clock.ts";
import type { ProgressEvent, Report } from "../progress.ts";
import type { Paint } from "./color.ts";
import type { Display } from "./display.ts";
import { counted, duration } from "../words/figures.ts";
import {
  isMoving,
  isNoteworthy,
  isSilent,
  pollText,
  progressLine,
  subjectOf,
} from "./progress-lines.ts";
import { membersOf, progressJson, standingMembers } from "./progress-json.ts";
import { type Moment, noteProgress, type ProgressState, startProgress } from "./progress-state.ts";
import { standing, type Standing } from "./standing.ts";
import { stamp } from "./log-file.ts";
import { folded } from "../words/text-lines.ts";

export type Reporter = Readonly<{
  report: Report;
  /** The last news, where there is some that was held back. */
  close(): void;
}>;

type Warning = Extract<ProgressEvent, { type: "warning" }>;

export type Words = Readonly<{
  clock: Clock;
  verbose: boolean;
  quiet: boolean;
  clean: (text: string) => string;
  paint: Paint;
  /** Of the terminal that lines go to; undefined where it is none. */
  columns: number | undefined;
  toStderr: (line: string) => void;
}>;

/** Where there is no terminal to draw over, a figure that moves is a line so often at most. */
const MOVING_LINE_EVERY_MS = 10_000;

/** A line an event, with its time; while batches are waited for, a sign of life now and then. */
export function plainReporter(words: Words, hasTimes = true): Reporter {
  const { clock, verbose, quiet } = words;
  const toStderr = (line: string) => words.toStderr(hasTimes ? `${stamp(clock)} ${line}` : line);
  const state = startProgress(momentOf(clock));
  const due = throttle(clock, MOVING_LINE_EVERY_MS);
  const heartbeat = new Heartbeat(clock);
  const batchStates = new Map<string, string>();
  const isNews = (event: ProgressEvent) => {
    if (event.type === "quotaFull" && isLong(event.seconds)) return true;
    if (event.type !== "pending") return !isMoving(event) || due(subjectOf(event));
    const isChanged = batchStates.get(event.job) !== event.batchState;
    batchStates.set(event.job, event.batchState);
    return isChanged;
  };
  const report = (event: ProgressEvent) => {
    noteProgress(state, event, momentOf(clock));
    if (event.type === "warning") return warn(words, event);
    if (quiet) return;
    if (event.type === "polled" && heartbeat.isDue()) {
      toStderr(words.clean(atGeminiText(standing(state, momentOf(clock)))));
    }
    if (isSilent(event) || !(verbose || isNews(event))) return;
    toStderr(lineOf(words, event) + sinceWhen(state, event, clock));
  };
  return { report, close: () => {} };
}

/** Only what a person would want to keep becomes a line; the rest is on the display. */
export function displayReporter(words: Words, display: Display): Reporter {
  const report = (event: ProgressEvent) => {
    if (event.type === "warning") return warn(words, event);
    const isLine = words.verbose ? !isSilent(event) && !isMoving(event) : isNoteworthy(event);
    if (isLine) words.toStderr(lineOf(words, event));
    display.note(event);
  };
  return { report, close: () => {} };
}

const JSON_MOVING_EVERY_MS = 1_000;
const JSON_STANDING_EVERY_MS = 2_000;

/** Every event is an object, and now and then, and at the end, one on where the whole stands. */
export function jsonReporter({ clock }: Words, write: (json: string) => void): Reporter {
  const state = startProgress(momentOf(clock));
  const due = throttle(clock, JSON_MOVING_EVERY_MS);
  const standingDue = throttle(clock, JSON_STANDING_EVERY_MS);
  let isHeldBack = false;
  const writeStanding = () => {
    const members = standingMembers(standing(state, momentOf(clock)));
    write(progressJson("progress", clock.now(), members));
    isHeldBack = false;
  };
  const report = (event: ProgressEvent) => {
    noteProgress(state, event, momentOf(clock));
    if (!isMoving(event) || due(subjectOf(event))) {
      write(progressJson(event.type, clock.now(), membersOf(event)));
    }
    if (event.type === "warning") return;
    isHeldBack = true;
    if (standingDue("standing")) writeStanding();
  };
  return { report, close: () => isHeldBack && writeStanding() };
}

function momentOf(clock: Clock): Moment {
  return { now: clock.now(), elapsedMs: clock.elapsedMs() };
}

/** True when a subject has not been due for so long. */
function throttle(clock: Clock, everyMs: number): (subject: string) => boolean {
  const lastMs = new Map<string, number>();
  return (subject) => {
    const nowMs = clock.elapsedMs();
    if (nowMs - (lastMs.get(subject) ?? -Infinity) < everyMs) return false;
    lastMs.set(subject, nowMs);
    return true;
  };
}

const LONG_WAIT_SECONDS = 60;

/** Nobody is left without a word for as long as that. */
function isLong(seconds = Infinity): boolean {
  return seconds >= LONG_WAIT_SECONDS;
}

/** One line on what is waited for, for where lines are never taken back. */
function atGeminiText({ atGemini, nextPollSeconds }: Standing): string {
  const { jobs, rows, oldest, oldestSeconds } = atGemini;
  const look = nextPollSeconds === undefined ? "" : `; ${pollText(nextPollSeconds)}`;
  return `at Gemini: ${counted(rows, "row")} in ${counted(jobs, "job")}, the oldest, ${oldest ?? "-"}, for ${duration(oldestSeconds)}${look}`;
}

const FIRST_HEARTBEAT_MS = 60_000;
const LAST_HEARTBEAT_MS = 600_000;

/** After a minute, then more and more rarely: a night's log stays one that can be read. */
class Heartbeat {
  readonly #clock: Clock;
  #everyMs = FIRST_HEARTBEAT_MS;
  #lastMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastMs = clock.elapsedMs();
  }

  isDue(): boolean {
    const nowMs = this.#clock.elapsedMs();
    if (nowMs - this.#lastMs < this.#everyMs) return false;
    this.#lastMs = nowMs;
    this.#everyMs = Math.min(2 * this.#everyMs, LAST_HEARTBEAT_MS);
    return true;
  }
}

/** How long a wait that goes on has lasted. */
function sinceWhen({ waits }: ProgressState, event: ProgressEvent, clock: Clock): string {
  const wait = event.type === "waiting" ? waits.get(event.why) : undefined;
  const seconds = ((wait?.sinceMs ?? Infinity) - clock.elapsedMs()) / -MS_PER_SECOND;
  return seconds >= 1 ? ` (for ${duration(seconds)} already)` : "";
}

function lineOf({ clean }: Words, event: Exclude<ProgressEvent, Warning>): string {
  return clean(progressLine(event)).replaceAll("\n", " ");
}

function warn(words: Words, { message, hint }: Warning): void {
  words.toStderr(labelled(words, "yellow", "warning:", message));
  if (hint !== undefined) words.toStderr(labelled(words, "cyan", "hint:", hint));
}

/** What it is, in colour, and the text, in the columns there are. */
export function labelled(
  { paint, clean, columns }: Pick<Words, "paint" | "clean" | "columns">,
  style: Parameters<Paint>[0],
  label: string,
  text: string,
): string {
  const whole = `${label} ${clean(text)}`;
  const lines = columns === undefined ? whole : folded(whole, columns);
  return `${paint(style, label)}${lines.slice(label.length)}`;
}
