import type { Job, JobState } from "../../manifest/job.ts";
import type { CommandName } from "../../settings/option.ts";

/** What takes a job in this state further. The other states have ended. */
const STEPS: Readonly<Partial<Record<JobState, CommandName>>> = {
  exported: "submit",
  submitting: "submit",
  embedding: "submit",
  submitted: "poll",
  succeeded: "import",
  downloaded: "import",
};

/** The nearest to the column first: its results are paid for. */
const ORDER: readonly CommandName[] = ["import", "poll", "submit", "resubmit"];

/** The command that takes these jobs further; undefined when nothing is left to do with them. */
export function nextStep(jobs: readonly Job[]): CommandName | undefined {
  const steps = new Set(jobs.map(stepOf));
  return ORDER.find((command) => steps.has(command));
}

function stepOf({ state, outstanding }: Job): CommandName | undefined {
  return STEPS[state] ?? (outstanding.lines > 0 ? "resubmit" : undefined);
}
