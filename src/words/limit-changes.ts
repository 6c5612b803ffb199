import type { Limits } from "../manifest/quota/set-limits.ts";
import { count, dollars } from "./figures.ts";

type Limit = Limits[keyof Limits];

/** Of limits that somebody had set before. */
export function limitChanges(before: Limits, set: Limits): readonly string[] {
  return [
    ...changeOfLimit("--max-cost", before.maxCost, set.maxCost, dollars),
    ...changeOfLimit(
      "--max-enqueued-tokens",
      before.maxEnqueuedTokens,
      set.maxEnqueuedTokens,
      count,
    ),
    ...changeOfLimit("--max-active-jobs", before.maxActiveJobs, set.maxActiveJobs, count),
  ];
}

function changeOfLimit(option: string, was: Limit, is: Limit, text: (limit: number) => string) {
  if (was === undefined || is === undefined || was === is) return [];
  const [old, now] = [was, is].map((limit) => (limit === "off" ? limit : text(limit)));
  return [`${option} was ${old}, is ${now} now`];
}
