/** Calls that answer at once: embedding now, counting tokens, and what models there are. */
import { MODELS, type ModelName } from "../../row/models.ts";
import {
  checkedEmbedding,
  type Embedding,
  type EmbedRequest,
  readEmbedRequest,
  readTexts,
} from "../vectors/embed-request.ts";
import { emulatedVector } from "../vectors/embedding.ts";
import { type Answer, type Call, ok, readJson } from "../http/http.ts";
import { knownModel } from "../http/known-model.ts";
import { takesBatches } from "./other-shapes.ts";
import { takeFromMinute } from "../state/minute-quota.ts";
import { MessageType, omitEmpty } from "../http/proto-json.ts";
import { invalid, quotaExceeded } from "../http/service-error.ts";
import type { State } from "../state/state.ts";
import { countTokens } from "../faults/token-count.ts";

const BATCH_EMBED = new MessageType("requests");
const COUNT_TOKENS = new MessageType("contents");
const REQUESTS_MAX = 100;

export async function batchEmbedContents(
  call: Call,
  modelId: string,
  state: State,
): Promise<Answer> {
  const model = knownModel(modelId, call.version, "batchEmbedContents");
  const requests = BATCH_EMBED.open(await readJson(call), "").list("requests", readEmbedRequest);
  if (requests.length > REQUESTS_MAX) {
    throw invalid(
      `* BatchEmbedContentsRequest.requests: at most ${REQUESTS_MAX} requests can be in one batch\n`,
    );
  }
  requests.forEach((request, i) => checkNamedModel(request, i, model));
  const embeddings = requests.map((request, i) =>
    checkedText(request, model, `BatchEmbedContentsRequest.requests[${i}]`, state),
  );
  const lost = embedAll(call, embeddings, model, state);
  if (lost !== undefined) return lost;
  const answered = state.faults.strikes("sync-count") ? embeddings.slice(1) : embeddings;
  const values = answered.map((embedding) => ({ values: valuesOf(embedding) }));
  return ok(omitEmpty({ embeddings: values, ...usage(embeddings, model) }));
}

export async function embedContent(call: Call, modelId: string, state: State): Promise<Answer> {
  const model = knownModel(modelId, call.version, "embedContent");
  const request = readEmbedRequest(await readJson(call), "");
  const embedding = checkedText(request, model, "EmbedContentRequest", state);
  const lost = embedAll(call, [embedding], model, state);
  if (lost !== undefined) return lost;
  return ok({ embedding: { values: valuesOf(embedding) }, ...usage([embedding], model) });
}

export async function countContentTokens(
  call: Call,
  modelId: string,
  state: State,
): Promise<Answer> {
  knownModel(modelId, call.version, "countTokens");
  const contents = COUNT_TOKENS.open(await readJson(call), "").list("contents", readTexts);
  if (contents.length === 0)
    throw invalid("* CountTokensRequest.contents: contents is not specified\n");
  const texts = contents.flat().map((text) => text ?? "");
  const totalTokens = texts.reduce(
    (sum, text) => sum + countTokens(text, state.embedder.tokenizer),
    0,
  );
  return ok(
    omitEmpty({
      totalTokens,
      promptTokensDetails: [{ modality: "TEXT", tokenCount: totalTokens }],
    }),
  );
}

export function getModel(call: Call, modelId: string, { embedder }: State): Answer {
  const model = knownModel(modelId, call.version, "getModel");
  return ok(modelResource(model, takesBatches(model, embedder.behaviour)));
}

export function listModels(_call: Call, _id: string, { embedder }: State): Answer {
  const models = Object.values(MODELS).map(({ name }) =>
    modelResource(name, takesBatches(name, embedder.behaviour)),
  );
  return ok({ models });
}

function checkNamedModel(request: EmbedRequest, i: number, model: ModelName): void {
  const where = `* BatchEmbedContentsRequest.requests[${i}].model`;
  if (request.model === undefined || request.model === "")
    throw invalid(`${where}: model is not specified\n`);
  if (!request.model.startsWith("models/"))
    throw invalid(`${where}: unexpected model name format\n`);
  if (request.model !== `models/${model}`) {
    throw invalid(`${where}: must match the model specified in the parent\n`);
  }
}

function checkedText(
  request: EmbedRequest,
  model: ModelName,
  where: string,
  state: State,
): Embedding {
  const embedding = checkedEmbedding(request, model, where, state.embedder);
  if (state.faults.strikesRow("sync-bad-text", 0, embedding.text)) {
    throw invalid(`* ${where}.content: the text cannot be embedded\n`);
  }
  return embedding;
}

/** Counts and charges; the answer when it is to get lost. Throws 429, and then nothing is charged. */
function embedAll(
  { project }: Call,
  embeddings: readonly Embedding[],
  model: ModelName,
  state: State,
): Answer | undefined {
  if (state.faults.strikes("sync-429")) throw quotaExceeded();
  const byText = state.embedder.behaviour.is("sync-requests", "texts");
  const requests = byText ? embeddings.length : 1;
  takeFromMinute(state, { project, model, requests, tokens: tokensOf(embeddings) });
  state.embeddedNow += embeddings.length;
  state.paidTexts.charge(embeddings.map(({ text }) => text));
  if (state.faults.strikes("sync-cut")) return { kind: "reset" };
  return state.faults.strikes("sync-silent") ? { kind: "silence" } : undefined;
}

function valuesOf({ text, shape }: Embedding): number[] {
  return emulatedVector(text, shape);
}

function tokensOf(embeddings: readonly Embedding[]): number {
  return embeddings.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** Only the newer model reports what it read. */
function usage(embeddings: readonly Embedding[], model: ModelName): Record<string, unknown> {
  if (model === "gemini-embedding-001") return {};
  return { usageMetadata: { promptTokenCount: tokensOf(embeddings) } };
}

function modelResource(name: ModelName, isForBatches: boolean): Record<string, unknown> {
  const batches = isForBatches ? ["asyncBatchEmbedContent"] : [];
  return {
    name: `models/${name}`,
    displayName: name,
    inputTokenLimit: MODELS[name].inputTokenLimit,
    outputTokenLimit: 1,
    supportedGenerationMethods: ["embedContent", "countTokens", ...batches],
  };
}
