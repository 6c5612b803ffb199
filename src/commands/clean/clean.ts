/**
 * Deletes what a plan says may go. A local file is recorded as cleaned before it is deleted, so that
 * its absence is never taken for damage; what a crash left of it is in the next plan. An upload is
 * recorded after it is deleted: deleting it twice is harmless, and forgetting it is not.
 */
import { rm } from "node:fs/promises";
import { syncFolder } from "../../disk/durable-file.ts";
import { UserError } from "../../errors.ts";
import { type Gemini, GeminiError } from "../../gemini/port.ts";
import { lacksRows, writeKeys } from "../../jobs-folder/found-rows.ts";
import { readRequestKeys } from "../../jobs-folder/request-file.ts";
import type { Cleanable, FileRecord, Job } from "../../manifest/job.ts";
import type { Manifest } from "../../manifest/manifest.ts";
import type { Report } from "../../progress.ts";
import type { Cleaning } from "./what-may-go.ts";

export type CleanServices = Readonly<{
  manifest: Manifest;
  /** By the key that sent the job; undefined: it is not here. */
  gemini: (job: Job) => Promise<Gemini | undefined>;
  report: Report;
  signal: AbortSignal;
}>;

export type CleanSummary = Readonly<{
  /** Jobs of which something was deleted. */
  cleaned: readonly string[];
  files: number;
  bytes: number;
  uploads: number;
}>;

export async function clean(
  services: CleanServices,
  plan: readonly Cleaning[],
): Promise<CleanSummary> {
  const cleaned = new Set<string>();
  let [files, bytes] = [0, 0];
  for (const cleaning of plan) {
    if (services.signal.aborted) break;
    await deleteLocal(services.manifest, cleaning);
    for (const file of cleaning.local) {
      files += 1;
      bytes += file.bytes;
      cleaned.add(cleaning.job.id);
    }
  }
  if (files > 0) await syncFolder(services.manifest.folder);
  const uploads = await deleteUploads(services, plan);
  for (const id of uploads) cleaned.add(id);
  return { cleaned: [...cleaned].toSorted(), files, bytes, uploads: uploads.length };
}

async function deleteLocal(manifest: Manifest, { job, local }: Cleaning): Promise<void> {
  const parts = local.map(({ part }) => part);
  if (parts.some((part) => !job.cleaned.includes(part))) {
    const rows = await keptRows(manifest, job, parts);
    await manifest.record({ type: "cleaned", job: job.id, files: parts, rows }, job);
  }
  for (const { path } of local) await rm(path, { force: true });
}

/** Whose rows the job has, from the requests that are about to go. */
async function keptRows(
  manifest: Manifest,
  job: Job,
  parts: readonly Cleanable[],
): Promise<FileRecord | undefined> {
  const files = await manifest.bring(job);
  const isKept = job.rowsFile === undefined && parts.includes("requests");
  if (!isKept || (await lacksRows(files, job))) return undefined;
  const keys = [];
  for await (const some of readRequestKeys(files, job)) keys.push(...some);
  return keys.length === job.requests ? writeKeys(files.rows, keys) : undefined;
}

/** Ids of the jobs whose upload is gone. What cannot be deleted is told, and expires by itself. */
async function deleteUploads(
  services: CleanServices,
  plan: readonly Cleaning[],
): Promise<readonly string[]> {
  const open = plan.filter(({ upload }) => upload !== undefined);
  if (open.length === 0) return [];
  const done: string[] = [];
  try {
    for (const { job, upload } of open) {
      // to a key of another project every file looks as if it were gone
      const gemini = await services.gemini(job);
      if (gemini === undefined || upload === undefined) continue;
      if (services.signal.aborted) break;
      await gemini.deleteFile(upload);
      await services.manifest.record({ type: "cleaned", job: job.id, files: ["upload"] });
      done.push(job.id);
    }
  } catch (error) {
    if (!(error instanceof GeminiError || isNoKey(error))) throw error;
    warnOfUploads(services.report, open.length - done.length, error.message);
    return done;
  }
  const others = open.length - done.length;
  if (others > 0 && !services.signal.aborted) {
    warnOfUploads(services.report, others, "They were sent with another API key.");
  }
  return done;
}

function isNoKey(error: unknown): error is UserError {
  return error instanceof UserError && error.exit === "usage";
}

function warnOfUploads(report: Report, left: number, why: string): void {
  report({
    type: "warning",
    message: `${left} uploaded request file${left === 1 ? " is" : "s are"} left at Gemini. ${why}`,
    hint: "Nothing has to be done: Gemini deletes an upload after 48 hours. `vecfill clean` tries again until then.",
  });
}
