/**
 * `doctor --live`: what nobody has published about the service, asked of the service itself with a
 * few tiny batches, and of the emulator with the same requests. Where the two differ, the emulator is
 * wrong. A run costs a few hundred tokens. Its files and batches carry names of its own, and it deletes
 * what it made, as far as the service lets it.
 */
import { UserError } from "../../../errors.ts";
import { isJsonObject, type JsonObject } from "../../../row/json-value.ts";
import {
  ask,
  askToCreate,
  at,
  create,
  finishUpload,
  listed,
  type LiveServices,
  messageOf,
  objectOf,
  startUpload,
  textAt,
  upload,
} from "./live-service.ts";

export type Finding = Readonly<{ question: string; answer: string }>;

export type LiveOptions = Readonly<{
  /** Begins all names at the service. */
  prefix: string;
  model: string;
  pollMs: number;
  /** A batch that has not ended by then ends the asking. */
  timeoutMs: number;
}>;

type Live = LiveServices & LiveOptions & Readonly<{ endsAtMs: number }>;

/** Enough for another order than that of the requests to show. */
const PLAIN_LINES = 8;
const DIMENSIONS = 128;
const TEXTS = Array.from(
  { length: PLAIN_LINES },
  (_, index) => `How many moons has planet ${index}?`,
);

/** Throws a UserError where the service refuses what every run needs, or where time is over. */
export async function askLive(services: LiveServices, options: LiveOptions): Promise<Finding[]> {
  const live = {
    ...services,
    ...options,
    endsAtMs: services.clock.elapsedMs() + options.timeoutMs,
  };
  const plain = await begin(live, "plain", TEXTS.map(plainLine));
  const shown = await firstSeen(live, plain);
  const others = {
    empty: await begin(live, "empty", [plainLine("A good line.", 0), emptyLine()]),
    nested: await begin(live, "nested", [nestedLine()]),
    cancelled: await begin(live, "cancelled", TEXTS.map(plainLine)),
  };
  const cancelled = await cancel(live, others.cancelled);
  const ended = await untilEnded(live, plain);
  const findings = [
    finding("a new batch shows in the list", shown),
    finding("a batch that is cancelled at once becomes", cancelled),
    ...(await aboutResults(live, plain, ended)),
    finding("a line with an empty text comes to", await outcome(live, others.empty, 1)),
    finding("embedContentConfig in a line is", await nestedOutcome(live, others.nested)),
    finding("cancelling a batch that has ended is answered", await cancelAgain(live, plain)),
    finding("an upload under a name that is taken is answered", await nameTaken(live, plain)),
    ...(await aboutDeletion(live)),
  ];
  await tidy(live, [plain, ...Object.values(others)]);
  return findings;
}

type LiveBatch = Readonly<{ name: string; file: string; batch: string }>;

function finding(question: string, answer: string): Finding {
  return { question, answer };
}

async function begin(live: Live, what: string, lines: readonly string[]): Promise<LiveBatch> {
  const name = `${live.prefix}-${what}`;
  const file = await upload(live, name, `${lines.join("\n")}\n`);
  return { name, file, batch: await create(live, name, live.model, file) };
}

function plainLine(text: string, index: number): string {
  const request = { content: { parts: [{ text }] }, outputDimensionality: DIMENSIONS };
  return JSON.stringify({ key: `line-${index}`, request });
}

function emptyLine(): string {
  const request = { content: { parts: [{ text: "" }] }, outputDimensionality: DIMENSIONS };
  return JSON.stringify({ key: "line-1", request });
}

/** As the specification would have it, instead of the flat fields. */
function nestedLine(): string {
  const embedContentConfig = { outputDimensionality: DIMENSIONS, taskType: "RETRIEVAL_DOCUMENT" };
  const request = { content: { parts: [{ text: "Nested." }] }, embedContentConfig };
  return JSON.stringify({ key: "line-0", request });
}

const LIST_WAIT_MS = 2_000;
const LIST_LOOKS = 15;
const SECONDS = 1000;

async function firstSeen(live: Live, { name, batch }: LiveBatch): Promise<string> {
  const createdAtMs = live.clock.elapsedMs();
  for (let look = 0; look < LIST_LOOKS; look++) {
    const entry = await listed(live, name, batch);
    const seconds = Math.round((live.clock.elapsedMs() - createdAtMs) / SECONDS);
    if (entry !== undefined) return look === 0 ? "at the first look" : `after ${seconds} s`;
    await live.clock.sleep(LIST_WAIT_MS, live.signal);
  }
  return `not within ${(LIST_WAIT_MS * LIST_LOOKS) / SECONDS} s`;
}

async function cancel(live: Live, begun: LiveBatch): Promise<string> {
  const { status } = await ask(live, `${begun.name}-cancel`, {
    method: "POST",
    path: `${begun.batch}:cancel`,
    body: "{}",
  });
  if (status !== 200) return `refused with HTTP ${status}`;
  const operation = await untilEnded(live, begun);
  const results = resultsFile(operation) === "" ? "no results" : "results";
  return `${stateOf(operation)}, ${errorOf(operation)}, ${results}`;
}

