/** The options of `vecfill emulator`. They are given by flags alone, and an empty one counts as not given. */
import { EMULATOR_DEFAULTS, type EmulatorOptions, TIERS, TOKENIZERS } from "../emulator/port.ts";
import { type Flags, flagValues } from "../settings/config.ts";
import { amount, choice, named, text } from "../settings/option.ts";

/** Of the command as opposed to tests: a known port, and batches that take a moment. */
const COMMAND_PORT = 8484;
const COMMAND_BATCH_SECONDS = 5;

const OF_EMULATOR = { group: "Emulator", commands: ["emulator"] } as const;
const UNSET = { default: undefined, ...OF_EMULATOR };

export const EMULATOR_OPTIONS = named({
  folder: text({ describe: "keeps its state here; without, in a temporary folder", ...UNSET }),
  host: text({ describe: "address to listen on", default: EMULATOR_DEFAULTS.host, ...OF_EMULATOR }),
  port: amount({ describe: "port; 0 takes any", default: COMMAND_PORT, ...OF_EMULATOR }),
  tier: choice({
    describe: "quota of enqueued tokens",
    choices: TIERS,
    default: EMULATOR_DEFAULTS.tier,
    ...OF_EMULATOR,
  }),
  requestsPerMinute: amount({
    describe: "texts a minute that are embedded at once; without, by tier",
    ...UNSET,
  }),
  tokensPerMinute: amount({
    describe: "tokens a minute that are embedded at once; without, by tier",
    ...UNSET,
  }),
  quotaTokens: amount({
    describe: "so many enqueued tokens a model, whatever the tier says",
    ...UNSET,
  }),
  quotaRefillSeconds: amount({
    describe: "as a bucket (--behaviour quota=bucket): how long a full one takes to drain",
    default: EMULATOR_DEFAULTS.quotaRefillSeconds,
    ...OF_EMULATOR,
  }),
  quotaChangeSeconds: amount({
    describe: "so long after the first batch the quota becomes --quota-change-tokens",
    ...UNSET,
  }),
  quotaChangeTokens: amount({ describe: "what it becomes then", ...UNSET }),
  batchSeconds: amount({
    describe: "from the creation of a batch to its end",
    default: COMMAND_BATCH_SECONDS,
    ...OF_EMULATOR,
  }),
  faults: text({
    describe: "what goes wrong, such as shuffle,double=0.01,create-ambiguous=1x",
    default: EMULATOR_DEFAULTS.faults,
    ...OF_EMULATOR,
  }),
  behaviour: text({
    describe: "what the service does where nobody knows, such as bad-line=line-error",
    default: EMULATOR_DEFAULTS.behaviour,
    ...OF_EMULATOR,
  }),
  seed: amount({
    describe: "the same seed, the same faults",
    default: EMULATOR_DEFAULTS.seed,
    ...OF_EMULATOR,
  }),
  tokenizer: choice({
    describe: "how tokens are counted",
    choices: TOKENIZERS,
    default: EMULATOR_DEFAULTS.tokenizer,
    ...OF_EMULATOR,
  }),
});

/** Throws a UserError that names the flag with the wrong value. */
export function emulatorOptions(flags: Flags): EmulatorOptions {
  return flagValues(EMULATOR_OPTIONS, flags);
}
