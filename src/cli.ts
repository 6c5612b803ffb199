/**
 * The command line: registers the commands, settles what every command needs, and turns whatever
 * comes out into output and an exit code. The only catch for people, the only exit code.
 */
import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Argv } from "yargs";
import { secretsIn, withoutSecrets } from "./settings/access.ts";
import { MS_PER_SECOND, sharedClock, systemClock } from "./clock.ts";
import { duration } from "./words/figures.ts";
import { commandLine, nextCommandLine, withCompleteCommands } from "./cli/command-line.ts";
import type { CommandContext, CommandResult } from "./cli/command.ts";
import { type Configuration, type Flags, loadConfiguration } from "./settings/config.ts";
import { type Asking, askConsent, chooser } from "./cli/consent.ts";
import { realEnvironment } from "./settings/environment/env-file.ts";
import { requireTrusted } from "./settings/trust.ts";
import { EXIT_CODES, type ExitReason } from "./errors.ts";
import { failureOf } from "./output/failure.ts";
import {
  acceptOptions,
  commandPage,
  mainPage,
  shortPage,
  usageOf,
  wordsGiven,
} from "./cli/help.ts";
import {
  type Interrupt,
  type SignalSource,
  interruption,
  isInterruption,
  listenForInterrupts,
} from "./cli/interrupt.ts";
import { COMMANDS } from "./commands/commands.ts";
import { packageVersion } from "./disk/package-version.ts";
import { misused } from "./cli/misused.ts";
import { useProxy } from "./cli/proxy.ts";
import { COMMAND_NAMES, type CommandName } from "./settings/option.ts";
import { OPTIONS, optionsOf } from "./settings/options.ts";
import {
  type Output,
  type OutputOptions,
  type Streams,
  cleaner,
  createOutput,
  tolerateClosedPipes,
} from "./output/output.ts";
import { canMove, painter } from "./output/color.ts";
import type { Display } from "./output/display.ts";
import type { Screen } from "./output/terminal-screen.ts";
import type { Report } from "./progress.ts";
import { redactor } from "./settings/environment/secret.ts";
import type { Watch } from "./output/notify/watch.ts";
import { tuneCollector } from "./cli/collector.ts";

const PROGRAM = "vecfill";

/** Values stay text, under the one name they were given by, so that `config.ts` sees what was typed. */
const PARSING = {
  "camel-case-expansion": false,
  "parse-numbers": false,
  "parse-positional-numbers": false,
  "dot-notation": false,
};

export type World = Streams &
  Readonly<{
    stdin: Asking["stdin"];
    env: NodeJS.ProcessEnv;
    /** In which `.env` and the config file are looked for. */
    folder: string;
    signals: SignalSource;
    /** Leaves at once: for the second Ctrl-C. */
    leave(exitCode: number): void;
  }>;

/** Runs the command line of this process. */
export async function main(): Promise<void> {
  const world: World = {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    env: process.env,
    folder: process.cwd(),
    signals: process,
    leave: (exitCode) => process.exit(exitCode),
  };
  tolerateClosedPipes(world);
  const session = newSession(process.argv.slice(2), world);
  // what breaks outside of any call of ours must not print a secret either
  process.on("uncaughtException", (error) => {
    session.output.close();
    session.output.failure(commandNamed(session.args), failureOf(error));
    world.leave(EXIT_CODES.fatal);
  });
  process.exitCode = await finish(session);
}

/** Runs one command line and resolves to its exit code. */
export function run(args: readonly string[], world: World): Promise<number> {
  return finish(newSession(args, world));
}

async function finish(session: Session): Promise<number> {
  try {
    const page = await pageAsked(session);
    if (page === undefined) await (await parser(session)).parseAsync(session.args);
    else session.output.result(page);
  } catch (error) {
    const failure = failureOf(ofUsage(error, session.args));
    const hint = session.complete(failure.hint);
    session.output.failure(commandNamed(session.args), { ...failure, hint });
    session.exit = failure.exit;
  } finally {
    session.output.close();
  }
  return EXIT_CODES[session.exit];
}

