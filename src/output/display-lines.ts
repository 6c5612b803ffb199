/** The display: what it shows of a state, in so many columns and rows. Pure. */
import type { Paint } from "./color.ts";
import { count, counted, dollars, duration, pace, roughly } from "../words/figures.ts";
import { said } from "../words/text-lines.ts";
import { fit, textWidth } from "./fit.ts";
import type { Moment, ProgressState } from "./progress-state.ts";
import { pollText, others } from "./progress-lines.ts";
import { standing, type Standing } from "./standing.ts";

export type Size = Readonly<{ columns: number; rows: number }>;

export type Look = Readonly<{
  paint: Paint;
  /** Makes text from outside harmless. */
  clean: (text: string) => string;
}>;

const PLAIN: Look = { paint: (_, text) => text, clean: (text) => text };

/**
 * `parts` in the order of their weight: those that do not fit are left out from the end. `short`
 * stands in for the first part where it does not fit.
 */
type Line = Readonly<{ label: string; parts: readonly string[]; short: string; weight: number }>;

const LABEL_COLUMNS = 12;
/** Narrower, and there is no room to align. */
const ALIGNED_FROM_COLUMNS = 40;
/** What moved this long ago is no news. */
const OTHER_FRESH_MS = 60_000;

/** Lines of at most `columns - 1` columns, as terminals differ in what the last column does. */
export function displayLines(
  state: ProgressState,
  moment: Moment,
  { columns, rows }: Size,
  look: Look = PLAIN,
): string[] {
  const now = standing(state, moment);
  const lines = [
    ...lastingLines(state, now),
    ...otherLines(state, moment),
    timeLine(now),
    ...waitLines(now),
  ];
  return heaviest(lines, Math.max(1, rows - 1)).map((line) => laidOut(line, columns - 1, look));
}

/** What stays on the screen when the display goes. */
export function lastLines(
  state: ProgressState,
  moment: Moment,
  { columns }: Size,
  { clean }: Look,
): string[] {
  const now = { ...standing(state, moment), nextPollSeconds: undefined };
  return lastingLines(state, now).map((line) => laidOut(line, columns - 1, { ...PLAIN, clean }));
}

function lastingLines(state: ProgressState, now: Standing): Line[] {
  return [
    exportLine(state, now),
    geminiLine(now),
    readyLine(state, now),
    writtenLine(now),
    costLine(now),
  ].filter((line) => line !== undefined);
}

function exportLine(state: ProgressState, now: Standing): Line | undefined {
  if (!state.export.seen && now.waiting.jobs === 0) return undefined;
  const { total } = now;
  const isOver = state.export.ended || !state.export.seen || total === undefined;
  return {
    label: "exported",
    parts: said([
      isOver
        ? counted(now.exported, "row")
        : `${count(now.exported)} of about ${counted(total, "row")}`,
      now.waiting.jobs > 0 && `${counted(now.waiting.jobs, "job")} not sent yet`,
      state.uploading && `uploading ${state.uploading.job}`,
    ]),
    short: count(now.exported),
    weight: 3,
  };
}

function geminiLine({ atGemini, nextPollSeconds }: Standing): Line | undefined {
  const { jobs, rows, oldest, oldestSeconds } = atGemini;
  if (jobs === 0) return undefined;
  return {
    label: "at Gemini",
    parts: [
      `${counted(rows, "row")} in ${counted(jobs, "job")}`,
      `oldest ${oldest ?? "-"} for ${duration(oldestSeconds)}`,
      ...(nextPollSeconds === undefined ? [] : [pollText(nextPollSeconds)]),
    ],
    short: count(rows),
    weight: 6,
  };
}

