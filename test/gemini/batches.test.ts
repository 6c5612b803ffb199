// What does Gemini say about a batch, in all the shapes it has been seen to say it in, and when
// may an answer be read as "there is no such batch"? A wrong yes to that is a second bill.
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";

import { parseBatch } from "../../src/gemini/batch-resource.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { LIMITS } from "../../src/gemini/http/limits.ts";
import { errorBody, type Reply, type SeenRequest, startStub, type Stub } from "./stub-server.ts";

const recorded = JSON.parse(
  readFileSync(new URL("../fixtures/gemini/client-batches.json", import.meta.url), "utf8"),
);

let stub: Stub | undefined;
afterEach(async () => stub?.close());

async function connectTo(answer: (request: SeenRequest, before: number) => Reply, limits = {}) {
  stub = await startStub(answer);
  return connectGemini({ apiKey: "k", baseUrl: stub.baseUrl, limits });
}

describe("a direct look", () => {
  test("reads a finished batch with its results file and what the SDK would drop", async () => {
    const gemini = await connectTo(() => ({ body: recorded.succeededWithFile }));
    expect(await gemini.getBatch("batches/embedding-file-name")).toEqual({
      name: "batches/embedding-file-name",
      displayName: "",
      state: "succeeded",
      rawState: "BATCH_STATE_SUCCEEDED",
      createdAt: "2025-08-30T00:46:33.378015678Z",
      endedAt: "2025-08-30T00:52:51.317741426Z",
      model: "gemini-embedding-001",
      inputFile: "files/7t2beg32d5er",
      counts: { requests: 3, successful: 2, failed: 1 },
      resultsFile: "files/batch-output-file",
      error: undefined,
    });
  });

  test("a 404 of the service means that there is none", async () => {
    const gone = errorBody(404, "NOT_FOUND", "Requested entity was not found.");
    const gemini = await connectTo(() => ({ status: 404, body: gone }));
    expect(await gemini.getBatch("batches/x1")).toBeUndefined();
  });

  test("a 404 of something else at that address proves nothing", async () => {
    const gemini = await connectTo(() => ({ status: 404, body: "<h1>Not Found</h1>" }));
    await expect(gemini.getBatch("batches/x1")).rejects.toMatchObject({ kind: "refused" });
  });

  test("another batch than the one asked for is no answer", async () => {
    const gemini = await connectTo(() => ({ body: recorded.running }));
    await expect(gemini.getBatch("batches/x1")).rejects.toMatchObject({ kind: "uncertain" });
  });

  test.each(["files/x", "batches/../files/x", "batches/", "x", "batches/a/b"])(
    "%s is not looked up",
    async (name) => {
      const gemini = await connectTo(() => ({ body: recorded.running }));
      await expect(gemini.getBatch(name)).rejects.toMatchObject({ kind: "refused" });
      expect(stub?.seen).toEqual([]);
    },
  );
});

describe("the state of an operation", () => {
  const error = { code: 13, message: "boom" };
  const results = { responsesFile: "files/batch-x" };
  const cases: [name: string, operation: object, state: string][] = [
    ["running, done left out", recorded.running, "running"],
    ["inline results, no file", recorded.succeededInline, "succeeded"],
    ["failed, told by the top-level error only", { done: true, error }, "failed"],
    ["an error beside a state that lags", { ...state("BATCH_STATE_RUNNING"), error }, "failed"],
    ["cancelled, told by the error's code only", { done: true, error: { code: 1 } }, "cancelled"],
    ["cancelled, with an error too", { ...state("BATCH_STATE_CANCELLED"), error }, "cancelled"],
    ["expired, with an error too", { ...state("BATCH_STATE_EXPIRED"), error }, "expired"],
    [
      "done with results, state lags",
      { ...state("PENDING"), done: true, response: results },
      "succeeded",
    ],
    [
      "an error beside results: they are paid for",
      { ...state("BATCH_STATE_SUCCEEDED"), error, response: results },
      "succeeded",
    ],
    ["done, and no word how", { ...state("BATCH_STATE_RUNNING"), done: true }, "ended"],
    ["JOB_STATE_SUCCEEDED", state("JOB_STATE_SUCCEEDED"), "succeeded"],
    ["JOB_STATE_QUEUED", state("JOB_STATE_QUEUED"), "pending"],
    ["BATCH_STATE_EXPIRED", state("BATCH_STATE_EXPIRED"), "expired"],
    ["a state of the future", state("BATCH_STATE_ON_HOLD"), "unknown"],
    ["no state at all", {}, "unknown"],
  ];

  test.each(cases)("%s", (_, operation, expected) => {
    expect(parseBatch({ name: "batches/x", ...operation })?.state).toBe(expected);
  });

  test("keeps the service's words", () => {
    const batch = parseBatch({ name: "batches/x", ...state("BATCH_STATE_ON_HOLD"), error });
    expect(batch).toMatchObject({ rawState: "BATCH_STATE_ON_HOLD", error });
  });

  test("the results file is found in either place", () => {
    const expected = "files/batch-x";
    const inMetadata = { name: "batches/x", metadata: { output: results } };
    expect(parseBatch(inMetadata)?.resultsFile).toBe(expected);
    expect(parseBatch({ name: "batches/x", response: results })?.resultsFile).toBe(expected);
  });

  test("counts may come as numbers, and may be missing", () => {
    const counted = { name: "batches/x", metadata: { batchStats: { requestCount: 7 } } };
    expect(parseBatch(counted)?.counts).toEqual({ requests: 7, successful: 0, failed: 0 });
    expect(parseBatch({ name: "batches/x" })?.counts).toBeUndefined();
  });
});

