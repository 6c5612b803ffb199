// Would the emulator let a mistake pass that the service refuses?
import { expect, test } from "vitest";
import {
  call,
  createBatch,
  download,
  emulatorFor,
  fixture,
  requestLine,
  requestLines,
  runBatch,
  startUpload,
  uploadLines,
} from "./client.ts";

const UNKNOWN_BATCH = `batches/${"a".repeat(36)}`;
const MODEL = "/v1beta/models/gemini-embedding-001";
const OBSERVED: { where: string; body?: unknown; messageOnly?: string }[] =
  fixture("errors-observed");

function observed(where: string): { body?: unknown; messageOnly?: string } {
  const found = OBSERVED.find((entry) => entry.where.includes(where));
  if (found === undefined) throw new Error(`no such error was observed: ${where}`);
  return found;
}

test.each([
  [
    "an unknown field",
    { batch: { inputConfig: { file_name: "files/x" }, colour: 1 } },
    `Unknown name "colour" at 'batch'`,
  ],
  ["an unknown field at the top", { bach: {} }, 'Unknown name "bach": Cannot find field.'],
  ["a webhook", { batch: { webhookConfig: {} } }, 'Unknown name "webhookConfig"'],
  ["no input", { batch: { inputConfig: {} } }, "no requests and no file"],
  [
    "a number for a name",
    { batch: { displayName: 5, inputConfig: { fileName: "files/x" } } },
    "Invalid value at 'batch.display_name' (TYPE_STRING), 5",
  ],
  [
    "both spellings",
    { batch: { displayName: "a", display_name: "b", inputConfig: { fileName: "files/x" } } },
    "already set",
  ],
  [
    "another model",
    { batch: { model: "models/gemini-embedding-2", inputConfig: { fileName: "files/x" } } },
    "is not models/gemini-embedding-001",
  ],
])("a create with %s is refused with 400", async (_what, body, message) => {
  const emulator = await emulatorFor();
  const answer = await call(emulator, "POST", `${MODEL}:asyncBatchEmbedContent`, body);
  expect(answer.status).toBe(400);
  expect(answer.body.error).toMatchObject({ code: 400, status: "INVALID_ARGUMENT" });
  expect(answer.body.error.message).toContain(message);
  expect(emulator.batches()).toEqual([]);
});

test("snake and camel case, and int64 as text or number, are all the same", async () => {
  const emulator = await emulatorFor();
  const fileName = await uploadLines(emulator, requestLines(1));
  for (const batch of [
    { input_config: { file_name: fileName }, display_name: "d", priority: "5" },
    { inputConfig: { fileName }, displayName: "d", priority: 5 },
  ]) {
    const { body } = await call(emulator, "POST", `${MODEL}:asyncBatchEmbedContent`, { batch });
    expect(body.metadata).toMatchObject({ displayName: "d", priority: "5" });
  }
});

test("unknown files, models, batches and paths are 404, malformed batch names 400", async () => {
  const emulator = await emulatorFor();
  const unknownFile = await createBatch(emulator, "files/nobody");
  expect(unknownFile).toMatchObject({ status: 404, body: { error: { status: "NOT_FOUND" } } });
  expect(unknownFile.body.error.message).toContain(observed("unknown file").messageOnly);
  const file = await uploadLines(emulator, requestLines(1));
  expect((await createBatch(emulator, file, "d", "embedding-001")).status).toBe(404);
  expect((await call(emulator, "GET", `/v1beta/${UNKNOWN_BATCH}`)).status).toBe(404);
  expect((await call(emulator, "GET", "/v2/batches")).status).toBe(404);
  for (const [method, path] of [
    ["GET", ""],
    ["DELETE", ""],
    ["POST", ":cancel"],
  ] as const) {
    const answer = await call(emulator, method, `/v1beta/batches/test-batch${path}`);
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toBe(observed("malformed id").messageOnly);
  }
});

