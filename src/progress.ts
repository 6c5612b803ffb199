/**
 * What a stage tells while it works. Stages report; the output module decides whether that becomes
 * a line, a JSON object or a moving display. Counts are totals so far, never increments.
 *
 * A new type needs nothing but a member here and a sentence in docs/progress.md: until
 * `src/output/progress-lines.ts` has better words, it is shown with its members as they are. One that
 * comes again and again, each time with a newer figure, belongs into the list `MOVING` there.
 */
export type ProgressEvent =
  /** A job as the manifest has it: the unfinished ones at the start, then each one that changes. */
  | JobReport
  /** How many rows this command may come to fill, in all, and how many of the table have no vector. */
  | Readonly<{ type: "goal"; rows: number; withoutVector: number }>
  /** Rows that were looked at so far, to say beforehand what there is to do. */
  | Readonly<{ type: "planning"; rows: number; skipped: number }>
  | Readonly<{ type: "exporting"; exported: number; skipped: number }>
  /** All there is was read once; a run may look again for rows that changed meanwhile. */
  | Readonly<{ type: "exportEnded"; exported: number; skipped: number }>
  | Readonly<{ type: "exported"; job: string; requests: number; tokens: number; bytes: number }>
  | Readonly<{ type: "uploading"; job: string; bytes: number }>
  | Readonly<{ type: "embedding"; job: string; rows: number; requests: number }>
  | Readonly<{ type: "embedded"; job: string; requests: number }>
  | Readonly<{ type: "submitted"; job: string; batch: string; adopted: boolean }>
  | Readonly<{ type: "waiting"; why: string; seconds: number }>
  /** What was waited for came early: `why` is that of the `waiting` before it. */
  | Readonly<{ type: "resumed"; why: string }>
  /** After a round of polling: how many jobs have not ended, and when the next one is. */
  | Readonly<{ type: "polled"; pending: number; nextPollSeconds: number }>
  /** The first rows go through to the column alone, and the rest waits for that. */
  | Readonly<{ type: "canary"; rows: number }>
  /** No job is sent for now: `why` says what is queued and when the next is tried; `refusals` in a row. */
  | Readonly<{ type: "quotaFull"; why: string; seconds: number | undefined; refusals: number }>
  | Readonly<{ type: "pending"; job: string; batchState: string; ageSeconds: number }>
  /** Its batch takes longer than batches do; a warning says so to people. */
  | Readonly<{ type: "stuck"; job: string; ageSeconds: number }>
  | Readonly<{ type: "ended"; job: string; state: string; message: string | undefined }>
  | Readonly<{ type: "downloading"; job: string; bytes: number }>
  | Readonly<{ type: "downloaded"; job: string; bytes: number }>
  /** `rows` have their outcome, `written` of them a vector. */
  | Readonly<{ type: "importing"; job: string; rows: number; written: number; requests: number }>
  | (Readonly<{ type: "imported"; job: string; requests: number }> & Outcomes)
  /** `job`: the first of the `jobs` whose failed rows went on. */
  | Readonly<{
      type: "resubmitted";
      job: string;
      jobs: readonly string[];
      into: readonly string[];
      requests: number;
    }>
  | Readonly<{ type: "verifying"; rows: number }>
  /** Whose nearest rows are compared: with an exact search's, and with the old column's. */
  | Readonly<{ type: "searching"; searches: number; of: number }>
  /** Rows whose vectors are of other texts, where a trigger tells. */
  | Readonly<{ type: "changedTexts"; rows: number }>
  | Readonly<{ type: "rollingBack"; job: string; rows: number; requests: number }>
  | Readonly<{ type: "rolledBack"; job: string; rows: number }>
  | Readonly<{ type: "indexDropped"; index: string }>
  /** `phase` in the database's words; `percent` of this phase, where it has a measure. */
  | Readonly<{
      type: "indexBuilding";
      index: string;
      phase: string;
      percent: number | undefined;
      seconds: number;
    }>
  /** `seconds` are undefined where it stood already. */
  | Readonly<{ type: "indexBuilt"; index: string; seconds: number | undefined }>
  /** `message` says what happened; `hint`, where there is one, what to do. */
  | Readonly<{ type: "warning"; message: string; hint: string | undefined }>;

/** What rows came to. */
export type Outcomes = Readonly<Record<"written" | "failed" | "stale" | "filled" | "gone", number>>;

/** The outcomes are 0 until the job has ended. */
export type JobReport = Outcomes &
  Readonly<{
    type: "job";
    job: string;
    state: string;
    requests: number;
    /** As the service counted them; our estimate until it did. */
    tokens: number;
    /** Estimated, in US dollars; 0 until the job was sent. */
    usd: number;
    /** Of the failed rows, those that went on into another job. */
    passedOn: number;
    submittedAt: string | undefined;
  }>;

export type Report = (event: ProgressEvent) => void;
