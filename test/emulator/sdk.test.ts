// Does the real client, @google/genai, work against the emulator from the upload to the download?
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiError, type BatchJob, GoogleGenAI } from "@google/genai";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { emulatedVector } from "../../src/emulator/vectors/embedding.ts";
import type { Emulator } from "../../src/emulator/emulator.ts";
import { emulatorFor, requestLines } from "./client.ts";

const MODEL = "gemini-embedding-001";
const CHUNK_BYTES = 8 * 1024 * 1024;
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "emulator-sdk-"));
  // The SDK warns at every create that it is experimental.
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function client(emulator: Emulator, apiKey = "anything", apiVersion = "v1beta"): GoogleGenAI {
  return new GoogleGenAI({ apiKey, apiVersion, httpOptions: { baseUrl: emulator.url } });
}

function fileOf(lines: readonly string[]): string {
  const path = join(folder, "in.jsonl");
  writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
  return path;
}

async function uploaded(ai: GoogleGenAI, lines: readonly string[]): Promise<string> {
  const config = { mimeType: "application/jsonl" };
  return (await ai.files.upload({ file: fileOf(lines), config })).name ?? "";
}

function created(ai: GoogleGenAI, fileName: string, displayName = "d"): Promise<BatchJob> {
  return ai.batches.createEmbeddings({ model: MODEL, src: { fileName }, config: { displayName } });
}

test.each(["v1beta", "v1"])("upload, create, get, download through %s", async (version) => {
  const emulator = await emulatorFor({ batchSeconds: 30 });
  const ai = client(emulator, "anything", version);
  const lines = requestLines(20, { outputDimensionality: 768 });
  const { name = "", state } = await created(ai, await uploaded(ai, lines));
  expect(state).toBe("JOB_STATE_PENDING");
  await emulator.advance(15_000);
  expect((await ai.batches.get({ name })).state).toBe("JOB_STATE_RUNNING");
  await emulator.advance(15_000);
  const done = await ai.batches.get({ name });
  expect(done).toMatchObject({
    state: "JOB_STATE_SUCCEEDED",
    displayName: "d",
    model: `models/${MODEL}`,
  });

  const path = join(folder, "out.jsonl");
  await ai.files.download({ file: done.dest?.fileName ?? "", downloadPath: path });
  const results = readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(results.map(({ key }) => key)).toEqual(lines.map((line) => JSON.parse(line).key));
  expect(results[7].response.embedding.values).toEqual(
    emulatedVector("What is 7?", { model: MODEL, dimensions: 768, taskType: "RETRIEVAL_DOCUMENT" }),
  );
});

test("a file of more than two chunks arrives whole", async () => {
  const emulator = await emulatorFor();
  const ai = client(emulator);
  const bytes = Buffer.alloc(2 * CHUNK_BYTES + 10, "a line of text that is repeated\n");
  const path = join(folder, "big.jsonl");
  writeFileSync(path, bytes);
  const config = { mimeType: "application/jsonl", name: "files/my-file-1", displayName: "dn" };
  const file = await ai.files.upload({ file: path, config });
  expect(file).toMatchObject({
    name: "files/my-file-1",
    displayName: "dn",
    sizeBytes: String(bytes.length),
  });
  const hex = createHash("sha256").update(bytes).digest("hex");
  expect(Buffer.from(file.sha256Hash ?? "", "base64").toString()).toBe(hex);
  expect(emulator.calls("upload")).toBe(4);
  await ai.files.delete({ name: "files/my-file-1" });
  await expect(ai.files.get({ name: "files/my-file-1" })).rejects.toMatchObject({ status: 403 });
});

test("lists come newest first and in pages", async () => {
  const emulator = await emulatorFor();
  const ai = client(emulator);
  const file = await uploaded(ai, requestLines(1));
  for (let i = 0; i < 5; i++) await created(ai, file, `d${i}`);
  const names: (string | undefined)[] = [];
  for await (const batch of await ai.batches.list({ config: { pageSize: 2 } })) {
    names.push(batch.displayName);
  }
  expect(names).toEqual(["d4", "d3", "d2", "d1", "d0"]);
  expect(emulator.calls("list")).toBe(3);
});

test("cancel ends a batch without results, delete takes it off the list", async () => {
  const emulator = await emulatorFor({ batchSeconds: 30 });
  const ai = client(emulator);
  const { name = "" } = await created(ai, await uploaded(ai, requestLines(3)));
  await ai.batches.cancel({ name });
  await emulator.advance(60_000);
  const batch = await ai.batches.get({ name });
  expect(batch).toMatchObject({ state: "JOB_STATE_CANCELLED" });
  expect(batch.dest).toBeUndefined();
  await ai.batches.delete({ name });
  await expect(ai.batches.get({ name })).rejects.toMatchObject({ status: 404 });
  expect(emulator.batches()).toMatchObject([
    { name, state: "BATCH_STATE_CANCELLED", deleted: true },
  ]);
  expect((await emulator.billing()).size).toBe(0);
});

test("a wrong key is answered as the service does", async () => {
  const emulator = await emulatorFor();
  const error: unknown = await client(emulator, "wrong-key")
    .batches.list()
    .catch((reason) => reason);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ status: 400, message: expect.stringContaining("API_KEY_INVALID") });
});

test("embedding at once gives the vectors of the batch", async () => {
  const emulator = await emulatorFor();
  const ai = client(emulator);
  const config = { taskType: "RETRIEVAL_DOCUMENT", outputDimensionality: 8 };
  const { embeddings } = await ai.models.embedContent({
    model: MODEL,
    contents: ["a b", "c"],
    config,
  });
  expect(embeddings?.map(({ values }) => values)).toEqual(
    ["a b", "c"].map((text) =>
      emulatedVector(text, { model: MODEL, dimensions: 8, taskType: "RETRIEVAL_DOCUMENT" }),
    ),
  );
  expect(emulator.embeddedNow()).toBe(2);
});

test("-2 makes one vector of a list of strings, as the SDK sends it", async () => {
  const emulator = await emulatorFor();
  const contents = ["a", "b"];
  const { embeddings } = await client(emulator).models.embedContent({
    model: "gemini-embedding-2",
    contents,
  });
  expect(embeddings).toHaveLength(1);
});

test("tokens can be counted", async () => {
  const emulator = await emulatorFor();
  const contents = "How many tokens is this?";
  const { totalTokens } = await client(emulator).models.countTokens({ model: MODEL, contents });
  expect(totalTokens).toBe(6);
});
