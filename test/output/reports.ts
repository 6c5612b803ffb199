/** Reports as a run makes them, for tests of what is shown. */
import type { JobReport, ProgressEvent } from "../../src/progress.ts";

const SUBMITTED_AT = "2026-11-25T10:00:00.000Z";

export function jobReport(job: string, state: string, more: Partial<JobReport> = {}): JobReport {
  const isSent = !["exported", "submitting"].includes(state);
  return {
    type: "job",
    job,
    state,
    requests: 1_000,
    tokens: 20_000,
    usd: isSent ? 0.0015 : 0,
    written: 0,
    failed: 0,
    stale: 0,
    filled: 0,
    gone: 0,
    passedOn: 0,
    submittedAt: isSent ? SUBMITTED_AT : undefined,
    ...more,
  };
}

/** An example of each type: one that is missing does not compile. */
export const EXAMPLES: { [T in ProgressEvent["type"]]: Extract<ProgressEvent, { type: T }> } = {
  job: jobReport("0001", "submitted"),
  goal: { type: "goal", rows: 50_000, withoutVector: 50_000 },
  planning: { type: "planning", rows: 12_000, skipped: 3 },
  exporting: { type: "exporting", exported: 3_500, skipped: 2 },
  exportEnded: { type: "exportEnded", exported: 4_000, skipped: 2 },
  exported: { type: "exported", job: "0001", requests: 1_000, tokens: 20_000, bytes: 200_000 },
  uploading: { type: "uploading", job: "0001", bytes: 200_000 },
  submitted: { type: "submitted", job: "0001", batch: "batches/b", adopted: false },
  embedding: { type: "embedding", job: "0001", rows: 400, requests: 1_000 },
  embedded: { type: "embedded", job: "0001", requests: 1_000 },
  waiting: { type: "waiting", why: "for quota at Gemini (job 0002: refused)", seconds: 60 },
  resumed: { type: "resumed", why: "for quota at Gemini (job 0002: refused)" },
  canary: { type: "canary", rows: 100 },
  searching: { type: "searching", searches: 12, of: 50 },
  changedTexts: { type: "changedTexts", rows: 12 },
  quotaFull: {
    type: "quotaFull",
    why: "quota full: 90 of 100 tokens queued",
    seconds: 60,
    refusals: 0,
  },
  polled: { type: "polled", pending: 2, nextPollSeconds: 30 },
  pending: { type: "pending", job: "0001", batchState: "BATCH_STATE_RUNNING", ageSeconds: 60 },
  stuck: { type: "stuck", job: "0001", ageSeconds: 90_000 },
  ended: { type: "ended", job: "0001", state: "failed", message: "no such file" },
  downloading: { type: "downloading", job: "0001", bytes: 100_000 },
  downloaded: { type: "downloaded", job: "0001", bytes: 9_000_000 },
  importing: { type: "importing", job: "0001", rows: 500, written: 500, requests: 1_000 },
  imported: {
    type: "imported",
    job: "0001",
    requests: 1_000,
    written: 990,
    failed: 7,
    stale: 1,
    filled: 1,
    gone: 1,
  },
  resubmitted: { type: "resubmitted", job: "0001", jobs: ["0001"], into: ["0004"], requests: 5 },
  verifying: { type: "verifying", rows: 20_000 },
  rollingBack: { type: "rollingBack", job: "0001", rows: 500, requests: 1_000 },
  rolledBack: { type: "rolledBack", job: "0001", rows: 990 },
  indexDropped: { type: "indexDropped", index: "ann" },
  indexBuilding: {
    type: "indexBuilding",
    index: "ann",
    phase: "building index: loading tuples",
    percent: 41.7,
    seconds: 95,
  },
  indexBuilt: { type: "indexBuilt", index: "ann", seconds: 240 },
  warning: { type: "warning", message: "The database is slow.", hint: "Wait." },
};
