/** Creating a batch: the one call that must not be repeated, and so the one with most faults. */
import { MS_PER_SECOND } from "../../clock.ts";
import { copyFileSync, linkSync, rmSync, writeFileSync } from "node:fs";
import type { ModelName } from "../../row/models.ts";
import { batchOperation, type BatchRecord, type Fate } from "../state/batch-record.ts";
import type { Faults } from "../faults/faults.ts";
import type { FileRecord } from "../state/file-record.ts";
import { inputOfCreate, noAccess } from "../files/kept-files.ts";
import { type Answer, type Call, ok, readJson, refusal } from "../http/http.ts";
import { newBatchId } from "../http/identifiers.ts";
import { createdAs, moneyRefusal, takesBatches } from "./other-shapes.ts";
import { knownModel } from "../http/known-model.ts";
import { lineBlocks } from "../faults/lines.ts";
import { type Message, MessageType } from "../http/proto-json.ts";
import { checkQuota, limitsTokens } from "../state/quota.ts";
import { readRequestRow, BatchFailure } from "./request-row.ts";
import {
  entityNotFound,
  invalid,
  quotaExceeded,
  ServiceError,
  unavailable,
} from "../http/service-error.ts";
import { inputPath, type State, uploadedPath } from "../state/state.ts";

const CREATE = new MessageType("batch");
const BATCH = new MessageType(
  "model name displayName inputConfig output createTime endTime updateTime batchStats state priority",
);
const INPUT_CONFIG = new MessageType("fileName requests");
const INLINED_REQUESTS = new MessageType("requests");
const INLINED_REQUEST = new MessageType("request metadata");

const RUNS_AFTER_SHARE = 1 / 3;

/** What the client asked for, checked. */
type Order = Readonly<{
  displayName: string;
  priority: number;
  input: Readonly<{ file: FileRecord }> | Readonly<{ inline: readonly string[] }>;
}>;

/** `created` is told of every batch that came into being, before any answer. */
export async function createBatch(
  call: Call,
  modelId: string,
  state: State,
  created: () => void,
): Promise<Answer> {
  const { behaviour } = state.embedder;
  const isOffered = takesBatches(modelId, behaviour);
  const model = knownModel(modelId, call.version, "asyncBatchEmbedContent", isOffered);
  const order = readOrder(await readJson(call), model, call, state);
  const tokens = limitsTokens(state.settings) ? await countOrderTokens(order, model, state) : 0;
  const unpaid = moneyRefusal(behaviour);
  if (unpaid !== undefined) throw unpaid;
  checkQuota(state, { project: call.project, model, tokens });
  if (state.faults.strikes("create-429")) throw quotaExceeded();
  if (state.faults.strikes("create-lost")) throw unavailable();
  const batch = newBatch(call.project, order, model, tokens, state);
  keepInput(batch, order, state);
  state.batches.put(batch.id, batch);
  created();
  return createdAnswer(batch, state);
}

function readOrder(body: unknown, model: ModelName, call: Call, state: State): Order {
  const batch = CREATE.open(body, "").message("batch", (value, at) => BATCH.open(value, at));
  const config = batch?.message("inputConfig", (value, at) => INPUT_CONFIG.open(value, at));
  if (batch === undefined || config === undefined) {
    throw invalid("* AsyncBatchEmbedContentRequest.batch.input_config: must be specified\n");
  }
  const named = batch.string("model");
  if (named !== undefined && named !== `models/${model}`) {
    throw invalid(`* AsyncBatchEmbedContentRequest.batch.model: ${named} is not models/${model}\n`);
  }
  return {
    displayName: batch.string("displayName") ?? "",
    priority: batch.int("priority") ?? 0,
    input: readInput(config, call, state),
  };
}

function readInput(config: Message, call: Call, state: State): Order["input"] {
  const fileName = config.string("fileName");
  const requests = config.message("requests", (value, at) =>
    INLINED_REQUESTS.open(value, at).list("requests", readInlined),
  );
  if (fileName !== undefined && requests !== undefined) {
    throw invalid(
      "Invalid value at 'batch.input_config' (oneof), oneof field 'source' is already set.",
    );
  }
  if (requests !== undefined && requests.length > 0) return { inline: requests };
  if (fileName === undefined) {
    throw invalid("* AsyncBatchEmbedContentRequest.batch.input_config: no requests and no file\n");
  }
  return { file: inputFile(fileName, call, state) };
}

