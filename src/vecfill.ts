/**
 * The entry of the package, for scripts: the stages as functions, with the settings that the command
 * line has. It prints nothing, asks nothing and sets no exit code. Whoever calls it has decided to
 * spend, so there is no consent here.
 */
import { SEARCH_OPTIONS } from "./cli/search-options.ts";
import { sharedClock, systemClock } from "./clock.ts";
import {
  exportFromSettings,
  importFromSettings,
  planOnly,
  pollFromSettings,
  resubmitFromSettings,
  queryVectorFromSettings,
  runFromSettings,
  searchFromSettings,
  type StageContext,
  submitFromSettings,
} from "./composition/stages.ts";
import type { CommandContext } from "./cli/command.ts";
import { withLeaves, withLeavesOfNamed } from "./cli/each-target.ts";
import { nextCommandLine } from "./cli/command-line.ts";
import type { CommandName } from "./settings/option.ts";
import type { Plan } from "./plan/plan.ts";
import type { JsonObject } from "./row/json-value.ts";
import type { Services } from "./composition/services.ts";
import { type Configuration, type Flags, loadConfiguration } from "./settings/config.ts";
import { UserError, usageError } from "./errors.ts";
import type { ExportSummary } from "./export/export.ts";
import type { Job } from "./manifest/job.ts";
import { OPTIONS, type OptionName, type Settings } from "./settings/options.ts";
import type { ProgressEvent, Report } from "./progress.ts";
import type { ImportSummary, PollSummary, SubmitSummary } from "./run/alone.ts";
import type { RunSummary } from "./run/run.ts";
import type { Sums } from "./row/sums.ts";
import type { NearRow } from "./store/port.ts";
import type { Target } from "./row/target.ts";

export { UserError };
export type {
  ExportSummary,
  ImportSummary,
  Job,
  Plan,
  NearRow,
  PollSummary,
  ProgressEvent,
  RunSummary,
  SubmitSummary,
  Sums,
  Target,
};

/**
 * The options of the command line by the names of the config file: `{ table: "articles",
 * maxJobRows: 1000, pollInterval: 5 }`. Times are in seconds, `stuckAfter` in hours, as there.
 */
export type VecfillSettings = {
  readonly [K in ForScripts as K extends `${infer Name}Ms` ? Name : K]?: AsTyped<
    NonNullable<Settings[K]>
  >;
};

/** A number may also be written as on the command line: "1,000", "10m". */
type AsTyped<T> = T | (Extract<T, number> extends never ? never : string);

/** The others say how to print, what to ask, or what `jobs`, `cancel` and `init` are to do. */
type ForScripts = Exclude<
  OptionName,
  | "apply"
  | "color"
  | "format"
  | "giveUp"
  | "json"
  | "quiet"
  | "reconcile"
  | "remove"
  | "trigger"
  | "verbose"
  | "yes"
>;

export type VecfillOptions = Readonly<{
  /** What is left out comes from `VECFILL_*` variables, then from the config file, then the default. */
  settings?: VecfillSettings;
  /** Keys and addresses, and `VECFILL_*` variables. Default: `process.env`. */
  env?: NodeJS.ProcessEnv;
  /** In which the config file, `.env.local` and `.env` are looked for. Default: the current one. */
  folder?: string;
  /** Is told of every step. Default: warnings become `process.emitWarning`, the rest is dropped. */
  report?: Report;
  /** When aborted, a stage finishes what is in hand and returns what was done. Batches go on. */
  signal?: AbortSignal;
}>;

/**
 * Each function may be called again at any time and goes on where the last one stopped. All of them
 * throw a `UserError` with `message`, `hint` and `exit` where a person has to do something; any other
 * error is a bug. Sums count rows; money is in US dollars, tokens are input tokens.
 */
