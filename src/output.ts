/**
 * Everything that is printed. Results go to stdout; progress, warnings and errors to stderr. All of
 * it passes through the redactor, and nothing from outside can steer the terminal.
 */
import type { Clock } from "./clock.ts";
import { type Failure, failureObject } from "./failure.ts";
import { type Paint, type Stream, canMove, painter } from "./output/color.ts";
import { isMoving, progressLine, subjectOf } from "./output/progress.ts";
import { StatusLine } from "./output/status-line.ts";
import type { ProgressEvent, Report } from "./report.ts";
import type { Redact } from "./secret.ts";

const SCHEMA_VERSION = 1;

export type OutputOptions = Readonly<{
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  color: boolean;
  env: NodeJS.ProcessEnv;
  redact: Redact;
  clock: Clock;
}>;

export type Streams = Readonly<{ stdout: Stream; stderr: Stream }>;

export type Output = Readonly<{
  /** To stdout, with a newline at its end: the text for people. */
  result(text: string): void;
  /** To stdout: `{schemaVersion, command, …}`. */
  object(command: string, members: Readonly<Record<string, unknown>>): void;
  report: Report;
  /** A line beside the result, such as the next command. */
  notice(line: string): void;
  /** A line that only `--verbose` shows. */
  detail(line: string): void;
  /** To stderr, and with `--json` to stdout, unless that already holds its one object. */
  failure(command: string, failure: Failure): void;
  /** Leaves the terminal clean. May be called again. */
  close(): void;
}>;

/** Where there is no terminal to draw over, a figure that moves is a line so often at most. */
const MOVING_LINE_EVERY_MS = 10_000;
const REDRAW_EVERY_MS = 100;

export function createOutput(streams: Streams, options: OutputOptions): Output {
  const { json, quiet, verbose, redact, env } = options;
  const paint = painter(streams.stderr, env, options.color);
  const status = canMove(streams.stderr, env) ? new StatusLine(streams.stderr) : undefined;
  const toStdout = (text: string) => {
    status?.clear();
    streams.stdout.write(text);
  };
  const toStderr = (line: string) => {
    status?.clear();
    streams.stderr.write(`${line}\n`);
  };
  const clean = (text: string) => harmless(redact(text));
  let answered = false;
  const object: Output["object"] = (command, members) => {
    toStdout(`${redact(JSON.stringify({ schemaVersion: SCHEMA_VERSION, command, ...members }))}\n`);
    answered = true;
  };

  return {
    result: (text) => toStdout(`${clean(text)}\n`),
    object,
    report: reporter({ ...options, clean, paint, status, toStderr }),
    notice: (line) => {
      if (!quiet) toStderr(clean(line));
    },
    detail: (line) => {
      if (verbose) toStderr(paint("dim", clean(line)));
    },
    failure: (command, failure) => {
      if (json && !answered) object(command, { error: failureObject(failure) });
      for (const line of failureLines(failure, verbose, clean, paint)) toStderr(line);
    },
    close: () => status?.clear(),
  };
}

/**
 * A reader that went away (`vecfill jobs | head`) is no error; the work goes on without it. Any
 * other failure to write is thrown.
 */
export function tolerateClosedPipes(streams: Streams): void {
  for (const stream of [streams.stdout, streams.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
    });
  }
}

type Reporting = Pick<OutputOptions, "quiet" | "verbose" | "clock"> & {
  clean: (text: string) => string;
  paint: Paint;
  status: StatusLine | undefined;
  toStderr: (line: string) => void;
};

function reporter({ quiet, verbose, clock, clean, paint, status, toStderr }: Reporting): Report {
  const due = throttle(clock, status === undefined ? MOVING_LINE_EVERY_MS : REDRAW_EVERY_MS);
  return (event) => {
    if (event.type === "warning") {
      for (const line of warningLines(event, clean, paint)) toStderr(line);
      return;
    }
    if (quiet) return;
    const line = clean(progressLine(event)).replaceAll("\n", " ");
    if (!isMoving(event)) toStderr(line);
    else if (status !== undefined && due("status line")) status.draw(line);
    else if (status === undefined && (verbose || due(subjectOf(event)))) toStderr(line);
  };
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

function warningLines(
  { message, hint }: Extract<ProgressEvent, { type: "warning" }>,
  clean: (text: string) => string,
  paint: Paint,
): string[] {
  const lines = [`${paint("yellow", "warning:")} ${clean(message)}`];
  return hint === undefined ? lines : [...lines, `${paint("cyan", "hint:")} ${clean(hint)}`];
}

function failureLines(
  failure: Failure,
  verbose: boolean,
  clean: (text: string) => string,
  paint: Paint,
): string[] {
  const stack = failure.bug || verbose ? failure.stack : undefined;
  return [
    ...(stack === undefined ? [] : [paint("dim", clean(stack))]),
    `${paint("red", "error:")} ${clean(failure.message)}`,
    `${paint("cyan", "hint:")} ${clean(failure.hint)}`,
  ];
}

/** Escape sequences in a name or a message would move the cursor or worse; what is seen is a sign. */
function harmless(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, "\u{fffd}");
}