function readyLine({ downloading, importing, jobs }: ProgressState, now: Standing) {
  const { ready } = now;
  if (ready.jobs === 0) return undefined;
  const requests = jobs.get(importing?.job ?? "")?.requests ?? 0;
  return {
    label: "results",
    parts: said([
      `${counted(ready.rows, "row")} in ${counted(ready.jobs, "job")}`,
      importing && `writing ${importing.job}: ${count(importing.amount)} of ${count(requests)}`,
      downloading && `downloading ${downloading.job}`,
    ]),
    short: count(ready.rows),
    weight: 2,
  };
}

const PERCENT = 100;

function writtenLine({ outcomes, settled, total, isTotalExact }: Standing): Line | undefined {
  // 0: not counted yet, or nothing to do
  if (total === undefined || total === 0) return undefined;
  const percent = Math.floor((settled / total) * PERCENT);
  const about = isTotalExact ? "" : "about ";
  return {
    label: "written",
    parts: [
      `${count(outcomes.written)} of ${about}${counted(total, "row")}`,
      `${percent}% done`,
      ...others(outcomes),
    ],
    short: `${count(outcomes.written)}/${count(total)}`,
    weight: 7,
  };
}

function costLine({ tokens, usd }: Standing): Line | undefined {
  if (usd === 0) return undefined;
  return {
    label: "cost",
    parts: [`about ${dollars(usd)} so far`, counted(tokens, "token")],
    short: dollars(usd),
    weight: 1,
  };
}

function timeLine({ elapsedSeconds, rowsPerSecond, etaSeconds }: Standing): Line {
  return {
    label: "time",
    parts: [
      duration(elapsedSeconds),
      ...(etaSeconds === undefined ? [] : [`about ${roughly(etaSeconds)} to go`]),
      ...(rowsPerSecond === undefined ? [] : [pace(rowsPerSecond)]),
    ],
    short: duration(elapsedSeconds),
    weight: 4,
  };
}

/** All that is waited for, the longest wait first. */
function waitLines({ waits }: Standing): Line[] {
  return waits.map(({ why, sinceSeconds, againSeconds }) => ({
    label: "waiting",
    parts: [`${duration(sinceSeconds)}${againText(againSeconds)}: ${why}`],
    short: `${duration(sinceSeconds)}: ${why}`,
    weight: 5,
  }));
}

function againText(seconds: number | undefined): string {
  return seconds === undefined ? "" : `, again in ${duration(Math.max(1, Math.ceil(seconds)))}`;
}

function otherLines(state: ProgressState, { elapsedMs }: Moment): Line[] {
  return [...state.others]
    .filter(([, { atMs }]) => elapsedMs - atMs < OTHER_FRESH_MS)
    .map(([type, { line }]) => ({ label: words(type), parts: [line], short: line, weight: 2 }));
}

/** `rollingBack` → `rolling back`. */
function words(type: string): string {
  return type.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function heaviest(lines: readonly Line[], room: number): Line[] {
  const kept = new Set(lines.toSorted((a, b) => b.weight - a.weight).slice(0, room));
  return lines.filter((line) => kept.has(line));
}

function laidOut({ label, parts, short }: Line, columns: number, { paint, clean }: Look): string {
  // cleaned before it is cut: half a secret is not known for one
  const oneLine = (text: string) => clean(text).replaceAll(/\s+/g, " ");
  const head = columns < ALIGNED_FROM_COLUMNS ? `${label} ` : `${label} `.padEnd(LABEL_COLUMNS);
  const room = columns - textWidth(head);
  const text = joined(parts.map(oneLine), room) ?? fit(oneLine(short), room);
  const whole = fit(`${head}${text}`, columns);
  const isWhole = whole.startsWith(head);
  return isWhole ? `${paint("dim", head)}${whole.slice(head.length)}` : whole;
}

/** As many parts as there is room for; undefined when not even the first fits. */
function joined(parts: readonly string[], room: number): string | undefined {
  for (let number = parts.length; number > 0; number -= 1) {
    const text = parts.slice(0, number).join(", ");
    if (textWidth(text) <= room) return text;
  }
  return undefined;
}
