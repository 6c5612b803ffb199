/**
 * Every option but those that one command has by flags alone (`cli/*-options.ts`), once. This table is what yargs is told, what the environment and the config file
 * may set, what the defaults are and what the help says. A new option is one entry here: its type
 * appears in `Settings` by itself.
 */
import { MS_PER_HOUR } from "../clock.ts";
import { MODELS, isModelName } from "../row/models.ts";
import { JOB_STATES } from "../manifest/states.ts";
import type { Kin, Siblings } from "../row/target.ts";
import { PROJECT_LIMITS, QUOTAS, TIERS } from "../cost/tariff.ts";
import {
  COMMAND_NAMES,
  type CommandName,
  type Option,
  choice,
  severalOf,
  dollars,
  dollarsOr,
  hours,
  identifier,
  named,
  seconds,
  text,
  toggle,
  wholeNumber,
  wholeNumberOr,
} from "./option.ts";

const WITH_JOBS = COMMAND_NAMES.filter(
  (command) => !["emulator", "init", "completion"].includes(command),
);
/** They go through the rows that have no vector. */
const SELECTS: readonly CommandName[] = ["export", "run", "plan", "worker"];
/** The others take the target from the job they work on. */
const WITH_TABLE: readonly CommandName[] = [
  ...SELECTS,
  "recover",
  "verify",
  "status",
  "search",
  "migrate",
  "report",
  "init",
  "config",
  "doctor",
];
const OF_THE_TARGET = { group: "Target", commands: WITH_TABLE } as const;
const MAKES_JOBS: readonly CommandName[] = ["export", "run", "worker", "resubmit", "migrate"];
const SUBMITS: readonly CommandName[] = ["submit", "run", "worker", "migrate"];
const MAKES_OR_SENDS: readonly CommandName[] = [...MAKES_JOBS, "submit"];
const SPENDS: readonly CommandName[] = ["submit", "run", "worker", "migrate"];
/** They tell what something costs. */
const PRICES: readonly CommandName[] = [
  ...SPENDS,
  "import",
  "jobs",
  "status",
  "report",
  "plan",
  "verify",
];
const OF_INIT = { group: "Set-up", commands: ["init"], inConfigFile: false } as const;
/** They are started by cron and the like, with nobody there. */
const WATCHED: readonly CommandName[] = [
  "run",
  "worker",
  "export",
  "submit",
  "poll",
  "import",
  "resubmit",
  "migrate",
];
const POLLS: readonly CommandName[] = ["poll", "run", "worker", "migrate"];
/** With `--live` the doctor waits for batches too. */
const WAITS: readonly CommandName[] = [...POLLS, "doctor"];
const WRITES: readonly CommandName[] = [
  "worker",
  "export",
  "submit",
  "import",
  "run",
  "resubmit",
  "cancel",
  "recover",
  "rollback",
  "clean",
  "verify",
  "migrate",
  "init",
];

const TASK_TYPES = [...new Set(Object.values(MODELS).flatMap((model) => model.taskTypes))];

/** A results line of 768 numbers is about 10 kB, and a file at Gemini holds 2 GB. */
const JOB_ROWS_MAX = 200_000;
/** What the highest tier lets stand in the queue. */
const JOB_TOKENS_MAX = Math.max(
  ...TIERS.flatMap((tier) => Object.values(QUOTAS[tier].enqueuedTokens)),
);
const JOB_BYTES_MAX = PROJECT_LIMITS.fileBytes;
const ENQUEUED_TOKENS_MAX = 1_000_000_000;
/** No limit of the service is as high. */
const PER_MINUTE_MAX = 1_000_000_000;
const ATTEMPTS_MAX = 100;
const WIDTH_MIN = Math.min(...Object.values(MODELS).map((model) => model.minDimensions));
const WIDTH_MAX = Math.max(...Object.values(MODELS).map((model) => model.maxDimensions));
/** They are held in memory, and enough to judge any column by. */
const SAMPLE_MAX = 10_000;
/** More than any database takes. */
const PACE_MAX = 1_000_000;
/** The emulator answers at once; the service does not mind either. */
const POLL_SECONDS_MIN = 0.01;

