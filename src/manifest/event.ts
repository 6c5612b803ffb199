/**
 * The lines of the journal. Each type's fields stand here once; reading checks them, writing is
 * typed by them. A field may be added with a default; anything else is a new format version.
 *
 * Fields are of the kinds below, each with a sure check (see `sure-check.ts`), so that a long journal
 * is read quickly. A field of another kind works too, and makes its event slow.
 */
import { z } from "zod";
import { CLEANABLE } from "./job.ts";
import { MIGRATION_STEPS } from "./migration/table-migration.ts";
import { MODELS, type ModelName, isModelName } from "../row/models.ts";
import { QUOTA_LIMITS } from "../gemini/port.ts";
import { sureCheckOf, withSureCheck } from "../row/sure-check.ts";

export const FORMAT_NAME = "vecfill-manifest";
export const FORMAT_VERSION = 2;
/** Of a folder whose manifest has moved to the database: there is nothing but the header. */
export const MOVED_VERSION = 3;
/** It had no seals; the first writer turns it into ours. */
export const UNSEALED_VERSION = 1;

const text = withSureCheck(z.string(), isText);
const number = withSureCheck(z.number(), Number.isFinite);
const count = withSureCheck(z.number().int().nonnegative(), isCount);
export const JOB_ID = /^\d{4,}$/;
export const MANIFEST_ID = /^[a-z0-9]{8}$/;
const jobId = matching(JOB_ID);
const at = withSureCheck(z.iso.datetime(), isUsualTime);
const file = z.object({ bytes: count, sha256: matching(/^[0-9a-f]{64}$/) });
const model = withSureCheck(
  z.custom<ModelName>(isModel, { error: `not one of ${Object.keys(MODELS).join(", ")}` }),
  isModel,
);

const target = z.object({
  schema: text,
  table: text,
  id: text,
  text,
  embedding: text,
  model,
  dimensions: count,
  taskType: text,
});

const sums = z.object({
  requests: count,
  written: count,
  failed: count,
  stale: count,
  filled: count,
  gone: count,
});

const outstanding = z.object({ lines: count, retryable: count });
const error = z.object({ code: number.optional(), message: text });
const remoteFile = z.object({ name: text, expiresAt: text.optional() });
/** Whose queue it is about; absent: that of the key without a name. */
const project = text.optional();

/** `target` is the number of an earlier `target` event. */
const newJob = z.object({
  job: jobId,
  target: count,
  requests: count,
  tokens: count,
  // before it was corrected; absent: `tokens` was not
  uncorrected: count.optional(),
  file,
  // absent: no text repeats
  copies: z.object({ rows: count, file }).optional(),
  parent: jobId.optional(),
  // absent: the one parent, or none
  parents: z.array(jobId).optional(),
  attempt: count,
  // of a row's text, in its key; absent: md5, or some of each
  digest: z.literal("sha256").optional(),
});

/** What a job's failed file holds: undefined when there is none. */
const waiting = { outstanding, failedFile: file.optional() };
/** How a job's rows ended. */
const ending = { sums, ...waiting };

/** What builds an index again, as it was when it was dropped. */
const index = z.object({
  name: text,
  method: text,
  definition: text,
  tablespace: text.optional(),
  comment: text.optional(),
  valid: z.boolean(),
});

const renamed = z.object({ old: text, next: text, kept: text });

/** What a migration is from its start: `old` is a target's number. */
const migrationPlan = z.object({
  old: count,
  names: renamed.extend({ indexes: z.array(renamed) }),
  columnType: z.literal(["vector", "halfvec"]),
  swaps: z.boolean(),
});

const header = z.object({
  format: z.literal(FORMAT_NAME),
  version: number,
  manifest: matching(MANIFEST_ID),
  createdAt: at,
  // of one that has moved to the database: which arrival there it was, so that no other one is ended from this folder
  epoch: text.optional(),
});

