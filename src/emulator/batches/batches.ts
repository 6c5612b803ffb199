/** Batches apart from creating them: looking, listing, cancelling, deleting. */
import { readFileSync } from "node:fs";
import {
  batchOperation,
  type BatchRecord,
  isActive,
  listedOperation,
} from "../state/batch-record.ts";
import type { BatchRuns } from "./batch-runs.ts";
import { type Answer, type Call, ok, readJson } from "../http/http.ts";
import { isBatchId } from "../http/identifiers.ts";
import { circularPage, listedAs, lookedAt } from "./other-shapes.ts";
import { page } from "../http/list-pages.ts";
import { MessageType, omitEmpty } from "../http/proto-json.ts";
import { entityNotFound, invalid, ServiceError } from "../http/service-error.ts";
import { resultsPath, type State } from "../state/state.ts";

const NOTHING = new MessageType("name");

export function getBatch(call: Call, id: string, state: State): Answer {
  const batch = ownBatch(call, id, state);
  const recorded = batchOperation(batch, state.time.nowMs(), inlinedResults(batch, state));
  return ok(lookedAt(recorded, state.embedder.behaviour));
}

export function listBatches(call: Call, state: State): Answer {
  if (call.query.has("filter")) throw invalid("Filtering batches is not supported.");
  const { behaviour } = state.embedder;
  const circular = circularPage(behaviour);
  if (circular !== undefined) return circular;
  const nowMs = state.time.nowMs();
  const listed = state.batches
    .all()
    .filter((batch) => batch.project === call.project && batch.deletedAtMs === undefined)
    .filter((batch) => nowMs >= batch.listedAtMs);
  const { items, nextPageToken } = page(listed, call.query);
  const stale = behaviour.is("list-stats", "stale");
  const operations = items.map((batch) =>
    listedAs(listedOperation(batch, nowMs, stale), behaviour),
  );
  return ok(omitEmpty({ operations, nextPageToken }));
}

export async function cancelBatch(
  call: Call,
  id: string,
  state: State,
  runs: BatchRuns,
): Promise<Answer> {
  NOTHING.open(await readJson(call), "");
  const batch = ownBatch(call, id, state);
  if (isActive(batch)) {
    await runs.cancel(batch);
  } else if (state.embedder.behaviour.is("cancel-ended", "refused")) {
    throw new ServiceError("FAILED_PRECONDITION", "The batch has already ended.");
  }
  return ok({});
}

/** Stops what still runs; the batch is kept here for the ledger alone. */
export async function deleteBatch(call: Call, id: string, state: State): Promise<Answer> {
  NOTHING.open(await readJson(call), "");
  const batch = ownBatch(call, id, state);
  state.batches.put(batch.id, { ...batch, deletedAtMs: state.time.nowMs() });
  return ok({});
}

function ownBatch(call: Call, id: string, state: State): BatchRecord {
  if (!isBatchId(id)) throw invalid("Could not parse the batch name");
  const batch = state.batches.get(id);
  const visible = batch?.project === call.project && batch.deletedAtMs === undefined;
  if (batch === undefined || !visible) throw entityNotFound();
  return batch;
}

function inlinedResults(batch: BatchRecord, state: State): unknown[] | undefined {
  if (batch.inputFile !== undefined || batch.end?.resultBytes === undefined) return undefined;
  const lines = readFileSync(resultsPath(state, batch.id), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line): unknown => JSON.parse(line));
}
