/**
 * Gemini's Developer API behind the port; the only importer of its SDK.
 *
 * By the SDK: files.get, files.delete, batches.cancel, batches.delete, models.countTokens and
 * models.embedContent. Its `fetch` is our transport, which sends each request once, with a time
 * limit, and throws the port's errors, so that Retry-After and the service's words are not lost.
 *
 * By plain fetch, measured with SDK 3.1.0:
 * - createBatch: the SDK prints a warning at each call, and one `retryOptions` away, given for some
 *   other call, it sends the request again after a timeout or a 5xx: a second batch, paid for.
 *   Exactly one request leaves here, and nothing in or below this file repeats it.
 * - getBatch, findBatches: the SDK drops the operation's error, counts and `done`, and takes
 *   any JSON for an empty list.
 * - openResults, downloadResults: the SDK's download ends the process when the connection breaks.
 * - uploadFile: see upload-session.ts.
 */
import { GoogleGenAI } from "@google/genai";

import { type Clock, systemClock } from "../clock.ts";
import { type Address, API_VERSION, BASE_URL, checkName, createAddress } from "./http/address.ts";
import { listBatches } from "./batch-list.ts";
import { parseBatch } from "./batch-resource.ts";
import { download, unlessRefused } from "./incoming-file.ts";
import { unusable } from "./http/failure.ts";
import { contradicts, parseFile } from "./file-resource.ts";
import { parseJson } from "../row/json-value.ts";
import { listModels } from "./model-list.ts";
import { type Limits, LIMITS } from "./http/limits.ts";
import { MODELS } from "../row/models.ts";
import {
  type Batch,
  type BatchRequest,
  type Embedded,
  type EmbedRequest,
  type Gemini,
  GeminiError,
  type ResultsOptions,
} from "./port.ts";
import { saveResults, type TornDownloads } from "./saved-results.ts";
import { follow } from "./http/time-limit.ts";
import { createTransport, type Transport } from "./http/transport.ts";
import { createUpload } from "./upload.ts";

export type GeminiOptions = Readonly<{
  apiKey: string;
  baseUrl?: string | undefined;
  apiVersion?: string | undefined;
  clock?: Clock | undefined;
  fetch?: typeof fetch | undefined;
  limits?: Partial<Limits> | undefined;
}>;

/** Opens no connection yet. Throws a UserError for a key or an address that cannot be one. */
export function connectGemini(options: GeminiOptions): Gemini {
  const { apiKey, baseUrl = BASE_URL, apiVersion = API_VERSION, clock = systemClock } = options;
  const limits: Limits = { ...LIMITS, ...options.limits };
  const address = createAddress(baseUrl, apiVersion);
  const transport = createTransport({
    apiKey,
    clock,
    fetch: options.fetch ?? fetch,
    maxAnswerBytes: limits.maxAnswerBytes,
  });
  const sdk = new GoogleGenAI({
    apiKey,
    apiVersion,
    vertexai: false,
    httpOptions: { baseUrl: address.base, fetch: sdkFetch(transport, limits) },
  });
  const services = { transport, address, limits, clock };
  return { ...ownCalls(services, sdk), ...sdkCalls(sdk, limits) };
}

type Services = Readonly<{ transport: Transport; address: Address; limits: Limits; clock: Clock }>;

type OwnCall =
  | "createBatch"
  | "getBatch"
  | "findBatches"
  | "hasFile"
  | "listModels"
  | "openResults"
  | "downloadResults"
  | "isOtherFile"
  | "uploadFile";

function ownCalls(services: Services, sdk: GoogleGenAI): Pick<Gemini, OwnCall> {
  const { transport, address, limits } = services;
  const find = (name: string, signal: AbortSignal | undefined) => findFile(sdk, name, signal);
  const openResults = (file: string, options: ResultsOptions = {}) => {
    const path = `${checkName("files", file)}:download?alt=media`;
    const urls = { usual: address.of(path), other: address.download(path) };
    const { signal, noCache = false, route = "usual" } = options;
    const openDownload = (url: URL) => download(transport, { url, limits, signal, noCache });
    return unlessRefused(
      () => openDownload(urls[route]),
      () => openDownload(route === "usual" ? urls.other : urls.usual),
    );
  };
  const torn: TornDownloads = new Map();
  return {
    createBatch: (request) => createBatch(request, services),

    getBatch: (name, signal) => getBatch(name, services, signal),

    async findBatches(displayNamePrefix, signal) {
      const batches = await listBatches(services, signal);
      return batches.filter(
        ({ displayName }) => displayName === "" || displayName.startsWith(displayNamePrefix),
      );
    },

    hasFile: async (name, signal) => (await find(name, signal)) !== undefined,

    listModels: (signal) => listModels(services, signal),

    openResults,

    downloadResults: (file, path, { onBytes, reader, ...options }) =>
      saveResults(openResults(file, options), path, torn, { onBytes, reader }),

    async isOtherFile(name, file, signal) {
      const stored = await find(name, signal).catch(unlessRefusedToTell);
      return stored !== undefined && contradicts(stored, file);
    },

    uploadFile: createUpload(find, services),
  };
}

