// A results file of a gigabyte comes over a bad line. Is it told from a whole one, and does the
// process survive? (The SDK's own download does not.)
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { connectGemini } from "../../src/gemini/client.ts";
import { saveResults } from "../../src/gemini/saved-results.ts";
import { errorBody, type Reply, serve, startStub, type Stub } from "./stub-server.ts";

const LINE = `{"key":"1","response":{}}\n`;
const LINE_BYTES = Buffer.byteLength(LINE);
const LINES = 20_000;
const results = Buffer.from(LINE.repeat(LINES));

let stub: Stub | undefined;
const uncaught: unknown[] = [];
const remember = (error: unknown): void => void uncaught.push(error);

beforeEach(() => process.on("uncaughtException", remember));
afterEach(async () => {
  await stub?.close();
  process.off("uncaughtException", remember);
  if (uncaught.length > 0) throw new Error("the process would be dead", { cause: uncaught.pop() });
});

async function connectTo(reply: Reply, idleMs = 1000) {
  stub = await startStub(() => reply);
  return connectGemini({ apiKey: "k", baseUrl: stub.baseUrl, limits: { idleMs } });
}

async function read(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(chunks));
}

test("yields all bytes, and asks for them in the way that is known to work", async () => {
  const gemini = await connectTo({ body: results });
  expect((await read(gemini.openResults("files/batch-x"))).equals(results)).toBe(true);
  expect(stub?.seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "GET /v1beta/files/batch-x:download?alt=media",
  ]);
  expect(stub?.seen[0]?.headers.range).toBeUndefined();
});

test("unpacks what came compressed, whose length is another", async () => {
  const gemini = await connectTo({
    headers: { "content-encoding": "gzip" },
    body: gzipSync(results),
  });
  expect((await read(gemini.openResults("files/batch-x"))).equals(results)).toBe(true);
});

describe("a body that is not whole", () => {
  test.each([0, 1, 100_000, results.length - 1])("after %i bytes", async (cutAfter) => {
    const gemini = await connectTo({ body: results, cutAfter });
    const reading = read(gemini.openResults("files/batch-x"));
    await expect(reading).rejects.toMatchObject({ name: "GeminiError", kind: "uncertain" });
  });

  test("in chunks of unknown number", async () => {
    stub = await serve([], async (_, response) => {
      response.write(results.subarray(0, 50_000), () => response.socket?.destroy());
    });
    const gemini = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl });
    const reading = read(gemini.openResults("files/batch-x"));
    await expect(reading).rejects.toMatchObject({ kind: "uncertain" });
  });

  test("compressed", async () => {
    const gemini = await connectTo({
      headers: { "content-encoding": "gzip" },
      body: gzipSync(results),
      cutAfter: 300,
    });
    const reading = read(gemini.openResults("files/batch-x"));
    await expect(reading).rejects.toMatchObject({ kind: "uncertain" });
  });

  test("of another length than announced, where whoever fetches did not mind", async () => {
    const headers = { "content-length": "7" };
    const gemini = connectGemini({
      apiKey: "k",
      baseUrl: "http://gateway.invalid",
      fetch: async () => new Response("{}\n", { headers }),
    });
    const reading = read(gemini.openResults("files/batch-x"));
    await expect(reading).rejects.toThrow("3 of 7 bytes");
  });
});

describe("a line that falls silent", () => {
  test("before the first byte", async () => {
    const gemini = await connectTo("hang", 150);
    await expect(read(gemini.openResults("files/batch-x"))).rejects.toThrow("within 0.15 s");
  });

  test("in the middle", async () => {
    stub = await serve([], async (_, response) => void response.write("half a line"));
    const limits = { idleMs: 150 };
    const gemini = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl, limits });
    const reading = read(gemini.openResults("files/batch-x"));
    await expect(reading).rejects.toMatchObject({ kind: "uncertain" });
  });

  test("is not to be confused with a reader that takes its time", async () => {
    const gemini = await connectTo({ body: results }, 150);
    let bytes = 0;
    for await (const chunk of gemini.openResults("files/batch-x")) {
      if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 400));
      bytes += chunk.byteLength;
    }
    expect(bytes).toBe(results.length);
  });
});