test("keys of another project see nothing of this one", async () => {
  const emulator = await emulatorFor({ keys: { anything: "one", other: "two" } });
  const { operation } = await runBatch(emulator, requestLines(1));
  const file = operation.metadata.inputConfig.fileName;
  const asOther = { "x-goog-api-key": "other" };
  const look = async (path: string): Promise<number> =>
    (await call(emulator, "GET", `/v1beta/${path}`, undefined, asOther)).status;
  expect(await look(operation.name)).toBe(404);
  expect(await look(file)).toBe(403);
  expect(await look(`${operation.response.responsesFile}:download?alt=media`)).toBe(403);
  const batch = { inputConfig: { fileName: file } };
  const created = await call(
    emulator,
    "POST",
    `${MODEL}:asyncBatchEmbedContent`,
    { batch },
    asOther,
  );
  expect(created.status).toBe(403);
  expect((await call(emulator, "GET", "/v1beta/batches", undefined, asOther)).body).toEqual({});
  expect(
    (await call(emulator, "GET", "/v1beta/batches", undefined, { "x-goog-api-key": "third" }))
      .status,
  ).toBe(400);
  expect(
    (await call(emulator, "GET", "/v1beta/batches", undefined, { "x-goog-api-key": "" })).status,
  ).toBe(403);
});

test("a file is gone after 48 hours, its batch's results after six weeks", async () => {
  const emulator = await emulatorFor();
  const { operation } = await runBatch(emulator, requestLines(1));
  const input = operation.metadata.inputConfig.fileName;
  const results = `/v1beta/${operation.response.responsesFile}:download?alt=media`;
  await emulator.advance(48 * 3600 * 1000);
  const gone = await call(emulator, "GET", `/v1beta/${input}`);
  expect(gone.status).toBe(403);
  expect(gone.body.error.message).toBe(
    observed("missing or expired").messageOnly?.replace("<id>", input.replace("files/", "")),
  );
  expect((await createBatch(emulator, input)).status).toBe(404);
  expect((await call(emulator, "GET", results)).status).toBe(200);
  await emulator.advance(42 * 24 * 3600 * 1000);
  expect((await call(emulator, "GET", results)).status).toBe(403);
});

test.each([
  ["delete-seen=at-once", 403, 404, 404],
  ["delete-seen=late", 200, 200, 404],
  ["delete-seen=late-by-creates", 403, 200, 404],
  ["create-input=unchecked", 403, 200, 200],
] as const)(
  "a deleted input, %s: a look, a create, and a create a minute later",
  async (behaviour, look, create, later) => {
    const emulator = await emulatorFor({ behaviour });
    const input = await uploadLines(emulator, requestLines(1));
    expect((await call(emulator, "DELETE", `/v1beta/${input}`)).status).toBe(200);
    expect((await call(emulator, "GET", `/v1beta/${input}`)).status).toBe(look);
    expect((await createBatch(emulator, input)).status).toBe(create);
    await emulator.advance(60_000);
    expect((await call(emulator, "GET", `/v1beta/${input}`)).status).toBe(403);
    expect((await createBatch(emulator, input)).status).toBe(later);
    const refused = [create, later].filter((status) => status === 404).length;
    expect(emulator.createsOfGoneFiles()).toBe(refused);
  },
);

test("only results can be downloaded, by both addresses; they can be looked at but not deleted", async () => {
  const emulator = await emulatorFor();
  const { operation, results } = await runBatch(emulator, requestLines(2));
  const file = operation.response.responsesFile;
  const other = await call(emulator, "GET", `/download/v1beta/${file}:download?alt=media`);
  expect(other.text.trimEnd().split("\n")).toEqual(results);
  expect((await call(emulator, "GET", `/v1beta/${file}`)).body).toMatchObject({
    source: "GENERATED",
  });
  const input = operation.metadata.inputConfig.fileName;
  expect((await call(emulator, "GET", `/v1beta/${input}:download?alt=media`)).status).toBe(400);
  const deleted = await call(emulator, "DELETE", `/v1beta/${file}`, {});
  expect(deleted.status).toBe(400);
  expect(deleted.body.error.message.trim()).toBe(
    observed("files/batch-<36>").messageOnly?.replace("GetFile", "DeleteFile"),
  );
});