export type Vecfill = Readonly<{
  /** Rows whose embedding is NULL become request files, one job each. */
  export(): Promise<ExportSummary>;
  /** Uploads each exported job and starts its batch, as far as the quota allows; `lane` may have it embedded at once. */
  submit(): Promise<SubmitSummary>;
  /** Waits until every submitted job has ended; with `once` it looks once. */
  poll(): Promise<PollSummary>;
  /** Writes the results of ended jobs into the column. */
  import(): Promise<ImportSummary>;
  /** All four as one pipeline, until nothing is left to do. */
  run(): Promise<RunSummary>;
  /** New jobs from files of failed lines; without any, from every one that waits. */
  resubmit(files?: readonly string[]): Promise<readonly Job[]>;
  /** What `run` would do, as far as it can be told; writes and spends nothing. */
  plan(): Promise<Plan>;
  /** What `vecfill verify --json` gives. */
  verify(): Promise<JsonObject>;
  /** What `vecfill doctor --json` gives. */
  doctor(): Promise<JsonObject>;
  /** What `vecfill status --json` gives. Takes no lock. */
  status(): Promise<JsonObject>;
  /** Cancels the batches of these jobs at Gemini: what `vecfill cancel --json` gives. */
  cancel(...jobs: readonly (string | number)[]): Promise<JsonObject>;
  /** Takes back what these jobs wrote: what `vecfill rollback --json` gives. */
  rollback(...jobs: readonly (string | number)[]): Promise<JsonObject>;
  /** The rows nearest to a text, five unless `top` says so: the nearest first. Takes no lock. */
  search(text: string, options?: Readonly<{ top?: number }>): Promise<readonly NearRow[]>;
  /** Of unit length: what finds these rows. Asks no database. */
  queryVector(text: string): Promise<Float32Array>;
  /** What the manifest says of every job, in the order of their ids. Takes no lock. */
  jobs(): Promise<readonly Job[]>;
  /** Gives back the jobs folder, which the first function that writes has locked, and the connections. */
  close(): Promise<void>;
}>;

/** Throws a UserError (exit "usage") that names the setting, variable or file that is wrong. */
export async function openVecfill(options: VecfillOptions = {}): Promise<Vecfill> {
  const { settings = {}, env = process.env, folder = process.cwd() } = options;
  const { report = emitWarnings, signal = new AbortController().signal } = options;
  const configuration = await loadConfiguration({ flags: flagsOf(settings), env, folder });
  for (const message of configuration.warnings)
    report({ type: "warning", message, hint: undefined });
  const { openServices } = await import("./composition/services.ts");
  const around = { report, signal, clock: sharedClock(systemClock) };
  const services = openServices({ ...configuration, ...around, beforeRows: () => {} });
  return stages({ ...configuration, ...around, services, folder });
}

type Context = Configuration & StageContext & Readonly<{ services: Services; folder: string }>;

function stages(context: Context): Vecfill {
  return {
    export: async () => exportFromSettings(ofOne(await withLeaves(context))),
    submit: () => submitFromSettings(context),
    poll: () => pollFromSettings(context),
    import: () => importFromSettings(context),
    run: async () => runFromSettings(await withLeaves(context)),
    resubmit: async (files = []) =>
      (await resubmitFromSettings(await withLeavesOfNamed(context), files)).jobs,
    plan: async () => planOnly(ofOne(await withLeaves(context))),
    verify: () => shown(context, "verify"),
    doctor: () => shown(context, "doctor"),
    status: () => shown(context, "status"),
    cancel: (...jobs) => shown(context, "cancel", jobs),
    rollback: (...jobs) => shown(context, "rollback", jobs),
    search: async (text, { top = SEARCH_OPTIONS.top.default } = {}) =>
      searchFromSettings(ofOne(context), text, top),
    queryVector: async (text) => queryVectorFromSettings(ofOne(context), text),
    jobs: async () => (await context.services.view()).jobs(),
    close: () => context.services.close(),
  };
}

/** What works on one target at a time. */
function ofOne(context: Context): Context {
  if (context.targets.length === 1) return context;
  throw usageError(
    "Of several targets at once there are run(), verify() and doctor().",
    "Open one with the name of each: openVecfill({ settings: { target: <name> } }), or { table: <name> }.",
  );
}

const drop = () => {};

/** What the command gives with `--json`. Nobody is asked, and nothing is printed. */
async function shown(
  context: Context,
  name: CommandName,
  words: readonly (string | number)[] = [],
): Promise<JsonObject> {
  const { COMMANDS } = await import("./commands/commands.ts");
  const sinks = { result: drop, object: drop, notice: drop, detail: drop };
  const output = { ...sinks, report: context.report, failure: drop, pause: drop, close: drop };
  const its: CommandContext = {
    ...context,
    output,
    width: undefined,
    screen: async () => undefined,
    next: (command, ...args) => nextCommandLine(context.origins, command, args),
    confirm: async () => true,
    choose: undefined,
  };
  return (await COMMANDS[name].work(its, words.map(String), {})).json;
}

/** By flag, as the command line would give them. */
function flagsOf(settings: VecfillSettings): Flags {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [flagNamed(name), value]),
  );
}

function flagNamed(name: string): string {
  const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  if (Object.values(OPTIONS).some((option) => option.flag === flag)) return flag;
  throw usageError(
    `There is no setting ${name}.`,
    "The settings are the options of the command line, in camel case: `vecfill run --help`.",
  );
}

function emitWarnings(event: ProgressEvent): void {
  if (event.type !== "warning") return;
  process.emitWarning(event.hint === undefined ? event.message : `${event.message} ${event.hint}`, {
    type: "VecfillWarning",
  });
}
