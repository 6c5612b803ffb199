/**
 * What a stage tells while it works. Stages report; the output module decides whether that becomes
 * a line, a JSON object or a moving display. Counts are totals so far, never increments.
 */
export type ProgressEvent =
  | Readonly<{ type: "exporting"; exported: number; skipped: number }>
  | Readonly<{ type: "exported"; job: string; requests: number; tokens: number; bytes: number }>
  | Readonly<{ type: "uploading"; job: string; bytes: number }>
  | Readonly<{ type: "submitted"; job: string; batch: string; adopted: boolean }>
  | Readonly<{ type: "waiting"; why: string; seconds: number }>
  | Readonly<{ type: "pending"; job: string; batchState: string; ageSeconds: number }>
  | Readonly<{ type: "ended"; job: string; state: string; message: string | undefined }>
  | Readonly<{ type: "downloading"; job: string; bytes: number }>
  | Readonly<{ type: "downloaded"; job: string; bytes: number }>
  | Readonly<{ type: "importing"; job: string; rows: number; requests: number }>
  | Readonly<{
      type: "imported";
      job: string;
      requests: number;
      written: number;
      failed: number;
      stale: number;
      filled: number;
      gone: number;
    }>
  | Readonly<{ type: "resubmitted"; job: string; into: readonly string[]; requests: number }>
  | Readonly<{ type: "rollingBack"; job: string; rows: number; requests: number }>
  | Readonly<{ type: "rolledBack"; job: string; rows: number }>
  /** `message` says what happened; `hint`, where there is one, what to do. */
  | Readonly<{ type: "warning"; message: string; hint: string | undefined }>;

export type Report = (event: ProgressEvent) => void;