export const eventSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("target"), at, number: count, target }),
  // so many estimated tokens of a sample were so many as the service counts them
  z.object({
    type: z.literal("counted"),
    at,
    target: count,
    rows: count,
    estimated: count,
    counted: count,
  }),
  // of all who share the manifest: what is not there stays as it was. And the target's first job is imported before others are sent
  z.object({
    type: z.literal("limited"),
    at,
    maxCost: number.or(z.literal("off")).optional(),
    maxEnqueuedTokens: count.optional(),
    maxActiveJobs: count.optional(),
    agreedCost: number.optional(),
  }),
  z.object({ type: z.literal("trial"), at, target: count }),
  newJob.extend({ type: z.literal("exported"), at }),
  z.object({ type: z.literal("uploaded"), at, job: jobId, project, remoteFile }),
  z.object({
    type: z.literal("submitting"),
    at,
    job: jobId,
    displayName: text,
    submission: count,
    project,
    keyId: text.optional(),
    // sent although the quota log says that the queue is full
    probe: z.literal("time").optional(),
  }),
  // `fileGone`: the uploaded file was no longer there, so the next try uploads again
  z.object({
    type: z.literal("refused"),
    at,
    job: jobId,
    error,
    fileGone: z.boolean(),
    limit: z.enum(QUOTA_LIMITS).optional(),
    // as the service asked for
    retryAfterMs: count.optional(),
  }),
  // `fences`: whether a create with a file that was deleted is refused (fence-check.ts); absent where the file
  // has expired before that was known
  z.object({
    type: z.literal("revoking"),
    at,
    job: jobId,
    reads: count,
    file: text.optional(),
    keyId: text,
    fences: z.boolean().optional(),
  }),
  // `revoked`: its input file was gone; it was not looked at before there was `revoking`
  z.object({
    type: z.literal("absent"),
    at,
    job: jobId,
    reads: count,
    revoked: z.boolean().optional(),
  }),
  z.object({
    type: z.literal("submitted"),
    at,
    job: jobId,
    batch: text,
    adopted: z.boolean(),
    project,
    keyId: text,
  }),
  z.object({ type: z.literal("duplicate"), at, job: jobId, batch: text }),
  // a batch that another folder has sent; `requests` as the batch counts them, `createdAt` its own time
  z.object({
    type: z.literal("recovered"),
    at,
    job: jobId,
    target: count,
    batch: text,
    displayName: text,
    requests: count,
    tokens: count,
    project,
    keyId: text,
    createdAt: at,
  }),
  z.object({ type: z.literal("succeeded"), at, job: jobId, resultsName: text }),
  z.object({ type: z.literal("failed"), at, job: jobId, error, ...ending }),
  z.object({ type: z.literal("expired"), at, job: jobId, error, ...ending }),
  z.object({ type: z.literal("cancelled"), at, job: jobId, error, ...ending }),
  z.object({ type: z.literal("downloaded"), at, job: jobId, file }),
  // without a request file: by its results and the table; `copies` are among the `requests`. See found-rows.ts
  z.object({ type: z.literal("rowsFound"), at, job: jobId, requests: count, copies: count, file }),
  z.object({ type: z.literal("imported"), at, job: jobId, tokens: count.optional(), ...ending }),
  z.object({
    type: z.literal("resubmitted"),
    at,
    job: jobId,
    children: z.array(newJob),
    ...waiting,
    // absent: as they were
    sums: sums.optional(),
    results: file.optional(),
    // further jobs whose lines are in these children
    others: z.array(z.object({ job: jobId, ...waiting })).optional(),
  }),
  // `file`: the rows that are about to be emptied; see rollback-file.ts
  z.object({ type: z.literal("rollingBack"), at, job: jobId, rows: count, file }),
  z.object({ type: z.literal("rolledBack"), at, job: jobId, rows: count }),
  // rows that had lost their vectors, from the results that are here
  z.object({ type: z.literal("writtenAgain"), at, job: jobId, rows: count }),
  // `rows`: where the requests are deleted, whose rows they were; see found-rows.ts
  z.object({
    type: z.literal("cleaned"),
    at,
    job: jobId,
    files: z.array(z.literal(CLEANABLE)),
    rows: file.optional(),
  }),
  z.object({ type: z.literal("embedding"), at, job: jobId }),
  z.object({ type: z.literal("indexDropping"), at, target: count, index }),
  z.object({ type: z.literal("indexDropped"), at, target: count, name: text }),
  // `how`: it was built, it stood already, or another one has taken its name
  z.object({
    type: z.literal("indexSettled"),
    at,
    target: count,
    name: text,
    how: z.literal(["built", "standing", "replaced"]),
  }),
  // of the table of `target`, whose column is the new one; `plan` with the first step
  z.object({
    type: z.literal("migration"),
    at,
    target: count,
    step: z.literal(MIGRATION_STEPS),
    plan: migrationPlan.optional(),
    // with the step that follows a check
    check: z.array(z.object({ what: text, found: text })).optional(),
  }),
]);

export type JournalHeader = Readonly<z.infer<typeof header>>;
export type JournalEvent = Readonly<z.infer<typeof eventSchema>>;
/** About a table's index, which belongs to no job. */
export type IndexEvent = Extract<
  JournalEvent,
  { type: "indexDropping" | "indexDropped" | "indexSettled" }
>;
export type JobEvent = Exclude<
  JournalEvent,
  { type: "target" | "counted" | "migration" | "limited" | "trial" } | IndexEvent
>;

export type Resubmitted = Extract<JobEvent, { type: "resubmitted" }>;

/** What the event is to each job whose lines it took: with the children in which these are. */
export function byParent({ others = [], ...first }: Resubmitted): readonly Resubmitted[] {
  const own = new Map<string, Resubmitted["children"]>();
  for (const child of first.children) {
    for (const parent of parentsOf(child)) own.set(parent, [...(own.get(parent) ?? []), child]);
  }
  const shared = { type: first.type, at: first.at };
  const all = [first, ...others.map((each) => ({ ...shared, ...each }))];
  return all.map((each) => ({ ...each, children: own.get(each.job) ?? [] }));
}

/** In the order of the journal. */
export function parentsOf({
  parent,
  parents,
}: Pick<z.infer<typeof newJob>, "parent" | "parents">): readonly string[] {
  return parents ?? (parent === undefined ? [] : [parent]);
}

const isSureEvent = sureCheckOf(eventSchema);

/** Throws an Error that says which field is wrong; the caller knows the line's number. */
export function parseHeader(json: string): JournalHeader {
  return checkedBy(header, JSON.parse(json));
}

export function parseEvent(json: string): JournalEvent {
  const value: unknown = JSON.parse(json);
  return isSureEvent(value) ? value : checkedBy(eventSchema, value);
}

function checkedBy<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new Error(issues.join("; "));
}

function matching(pattern: RegExp): z.ZodString {
  return withSureCheck(
    z.string().regex(pattern),
    (value) => typeof value === "string" && pattern.test(value),
  );
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isModel(value: unknown): boolean {
  return typeof value === "string" && isModelName(value);
}

/** As we write it, on a day that every month has; all other times are for zod to judge. */
function isUsualTime(value: unknown): boolean {
  return typeof value === "string" && USUAL_TIME.test(value);
}

const USUAL_TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}Z$/;