/** What is known so far about one command line. */
type Session = {
  readonly args: readonly string[];
  readonly world: World;
  /** Replaced once the settings are known. */
  output: Output;
  exit: ExitReason;
  /** Makes the commands that a hint names complete: with the folder and target given here. */
  complete: (hint: string) => string;
};

/** Until it is known what was given here. */
function asItIs(hint: string): string {
  return hint;
}

function newSession(args: readonly string[], world: World): Session {
  const complete = asItIs;
  return { args, world, output: firstOutput(args, world), exit: "done", complete };
}

const HELP_FLAGS = ["--help", "-h"];
const VERSION_FLAGS = ["--version", "-v", "-V"];

/** Undefined where a command is to run. */
async function pageAsked({ args, world }: Session): Promise<string | undefined> {
  const { columns } = world.stdout;
  const [first, second] = args;
  if (first === undefined) return shortPage(columns);
  if (first === "version" || args.some((arg) => VERSION_FLAGS.includes(arg))) {
    return packageVersion();
  }
  // a shell waits for it at each start
  if (first === "completion" && second !== undefined && args.length === 2) {
    const { completionScript } = await import("./commands/completion/show.ts");
    const script = completionScript(second, COMMANDS);
    if (script !== undefined) return script;
  }
  const asked = first === "help" ? second : args.find((arg) => !arg.startsWith("-"));
  if (first !== "help" && !args.some((arg) => HELP_FLAGS.includes(arg))) return undefined;
  if (asked === undefined) return mainPage(COMMANDS, columns);
  const name = COMMAND_NAMES.find((each) => each === asked);
  if (name === undefined) throw misused(`Unknown command: ${asked}`, args);
  return commandPage(name, COMMANDS[name], columns);
}

/** Help and version do without it: loading it takes as long as all else. */
async function parser(session: Session): Promise<Argv> {
  const { default: yargs } = await import("yargs");
  const cli = yargs()
    .scriptName(PROGRAM)
    .locale("en")
    .parserConfiguration(PARSING)
    .exitProcess(false)
    .help(false)
    .version(false)
    .strict()
    .demandCommand(1, NO_COMMAND)
    .fail((message, error) => {
      throw error ?? misused(message, session.args);
    });
  // one is half as much work as all of them
  const named = COMMAND_NAMES.filter((name) => session.args.includes(name));
  const names = named.length > 0 ? named : [...COMMAND_NAMES];
  return names.reduce((registered, name) => register(registered, name, session), cli);
}

/** yargs passes on what a command threw; its own errors are all about usage. */
function ofUsage(error: unknown, args: readonly string[]): unknown {
  const isOwn = error instanceof Error && error.name === "YError";
  return isOwn ? misused(error.message, args) : error;
}

function register(cli: Argv, name: CommandName, session: Session): Argv {
  const command = COMMANDS[name];
  return cli.command(
    usageOf(name, command),
    // hidden, as the options: yargs would lay out a page of them each time, and nobody sees it
    false,
    (args) => acceptOptions(args, name, command),
    (argv) => start(name, argv, session),
  );
}

type Work = (context: CommandContext) => Promise<CommandResult>;

