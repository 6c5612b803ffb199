/** The options that `vecfill migrate` has for itself, by flags alone. */
import { MODELS, isModelName } from "../row/models.ts";
import {
  amount,
  choice,
  identifier,
  named,
  text,
  toggle,
  wholeNumber,
} from "../settings/option.ts";

const OF_MIGRATE = { group: "Target", commands: ["migrate"] } as const;

export const MIGRATE_OPTIONS = named({
  to: choice({
    default: "gemini-embedding-2",
    choices: Object.keys(MODELS).filter(isModelName),
    describe: "the model to go to",
    ...OF_MIGRATE,
  }),
  type: choice({
    default: "same",
    choices: ["same", "vector", "halfvec"],
    describe: "of the new column; halfvec takes an index up to 4,000 dimensions",
    ...OF_MIGRATE,
  }),
  column: identifier({
    default: "",
    describe: "its name before the swap (default: the old one's with _new)",
    ...OF_MIGRATE,
  }),
  swap: toggle({
    default: true,
    describe:
      "the new column takes the old one's name; --no-swap where your code goes over by itself",
    ...OF_MIGRATE,
  }),
  minRecall: amount({
    default: 0.95,
    describe: "of the ten nearest by an exact search, the part that the index has to find",
    ...OF_MIGRATE,
  }),
  checkRows: wholeNumber({
    value: "<rows>",
    default: 100,
    min: 1,
    max: 10_000,
    describe: "rows embedded again for the check, at full price",
    ...OF_MIGRATE,
  }),
  queries: text({
    value: "<file>",
    default: undefined,
    describe: 'lines of {"query": "…", "relevant": ["17"]}: how well both columns find these',
    ...OF_MIGRATE,
  }),
  sql: text({
    value: "<folder>",
    default: undefined,
    describe: "each change of the database is a file there, for you to run",
    ...OF_MIGRATE,
  }),
  status: toggle({ describe: "say how far it is, and do nothing", ...OF_MIGRATE }),
  finish: toggle({ describe: "drop the column that is not needed any more", ...OF_MIGRATE }),
  undo: toggle({ describe: "put all back as it was; the new column is dropped", ...OF_MIGRATE }),
});