/** Kept as a line, like those of a file. */
function readInlined(value: unknown, at: string): string {
  const inlined = INLINED_REQUEST.open(value, at);
  return JSON.stringify({ request: inlined.raw("request"), metadata: inlined.raw("metadata") });
}

function inputFile(name: string, call: Call, state: State): FileRecord {
  if (!name.startsWith("files/"))
    throw invalid(`* input_config.file_name: invalid file name: ${name}\n`);
  const id = name.slice("files/".length);
  const file = inputOfCreate(state, id);
  if (file === undefined) {
    state.createsOfGoneFiles += 1;
    throw entityNotFound();
  }
  if (file.project !== call.project) throw noAccess(id);
  return file;
}

async function countOrderTokens(order: Order, model: ModelName, state: State): Promise<number> {
  if ("inline" in order.input) return blockTokens(order.input.inline, model, state);
  let tokens = 0;
  for await (const block of lineBlocks(uploadedPath(state, order.input.file.id))) {
    tokens += blockTokens(block, model, state);
  }
  return tokens;
}

/** Lines that cannot be read count nothing; they fail when the batch runs. */
function blockTokens(lines: readonly string[], model: ModelName, state: State): number {
  return lines.reduce((sum, line) => sum + lineTokens(line, model, state), 0);
}

function lineTokens(line: string, model: ModelName, state: State): number {
  try {
    const { outcome } = readRequestRow(line, 0, model, state.embedder);
    return outcome instanceof ServiceError ? 0 : outcome.tokens;
  } catch (error) {
    if (error instanceof BatchFailure) return 0;
    throw error;
  }
}

function newBatch(
  project: string,
  order: Order,
  model: ModelName,
  tokens: number,
  state: State,
): BatchRecord {
  const nowMs = state.time.nowMs();
  const takesMs = state.settings.batchSeconds * MS_PER_SECOND;
  const { input } = order;
  return {
    id: newBatchId(),
    number: state.batches.all().length,
    project,
    model,
    displayName: order.displayName,
    priority: order.priority,
    inputFile: "file" in input ? input.file.id : undefined,
    requests: "file" in input ? input.file.lines : input.inline.length,
    tokens,
    createdAtMs: nowMs,
    runsAtMs: nowMs + Math.round(takesMs * RUNS_AFTER_SHARE),
    endsAtMs: nowMs + takesMs,
    listedAtMs: nowMs + state.faults.amount("create-late") * MS_PER_SECOND,
    fate: drawnFate(state.faults),
    faults: state.faults.text,
    end: undefined,
    deletedAtMs: undefined,
  };
}

function drawnFate(faults: Faults): Fate {
  if (faults.strikes("batch-stuck")) return "stick";
  if (faults.strikes("batch-fail")) return "fail";
  if (faults.strikes("batch-expire")) return "expire";
  if (faults.strikes("batch-cancel")) return "cancel";
  return faults.strikes("batch-unknown-state") ? "unknown-state" : "succeed";
}

/** A link costs nothing and lets the uploaded file go; not every file system has links. */
function keepInput(batch: BatchRecord, { input }: Order, state: State): void {
  const kept = inputPath(state, batch.id);
  if ("inline" in input) {
    writeFileSync(kept, input.inline.map((line) => `${line}\n`).join(""));
    return;
  }
  rmSync(kept, { force: true });
  const uploaded = uploadedPath(state, input.file.id);
  try {
    linkSync(uploaded, kept);
  } catch {
    copyFileSync(uploaded, kept);
  }
}

async function createdAnswer(batch: BatchRecord, state: State): Promise<Answer> {
  const { faults } = state;
  if (faults.strikes("create-silent")) return { kind: "silence" };
  if (faults.strikes("create-reset")) return { kind: "reset" };
  if (faults.strikes("create-503")) return refusal(unavailable());
  if (faults.strikes("create-ambiguous")) {
    return faults.variant("create-ambiguous", batch.number) < 0.5
      ? refusal(unavailable())
      : { kind: "reset" };
  }
  return ok(createdAs(batchOperation(batch, state.time.nowMs()), state.embedder.behaviour));
}
