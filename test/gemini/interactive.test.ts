// The interactive calls, through the SDK: does each text get its own vector, in order, for both
// models, and is an answer of another number of vectors ever taken for a good one?
import { afterEach, expect, test, vi } from "vitest";

import { connectGemini } from "../../src/gemini/client.ts";
import type { EmbedRequest } from "../../src/gemini/port.ts";
import { type Reply, type SeenRequest, startStub, type Stub } from "./stub-server.ts";

let stub: Stub | undefined;
afterEach(async () => stub?.close());

async function connectTo(answer: (request: SeenRequest) => Reply) {
  stub = await startStub(answer);
  return connectGemini({ apiKey: "k", baseUrl: stub.baseUrl });
}

const request: EmbedRequest = {
  model: "gemini-embedding-001",
  dimensions: 2,
  taskType: "RETRIEVAL_DOCUMENT",
  texts: ["a", " b\n"],
};

/** A vector for each request, made of its text: its length, and of how many parts it is. */
function embed({ body }: SeenRequest): Reply {
  const { requests }: { requests: Embedding[] } = JSON.parse(String(body));
  const embeddings = requests.map(({ content: { parts } }) => {
    const length = parts.map(({ text }) => text).join("").length;
    return { values: [length, parts.length] };
  });
  return { body: { embeddings } };
}

type Embedding = { content: { parts: { text: string }[] } };

test("001: a vector for each text; the task is a field", async () => {
  const gemini = await connectTo(embed);
  expect(await gemini.embedNow(request)).toEqual({
    vectors: [
      [1, 1],
      [3, 1],
    ],
    tokens: undefined,
  });
  expect(stub?.seen[0]?.path).toBe("/v1beta/models/gemini-embedding-001:batchEmbedContents");
  expect(JSON.parse(String(stub?.seen[0]?.body)).requests[1]).toMatchObject({
    model: "models/gemini-embedding-001",
    content: { parts: [{ text: " b\n" }] },
    taskType: "RETRIEVAL_DOCUMENT",
    outputDimensionality: 2,
  });
});

test("2: a vector for each text too, and no task type", async () => {
  const gemini = await connectTo(embed);
  const { vectors } = await gemini.embedNow({ ...request, model: "gemini-embedding-2" });
  expect(vectors).toEqual([
    [1, 1],
    [3, 1],
  ]);
  expect(stub?.seen[0]?.path).toBe("/v1beta/models/gemini-embedding-2:batchEmbedContents");
  expect(String(stub?.seen[0]?.body)).not.toContain("taskType");
});

test.each([
  ["one for all", { embeddings: [{ values: [1, 2] }] }],
  ["one too many", { embeddings: [{ values: [1] }, { values: [2] }, { values: [3] }] }],
  ["none", {}],
])("%s is no answer", async (_, body) => {
  const gemini = await connectTo(() => ({ body }));
  await expect(gemini.embedNow(request)).rejects.toMatchObject({ kind: "unusable" });
});

test("the tokens of a call are told where the service tells them", async () => {
  const gemini = await connectTo(() => ({
    body: {
      embeddings: [{ values: [1] }, { values: [2] }],
      usageMetadata: { promptTokenCount: 7 },
    },
  }));
  expect(await gemini.embedNow(request)).toEqual({ vectors: [[1], [2]], tokens: 7 });
});

test("an empty vector is left to whoever checks vectors", async () => {
  const gemini = await connectTo(() => ({ body: { embeddings: [{ values: [1, 2] }, {}] } }));
  expect((await gemini.embedNow(request)).vectors).toEqual([[1, 2], []]);
});

test("tokens are counted for all texts in one call", async () => {
  const gemini = await connectTo(({ body }) => ({
    body: { totalTokens: JSON.parse(String(body)).contents.length * 10 },
  }));
  expect(await gemini.countTokens("gemini-embedding-001", ["a", "b", "c"])).toBe(30);
  expect(stub?.seen[0]?.path).toBe("/v1beta/models/gemini-embedding-001:countTokens");
});

test("an answer without a count is none", async () => {
  const gemini = await connectTo(() => ({ body: {} }));
  const counting = gemini.countTokens("gemini-embedding-001", ["a"]);
  await expect(counting).rejects.toMatchObject({ kind: "uncertain" });
});

test("cancel and delete go to the batch, and an empty answer is enough", async () => {
  const gemini = await connectTo(({ method }) => ({ body: method === "DELETE" ? "" : {} }));
  await gemini.cancelBatch("batches/x");
  await gemini.deleteBatch("batches/x");
  await gemini.deleteFile("files/x");
  expect(stub?.seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "POST /v1beta/batches/x:cancel",
    "DELETE /v1beta/batches/x",
    "DELETE /v1beta/files/x",
  ]);
});

test("the environment does not turn the SDK to another service, and it prints nothing", async () => {
  const printed = [vi.spyOn(console, "warn"), vi.spyOn(console, "debug"), vi.spyOn(console, "log")];
  vi.stubEnv("GOOGLE_GENAI_USE_VERTEXAI", "true");
  vi.stubEnv("GOOGLE_GENAI_API_VERSION", "v1");
  vi.stubEnv("GOOGLE_GEMINI_BASE_URL", "http://elsewhere.invalid");
  vi.stubEnv("GOOGLE_API_KEY", "another");
  try {
    const gemini = await connectTo(embed);
    await gemini.embedNow(request);
    await gemini.findBatches("").catch(() => undefined);
    expect(stub?.seen[0]?.path).toBe("/v1beta/models/gemini-embedding-001:batchEmbedContents");
    expect(stub?.seen.map(({ headers }) => headers["x-goog-api-key"])).toEqual(["k", "k"]);
    expect(printed.flatMap((spy) => spy.mock.calls)).toEqual([]);
  } finally {
    vi.unstubAllEnvs();
  }
});
