/** What `doctor --live` asks of a service, as single exchanges, each of which is kept as it was. */
import type { Clock } from "../../../clock.ts";
import { UserError } from "../../../errors.ts";
import type { Exchange, Probe, ProbeRequest } from "../../../gemini/port.ts";
import { isJsonObject, type JsonObject, parseJson } from "../../../row/json-value.ts";

export type LiveServices = Readonly<{
  probe: Probe;
  clock: Clock;
  signal: AbortSignal;
  /** Keeps the raw exchange under a name. */
  keep: (name: string, exchange: Exchange) => Promise<void>;
}>;

export type Asked = Readonly<{ status: number; body: JsonObject; exchange: Exchange }>;

/** Sends, keeps and reads; a body that is no JSON object is read as one without members. */
export async function ask(
  { probe, keep, signal }: LiveServices,
  name: string,
  request: ProbeRequest,
): Promise<Asked> {
  const exchange = await probe.send(request, signal);
  await keep(name, exchange);
  return { status: exchange.status, body: objectOf(exchange.text), exchange };
}

/** Throws a UserError with the service's words where the answer is no success. */
function required({ status, body, exchange }: Asked, what: string): JsonObject {
  if (status >= 200 && status < 300 && body["error"] === undefined) return body;
  throw new UserError(`${what} was refused (HTTP ${status}): ${messageOf(body)}.`, {
    hint: `The whole answer to ${exchange.method} ${exchange.path} is among the raw bodies.`,
  });
}

/** The start of an upload, whose answer names the session. */
export function startUpload(services: LiveServices, name: string, bytes: number): Promise<Asked> {
  return ask(services, `${name}-upload-start`, {
    method: "POST",
    path: "upload",
    headers: {
      "x-goog-upload-protocol": "resumable",
      "x-goog-upload-command": "start",
      "x-goog-upload-header-content-length": String(bytes),
      "x-goog-upload-header-content-type": "application/jsonl",
    },
    body: JSON.stringify({
      file: {
        name: `files/${name}`,
        displayName: name,
        mimeType: "application/jsonl",
        sizeBytes: String(bytes),
      },
    }),
  });
}

/** Resolves to the file's name at the service. */
export async function upload(
  services: LiveServices,
  name: string,
  content: string,
): Promise<string> {
  const what = "The upload of a request file";
  const started = await startUpload(services, name, Buffer.byteLength(content));
  required(started, what);
  const finished = await finishUpload(services, name, started, content);
  return textAt(required(finished, what), "file", "name");
}

/** All of the content at once. */
export function finishUpload(
  services: LiveServices,
  name: string,
  { exchange }: Asked,
  content: string,
): Promise<Asked> {
  return ask(services, `${name}-upload-end`, {
    method: "POST",
    path: exchange.headers["x-goog-upload-url"] ?? "",
    headers: {
      "content-type": "application/octet-stream",
      "x-goog-upload-command": "upload, finalize",
      "x-goog-upload-offset": "0",
    },
    body: content,
  });
}

/** One create request, sent once. */
export function askToCreate(
  services: LiveServices,
  name: string,
  model: string,
  file: string,
): Promise<Asked> {
  return ask(services, `${name}-create`, {
    method: "POST",
    path: `models/${model}:asyncBatchEmbedContent`,
    body: JSON.stringify({ batch: { inputConfig: { file_name: file }, displayName: name } }),
  });
}

/** Resolves to the batch's name. */
export async function create(...request: Parameters<typeof askToCreate>): Promise<string> {
  const created = await askToCreate(...request);
  return textAt(required(created, "The creation of a batch"), "name");
}

const MAX_LIST_PAGES = 20;

/** The entry of a batch in the list; undefined when no page has it. */
export async function listed(
  services: LiveServices,
  name: string,
  batch: string,
): Promise<JsonObject | undefined> {
  let token = "";
  for (let page = 0; page < MAX_LIST_PAGES; page++) {
    const path = `batches?pageSize=100${token === "" ? "" : `&pageToken=${token}`}`;
    const { body } = await ask(services, `${name}-list`, { method: "GET", path });
    const found = objectsAt(body, "operations").find((entry) => entry["name"] === batch);
    token = textAt(body, "nextPageToken");
    if (found !== undefined || token === "") return found;
  }
  return undefined;
}

/** Undefined where there is no such member. */
export function at(value: JsonObject, ...path: readonly string[]): unknown {
  let here: unknown = value;
  for (const name of path) here = isJsonObject(here) ? here[name] : undefined;
  return here;
}

/** Empty where there is no such text. */
export function textAt(value: JsonObject, ...path: readonly string[]): string {
  const found = at(value, ...path);
  return typeof found === "string" ? found : "";
}

function objectsAt(value: JsonObject, ...path: readonly string[]): JsonObject[] {
  const found = at(value, ...path);
  return Array.isArray(found) ? found.filter(isJsonObject) : [];
}

export function objectOf(text: string): JsonObject {
  const value = parseJson(text);
  return isJsonObject(value) ? value : {};
}

export function messageOf(body: JsonObject): string {
  return textAt(body, "error", "message").trim() || "without a reason";
}