/** The operation once it is done. */
async function untilEnded(live: Live, { name, batch }: LiveBatch): Promise<JsonObject> {
  for (;;) {
    const { body } = await ask(live, `${name}-get`, { method: "GET", path: batch });
    if (body["done"] === true || /SUCCEEDED|FAILED|CANCELLED|EXPIRED/.test(stateOf(body)))
      return body;
    if (live.clock.elapsedMs() >= live.endsAtMs) throw notEnded(live, batch, stateOf(body));
    await live.clock.sleep(live.pollMs, live.signal);
  }
}

function notEnded({ timeoutMs }: Live, batch: string, state: string): UserError {
  return new UserError(
    `The batch ${batch} has not ended within ${Math.round(timeoutMs / SECONDS)} s (${state}).`,
    {
      hint: "Batches may take hours. Run `vecfill doctor --live` again with a longer --timeout; the raw bodies so far are kept.",
      exit: "unfinished",
    },
  );
}

async function aboutResults(
  live: Live,
  plain: LiveBatch,
  operation: JsonObject,
): Promise<Finding[]> {
  const results = resultsFile(operation);
  if (results === "") return [finding("a batch of good lines ends as", errorOf(operation))];
  const lines = await download(live, plain.name, results);
  const tokens = await countedTokens(live, plain.name);
  return [
    finding("a batch of good lines ends as", `${stateOf(operation)}, with a results file`),
    finding("batchStats of an ended batch in the list", await listedStats(live, plain)),
    finding("result lines come", order(lines)),
    finding("a result line tells its tokens as", tokenMembers(lines)),
    finding("the tokens of the lines, beside countTokens, are", tokenSum(lines, tokens)),
    finding(`a vector of ${DIMENSIONS} numbers is`, norm(lines)),
    finding("a download with Range is answered", await range(live, plain.name, results)),
    finding("a look at a results file is answered", await lookAt(live, plain.name, results)),
    finding("deleting a results file is answered", await remove(live, plain.name, results)),
  ];
}

async function download(live: Live, name: string, results: string): Promise<JsonObject[]> {
  const path = `${results}:download?alt=media`;
  const { exchange } = await ask(live, `${name}-results`, { method: "GET", path });
  return exchange.text
    .split("\n")
    .filter((line) => line !== "")
    .map(objectOf);
}

async function listedStats(live: Live, { name, batch }: LiveBatch): Promise<string> {
  const entry = (await listed(live, `${name}-ended`, batch)) ?? {};
  const stats = at(entry, "metadata", "batchStats");
  if (!isJsonObject(stats)) return "are not told";
  return "pendingRequestCount" in stats ? "are as at its creation" : "are up to date";
}

function order(lines: readonly JsonObject[]): string {
  const keys = lines.map((line) => textAt(line, "key"));
  const asSent = keys.every((key, index) => key === `line-${index}`);
  return asSent ? "in the order of the requests" : "in another order";
}

function tokenMembers([first = {}]: readonly JsonObject[]): string {
  const told = [
    ...(at(first, "response", "tokenCount") === undefined ? [] : ["tokenCount"]),
    ...(at(first, "response", "usageMetadata") === undefined ? [] : ["usageMetadata"]),
  ];
  return told.length === 0 ? "nothing" : told.join(" and ");
}

function tokenSum(lines: readonly JsonObject[], counted: number | undefined): string {
  const each = lines.map((line) =>
    Number(
      at(line, "response", "tokenCount") ??
        at(line, "response", "usageMetadata", "promptTokenCount"),
    ),
  );
  if (counted === undefined || each.some(Number.isNaN)) return "not told";
  const sum = each.reduce((all, tokens) => all + tokens, 0);
  return sum === counted ? "the same" : "another number";
}

async function countedTokens(live: Live, name: string): Promise<number | undefined> {
  const contents = TEXTS.map((text) => ({ role: "user", parts: [{ text }] }));
  const { body } = await ask(live, `${name}-count-tokens`, {
    method: "POST",
    path: `models/${live.model}:countTokens`,
    body: JSON.stringify({ contents }),
  });
  const total = at(body, "totalTokens");
  return typeof total === "number" ? total : undefined;
}

const UNIT_TOLERANCE = 1e-3;

function norm([first = {}]: readonly JsonObject[]): string {
  const values = at(first, "response", "embedding", "values");
  if (!Array.isArray(values)) return "missing";
  const squares = values.reduce((sum: number, value) => sum + Number(value) ** 2, 0);
  const isUnit = Math.abs(Math.sqrt(squares) - 1) < UNIT_TOLERANCE;
  return `${values.length} wide, ${isUnit ? "of unit length" : "not of unit length"}`;
}

