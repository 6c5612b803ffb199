/** The options of `vecfill worker`, by flags alone. */
import { DUTIES, LEASE_MS } from "../gates/duties.ts";
import { named, seconds, severalOf, toggle } from "../settings/option.ts";

const OF_WORKER = { group: "Jobs", commands: ["worker"] } as const;

export const WORKER_OPTIONS = named({
  only: severalOf({
    default: undefined,
    choices: DUTIES,
    describe: "do these alone, several with commas between, and leave the rest to others",
    ...OF_WORKER,
  }),
  once: toggle({
    describe: "end as soon as all there is to do is to wait: for cron and the like",
    ...OF_WORKER,
  }),
  leaseMs: seconds({
    default: LEASE_MS,
    min: 10,
    describe: "so long after it was last heard of a worker's work goes to others",
    ...OF_WORKER,
  }),
  drain: toggle({ describe: "end when nothing is left to do", ...OF_WORKER }),
});
