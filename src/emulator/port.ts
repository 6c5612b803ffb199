/** The emulator as others know it: a program of its own, for trying out and rehearsals. */
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../errors.ts";
import { describeBehaviours } from "./faults/behaviour.ts";
import { type Emulator, startEmulator } from "./emulator.ts";
import { describeFaults } from "./faults/faults.ts";
import { DEFAULTS, type EmulatorOptions, TIERS } from "./faults/emulator-options.ts";
import { TOKENIZERS } from "./faults/token-count.ts";

export type CommandOption = Readonly<{
  name: string;
  type: "string" | "number";
  describe: string;
  default?: string | number;
  choices?: readonly string[];
}>;

/** Of the command as opposed to tests: a known port, and batches that take a moment. */
const COMMAND_PORT = 8484;
const COMMAND_BATCH_SECONDS = 5;
const LOOK_MS = 60_000;

export const EMULATOR_OPTIONS: readonly CommandOption[] = [
  {
    name: "folder",
    type: "string",
    describe: "Keeps its state here; without, in a temporary folder",
  },
  { name: "host", type: "string", describe: "Address to listen on", default: DEFAULTS.host },
  { name: "port", type: "number", describe: "Port; 0 takes any", default: COMMAND_PORT },
  {
    name: "tier",
    type: "string",
    describe: "Quota of enqueued tokens",
    choices: TIERS,
    default: DEFAULTS.tier,
  },
  {
    name: "requests-per-minute",
    type: "number",
    describe: "Texts a minute that are embedded at once; without, by tier",
  },
  {
    name: "tokens-per-minute",
    type: "number",
    describe: "Tokens a minute that are embedded at once; without, by tier",
  },
  {
    name: "quota-tokens",
    type: "number",
    describe: "So many enqueued tokens a model, whatever the tier says",
  },
  {
    name: "quota-refill-seconds",
    type: "number",
    describe: "As a bucket (--behaviour quota=bucket): how long a full one takes to drain",
    default: DEFAULTS.quotaRefillSeconds,
  },
  {
    name: "quota-change-seconds",
    type: "number",
    describe: "So long after the first batch the quota becomes --quota-change-tokens",
  },
  { name: "quota-change-tokens", type: "number", describe: "What it becomes then" },
  {
    name: "batch-seconds",
    type: "number",
    describe: "From the creation of a batch to its end",
    default: COMMAND_BATCH_SECONDS,
  },
  {
    name: "faults",
    type: "string",
    describe: "What goes wrong, such as shuffle,double=0.01,create-ambiguous=1x",
    default: DEFAULTS.faults,
  },
  {
    name: "behaviour",
    type: "string",
    describe: "What the service does where nobody knows, such as bad-line=line-error",
    default: DEFAULTS.behaviour,
  },
  {
    name: "seed",
    type: "number",
    describe: "The same seed, the same faults",
    default: DEFAULTS.seed,
  },
  {
    name: "tokenizer",
    type: "string",
    describe: "How tokens are counted",
    choices: TOKENIZERS,
    default: DEFAULTS.tokenizer,
  },
];

/** For the end of --help: every fault and every behaviour, a line each. */
export function emulatorEpilogue(): string {
  return [
    section("Faults:", describeFaults()),
    section("Behaviours (the first choice is the default):", describeBehaviours()),
  ].join("\n\n");
}

function section(title: string, lines: readonly string[]): string {
  return [title, ...lines.map((line) => `  ${line}`)].join("\n");
}

/** Flags as they come from the command line, checked. Throws a UserError. */
export function readFlags(flags: Readonly<Record<string, unknown>>): EmulatorOptions {
  const { folder } = flags;
  return {
    ...(typeof folder === "string" && folder !== "" ? { folder } : {}),
    host: text(flags, "host"),
    port: amount(flags, "port"),
    tier: choice(flags, "tier", TIERS),
    requestsPerMinute: givenAmount(flags, "requests-per-minute"),
    tokensPerMinute: givenAmount(flags, "tokens-per-minute"),
    quotaTokens: givenAmount(flags, "quota-tokens"),
    quotaRefillSeconds: amount(flags, "quota-refill-seconds"),
    quotaChangeSeconds: givenAmount(flags, "quota-change-seconds"),
    quotaChangeTokens: givenAmount(flags, "quota-change-tokens"),
    batchSeconds: amount(flags, "batch-seconds"),
    faults: text(flags, "faults"),
    behaviour: text(flags, "behaviour"),
    seed: amount(flags, "seed"),
    tokenizer: choice(flags, "tokenizer", TOKENIZERS),
  };
}

export type Served = Readonly<{
  batches: number;
  requestsPaidFor: number;
  paidMoreThanOnce: number;
  textsEmbeddedAtOnce: number;
  text: string;
}>;

/** Serves until the signal aborts; resolves to what was paid for. */
export async function serveEmulator(
  options: EmulatorOptions,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<Served> {
  const emulator = await startEmulator(options);
  try {
    print(`The emulator listens on ${emulator.url}, its state is in ${emulator.folder}.`);
    print("Set these for vecfill, or for any other client:");
    print(`GOOGLE_GEMINI_BASE_URL=${emulator.url}`);
    print("GEMINI_API_KEY=anything");
    await aborted(signal);
    return await served(emulator);
  } finally {
    await emulator.close();
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function served(emulator: Emulator): Promise<Served> {
  const bill = await emulator.billing();
  const paidMoreThanOnce = [...bill.values()].filter((times) => times > 1).length;
  const batches = emulator.batches().length;
  const textsEmbeddedAtOnce = [...emulator.paidTexts().values()].reduce(
    (sum, times) => sum + times,
    0,
  );
  const atOnce =
    textsEmbeddedAtOnce === 0 ? "" : ` Texts embedded at once: ${textsEmbeddedAtOnce}.`;
  const line = `Batches created: ${batches}. Requests paid for: ${bill.size}, of these more than once: ${paidMoreThanOnce}.${atOnce}`;
  return { batches, requestsPaidFor: bill.size, paidMoreThanOnce, textsEmbeddedAtOnce, text: line };
}

function flag(flags: Readonly<Record<string, unknown>>, name: string): unknown {
  return flags[name] ?? EMULATOR_OPTIONS.find((option) => option.name === name)?.default;
}

function text(flags: Readonly<Record<string, unknown>>, name: string): string {
  const value = flag(flags, name);
  if (typeof value === "string") return value;
  throw badFlag(name, "a text");
}

function amount(flags: Readonly<Record<string, unknown>>, name: string): number {
  const value = flag(flags, name);
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number) && number >= 0) return number;
  throw badFlag(name, "a number from 0");
}

/** Undefined where there is neither a flag nor a default. */
function givenAmount(flags: Readonly<Record<string, unknown>>, name: string): number | undefined {
  return flag(flags, name) === undefined ? undefined : amount(flags, name);
}

function choice<T extends string>(
  flags: Readonly<Record<string, unknown>>,
  name: string,
  choices: readonly T[],
): T {
  const chosen = choices.find((candidate) => candidate === String(flag(flags, name)));
  if (chosen !== undefined) return chosen;
  throw badFlag(name, `one of ${choices.join(", ")}`);
}

function badFlag(name: string, wanted: string): UserError {
  return new UserError(`--${name} must be ${wanted}.`, {
    hint: "vecfill emulator --help lists all options.",
    exit: "usage",
  });
}
