/**
 * The lines of the journal. Each type's fields stand here once; reading checks them, writing is
 * typed by them. A field may be added with a default; anything else is a new format version.
 */
import { z } from "zod";
import { MODELS, type ModelName, isModelName } from "../gemini/models.ts";

export const FORMAT_NAME = "vecfill-manifest";
export const FORMAT_VERSION = 1;

const count = z.number().int().nonnegative();
const jobId = z.string().regex(/^\d{4,}$/);
const file = z.object({ bytes: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) });
const model = z.custom<ModelName>((name) => typeof name === "string" && isModelName(name), {
  error: `not one of ${Object.keys(MODELS).join(", ")}`,
});

const target = z.object({
  schema: z.string(),
  table: z.string(),
  id: z.string(),
  text: z.string(),
  embedding: z.string(),
  model,
  dimensions: count,
  taskType: z.string(),
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
const error = z.object({ code: z.number().optional(), message: z.string() });
const remoteFile = z.object({ name: z.string(), expiresAt: z.string().optional() });

/** `target` is the number of an earlier `target` event. */
const newJob = z.object({
  job: jobId,
  target: count,
  requests: count,
  tokens: count,
  file,
  parent: jobId.optional(),
  attempt: count,
});

/** How a job's rows ended, and what its failed file holds: undefined when there is none. */
const ending = { sums, outstanding, failedFile: file.optional() };
const at = z.iso.datetime();

const header = z.object({
  format: z.literal(FORMAT_NAME),
  version: z.number(),
  manifest: z.string().regex(/^[a-z0-9]{8}$/),
  createdAt: at,
});

const event = z.discriminatedUnion("type", [
  z.object({ type: z.literal("target"), at, number: count, target }),
  newJob.extend({ type: z.literal("exported"), at }),
  z.object({ type: z.literal("uploaded"), at, job: jobId, remoteFile }),
  z.object({
    type: z.literal("submitting"),
    at,
    job: jobId,
    displayName: z.string(),
    submission: count,
    keyId: z.string().optional(),
  }),
  // `fileGone`: the uploaded file was no longer there, so the next try uploads again
  z.object({ type: z.literal("refused"), at, job: jobId, error, fileGone: z.boolean() }),
  z.object({ type: z.literal("absent"), at, job: jobId, reads: count }),
  z.object({
    type: z.literal("submitted"),
    at,
    job: jobId,
    batch: z.string(),
    adopted: z.boolean(),
    keyId: z.string(),
  }),
  z.object({ type: z.literal("duplicate"), at, job: jobId, batch: z.string() }),
  z.object({ type: z.literal("succeeded"), at, job: jobId, resultsName: z.string() }),
  z.object({ type: z.literal("failed"), at, job: jobId, error, ...ending }),
  z.object({ type: z.literal("expired"), at, job: jobId, error, ...ending }),
  z.object({ type: z.literal("cancelled"), at, job: jobId, error, ...ending }),
  z.object({ type: z.literal("downloaded"), at, job: jobId, file }),
  z.object({
    type: z.literal("imported"),
    at,
    job: jobId,
    tokens: count.optional(),
    ...ending,
  }),
  z.object({
    type: z.literal("resubmitted"),
    at,
    job: jobId,
    children: z.array(newJob),
    outstanding,
    failedFile: file.optional(),
  }),
  // `file`: the rows that are about to be emptied; see rollback-file.ts
  z.object({ type: z.literal("rollingBack"), at, job: jobId, rows: count, file }),
  z.object({ type: z.literal("rolledBack"), at, job: jobId, rows: count }),
]);

export type JournalHeader = Readonly<z.infer<typeof header>>;
export type JournalEvent = Readonly<z.infer<typeof event>>;
export type JobEvent = Exclude<JournalEvent, { type: "target" }>;

/** Throws an Error that says which field is wrong; the caller knows the line's number. */
export function parseHeader(json: string): JournalHeader {
  return parse(header, json);
}

export function parseEvent(json: string): JournalEvent {
  return parse(event, json);
}

function parse<T>(schema: z.ZodType<T>, json: string): T {
  const result = schema.safeParse(JSON.parse(json));
  if (result.success) return result.data;
  const issues = result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
  throw new Error(issues.join("; "));
}
