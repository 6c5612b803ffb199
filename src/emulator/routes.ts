/** Which path is which call, and which faults may strike it. */
import { cancelBatch, deleteBatch, getBatch, listBatches } from "./batches/batches.ts";
import type { BatchRuns } from "./batches/batch-runs.ts";
import { createBatch } from "./batches/create-batch.ts";
import type { FaultName } from "./faults/faults.ts";
import { deleteFile, downloadFile, getFile, listFiles } from "./files/kept-files.ts";
import type { Answer, Call } from "./http/http.ts";
import {
  batchEmbedContents,
  countContentTokens,
  embedContent,
  getModel,
  listModels,
} from "./batches/interactive.ts";
import { checkRoute } from "./batches/other-shapes.ts";
import type { State } from "./state/state.ts";
import { upload } from "./files/uploads.ts";

/** What a caller pays attention to, and what faults go by. */
export type RouteKind =
  | "create"
  | "get"
  | "list"
  | "cancel"
  | "delete"
  | "upload"
  | "download"
  | "sync"
  | "model";

type Handler = (call: Call, id: string, state: State, runs: BatchRuns) => Answer | Promise<Answer>;

type Route = Readonly<{ method: string; path: RegExp; kind: RouteKind; handle: Handler }>;

/** `version` and, where there is one, `id` are taken from the path. */
const ROUTES: readonly Route[] = [
  route("POST", "/upload/:version/files", "upload", (call, _id, state) => upload(call, state)),
  route("GET", "/:version/files", "list", (call, _id, state) => listFiles(call, state)),
  route("GET", "/:version/files/:id:download", "download", (call, id, state) => {
    checkRoute(false, state.embedder.behaviour);
    return downloadFile(call, id, state);
  }),
  route("GET", "/download/:version/files/:id:download", "download", (call, id, state) => {
    checkRoute(true, state.embedder.behaviour);
    return downloadFile(call, id, state);
  }),
  route("GET", "/:version/files/:id", "get", getFile),
  route("DELETE", "/:version/files/:id", "delete", deleteFile),
  route("POST", "/:version/models/:id:asyncBatchEmbedContent", "create", (call, id, state, runs) =>
    createBatch(call, id, state, () => runs.tick()),
  ),
  route("POST", "/:version/models/:id:batchEmbedContents", "sync", batchEmbedContents),
  route("POST", "/:version/models/:id:embedContent", "sync", embedContent),
  route("POST", "/:version/models/:id:countTokens", "sync", countContentTokens),
  route("GET", "/:version/models", "model", listModels),
  route("GET", "/:version/models/:id", "model", getModel),
  route("GET", "/:version/batches", "list", (call, _id, state) => listBatches(call, state)),
  route("GET", "/:version/batches/:id", "get", getBatch),
  route("POST", "/:version/batches/:id:cancel", "cancel", cancelBatch),
  route("DELETE", "/:version/batches/:id", "delete", deleteBatch),
];

/** Strike before the call does anything; `rate-429` strikes all but creates as well. */
export const FAULT_BEFORE: Readonly<Partial<Record<RouteKind, FaultName>>> = {
  get: "get-5xx",
  list: "list-5xx",
  upload: "upload-5xx",
  download: "download-5xx",
  sync: "sync-5xx",
};

/** Strike after the call took effect. */
export const FAULT_AFTER: Readonly<Partial<Record<RouteKind, FaultName>>> = {
  cancel: "cancel-5xx",
  delete: "cancel-5xx",
};

export type Match = Readonly<{ kind: RouteKind; handle: Handler; version: string; id: string }>;

export function matchRoute(method: string, path: string): Match | undefined {
  for (const { method: expected, path: pattern, kind, handle } of ROUTES) {
    const groups = expected === method ? pattern.exec(path)?.groups : undefined;
    if (groups === undefined) continue;
    return { kind, handle, version: groups["version"] ?? "", id: groups["id"] ?? "" };
  }
  return undefined;
}

function route(method: string, path: string, kind: RouteKind, handle: Handler): Route {
  const pattern = path
    .replace(":version", "(?<version>v1|v1beta|v1alpha)")
    .replace("/:id", "/(?<id>[^/:]+)");
  return { method, path: new RegExp(`^${pattern}$`), kind, handle };
}