test("is there for nobody: notFound", async () => {
  const words = "You do not have permission to access the File x or it may not exist.";
  const gemini = await connectTo({ status: 403, body: errorBody(403, "PERMISSION_DENIED", words) });
  const reading = read(gemini.openResults("files/batch-x"));
  await expect(reading).rejects.toMatchObject({ kind: "notFound" });
});

test("Ctrl-C in the middle ends it with its own reason", async () => {
  stub = await serve([], async (_, response) => void response.write("half a line"));
  const gemini = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl });
  const controller = new AbortController();
  const reason = new Error("interrupted");
  setTimeout(() => controller.abort(reason), 100);
  await expect(
    read(gemini.openResults("files/batch-x", { signal: controller.signal })),
  ).rejects.toBe(reason);
});

test("a reader that stops early leaves no connection behind", async () => {
  let closed = 0;
  stub = await serve([], async (_, response) => {
    response.on("close", () => (closed += 1));
    response.write(results);
  });
  const gemini = connectGemini({ apiKey: "k", baseUrl: stub.baseUrl });
  for await (const chunk of gemini.openResults("files/batch-x")) {
    expect(chunk.byteLength).toBeGreaterThan(0);
    break;
  }
  await expect.poll(() => closed).toBe(1);
});

describe("to a file", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "vecfill-results-"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function save(reply: Reply) {
    const gemini = await connectTo(reply);
    const counts: number[] = [];
    const onBytes = (bytes: number) => counts.push(bytes);
    const path = join(folder, "results.jsonl");
    const saved = await gemini
      .downloadResults("files/batch-x", path, { onBytes })
      .catch((error: unknown) => error);
    const names = await readdir(folder);
    return { saved, counts, names, content: names.length > 0 ? await readFile(path) : undefined };
  }

  test("whole and untouched, with its size and hash", async () => {
    const { saved, counts, content, names } = await save({ body: results });
    expect(content?.equals(results)).toBe(true);
    const sha256 = createHash("sha256").update(results).digest("hex");
    expect(saved).toEqual({ file: { bytes: results.length, sha256 }, lines: LINES });
    expect(counts.at(-1)).toBe(results.length);
    expect(names).toEqual(["results.jsonl"]);
  });

  test("a last line without an end is whole if its object is", async () => {
    const { content, saved } = await save({ body: results.subarray(0, -1) });
    expect(content).toHaveLength(results.length - 1);
    expect(saved).toMatchObject({ lines: LINES });
  });

  test.each([
    `{"error":{"code":3,"message":"no"}}\n`,
    `{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED"},"key":"1"}\n`,
  ])("the single line %j is a result", async (body) => {
    expect((await save({ body })).content).toHaveLength(body.length);
  });

  const broken: [string, Reply][] = [
    ["cut by the network", { body: results, cutAfter: 100_000 }],
    ["cut cleanly inside a line", { body: results.subarray(0, -9) }],
    ["an error, as 200", { body: errorBody(503, "UNAVAILABLE", "overloaded") }],
    ["an error", { status: 503, body: errorBody(503, "UNAVAILABLE", "overloaded") }],
  ];
  test("the memory of each piece is free at once, but where others share it", async () => {
    const [own, shared] = [Uint8Array.of(0x7b, 0x7d, 0x0a), results.subarray(0, LINE_BYTES)];
    const pieces = (async function* () {
      yield own;
      yield shared;
    })();
    const path = join(folder, "results.jsonl");
    expect(await saveResults(pieces, path, new Map(), {})).toMatchObject({ lines: 2 });
    expect(await readFile(path, "utf8")).toBe(`{}\n${LINE}`);
    expect(own.buffer.detached).toBe(true);
    expect(shared.toString()).toBe(LINE);
  });

  test.each(broken)("%s: nothing is left", async (_, reply) => {
    const { saved, names } = await save(reply);
    expect(saved).toMatchObject({ kind: "uncertain" });
    expect(names).toEqual([]);
  });
});
