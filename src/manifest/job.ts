import type { Sums } from "../row/sums.ts";
import type { Target } from "../row/target.ts";
import type { Probe } from "./quota/quota-log.ts";

/** `batch` waits in the queue at half price, `sync` is the interactive API. */
export type JobLane = "batch" | "sync";

/** In the order in which a job goes through them; the last ones are ends. */
export type JobState =
  /** The request file is complete; nothing is at Gemini. */
  | "exported"
  /** The interactive API is being asked, call by call; what it answered is on disk. */
  | "embedding"
  /** A create request may have left; whether there is a batch is not known. */
  | "submitting"
  /** The batch exists and has not been seen to end. */
  | "submitted"
  /** The batch ended with results, not yet downloaded. */
  | "succeeded"
  /** The results file is whole on disk. */
  | "downloaded"
  /** Every row is accounted for. */
  | "imported"
  /** The batch ended without results; all rows are in the failed file. */
  | "failed"
  | "expired"
  | "cancelled"
  /** The vectors this job wrote were set back to NULL. */
  | "rolledBack";

/** What `clean` takes away: three files here, and the uploaded request file at Gemini. */
export const CLEANABLE = ["requests", "results", "rollback", "upload"] as const;
export type Cleanable = (typeof CLEANABLE)[number];

/** A file of ours, as it was when it was recorded. `sha256` is lowercase hex. */
export type FileRecord = Readonly<{ bytes: number; sha256: string }>;

/** Rows that are not sent: `<job>.copies.jsonl` holds them, whose text is another row's of the job. */
export type Copies = Readonly<{ rows: number; file: FileRecord }>;

/** What is recorded when a request file is complete. */
export type NewJob = Readonly<{
  job: string;
  target: Target;
  /** Rows; those that are copies are among them. */
  requests: number;
  /** Estimated input tokens, corrected by what was known of the service's count at the time. */
  tokens: number;
  /** The estimate itself; undefined where it was not corrected. */
  uncorrected?: number | undefined;
  file: FileRecord;
  /** Undefined where no text repeats. */
  copies?: Copies | undefined;
  /** The jobs whose failed lines these are. */
  parents: readonly string[];
  /** How often these rows have been submitted, this job included. */
  attempt: number;
  digest?: KeyDigest;
}>;

/** Of a row's text, in its key. Undefined: md5, as jobs of earlier versions have it, or nobody knows. */
type KeyDigest = "sha256" | undefined;

/** Failed lines that still wait in `<job>.failed.jsonl`. */
export type Outstanding = Readonly<{ lines: number; retryable: number }>;

/** One job as the journal tells it. */
export type Job = Readonly<{
  id: string;
  /** How often it was moved: whoever has it in hand knows by it whether others went on with it. */
  seq: number;
  state: JobState;
  lane: JobLane;
  target: Target;
  /** All its rows, copies too: the name is the journal's. For what is sent see `linesOf`. */
  requests: number;
  /** As in NewJob: estimates of jobs made at different times may be corrected differently. */
  tokens: number;
  uncorrectedTokens: number;
  requestFile: FileRecord;
  copies: Copies | undefined;
  /** Another folder has sent it, and may still be in use: there is no request file, and its failures wait. */
  recovered: boolean;
  /** Its rows, found again by its results where there was no request file, or kept by clean: they stand in `<job>.rows.jsonl`. */
  rowsFile: FileRecord | undefined;
  digest: KeyDigest;
  parents: readonly string[];
  attempt: number;
  createdAt: string;
  updatedAt: string;
  /** How many create requests may have left, refused ones too; names the next one. An adopted batch has none. */
  submissions: number;
  /** What became of the last create request is not known. */
  unanswered: boolean;
  /** A create request stayed without an answer and without a batch: one may still turn up. */
  wasAbsent: boolean;
  /** The name under which the last create request left. */
  displayName: string | undefined;
  /**
   * No batch shows, and its last create must not come late: its input file is being deleted or, where that
   * keeps no create out, waited for to expire. See `heldUntil`.
   */
  revoking: Readonly<{ keyId: string; fences: boolean | undefined }> | undefined;
  /** Why its last create left although the queue was full; undefined where it was not. */
  probe: Probe | undefined;
  /** The uploaded request file, and when the service drops it. */
  remoteFile: Readonly<{ name: string; expiresAt: string | undefined }> | undefined;
  batch: string | undefined;
  /** Whose queue it is sent to; undefined: none yet. It may change while nothing of it is at Gemini. */
  project: string | undefined;
  /** Names the key of the last create without telling it: another key may not see the batch. */
  keyId: string | undefined;
  submittedAt: string | undefined;
  /** Further batches found under this job's display names: paid for, but not used. */
  duplicateBatches: readonly string[];
  /** The service's id of the results file. */
  resultsName: string | undefined;
  resultsFile: FileRecord | undefined;
  /** Undefined until the job has ended. */
  sums: Sums | undefined;
  /** Input tokens as the service counted them; undefined until imported or where it told none. */
  billedTokens: number | undefined;
  outstanding: Outstanding;
  /** `<job>.failed.jsonl` as it was written; undefined when no line waits in it. */
  failedFile: FileRecord | undefined;
  /** `<job>.rollback.jsonl` and how many rows are in it: set from the intent on. */
  rollback: Readonly<{ rows: number; file: FileRecord }> | undefined;
  /** Taken away by `clean`: that these are gone is no damage. */
  cleaned: readonly Cleanable[];
  /** How many of this job's vectors were set back to NULL; 0 until that is done. */
  rolledBack: number;
  /** Jobs made from this job's failed lines. */
  children: readonly string[];
  error: Readonly<{ code: number | undefined; message: string }> | undefined;
}>;

/** Keys of earlier versions do not tell whether a text is the same. */
export function hasTextKeys({ digest }: Pick<Job, "digest">): boolean {
  return digest === "sha256";
}

/** How many requests are sent for the job: lines of its request file. */
export function linesOf({ requests, copies }: Pick<Job, "requests" | "copies">): number {
  return requests - (copies?.rows ?? 0);
}

/** How many rows of these jobs are embedded with another row. */
export function copiesOf(jobs: readonly Pick<Job, "copies">[]): number {
  return jobs.reduce((sum, { copies }) => sum + (copies?.rows ?? 0), 0);
}

/** A sample of a target's rows, as it was estimated without correction and as the service counted it. */
export type TokenCount = Readonly<{ rows: number; estimated: number; counted: number }>;

/** One line of a job's history. */
export type JobHistoryEntry = Readonly<{
  at: string;
  event: string;
  /** After the event. */
  state: JobState;
  note: string | undefined;
}>;