describe("the list", () => {
  test("reads the recorded page; its counts may be stale, its state is not", async () => {
    const gemini = await connectTo(() => ({ body: recorded.listed }));
    expect(await gemini.findBatches("vecfill-1f3a-")).toMatchObject([
      { name: "batches/o828in12yctmkpzraz93m0a2p6nqerf2fpre", state: "succeeded" },
    ]);
  });

  test("all pages, newest first, no batch twice, only those with the prefix", async () => {
    const pages: Record<string, object> = {
      "": { operations: [made(9, "a-1"), made(8, "b-1")], nextPageToken: "p/2=" },
      "p/2=": { operations: [made(8, "b-1"), made(3, "a-2")], nextPageToken: "p3" },
      p3: { operations: [made(10, "a-3")] },
    };
    const gemini = await connectTo(({ url }) => {
      const token = new URL(url, "http://stub").searchParams.get("pageToken") ?? "";
      return { body: pages[token] };
    });
    const names = (await gemini.findBatches("a-")).map(({ name }) => name);
    expect(names).toEqual(["batches/b10", "batches/b9", "batches/b3"]);
    expect((await gemini.findBatches("")).map(({ name }) => name)).toHaveLength(4);
  });

  test("an empty list is `{}`", async () => {
    const gemini = await connectTo(() => ({ body: {} }));
    expect(await gemini.findBatches("")).toEqual([]);
  });

  const notLists: [string, unknown][] = [
    ["a page of a gateway", "<html></html>"],
    ["some other JSON", { status: "ok" }],
    ["an array", []],
    ["an error in a 200", errorBody(500, "INTERNAL", "oops")],
    ["a batch without a name", { operations: [{}] }],
    ["an empty list beside another one", { operations: [], batches: [made(1, "a")] }],
    ["a page token that is none", { operations: [], nextPageToken: 2 }],
    ["a list that says it is not whole", { operations: [], unreachable: ["somewhere"] }],
  ];
  test.each(notLists)("%s is not an empty list", async (_, body) => {
    const gemini = await connectTo(() => ({ body }));
    await expect(gemini.findBatches("")).rejects.toMatchObject({ kind: "uncertain" });
  });

  test("a failing second page fails the whole", async () => {
    const gemini = await connectTo((_, before) =>
      before === 0
        ? { body: { operations: [made(1, "a")], nextPageToken: "2" } }
        : { status: 503, body: errorBody(503, "UNAVAILABLE", "overloaded") },
    );
    await expect(gemini.findBatches("a")).rejects.toMatchObject({ kind: "uncertain" });
  });

  test("a list that never ends is given up at the limit", async () => {
    let pages = 0;
    const endless = () => ({ body: { nextPageToken: `page ${(pages += 1)}` } });
    const gemini = await connectTo(endless, { maxPages: 5 });
    await expect(gemini.findBatches("")).rejects.toThrow("over 5 pages");
    expect(LIMITS.maxPages).toBeGreaterThan(5);
    const circle = await connectTo(() => ({ body: { nextPageToken: "again" } }));
    await expect(circle.findBatches("")).rejects.toThrow("back to a page that was read");
  });
});

function state(word: string) {
  return { metadata: { state: word } };
}

function made(id: number, displayName: string) {
  const createTime = `2026-08-19T14:00:${String(id).padStart(2, "0")}.5Z`;
  return { name: `batches/b${id}`, metadata: { displayName, createTime } };
}

// oxlint-disable-next-line typescript/no-explicit-any -- other people's shapes
function read(name: string): any {
  return JSON.parse(
    readFileSync(new URL(`../fixtures/gemini/${name}.json`, import.meta.url), "utf8"),
  );
}

describe("the operations of other people's test suites and recordings", () => {
  const openClaw = read("operations-of-openclaw");
  const ringbinder = read("operations-of-ringbinder");

  const cases: [name: string, operation: unknown, batch: object][] = [
    [
      "everything at the top, and stale metadata",
      openClaw.canonical_top_level,
      {
        state: "succeeded",
        resultsFile: "files/out-telemetry",
        counts: { requests: 2, successful: 2, failed: 0 },
      },
    ],
    ["a state that lags", openClaw.stale_metadata, { state: "succeeded" }],
    ["an error beside results", openClaw.error_ahead_of_success, { resultsFile: "files/out-0" }],
    ["two results files", openClaw.conflicting_outputs, { resultsFile: "files/response-output" }],
    ["no results", openClaw.no_output, { state: "succeeded", resultsFile: undefined }],
    ["a creation", ringbinder.create, { displayName: "display", state: "pending" }],
    ["an unwrapped look", ringbinder.get_unwrapped, { resultsFile: "files/output-17" }],
    ["an unwrapped failure", ringbinder.failed_unwrapped, { state: "failed", error: { code: 3 } }],
  ];
  test.each(cases)("%s", (_, operation, batch) => {
    expect(parseBatch(operation)).toMatchObject(batch);
  });

  test("a page of the list, as it was recorded", async () => {
    const gemini = await connectTo(() => ({ body: read("list-page-2025-09").body }));
    expect(await gemini.findBatches("ExecuteAsFile")).toMatchObject([
      { model: "gemini-2.5-flash", inputFile: "files/85nave4ld71j", state: "pending" },
    ]);
  });
});