async function start(name: CommandName, argv: Flags, session: Session): Promise<void> {
  const { serves = false, ...command } = COMMANDS[name];
  const work: Work = (context) => command.work(context, wordsGiven(command, argv), argv);
  const { world } = session;
  const { env, folder } = world;
  const flags = flagsOf(name, argv);
  const configuration = await loadConfiguration({ flags, env, folder, command: name });
  await requireTrusted(name, configuration, folder);
  const output = await openOutput(configuration, session);
  session.output = output;
  const { origins } = configuration;
  session.complete = (hint) => withCompleteCommands(hint, origins);
  for (const message of configuration.warnings) warn(output, message);
  const proxy = LOCAL_COMMANDS.includes(name) ? {} : await useProxy(env);
  if (proxy.warning !== undefined) warn(output, proxy.warning);
  const interrupt = interruptible(session, serves);
  const watch = await watchOver(name, configuration, session);
  try {
    const startedMs = systemClock.elapsedMs();
    const around = { command: name, signal: interrupt.signal, watch };
    const result = await withServices(configuration, session, work, around);
    const took = serves ? "" : longText(systemClock.elapsedMs() - startedMs, result);
    const text = result.isData === true ? result.text : session.complete(result.text + took);
    show(output, name, { ...result, text }, configuration.settings.json);
    const { exit = "done", remaining } = result;
    session.exit = exit;
    if (!serves) interrupt.signal.throwIfAborted();
    await watch?.end({ exit, message: result.text, hint: result.next, remaining });
  } catch (error) {
    const reason: unknown = isInterruption(error, interrupt.signal)
      ? interrupt.signal.reason
      : error;
    await watch?.end(failureOf(reason));
    throw reason;
  } finally {
    interrupt.release();
    proxy.release?.();
  }
}

/** They ask nobody, so that no proxy is their matter: a shell may source one at each start. */
const LOCAL_COMMANDS: readonly CommandName[] = ["jobs", "config", "emulator", "completion"];

const LONG_MS = 10_000;

/** How long it took, where that was long and it does not say so itself. */
function longText(ms: number, { json }: CommandResult): string {
  return ms < LONG_MS || "seconds" in json ? "" : `\nTook ${duration(ms / MS_PER_SECOND)}.`;
}

/** Those that are options; the emulator has flags of its own, which may have an option's name. */
function flagsOf(command: CommandName, argv: Flags): Flags {
  const known = new Set(optionsOf(command).map(({ flag }) => flag));
  return Object.fromEntries(Object.entries(argv).filter(([name]) => known.has(name)));
}

async function withServices(
  configuration: Configuration,
  session: Session,
  work: Work,
  {
    command,
    signal,
    watch,
  }: Readonly<{ command: string; signal: AbortSignal; watch: Watch | undefined }>,
): Promise<CommandResult> {
  const { settings, origins } = configuration;
  const { output, world } = session;
  const report: Report = (event) => {
    watch?.note(event);
    output.report(
      event.type === "warning" && event.hint !== undefined
        ? { ...event, hint: session.complete(event.hint) }
        : event,
    );
  };
  const { openServices } = await import("./composition/services.ts");
  const clock = sharedClock(systemClock);
  const services = openServices({
    ...configuration,
    command,
    clock,
    report,
    signal,
    beforeRows: tuneCollector,
  });
  const again = commandLine([...session.args, "--yes"]);
  const asking = { ...world, yes: settings.yes, signal, again };
  try {
    return await work({
      ...configuration,
      services,
      output,
      report,
      signal,
      clock,
      folder: world.folder,
      width: world.stdout.isTTY === true ? world.stdout.columns : undefined,
      screen: () => resultScreen(configuration, world),
      next: (name, ...args) => nextCommandLine(origins, name, args),
      confirm: (question) => {
        output.pause();
        return askConsent(question, asking);
      },
      choose: chooser(asking),
    });
  } finally {
    await services.close();
  }
}

/** Undefined where nobody asked to be told. */
async function watchOver(
  command: CommandName,
  { settings, environment }: Configuration,
  { output, world }: Session,
): Promise<Watch | undefined> {
  const { onEvent, metricsFile, jobsDir } = settings;
  // a dry run tells nobody anything
  const isWatched = optionsOf(command).includes(OPTIONS.onEvent) && !settings.dryRun;
  if (!isWatched || (onEvent === undefined && metricsFile === undefined)) return undefined;
  const { openWatch } = await import("./output/notify/watch.ts");
  const { pricesOf } = await import("./cost/tariff.ts");
  return openWatch({
    command,
    onEvent,
    metricsFile,
    jobsDir,
    hasJobs: settings.manifestIn === "folder",
    folder: world.folder,
    env: withoutSecrets(world.env, redactor(secretsIn(environment))),
    prices: pricesOf(settings),
    clock: systemClock,
    warn: (message, hint) => output.report({ type: "warning", message, hint }),
  });
}

