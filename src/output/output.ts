/**
 * Everything that is printed. Results go to stdout; progress, warnings and errors to stderr. All of
 * it passes through the redactor, and nothing from outside can steer the terminal.
 */
import type { Clock } from "../clock.ts";
import { type Failure, failureObject } from "./failure.ts";
import { type Stream, painter } from "./color.ts";
import type { Display } from "./display.ts";
import { progressJson } from "./progress-json.ts";
import type { Log } from "./log-file.ts";
import { displayReporter, jsonReporter, labelled, plainReporter, type Words } from "./reporter.ts";
import type { Report } from "../progress.ts";
import type { Redact } from "../settings/environment/secret.ts";
import { folded } from "../words/text-lines.ts";

const SCHEMA_VERSION = 1;

export type OutputOptions = Readonly<{
  json: boolean;
  quiet: boolean;
  verbose: boolean;
  color: boolean;
  /** Everything on stderr is an object a line. */
  progressJson: boolean;
  env: NodeJS.ProcessEnv;
  redact: Redact;
  clock: Clock;
  /** Where there is a terminal to draw on. */
  display: Display | undefined;
  /** Gets all that is told to people, plain; undefined where nobody asked for it. */
  log?: Log | undefined;
}>;

export type Streams = Readonly<{ stdout: Stream; stderr: Stream }>;

export type Output = Readonly<{
  /** To stdout, with a newline at its end: the text for people, folded to their terminal; data stays as it is. */
  result(text: string, isData?: boolean): void;
  /** To stdout: `{schemaVersion, command, …}`. */
  object(command: string, members: Readonly<Record<string, unknown>>): void;
  report: Report;
  /** A line beside the result, such as the next command. */
  notice(line: string): void;
  /** A line that only `--verbose` shows. */
  detail(line: string): void;
  /** To stderr, and with `--json` to stdout, unless that already holds its one object. */
  failure(command: string, failure: Failure): void;
  /** Takes the display away, so that somebody can be asked something. */
  pause(): void;
  /** Leaves the terminal clean, and on it how things stand when nothing else says so. */
  close(): void;
}>;

export function createOutput(streams: Streams, options: OutputOptions): Output {
  const { json, quiet, verbose, progressJson: asJson, redact, env, clock, display } = options;
  const { stdout, stderr } = streams;
  const paint = painter(stderr, env, options.color);
  const clean = cleaner(redact);
  let answered = false;
  const toStdout = (text: string) => {
    display?.close({ keepLast: false });
    stdout.write(text);
    answered = true;
  };
  const toStderr = (line: string) => {
    const write = () => stderr.write(`${line}\n`);
    if (display === undefined) write();
    else display.aside(write);
  };
  const say = (type: string, members: Readonly<Record<string, unknown>>) =>
    toStderr(clean(progressJson(type, clock.now(), members)));
  const log: Log = (text) => options.log?.(clean(text));
  const object: Output["object"] = (command, members) => {
    const line = clean(JSON.stringify({ schemaVersion: SCHEMA_VERSION, command, ...members }));
    toStdout(`${line}\n`);
    log(line);
  };
  const words = { clock, verbose, quiet, clean, paint, toStderr, columns: columnsOf(stderr) };
  const logged = logReporter(words, options.log);
  const reporter = asJson
    ? jsonReporter(words, (line) => toStderr(clean(line)))
    : display === undefined
      ? plainReporter(words)
      : displayReporter(words, display);

  return {
    result: (text, isData = false) => {
      const columns = isData ? undefined : columnsOf(stdout);
      toStdout(`${columns === undefined ? clean(text) : folded(clean(text), columns)}\n`);
      log(text);
    },
    object,
    report: (event) => {
      reporter.report(event);
      logged?.(event);
    },
    notice: (line) => {
      log(line);
      if (asJson) say("notice", { message: line });
      else if (!quiet) toStderr(clean(line));
    },
    detail: (line) => {
      if (!verbose) return;
      if (asJson) say("detail", { message: line });
      else toStderr(paint("dim", clean(line)));
    },
    failure: (command, failure) => {
      log(failureLines(failure, verbose, { ...words, ...PLAIN }).join("\n"));
      reporter.close();
      display?.close({ keepLast: true });
      if (json && !answered) object(command, { error: failureObject(failure) });
      if (asJson) say("error", { command, ...failureObject(failure) });
      else for (const line of failureLines(failure, verbose, words)) toStderr(line);
    },
    pause: () => display?.close({ keepLast: false }),
    close: () => {
      reporter.close();
      display?.close({ keepLast: !answered });
    },
  };
}

const PLAIN = { paint: (_: unknown, text: string) => text, columns: undefined };

/** Everything, whatever the terminal is told. */
function logReporter(words: Words, log: Log | undefined): Report | undefined {
  return log && plainReporter({ ...words, ...PLAIN, quiet: false, toStderr: log }, false).report;
}

function columnsOf({ isTTY, columns }: Stream): number | undefined {
  return isTTY === true ? columns : undefined;
}

/** Without secrets, and without what could steer a terminal. */
export function cleaner(redact: Redact): (text: string) => string {
  return (text) => harmless(redact(text));
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

function failureLines(
  failure: Failure,
  verbose: boolean,
  words: Pick<Words, "clean" | "paint" | "columns">,
): string[] {
  const stack = failure.bug || verbose ? failure.stack : undefined;
  return [
    ...(stack === undefined ? [] : [words.paint("dim", words.clean(stack))]),
    labelled(words, "red", "error:", failure.message),
    labelled(words, "cyan", "hint:", failure.hint),
  ];
}

/**
 * Control signs in a name or a message would move the cursor or worse, and those of writing from right to
 * left show a text as what it is not. Each is shown as JSON escapes it, so that JSON stays what it was.
 */
function harmless(text: string): string {
  return text.replaceAll(
    /(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu,
    (sign) => `\\u${(sign.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`,
  );
}
