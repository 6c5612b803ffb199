/** The options of `vecfill search`, by flags alone. */
import { named, toggle, wholeNumber } from "../settings/option.ts";

const OF_SEARCH = { group: "Target", commands: ["search"] } as const;
/** `max`: an HNSW index gives no more. */
const TOP = { default: 5, max: 1_000 };

export const SEARCH_OPTIONS = named({
  top: wholeNumber({
    value: "<rows>",
    describe: "so many rows, the nearest first",
    min: 1,
    ...TOP,
    ...OF_SEARCH,
  }),
  printVector: toggle({
    describe: "print the query's vector, as pgvector takes it, and search for nothing",
    ...OF_SEARCH,
  }),
});