function show(output: Output, command: CommandName, result: CommandResult, json: boolean): void {
  const { next } = result;
  if (json) output.object(command, next === undefined ? result.json : { ...result.json, next });
  else output.result(result.text, result.isData);
  if (!json && next !== undefined) output.notice(`next: ${next}`);
}

async function resultScreen(
  { environment }: Configuration,
  { stdout, env }: World,
): Promise<Screen | undefined> {
  if (!canMove(stdout, env)) return undefined;
  const { openScreen } = await import("./output/terminal-screen.ts");
  const screen = openScreen(stdout, env);
  const clean = cleaner(redactor(secretsIn(environment)));
  return { ...screen, draw: (lines) => screen.draw(lines.map(clean)) };
}

function interruptible({ args, world, output }: Session, serves: boolean): Interrupt {
  return listenForInterrupts({
    source: world.signals,
    reason: interruption(args),
    onFirst: () => {
      if (!serves)
        output.notice("Stopping: finishing what is in hand. Ctrl-C again leaves at once.");
    },
    onSecond: () => {
      output.close();
      output.failure(commandNamed(args), failureOf(interruption(args)));
      world.leave(EXIT_CODES.interrupted);
    },
  });
}

/** Output before the settings are known: for a wrong flag, and for `--help`. */
function firstOutput(args: readonly string[], world: World): Output {
  return createOutput(world, {
    json: args.includes("--json"),
    quiet: false,
    verbose: args.includes("--verbose"),
    progressJson: args.includes("--progress-json"),
    display: undefined,
    color: !args.includes("--no-color"),
    env: world.env,
    redact: redactor(secretsIn(realEnvironment(world.env))),
    clock: systemClock,
  });
}

async function openOutput(
  { settings, environment }: Configuration,
  { args, world }: Session,
): Promise<Output> {
  const { json, quiet, verbose, color, progressJson } = settings;
  const { env, stderr } = world;
  const redact = redactor(secretsIn(environment));
  const display =
    canMove(stderr, env) && !quiet && !progressJson
      ? await openDisplayOn(world, cleaner(redact), color)
      : undefined;
  const options = { json, quiet, verbose, color, progressJson };
  const log = await openLog(settings.logFile, (message) => warn(output, message));
  const output = createOutput(world, {
    ...options,
    env,
    redact,
    clock: systemClock,
    display,
    log,
  });
  log?.(redact(commandLine(args)));
  return output;
}

async function openLog(
  path: string | undefined,
  onBroken: (message: string) => void,
): Promise<OutputOptions["log"]> {
  if (path === undefined) return undefined;
  const { openLogFile } = await import("./output/log-file.ts");
  return openLogFile(path, systemClock, onBroken);
}

async function openDisplayOn(
  { stderr: stream, env }: World,
  clean: (text: string) => string,
  color: boolean,
): Promise<Display> {
  const { openDisplay } = await import("./output/display.ts");
  const paint = painter(stream, env, color);
  return openDisplay({ stream, env, clock: systemClock, clean, paint });
}

function warn(output: Output, message: string): void {
  output.report({ type: "warning", message, hint: undefined });
}

/** The command that was asked for, for the `command` member of an error. */
function commandNamed(args: readonly string[]): string {
  return args.find((arg) => COMMAND_NAMES.some((name) => name === arg)) ?? PROGRAM;
}

const NO_COMMAND = "No command is named.";

// `npm run dev`: this file itself was started, not bin/vecfill.js
if (
  process.argv[1] !== undefined &&
  fileURLToPath(import.meta.url) === realpathSync(process.argv[1])
) {
  await main();
}