async function createBatch(request: BatchRequest, services: Services): Promise<Batch> {
  const { transport, address, limits } = services;
  // As the SDK writes it, spelling included: this is the form that has been seen to work.
  const input = { file_name: checkName("files", request.file) };
  const answer = await transport.exchange(
    {
      method: "POST",
      url: address.of(`models/${request.model}:asyncBatchEmbedContent`),
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ batch: { inputConfig: input, displayName: request.displayName } }),
    },
    limits.createMs,
  );
  const batch = parseBatch(parseJson(answer.text));
  if (batch === undefined) throw unusable("it names no batch");
  const { displayName } = batch;
  if (displayName !== "" && displayName !== request.displayName) {
    throw unusable(`it is another batch's, "${displayName}"`);
  }
  return batch;
}

async function getBatch(
  name: string,
  { transport, address, limits }: Services,
  signal: AbortSignal | undefined,
): Promise<Batch | undefined> {
  const request = { method: "GET", url: address.of(checkName("batches", name)), signal };
  const answer = await unlessMissing(() => transport.exchange(request, limits.callMs));
  if (answer === undefined) return undefined;
  const batch = parseBatch(parseJson(answer.text));
  if (batch?.name !== name) throw unusable(`it is not ${name}`);
  return batch;
}

async function findFile(sdk: GoogleGenAI, name: string, signal: AbortSignal | undefined) {
  const get = (config: Abort) => sdk.files.get({ name: checkName("files", name), config });
  const answer = await unlessMissing(() => unlessAborted(get, signal));
  if (answer === undefined) return undefined;
  const file = parseFile(answer);
  if (file?.name !== name) throw unusable(`it is not ${name}`);
  return file;
}

/** The names of results are longer than the service takes here. */
function unlessRefusedToTell(error: unknown): undefined {
  if (error instanceof GeminiError && error.kind === "refused") return undefined;
  throw error;
}

type SdkCall = Exclude<keyof Gemini, OwnCall>;

function sdkCalls(sdk: GoogleGenAI, limits: Limits): Pick<Gemini, SdkCall> {
  return {
    async cancelBatch(name) {
      await sdk.batches.cancel({ name: checkName("batches", name) });
    },

    async deleteBatch(name) {
      await unlessMissing(() => sdk.batches.delete({ name: checkName("batches", name) }));
    },

    async deleteFile(name) {
      await unlessMissing(() => sdk.files.delete({ name: checkName("files", name) }));
    },

    async countTokens(model, texts) {
      const contents = texts.map((text) => ({ role: "user", parts: [{ text }] }));
      const { totalTokens } = await sdk.models.countTokens({ model, contents });
      if (totalTokens === undefined) throw unusable("it counts no tokens");
      return totalTokens;
    },

    embedNow: (request, signals) => embedNow(sdk, request, limits, signals?.drop),
  };
}

/** A content for each text: for `gemini-embedding-2` an array of texts would be one vector. */
async function embedNow(
  sdk: GoogleGenAI,
  { model, dimensions, taskType, texts }: EmbedRequest,
  { maxTextsNow }: Limits,
  signal: AbortSignal | undefined,
): Promise<Embedded> {
  if (texts.length > maxTextsNow)
    throw new RangeError(`${texts.length} texts, over ${maxTextsNow}`);
  const config = {
    outputDimensionality: dimensions,
    ...(MODELS[model].taskBy === "field" ? { taskType } : {}),
  };
  const contents = texts.map((text) => ({ parts: [{ text }] }));
  const embedByName = (abort: Abort) =>
    sdk.models.embedContent({ model, contents, config: { ...config, ...abort } });
  const { embeddings = [], usageMetadata } = await unlessAborted(embedByName, signal);
  const vectors = embeddings.map(({ values }) => values ?? []);
  if (vectors.length !== texts.length) {
    const message = `Gemini sent ${vectors.length} vectors for ${texts.length} texts`;
    throw new GeminiError("unusable", message);
  }
  return { vectors, tokens: usageMetadata?.promptTokenCount };
}

async function unlessMissing<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (caught) {
    if (caught instanceof GeminiError && caught.kind === "notFound") return undefined;
    throw caught;
  }
}

type Abort = Readonly<{ abortSignal?: AbortSignal }>;

/**
 * The SDK loses the reason of the caller's signal, and with each call that succeeds it leaves a listener on the
 * signal that it was given (3.1.0): after thousands of calls these took two thirds of a run's CPU. So each call gets
 * a signal of its own.
 */
async function unlessAborted<T>(
  call: (abort: Abort) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T> {
  if (signal === undefined) return call({});
  const own = new AbortController();
  const letGo = follow(own, signal);
  try {
    return await call({ abortSignal: own.signal });
  } catch (caught) {
    signal.throwIfAborted();
    throw caught;
  } finally {
    letGo();
  }
}

/** The transport as the SDK's `fetch`. The SDK sees successes only, and only JSON. */
function sdkFetch(transport: Transport, limits: Limits): typeof fetch {
  return async (input, init) => {
    const request = new Request(input, init);
    const body = await request.text();
    const answer = await transport.exchange(
      {
        method: request.method,
        url: new URL(request.url),
        headers: Object.fromEntries(request.headers),
        ...(body === "" ? {} : { body }),
        signal: request.signal,
      },
      limits.callMs,
    );
    const json = answer.text === "" ? "{}" : answer.text;
    if (parseJson(json) === undefined) throw unusable("it is no JSON");
    return new Response(json, { headers: { "content-type": "application/json" } });
  };
}
