import type { JobEvent } from "./event.ts";
import type { JobState } from "./job.ts";

const ENDED_BADLY = ["failed", "expired", "cancelled"] as const;

/**
 * Every legal move, by the event that makes it. `from` lists the states in which the event may
 * happen ("none": the job does not exist yet); `to` is absent where the state stays.
 */
const MOVES: Readonly<
  Record<JobEvent["type"], { from: readonly (JobState | "none")[]; to?: JobState }>
> = {
  exported: { from: ["none"], to: "exported" },
  uploaded: { from: ["exported"] },
  submitting: { from: ["exported"], to: "submitting" },
  refused: { from: ["submitting"], to: "exported" },
  revoking: { from: ["submitting"] },
  absent: { from: ["submitting"], to: "exported" },
  // from `exported`: a batch that turned up after it had been given up as absent
  submitted: { from: ["submitting", "exported"], to: "submitted" },
  // in `embedding`: a batch that turned up after it had been given up as absent
  duplicate: {
    from: [
      "embedding",
      "submitted",
      "succeeded",
      "downloaded",
      "imported",
      "rolledBack",
      ...ENDED_BADLY,
    ],
  },
  // another folder has sent it
  recovered: { from: ["none"], to: "submitted" },
  succeeded: { from: ["submitted"], to: "succeeded" },
  // from `succeeded` and `downloaded`: the results are lost here and gone at Gemini
  failed: { from: ["submitted", "succeeded", "downloaded"], to: "failed" },
  expired: { from: ["submitted"], to: "expired" },
  // from any other than `submitted`: given up by a person, without a batch or the request file
  cancelled: {
    from: ["exported", "embedding", "submitting", "submitted", "succeeded", "downloaded"],
    to: "cancelled",
  },
  // from `downloaded`: the file was lost here and fetched again
  downloaded: { from: ["succeeded", "embedding", "downloaded"], to: "downloaded" },
  // again where the file was lost
  rowsFound: { from: ["downloaded"] },
  imported: { from: ["downloaded"], to: "imported" },
  resubmitted: { from: ["imported", "rolledBack", ...ENDED_BADLY] },
  // again where the list of rows was lost
  rollingBack: { from: ["imported"] },
  rolledBack: { from: ["imported"], to: "rolledBack" },
  writtenAgain: { from: ["imported"] },
  // from `succeeded` and `downloaded`: the upload alone, which its batch has read
  cleaned: { from: ["succeeded", "downloaded", "imported", "rolledBack", ...ENDED_BADLY] },
  embedding: { from: ["exported"], to: "embedding" },
};

/** The state after the event. Throws when the move is illegal: that is a bug or a damaged file. */
export function move(job: string, from: JobState | undefined, event: JobEvent["type"]): JobState {
  const { from: allowed, to } = MOVES[event];
  if (!allowed.includes(from ?? "none")) {
    throw new Error(`job ${job}: "${event}" is not possible in state "${from ?? "none"}"`);
  }
  return to ?? from ?? "exported";
}