async function range(live: Live, name: string, results: string): Promise<string> {
  const { status } = await ask(live, `${name}-range`, {
    method: "GET",
    path: `${results}:download?alt=media`,
    headers: { range: "bytes=0-9" },
  });
  return status === 200 ? "with the whole file (HTTP 200)" : `with HTTP ${status}`;
}

async function lookAt(live: Live, name: string, results: string): Promise<string> {
  const { status, body } = await ask(live, `${name}-results-get`, { method: "GET", path: results });
  if (status !== 200) return `with HTTP ${status}`;
  const told = ["sizeBytes", "sha256Hash"].filter((member) => body[member] !== undefined);
  return `with ${told.length === 0 ? "neither size nor hash" : told.join(" and ")}`;
}

async function remove(live: Live, name: string, results: string): Promise<string> {
  const request = { method: "DELETE", path: results } as const;
  return `with HTTP ${(await ask(live, `${name}-results-delete`, request)).status}`;
}

/** What became of line `index`, or of the whole batch. */
async function outcome(live: Live, begun: LiveBatch, index: number): Promise<string> {
  const operation = await untilEnded(live, begun);
  const results = resultsFile(operation);
  if (results === "") return `the failure of the whole batch, ${errorOf(operation)}`;
  const lines = await download(live, begun.name, results);
  const line = lines.find((each) => textAt(each, "key") === `line-${index}`);
  if (line === undefined) return "no line";
  const { error } = line;
  if (!isJsonObject(error)) return "a vector";
  return `an error line, code ${String(error["code"])} with ${Object.keys(error).sort().join(", ")}`;
}

async function nestedOutcome(live: Live, begun: LiveBatch): Promise<string> {
  const operation = await untilEnded(live, begun);
  const results = resultsFile(operation);
  if (results === "") return `refused: the whole batch fails, ${errorOf(operation)}`;
  const [line = {}] = await download(live, begun.name, results);
  if (line["error"] !== undefined) return `refused: code ${String(at(line, "error", "code"))}`;
  const values = at(line, "response", "embedding", "values");
  const width = Array.isArray(values) ? values.length : 0;
  return width === DIMENSIONS ? "honoured" : `ignored: ${width} numbers`;
}

async function cancelAgain(live: Live, { name, batch }: LiveBatch): Promise<string> {
  const { status, body } = await ask(live, `${name}-cancel-ended`, {
    method: "POST",
    path: `${batch}:cancel`,
    body: "{}",
  });
  return status === 200
    ? "with HTTP 200"
    : `with HTTP ${status} ${textAt(body, "error", "status")}`;
}

async function nameTaken(live: Live, { name, file }: LiveBatch): Promise<string> {
  const started = await startUpload(live, name, 1);
  if (started.status !== 200) return `with HTTP ${started.status} at its start`;
  const finished = await finishUpload(live, `${name}-again`, started, "\n");
  if (finished.status !== 200) return `with HTTP ${finished.status} at its end`;
  return textAt(finished.body, "file", "name") === file
    ? "by replacing the file"
    : "with another name";
}

/** What a create that comes late meets: see the revocation in `src/submit/revoke.ts`. */
async function aboutDeletion(live: Live): Promise<Finding[]> {
  const name = `${live.prefix}-deleted`;
  const file = await upload(live, name, `${plainLine("Deleted.", 0)}\n`);
  const deleted = await ask(live, `${name}-delete`, { method: "DELETE", path: file });
  const looked = await ask(live, `${name}-get`, { method: "GET", path: file });
  const created = await askToCreate(live, name, live.model, file);
  const batch = textAt(created.body, "name");
  if (batch !== "") await ask(live, `${name}-batch-delete`, { method: "DELETE", path: batch });
  return [
    finding("deleting an uploaded file is answered", `with HTTP ${deleted.status}`),
    finding("a look at it right after is answered", `with HTTP ${looked.status}`),
    finding(
      "a create with it, right after, is answered",
      batch === ""
        ? `with HTTP ${created.status}`
        : "with a batch: no create that comes late is kept out",
    ),
  ];
}

/** Best effort: what cannot be deleted is gone after 48 hours, or after six weeks. */
async function tidy(live: Live, batches: readonly LiveBatch[]): Promise<void> {
  for (const { name, file, batch } of batches) {
    await ask(live, `${name}-batch-delete`, { method: "DELETE", path: batch });
    await ask(live, `${name}-file-delete`, { method: "DELETE", path: file });
  }
}

function stateOf(operation: JsonObject): string {
  return textAt(operation, "metadata", "state") || "no state";
}

/** Messages differ in their words from run to run: they are in the raw bodies. */
function errorOf(operation: JsonObject): string {
  const error = operation["error"];
  if (!isJsonObject(error)) return "no error";
  return `error code ${String(error["code"])}${messageOf(operation) === "" ? "" : " with a message"}`;
}

function resultsFile(operation: JsonObject): string {
  return (
    textAt(operation, "response", "responsesFile") ||
    textAt(operation, "metadata", "output", "responsesFile")
  );
}
