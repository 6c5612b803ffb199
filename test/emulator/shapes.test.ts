// Does the emulator answer in the very shapes that the service was seen to answer in?
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import {
  call,
  createBatch,
  emulatorFor,
  fixture,
  requestLine,
  requestLines,
  runBatch,
  uploadLines,
} from "./client.ts";

/** Member names and kinds of value; numbers, texts and ids differ from run to run. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(members.map(([name, member]) => [name, shape(member)]));
  }
  if (typeof value !== "string") return typeof value;
  if (/^\d{4}-\d\d-\d\dT[\d:]+\.\d{6,9}Z$/.test(value)) return "a time with nanoseconds";
  if (/^(batches|files)\/[a-z0-9-]+$/.test(value)) return value.replace(/\/.*/, "/an id");
  if (/^\d+$/.test(value)) return "a number as text";
  return /^(BATCH_STATE_|models\/|type\.)/.test(value) ? value : "text";
}

test("a finished batch over a file looks like the published one", async () => {
  const emulator = await emulatorFor();
  const { operation } = await runBatch(emulator, requestLines(3));
  const { displayName, ...metadata } = operation.metadata;
  expect(displayName).toBe("run");
  expect(shape({ ...operation, metadata })).toEqual(shape(fixture("batch-get-succeeded-file")));
  expect(operation.response.responsesFile).toBe(
    `files/batch-${operation.name.slice("batches/".length)}`,
  );
  expect(operation.metadata.output.responsesFile).toBe(operation.response.responsesFile);
});

test("a batch that was created, and one that runs, look like the recorded ones", async () => {
  const emulator = await emulatorFor({ batchSeconds: 30 });
  const recorded = fixture("batch-lifecycle-generate");
  const type = (body: object): unknown =>
    JSON.parse(
      JSON.stringify(shape(body))
        .replaceAll("GenerateContentBatch", "EmbedContentBatch")
        .replaceAll("gemini-2.5-flash", "gemini-embedding-001"),
    );
  const created = await createBatch(emulator, await uploadLines(emulator, requestLines(2)));
  const { inputConfig, ...metadata } = created.body.metadata;
  expect(inputConfig.fileName).toMatch(/^files\/[a-z0-9]{12}$/);
  expect(created.body.name).toMatch(/^batches\/[a-z0-9]{36}$/);
  expect(shape({ ...created.body, metadata })).toEqual(type(recorded.createResponse));
  await emulator.advance(20_000);
  const { body: running, text } = await call(emulator, "GET", `/v1beta/${created.body.name}`);
  const { inputConfig: _same, ...runningMetadata } = running.metadata;
  expect(shape({ ...running, metadata: runningMetadata })).toEqual(type(recorded.getWhileRunning));
  expect(running.metadata.updateTime).toBe(running.metadata.createTime);
  expect(text).toContain('\n  "metadata": {');
});

test.each([
  ["gemini-embedding-001", "batch-get-succeeded-inline-001", undefined],
  ["gemini-embedding-2", "batch-get-succeeded-inline-2", { key: "sha256:aaa" }],
])("inline results of %s stand in the answer twice", async (model, name, metadata) => {
  const emulator = await emulatorFor();
  const request = { content: { parts: [{ text: "a" }] }, outputDimensionality: 3 };
  const batch = {
    inputConfig: {
      requests: {
        requests: [
          { request, metadata },
          { request, metadata },
        ],
      },
    },
    displayName: "d",
  };
  const created = await call(emulator, "POST", `/v1beta/models/${model}:asyncBatchEmbedContent`, {
    batch,
  });
  await emulator.advance(2_000);
  const { body } = await call(emulator, "GET", `/v1beta/${created.body.name}`);
  const published = fixture(name);
  expect(shape(body.response.inlinedResponses)).toEqual(shape(published.response.inlinedResponses));
  expect(body.metadata.output.inlinedResponses).toEqual(body.response.inlinedResponses);
  expect(body.metadata.batchStats).toEqual({ requestCount: "2", successfulRequestCount: "2" });
});

test("a list has operations without results and with the statistics of the beginning", async () => {
  const emulator = await emulatorFor();
  await runBatch(emulator, requestLines(6), "gemini-embedding-001");
  const { body } = await call(emulator, "GET", "/v1beta/batches?pageSize=5");
  const published = fixture("batch-list").operations[0];
  expect(body.operations[0].metadata.batchStats).toEqual(published.metadata.batchStats);
  expect(body.operations[0].metadata.state).toBe("BATCH_STATE_SUCCEEDED");
  expect(body.operations[0].done).toBe(true);
  expect(body.operations[0].response).toBeUndefined();
});

function blank(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/-?\d\.\d+(e-\d+)?/g, "#"));
}

test("result lines of -001 are those of the cookbook, but for the numbers", async () => {
  const emulator = await emulatorFor();
  const { input, output } = fixture("jsonl-embeddings");
  const { results } = await runBatch(emulator, input);
  expect(blank(results)).toEqual(blank(output));
});

test("result lines of -2 report usage and start with the key", async () => {
  const emulator = await emulatorFor();
  const line = JSON.stringify({
    key: "h1",
    request: {
      content: { parts: [{ text: "title: none | text: hello" }] },
      outputDimensionality: 3,
    },
  });
  const { results } = await runBatch(emulator, [line], "gemini-embedding-2");
  expect(results[0]).toMatch(
    /^\{"key":"h1","response":\{"embedding":\{"values":\[[^\]]+\]\},"usageMetadata":\{"promptTokenCount":\d+\}\}\}$/,
  );
});

test("an uploaded file looks like the cookbook's, its hash the base64 of hex text", async () => {
  const emulator = await emulatorFor({ refusedMimeTypes: [] });
  const { input, inputSha256Hex, inputSizeBytesWithTrailingNewline } = fixture("jsonl-embeddings");
  const name = await uploadLines(emulator, input, { mimeType: "jsonl" });
  const { body } = await call(emulator, "GET", `/v1beta/${name}`);
  const published = fixture("file-resource");
  expect(shape(body)).toEqual(shape(published));
  expect(body.sizeBytes).toBe(String(inputSizeBytesWithTrailingNewline));
  expect(body.sha256Hash).toBe(published.sha256Hash);
  expect(Buffer.from(body.sha256Hash, "base64").toString()).toBe(inputSha256Hex);
  expect(
    createHash("sha256")
      .update(`${input.join("\n")}\n`)
      .digest("hex"),
  ).toBe(inputSha256Hex);
});

test("empty lists are empty objects", async () => {
  const emulator = await emulatorFor();
  expect((await call(emulator, "GET", "/v1beta/batches")).body).toEqual({});
  expect((await call(emulator, "GET", "/v1beta/files")).body).toEqual({});
});

test("an error line has a number for its code and no status", async () => {
  const emulator = await emulatorFor();
  const { operation, results } = await runBatch(emulator, [
    requestLine("empty", ""),
    requestLine("b", "b"),
  ]);
  expect(JSON.parse(results[0] ?? "")).toEqual({
    key: "empty",
    error: { code: 3, message: expect.stringContaining("required oneof field 'data'") },
  });
  expect(operation.metadata.batchStats).toEqual({
    requestCount: "2",
    successfulRequestCount: "1",
    failedRequestCount: "1",
  });
});