test("where it is chosen, results can be deleted or not even looked at", async () => {
  const kind = await emulatorFor({ behaviour: "delete-output=deleted" });
  const one = await runBatch(kind, requestLines(1));
  expect(
    (await call(kind, "DELETE", `/v1beta/${one.operation.response.responsesFile}`)).status,
  ).toBe(200);
  expect((await call(kind, "GET", `/v1beta/${one.operation.response.responsesFile}`)).status).toBe(
    403,
  );
  const harsh = await emulatorFor({ behaviour: "get-output=refused" });
  const two = await runBatch(harsh, requestLines(1));
  expect((await call(harsh, "GET", `/v1beta/${two.operation.response.responsesFile}`)).status).toBe(
    400,
  );
  expect(await download(harsh, two.operation.response.responsesFile)).toHaveLength(1);
});

test.each([
  ["an unknown field in a request", requestLine("k", "t", { colour: 1 })],
  ["a line that is no JSON", "hello"],
  [
    "a number for a text",
    JSON.stringify({ key: "k", request: { content: { parts: [{ text: 5 }] } } }),
  ],
])("%s fails the batch, or its line where that is chosen", async (_what, line) => {
  const lines = [requestLine("good", "text"), line];
  const strict = await runBatch(await emulatorFor(), lines);
  expect(strict.operation).toMatchObject({
    done: true,
    metadata: { state: "BATCH_STATE_FAILED" },
    error: { code: 3, message: expect.stringContaining("line 2") },
  });
  expect(strict.operation.response).toBeUndefined();
  const kind = await runBatch(await emulatorFor({ behaviour: "bad-line=line-error" }), lines);
  expect(kind.operation.metadata.state).toBe("BATCH_STATE_SUCCEEDED");
  expect(kind.results.map((result) => "error" in JSON.parse(result))).toEqual([false, true]);
});

test.each([
  ["an empty text", requestLine("k", "")],
  ["no content", JSON.stringify({ key: "k", request: { taskType: "RETRIEVAL_DOCUMENT" } })],
  ["a task type that is none", requestLine("k", "t", { taskType: "POETRY" })],
  ["a title without its task type", requestLine("k", "t", { taskType: "CLUSTERING", title: "t" })],
  ["too many dimensions", requestLine("k", "t", { outputDimensionality: 4000 })],
  ["another model", requestLine("k", "t", { model: "models/gemini-embedding-2" })],
  ["nested settings", requestLine("k", "t", { embedContentConfig: { outputDimensionality: 8 } })],
])("%s fails its own line", async (_what, line) => {
  const { operation, results } = await runBatch(await emulatorFor(), [
    line,
    requestLine("good", "t"),
  ]);
  expect(results.map((result) => JSON.parse(result).error?.code)).toEqual([3, undefined]);
  expect(operation.metadata.batchStats.failedRequestCount).toBe("1");
});

test("what is not known can be chosen: empty texts, nested settings, task types, codes", async () => {
  const emptyFails = await emulatorFor({ behaviour: "empty-text=batch-failed" });
  const failed = await runBatch(emptyFails, [requestLine("k", "")]);
  expect(failed.operation.metadata.state).toBe("BATCH_STATE_FAILED");

  const nested = requestLine("k", "t", {
    outputDimensionality: undefined,
    embedContentConfig: { outputDimensionality: 5 },
  });
  const honoured = await runBatch(await emulatorFor({ behaviour: "nested-config=honoured" }), [
    nested,
  ]);
  expect(JSON.parse(honoured.results[0] ?? "").response.embedding.values).toHaveLength(5);

  const task = [requestLine("k", "t")];
  const rejected = await runBatch(
    await emulatorFor({ behaviour: "line-codes=http" }),
    task,
    "gemini-embedding-2",
  );
  expect(JSON.parse(rejected.results[0] ?? "").error.code).toBe(400);
  const ignored = await runBatch(
    await emulatorFor({ behaviour: "task-type-2=ignored" }),
    task,
    "gemini-embedding-2",
  );
  expect(JSON.parse(ignored.results[0] ?? "").response.embedding.values).toHaveLength(8);
});

test("members beside key and request are echoed and not applied", async () => {
  const line = JSON.stringify({
    key: "k",
    outputDimensionality: 8,
    tags: ["a"],
    request: { content: { parts: [{ text: "t" }] } },
  });
  const { results } = await runBatch(await emulatorFor(), [line]);
  const { response, ...others } = JSON.parse(results[0] ?? "");
  expect(response.embedding.values).toHaveLength(3072);
  expect(others).toEqual({ key: "k", outputDimensionality: 8, tags: [] });
});

