// A create that is sent twice is two batches and two bills. Whatever the service, a gateway or the
// network answers: does exactly one request leave, and do we say truthfully whether it took effect?
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";

import { connectGemini } from "../../src/gemini/client.ts";
import { retryingGemini } from "../../src/gemini/retry.ts";
import { systemClock } from "../../src/clock.ts";
import type { BatchRequest } from "../../src/gemini/port.ts";
import { errorBody, type Reply, startStub, type Stub } from "./stub-server.ts";

const recorded = JSON.parse(
  readFileSync(new URL("../fixtures/gemini/client-batches.json", import.meta.url), "utf8"),
);

const request: BatchRequest = {
  model: "gemini-embedding-001",
  file: "files/vecfill-1f3a-0001-1",
  displayName: "vecfill-1f3a-0001-1",
};

let stub: Stub | undefined;
afterEach(async () => stub?.close());

async function createAgainst(reply: Reply) {
  // Everything else succeeds, so a second attempt of any kind would go through and be seen.
  stub = await startStub((_, before) => (before === 0 ? reply : { body: recorded.created }));
  const client = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl, limits: { createMs: 400 } });
  const gemini = retryingGemini(client, systemClock);
  const outcome = await gemini.createBatch(request).catch((error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return { outcome, requests: stub.seen };
}

test("the request is the one the service is known to take, and the answer is a batch", async () => {
  const { outcome, requests } = await createAgainst({ body: recorded.created });
  expect(outcome).toEqual({
    name: "batches/31u18uq6dr4ods3957z38i1mbfa581k01xcq",
    displayName: "vecfill-1f3a-0001-1",
    state: "pending",
    rawState: "BATCH_STATE_PENDING",
    createdAt: "2026-08-19T14:34:12.267870162Z",
    endedAt: undefined,
    model: expect.any(String),
    inputFile: undefined,
    counts: { requests: 2, successful: 0, failed: 0 },
    resultsFile: undefined,
    error: undefined,
  });
  expect(requests.map(({ method, url }) => [method, url])).toEqual([
    ["POST", "/v1beta/models/gemini-embedding-001:asyncBatchEmbedContent"],
  ]);
  expect(JSON.parse(String(requests[0]?.body))).toEqual({
    batch: {
      inputConfig: { file_name: "files/vecfill-1f3a-0001-1" },
      displayName: "vecfill-1f3a-0001-1",
    },
  });
  expect(requests[0]?.headers["x-goog-api-key"]).toBe("k");
});

const quota = errorBody(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.");

const cases: [name: string, reply: Reply, kind: string][] = [
  ["429", { status: 429, body: quota }, "quota"],
  ["429 with Retry-After", { status: 429, headers: { "retry-after": "0" }, body: quota }, "quota"],
  ["500", { status: 500, body: errorBody(500, "INTERNAL", "oops") }, "uncertain"],
  ["503", { status: 503, body: errorBody(503, "UNAVAILABLE", "overloaded") }, "uncertain"],
  ["504 of a gateway", { status: 504, body: "<html>" }, "uncertain"],
  ["408", { status: 408, body: "" }, "uncertain"],
  ["499", { status: 499, body: errorBody(499, "CANCELLED", "cancelled") }, "uncertain"],
  ["a reset", "reset", "uncertain"],
  ["no answer in time", "hang", "uncertain"],
  ["half an answer", { body: recorded.created, cutAfter: 90 }, "uncertain"],
  ["200 that is no JSON", { body: "<html>Sign in</html>" }, "uncertain"],
  ["200 that names no batch", { body: {} }, "uncertain"],
  ["200 with another name", { body: { name: "operations/x1" } }, "uncertain"],
  [
    "200 for another display name",
    { body: { ...recorded.created, metadata: { displayName: "vecfill-1f3a-0002-1" } } },
    "uncertain",
  ],
  ["200 with an error", { body: quota }, "uncertain"],
  ["a redirect", { status: 307, headers: { location: "/elsewhere" } }, "refused"],
  ["400", { status: 400, body: errorBody(400, "INVALID_ARGUMENT", "no") }, "refused"],
  ["404", { status: 404, body: errorBody(404, "NOT_FOUND", "Requested entity…") }, "notFound"],
  [
    "403 for its file",
    {
      status: 403,
      body: errorBody(
        403,
        "PERMISSION_DENIED",
        "You do not have permission to access the File x or it may not exist.",
      ),
    },
    "notFound",
  ],
];

test.each(cases)("%s: one request left, and the error says so", async (_, reply, kind) => {
  const { outcome, requests } = await createAgainst(reply);
  expect(outcome).toMatchObject({ name: "GeminiError", kind });
  expect(requests).toHaveLength(1);
});

test("nobody listens: nothing was sent", async () => {
  stub = await startStub(() => "reset");
  await stub.close();
  const gemini = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl });
  await expect(gemini.createBatch(request)).rejects.toMatchObject({ kind: "unreachable" });
});

test("a connection that is kept open and dies under the create is not tried again", async () => {
  stub = await startStub((seen) => (seen.method === "POST" ? "reset" : { body: recorded.running }));
  const gemini = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl });
  await gemini.getBatch("batches/31u18uq6dr4ods3957z38i1mbfa581k01xcq");
  await expect(gemini.createBatch(request)).rejects.toMatchObject({ kind: "uncertain" });
  expect(stub.seen.map(({ method }) => method)).toEqual(["GET", "POST"]);
});