export const OPTIONS = named({
  target: text({
    value: "<name>",
    default: undefined,
    describe: "one of the targets in the config file (default: the only one), or all",
    ...OF_THE_TARGET,
    commands: [...WITH_TABLE, "resubmit"],
  }),
  schema: identifier({
    default: "public",
    describe: "schema of the target table",
    ...OF_THE_TARGET,
  }),
  table: identifier({
    default: "questions",
    describe:
      "the target table; a partitioned one, or a pattern such as 'questions_p*', stands for several (direct Postgres only)",
    ...OF_THE_TARGET,
  }),
  id: identifier({
    default: "id",
    describe: "its key column: integer, uuid or text",
    ...OF_THE_TARGET,
  }),
  text: text({
    value: "<column>",
    default: "question_text",
    describe: "a column, or a recipe such as '{question_text} {options}'",
    ...OF_THE_TARGET,
  }),
  embedding: identifier({
    default: "embedding",
    describe: "the vector column (vector or halfvec)",
    ...OF_THE_TARGET,
  }),
  model: choice({
    default: "gemini-embedding-001",
    choices: Object.keys(MODELS).filter(isModelName),
    describe: "the embedding model",
    ...OF_THE_TARGET,
  }),
  dimensions: wholeNumber({
    value: "<width>",
    default: 768,
    min: WIDTH_MIN,
    max: WIDTH_MAX,
    describe: "width of a vector; must equal the column's",
    ...OF_THE_TARGET,
  }),
  taskType: choice({
    default: "RETRIEVAL_DOCUMENT",
    choices: TASK_TYPES,
    describe: "what the vectors are for",
    ...OF_THE_TARGET,
  }),
  where: text({
    value: "<condition>",
    default: undefined,
    describe: "a further SQL condition on the rows (direct Postgres only)",
    group: "Target",
    commands: [...SELECTS, "migrate"],
  }),
  limit: wholeNumber({
    value: "<rows>",
    default: undefined,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    describe: "at most so many rows in this export; of run: those under way count",
    group: "Target",
    commands: SELECTS,
  }),
  onTooLong: choice({
    default: "skip",
    choices: ["fail", "skip", "truncate"],
    describe: "what to do with texts over the model's token limit",
    group: "Target",
    commands: SELECTS,
  }),
  maxJobRows: wholeNumber({
    value: "<rows>",
    default: 50_000,
    min: 1,
    max: JOB_ROWS_MAX,
    describe: "most rows in one job",
    group: "Jobs",
    commands: [...MAKES_JOBS, "plan"],
  }),
  maxJobTokens: wholeNumber({
    value: "<tokens>",
    default: undefined,
    min: 1,
    max: JOB_TOKENS_MAX,
    describe: "most estimated tokens in one job (default by tier: 50,000, 151,516 or 303,031)",
    group: "Jobs",
    commands: [...MAKES_JOBS, "plan"],
  }),
  maxJobBytes: wholeNumber({
    value: "<bytes>",
    default: 500_000_000,
    min: 10_000,
    max: JOB_BYTES_MAX,
    describe: "most bytes in one request file",
    group: "Jobs",
    commands: [...MAKES_JOBS, "plan"],
  }),
  canary: toggle({
    default: true,
    describe:
      "of 5,000 rows or more a hundred go through first, alone; --no-canary for all at once",
    group: "Jobs",
    commands: ["run", "worker", "plan", "migrate"],
  }),
  beside: toggle({
    describe:
      "send although another jobs folder may fill the same rows: its batches are under way, or have ended and nobody has imported them",
    group: "Jobs",
    commands: MAKES_OR_SENDS,
  }),
  maxAttempts: wholeNumber({
    value: "<times>",
    default: 3,
    min: 1,
    max: ATTEMPTS_MAX,
    describe: "how often a retryable row is submitted in all",
    group: "Jobs",
    commands: ["run", "plan", "migrate"],
  }),
  maxCost: dollarsOr("off", {
    default: undefined,
    describe:
      "most dollars to spend on this target in all, as the jobs folder knows (exit 5); off: no limit. Over a shared manifest one limit on all of it, for all who work on it, also for those who do not give it: the last one that was given",
    group: "Cost",
    commands: SPENDS,
  }),
  consentAbove: dollars({
    default: 1,
    describe: "dollars above which a command asks before it spends, or without a terminal refuses",
    group: "Cost",
    commands: [...SPENDS, "verify"],
  }),
  price: dollars({
    default: undefined,
    describe: "dollars for a million tokens in a batch (default: as published for the model)",
    group: "Cost",
    commands: PRICES,
  }),
  priceSync: dollars({
    default: undefined,
    describe: "the same for the interactive API",
    group: "Cost",
    commands: PRICES,
  }),
  tier: choice({
    default: "1",
    choices: TIERS,
    describe: "the project's tier at Gemini, which sets how much may be queued",
    group: "Quota and waiting",
    commands: [...MAKES_JOBS, "submit", "report", "plan", "jobs"],
  }),
  lane: choice({
    default: "batch",
    choices: ["batch", "sync", "auto"],
    describe:
      "batch, or sync: embed at once at full price; auto does so with what is too small to queue",
    group: "Jobs",
    commands: SUBMITS,
  }),
  // at the price of a batch a third of a cent less, and hours later
  syncUpTo: wholeNumber({
    value: "<tokens>",
    default: 20_000,
    min: 0,
    max: JOB_TOKENS_MAX,
    describe: "with --lane auto: a job of so many tokens, or fewer, is too small to queue",
    group: "Jobs",
    commands: SUBMITS,
  }),
  maxRequestsPerMinute: wholeNumber({
    value: "<texts>",
    default: undefined,
    min: 1,
    max: PER_MINUTE_MAX,
    describe: "most texts embedded at once in a minute (default: what the tier allows)",
    group: "Quota and waiting",
    commands: SUBMITS,
  }),
  maxTokensPerMinute: wholeNumber({
    value: "<tokens>",
    default: undefined,
    min: 1,
    max: PER_MINUTE_MAX,
    describe: "most tokens embedded at once in a minute (default: what the tier allows)",
    group: "Quota and waiting",
    commands: SUBMITS,
  }),
  maxActiveJobs: wholeNumber({
    value: "<batches>",
    default: undefined,
    min: 1,
    max: PROJECT_LIMITS.activeBatches,
    describe: "most batches at Gemini at once (default: 90)",
    group: "Quota and waiting",
    commands: [...SUBMITS, "jobs"],
  }),
  maxEnqueuedTokens: wholeNumber({
    value: "<tokens>",
    default: undefined,
    min: 1,
    max: ENQUEUED_TOKENS_MAX,
    describe: "most tokens queued at Gemini at once (default: what the tier allows)",
    group: "Quota and waiting",
    commands: [...MAKES_JOBS, "submit", "report", "plan", "jobs"],
  }),
  projects: text({
    value: "<names>",
    default: undefined,
    describe: "work for these projects alone, of those whose keys are set (default: all)",
    group: "Quota and waiting",
    commands: [...SUBMITS, "poll", "import", "plan", "doctor"],
  }),
  pollIntervalMs: seconds({
    default: undefined,
    min: POLL_SECONDS_MIN,
    describe: "seconds between two looks at a batch (default: grows with the batch's age)",
    group: "Quota and waiting",
    commands: WAITS,
  }),
  timeoutMs: seconds({
    default: undefined,
    min: 0,
    describe: "give up waiting after so many seconds (exit 4); the batches go on",
    group: "Quota and waiting",
    commands: [...WAITS, "submit"],
  }),
  // the service aims at a day for a batch, and expires it after two
  stuckAfterMs: hours({
    default: 24 * MS_PER_HOUR,
    min: 0,
    describe: "hours after which a batch that has not ended is reported as stuck; it goes on",
    group: "Quota and waiting",
    commands: [...POLLS, "jobs"],
  }),
  once: toggle({ describe: "look once and leave", group: "Quota and waiting", commands: ["poll"] }),
  quotaWaitMs: seconds({
    default: 60_000,
    min: 0,
    describe: "seconds before a create refused for quota is tried again; grows to 15 minutes",
    group: "Quota and waiting",
    commands: SUBMITS,
  }),
  pace: wholeNumberOr("auto", {
    value: "<rows>",
    default: undefined,
    min: 1,
    max: PACE_MAX,
    describe: "most rows a second to write, or auto: back off when the database slows down",
    group: "Quota and waiting",
    commands: ["import", "run", "worker", "recover", "resubmit", "rollback", "migrate"],
  }),
  rebuildIndex: toggle({
    describe:
      "drop the index for nearest-neighbour search, write, build it again (direct Postgres only); searches are slow meanwhile",
    group: "Target",
    commands: ["import", "run"],
  }),
  again: toggle({
    describe:
      "write once more, at no cost, what the database has lost since it was imported: rows that are NULL again and have their text",
    group: "Target",
    commands: ["import"],
    inConfigFile: false,
  }),
  refetch: toggle({
    describe:
      "with --again: fetch the results again, also where they are in the jobs folder; Gemini keeps them for six weeks",
    group: "Target",
    commands: ["import"],
    inConfigFile: false,
  }),
  reconcileGraceMs: seconds({
    default: 60_000,
    min: 0,
    describe:
      "seconds over which the batch list is read again before an uncertain submission is repeated; all in all that takes some five times as long, since no create may come late",
    group: "Quota and waiting",
    commands: [...SUBMITS, "jobs"],
  }),
  resultsGraceMs: seconds({
    default: 600_000,
    min: 0,
    describe:
      "seconds over which results that are fewer than the batch's own count are fetched again before rows count as missing",
    group: "Quota and waiting",
    commands: ["import", "run", "worker", "recover", "migrate"],
  }),
  reconcile: toggle({
    describe: "settle uncertain submissions first",
    group: "Jobs",
    commands: ["jobs"],
  }),
  trigger: toggle({
    describe: "also a trigger that sets the embedding to NULL when the text changes",
    ...OF_INIT,
  }),
  fingerprintColumn: toggle({
    describe: "also a column in which a trigger keeps of which text a vector was made, for verify",
    ...OF_INIT,
  }),
  apply: toggle({
    describe: "also run the SQL on the database that DATABASE_URL names",
    ...OF_INIT,
  }),
  remove: toggle({
    describe: "take functions, triggers and their column out again",
    ...OF_INIT,
  }),
  reportFile: text({
    value: "<file>",
    power: "writes",
    default: undefined,
    describe: "where to write the page (default: report.html in the jobs folder)",
    group: "Files",
    commands: ["report"],
  }),
  live: toggle({
    describe: "also send a few tiny batches to Gemini, and compare its answers with the emulator's",
    group: "Set-up",
    commands: ["doctor"],
    inConfigFile: false,
  }),
  state: severalOf({
    default: undefined,
    choices: JOB_STATES,
    describe: "only jobs in these states, with commas between",
    group: "Output",
    commands: ["jobs"],
    inConfigFile: false,
  }),
  workers: toggle({
    describe: "over a shared manifest: who works on it, and what each does",
    group: "Jobs",
    commands: ["jobs"],
    inConfigFile: false,
  }),
  watch: toggle({
    describe: "stay, and show what changes, until every job has ended",
    group: "Output",
    commands: ["jobs"],
    inConfigFile: false,
  }),
  format: choice({
    default: "table",
    choices: ["table", "csv", "json", "ndjson"],
    describe: "how to list the jobs",
    group: "Output",
    commands: ["jobs"],
  }),
  giveUp: toggle({
    describe:
      "give jobs up although they may have a batch that is paid for; what it cost is lost. Rows of a table that was dropped count as gone",
    group: "Jobs",
    commands: ["cancel"],
    inConfigFile: false,
  }),
  sample: wholeNumber({
    value: "<rows>",
    default: undefined,
    min: 1,
    max: SAMPLE_MAX,
    describe: "embed so many rows again through the interactive API, and compare",
    group: "Jobs",
    commands: ["verify"],
    inConfigFile: false,
  }),
  maxAgeMs: seconds({
    default: undefined,
    min: 0,
    describe: "exit code 1 when a row has waited longer for its vector, as far as that is known",
    group: "Jobs",
    commands: ["verify"],
  }),
  ageColumn: text({
    value: "<name>",
    default: undefined,
    describe: "the column that says since when a row waits, such as created_at",
    group: "Target",
    commands: ["verify"],
  }),
  keepResults: toggle({
    describe: "keep what a rollback needs: request and results files of imported jobs",
    group: "Files",
    commands: ["clean"],
  }),
  onEvent: text({
    value: "<command>",
    default: undefined,
    power: "runs",
    describe: "a shell command to run when something changes: see docs/keeping-fresh.md",
    group: "Output",
    commands: WATCHED,
  }),
  metricsFile: text({
    value: "<file>",
    power: "writes",
    default: undefined,
    describe: "write metrics here, in Prometheus' text format",
    group: "Output",
    commands: WATCHED,
  }),
  logFile: text({
    value: "<file>",
    power: "writes",
    default: undefined,
    describe: "also write what is told into this file, a line each with its time",
    group: "Output",
    commands: COMMAND_NAMES,
  }),
  yes: toggle({ describe: "ask no questions", group: "Output", commands: COMMAND_NAMES }),
  dryRun: toggle({
    describe: "say what would be done, and do nothing",
    group: "Output",
    commands: WRITES,
  }),
  json: toggle({
    describe: "the result as one JSON object",
    group: "Output",
    commands: COMMAND_NAMES,
  }),
  progressJson: toggle({
    describe: "progress, warnings and errors as JSON lines on stderr",
    group: "Output",
    commands: COMMAND_NAMES,
  }),
  quiet: toggle({
    describe: "no progress; the result, warnings and errors only",
    group: "Output",
    commands: COMMAND_NAMES,
  }),
  verbose: toggle({
    describe: "every step, and the causes of errors",
    group: "Output",
    commands: COMMAND_NAMES,
  }),
  color: toggle({
    default: true,
    describe: "colours on a terminal; --no-color for none",
    group: "Output",
    commands: COMMAND_NAMES,
  }),
  jobsDir: text({
    value: "<folder>",
    default: "jobs",
    describe: "folder of the manifest and its data files",
    group: "Files",
    commands: WITH_JOBS,
  }),
  scratch: text({
    value: "<folder>",
    default: undefined,
    describe:
      "where a worker has the files that it needs meanwhile; what is there may be lost (default: the jobs folder)",
    group: "Files",
    commands: ["worker"],
    power: "writes",
  }),
  manifestIn: choice({
    default: "folder",
    choices: ["folder", "postgres"],
    describe: "where the manifest is; in the target's own database several machines may share it",
    group: "Files",
    commands: WITH_JOBS,
  }),
  envFile: text({
    value: "<file>",
    default: undefined,
    describe: "file of environment variables (default: .env.local and .env, where there)",
    group: "Files",
    commands: COMMAND_NAMES,
    inConfigFile: false,
  }),
  config: text({
    value: "<file>",
    default: undefined,
    describe: "the config file (default: vecfill.config.json, where there)",
    group: "Files",
    commands: COMMAND_NAMES,
    inConfigFile: false,
  }),
});