function words(count: number): string {
  return Array.from({ length: count }, (_, i) => `w${i % 10}`).join(" ");
}

test("a text over the limit is cut silently: same count, same vector as what fits", async () => {
  const lines = [requestLine("long", words(3000)), requestLine("fits", words(1024))];
  const { results } = await runBatch(await emulatorFor(), lines);
  const [long, fits] = results.map((line) => JSON.parse(line).response);
  expect(long).toEqual(fits);
  expect(long.tokenCount).toBe("2048");
});

test.each([
  ["files/a_b", "lowercase alphanumeric"],
  ["files/-ab", "lowercase alphanumeric"],
  [`files/${"a".repeat(41)}`, "cannot be more than 40 characters"],
])("the file id %s is refused", async (name, message) => {
  const answer = await startUpload(await emulatorFor(), { mimeType: "text/plain", name });
  expect(answer.status).toBe(400);
  expect(answer.body.error.message).toContain(message);
});

test("interactive calls want the model in every request, and at most 100", async () => {
  const emulator = await emulatorFor();
  const path = `${MODEL}:batchEmbedContents`;
  const content = { parts: [{ text: "a" }] };
  const without = await call(emulator, "POST", path, { requests: [{ content }] });
  expect(without.body.error.message).toContain(observed("request without model").messageOnly);
  const bare = await call(emulator, "POST", path, {
    requests: [{ content, model: "gemini-embedding-001" }],
  });
  expect(bare.body.error.message).toContain("unexpected model name format");
  const request = { content, model: "models/gemini-embedding-001" };
  const many = await call(emulator, "POST", path, {
    requests: Array.from({ length: 101 }, () => request),
  });
  expect(many).toMatchObject({ status: 400, body: observed(">100 requests").body });
});

test("a batch that has ended cannot be cancelled, unless that is chosen", async () => {
  const strict = await emulatorFor();
  const { operation } = await runBatch(strict, requestLines(1));
  const refused = await call(strict, "POST", `/v1beta/${operation.name}:cancel`, {});
  expect(refused).toMatchObject({
    status: 400,
    body: { error: { status: "FAILED_PRECONDITION" } },
  });
  const kind = await emulatorFor({ behaviour: "cancel-ended=ignored" });
  const other = await runBatch(kind, requestLines(1));
  expect((await call(kind, "POST", `/v1beta/${other.operation.name}:cancel`, {})).status).toBe(200);
});

test("a cancelled batch has no results, or where that is chosen those it had by then", async () => {
  for (const [behaviour, kept] of [
    ["", 0],
    ["cancelled-results=partial", 3],
  ] as const) {
    const emulator = await emulatorFor({ behaviour, batchSeconds: 30 });
    const { body } = await createBatch(emulator, await uploadLines(emulator, requestLines(3)));
    await emulator.advance(20_000);
    await call(emulator, "POST", `/v1beta/${body.name}:cancel`, {});
    const { body: operation } = await call(emulator, "GET", `/v1beta/${body.name}`);
    expect(operation).toMatchObject({ done: true, error: { code: 1 } });
    expect(operation.metadata.state).toBe("BATCH_STATE_CANCELLED");
    expect((await emulator.billing()).size).toBe(kept);
    const file = operation.response?.responsesFile;
    expect(file === undefined ? [] : await download(emulator, file)).toHaveLength(kept);
  }
});

test("an input file that is deleted too early fails its batch, unless that is chosen", async () => {
  for (const [behaviour, state] of [
    ["", "FAILED"],
    ["input-gone=runs", "SUCCEEDED"],
  ] as const) {
    const emulator = await emulatorFor({ behaviour });
    const file = await uploadLines(emulator, requestLines(1));
    await createBatch(emulator, file);
    await call(emulator, "DELETE", `/v1beta/${file}`, {});
    await emulator.advance(2_000);
    expect(emulator.batches()).toMatchObject([{ state: `BATCH_STATE_${state}` }]);
  }
});
