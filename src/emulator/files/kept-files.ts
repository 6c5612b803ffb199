/** The Files API apart from uploading: looking, listing, deleting, downloading. */
import { rmSync } from "node:fs";
import type { BatchRecord } from "../state/batch-record.ts";
import { type FileRecord, fileResource, UPLOAD_LIFE_MS } from "../state/file-record.ts";
import { type Answer, type Call, ok } from "../http/http.ts";
import { batchOfResultsFile, FILE_ID_LETTERS_MAX, resultsFileId } from "../http/identifiers.ts";
import { page } from "../http/list-pages.ts";
import { omitEmpty } from "../http/proto-json.ts";
import { invalid, ServiceError } from "../http/service-error.ts";
import { resultsPath, type State, uploadedPath } from "../state/state.ts";
import { timestamp } from "../faults/time.ts";

/** Six weeks. */
const RESULTS_LIFE_MS = 42 * 24 * 60 * 60 * 1000;
const ORIGIN = "https://generativelanguage.googleapis.com";

/** How long a deletion goes unseen by those who see it late. */
const DELETION_UNSEEN_MS = 60_000;

/** The uploaded file, unless it has expired, or was deleted as far as looks see that. */
export function livingFile(state: State, id: string): FileRecord | undefined {
  return seenFile(state, id, state.embedder.behaviour.is("delete-seen", "late"));
}

/** As a create sees it. */
export function inputOfCreate(state: State, id: string): FileRecord | undefined {
  const { behaviour } = state.embedder;
  if (behaviour.is("create-input", "unchecked")) return state.files.get(id);
  return seenFile(state, id, !behaviour.is("delete-seen", "at-once"));
}

function seenFile(state: State, id: string, isLate: boolean): FileRecord | undefined {
  const file = state.files.get(id);
  if (file === undefined) return undefined;
  const unseenMs = isLate ? DELETION_UNSEEN_MS : 0;
  const goesAtMs = Math.min(
    file.createdAtMs + UPLOAD_LIFE_MS,
    (file.deletedAtMs ?? Infinity) + unseenMs,
  );
  return state.time.nowMs() < goesAtMs ? file : undefined;
}

/** Uploads and results together: both count against the project's storage. */
export function storedBytes(state: State, project: string): number {
  const uploaded = state.files
    .all()
    .filter((file) => livingFile(state, file.id)?.project === project);
  const results = state.batches.all().filter((batch) => batch.project === project);
  return (
    uploaded.reduce((sum, file) => sum + file.sizeBytes, 0) +
    results.reduce((sum, batch) => sum + (keptResults(state, batch)?.bytes ?? 0), 0)
  );
}

export function getFile(call: Call, id: string, state: State): Answer {
  const batchId = batchOfResultsFile(id);
  if (batchId === undefined) {
    refuseLongId(id, "GetFileRequest.name");
    return ok(fileResource(ownFile(call, id, state)));
  }
  if (state.embedder.behaviour.is("get-output", "refused")) refuseLongId(id, "GetFileRequest.name");
  return ok(resultsResource(ownResults(call, id, state)));
}

export function listFiles(call: Call, state: State): Answer {
  const alive = state.files
    .all()
    .filter((file) => livingFile(state, file.id)?.project === call.project);
  const { items, nextPageToken } = page(alive, call.query);
  return ok(omitEmpty({ files: items.map(fileResource), nextPageToken }));
}

export function deleteFile(call: Call, id: string, state: State): Answer {
  const batchId = batchOfResultsFile(id);
  if (batchId !== undefined && state.embedder.behaviour.is("delete-output", "deleted")) {
    const { batch } = ownResults(call, id, state);
    rmSync(resultsPath(state, batch.id), { force: true });
    if (batch.end !== undefined) {
      state.batches.put(batch.id, { ...batch, end: { ...batch.end, resultBytes: undefined } });
    }
    return ok({});
  }
  refuseLongId(id, "DeleteFileRequest.name");
  const file = ownFile(call, id, state);
  if (hidesDeletions(state)) {
    const { deletedAtMs = state.time.nowMs() } = file;
    state.files.put(id, { ...file, deletedAtMs });
  } else dropFile(state, id);
  return ok({});
}

function hidesDeletions({ embedder: { behaviour } }: State): boolean {
  return !behaviour.is("delete-seen", "at-once") || !behaviour.is("create-input", "checked");
}

/** Removes what has expired; called at every start. */
export function dropExpiredFiles(state: State): void {
  for (const file of state.files.all()) {
    if (livingFile(state, file.id) === undefined) dropFile(state, file.id);
  }
}

export function downloadFile(call: Call, id: string, state: State): Answer {
  if (call.query.get("alt") !== "media") throw invalid("Download requires alt=media.");
  if (batchOfResultsFile(id) === undefined) {
    ownFile(call, id, state);
    throw new ServiceError(
      "FAILED_PRECONDITION",
      `The file ${id} was uploaded; only generated files can be downloaded.`,
    );
  }
  const { batch, bytes } = ownResults(call, id, state);
  return { kind: "file", path: resultsPath(state, batch.id), bytes, end: downloadEnd(state) };
}

function downloadEnd(state: State): "whole" | "cut" | "short" {
  if (state.faults.strikes("download-cut")) return "cut";
  return state.faults.strikes("download-short") ? "short" : "whole";
}

type KeptResults = Readonly<{ batch: BatchRecord; bytes: number }>;

function ownFile(call: Call, id: string, state: State): FileRecord {
  const file = livingFile(state, id);
  if (file === undefined || file.project !== call.project) throw noAccess(id);
  return file;
}

function ownResults(call: Call, id: string, state: State): KeptResults {
  const batch = state.batches.get(batchOfResultsFile(id) ?? "");
  const kept = batch === undefined ? undefined : keptResults(state, batch);
  if (kept === undefined || kept.batch.project !== call.project) throw noAccess(id);
  return kept;
}

function keptResults(state: State, batch: BatchRecord): KeptResults | undefined {
  const { end } = batch;
  if (end?.resultBytes === undefined || batch.inputFile === undefined) return undefined;
  if (state.time.nowMs() >= end.atMs + RESULTS_LIFE_MS) return undefined;
  return { batch, bytes: end.resultBytes };
}

function resultsResource({ batch, bytes }: KeptResults): object {
  const id = resultsFileId(batch.id);
  const createdAtMs = batch.end?.atMs ?? batch.createdAtMs;
  return omitEmpty({
    name: `files/${id}`,
    mimeType: "application/jsonl",
    sizeBytes: String(bytes),
    createTime: timestamp(createdAtMs, id),
    updateTime: timestamp(createdAtMs, id),
    uri: `${ORIGIN}/v1beta/files/${id}`,
    downloadUri: `${ORIGIN}/v1beta/files/${id}:download?alt=media`,
    state: "ACTIVE",
    source: "GENERATED",
  });
}

function dropFile(state: State, id: string): void {
  state.files.remove(id);
  rmSync(uploadedPath(state, id), { force: true });
}

export function refuseLongId(id: string, where: string): void {
  if (id.length <= FILE_ID_LETTERS_MAX) return;
  throw invalid(
    `* ${where}: File ID (name excluding 'files/') cannot be more than ${FILE_ID_LETTERS_MAX} characters.\n`,
  );
}

/** The service does not say which of the two it is. */
export function noAccess(id: string): ServiceError {
  return new ServiceError(
    "PERMISSION_DENIED",
    `You do not have permission to access the File ${id} or it may not exist.`,
  );
}