export type OptionName = keyof typeof OPTIONS;

type ValueOf<O> = O extends Option<infer T> ? T : never;

/** Every option's value, checked. Times are in milliseconds. */
export type ValuesOf<O> = { readonly [K in keyof O]: ValueOf<O[K]> };

/** `siblings`: of one of the tables that a pattern or a partitioned table stands for; `kin`: of a partition. */
export type Settings = ValuesOf<typeof OPTIONS> & Readonly<{ siblings?: Siblings; kin?: Kin }>;

export const OPTION_LIST: readonly (readonly [OptionName, Option<unknown>])[] = listOptions();

/** What each of several targets in the config file may have of its own. */
export const OPTIONS_OF_TARGET = OPTION_LIST.filter(
  ([name, { group, inConfigFile }]) =>
    group === "Target" && inConfigFile && name !== "target" && name !== "rebuildIndex",
).map(([, option]) => option);

export function optionsOf(command: CommandName): Option<unknown>[] {
  return OPTION_LIST.map(([, option]) => option).filter(({ commands }) =>
    commands.includes(command),
  );
}

/** `max-job-rows` → `VECFILL_MAX_JOB_ROWS`. */
export function variableOf(flag: string): string {
  return `VECFILL_${flag.replaceAll("-", "_").toUpperCase()}`;
}

/** `max-job-rows` → `maxJobRows`, as in the config file. */
export function configKeyOf(flag: string): string {
  return flag.replace(/-(?<letter>[a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function listOptions() {
  const isOptionName = (name: string): name is OptionName => Object.hasOwn(OPTIONS, name);
  return Object.keys(OPTIONS)
    .filter(isOptionName)
    .map((name) => [name, OPTIONS[name]] as const);
}
