/**
 * What the port promises, as a suite for whatever stands behind it: the real client in front of the
 * emulator, or, with a key, of the service itself.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { MODELS, type ModelName } from "../../src/row/models.ts";
import type { Gemini, RequestFile } from "../../src/gemini/port.ts";

export type ContractSubject = Readonly<{
  gemini: Gemini;
  /** Resolves when batches that can end have ended. */
  batchesEnd(): Promise<void>;
  close(): Promise<void>;
}>;

const DIMENSIONS = 128;
const TASK_TYPE = "RETRIEVAL_DOCUMENT";

export function describeGemini(start: () => Promise<ContractSubject>): void {
  let subject: ContractSubject;
  let folder: string;
  const run = randomBytes(4).toString("hex");

  beforeAll(async () => {
    subject = await start();
    folder = await mkdtemp(join(tmpdir(), "vecfill-contract-"));
  });
  afterAll(async () => {
    await subject.close();
    await rm(folder, { recursive: true });
  });

  async function requestFile(job: string, model: ModelName, texts: string[]) {
    const lines = texts.map((text, at) => requestLine(`${at}`, model, text));
    const bytes = Buffer.from(lines.join(""));
    const path = join(folder, job);
    await writeFile(path, bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const remoteName = `vecfill-${run}-${job}`;
    return { path, bytes: bytes.length, sha256, remoteName } satisfies RequestFile;
  }

  async function submit(job: string, model: ModelName, texts: string[]) {
    const file = await requestFile(job, model, texts);
    const remote = await subject.gemini.uploadFile(file);
    const displayName = `vecfill-${run}-${job}`;
    return subject.gemini.createBatch({ model, file: remote.name, displayName });
  }

  test("a file that is uploaded twice is there once, and for two days", async () => {
    const file = await requestFile("0001-1", "gemini-embedding-001", ["a"]);
    const first = await subject.gemini.uploadFile(file);
    expect(first.name).toMatch(/^files\//);
    expect(Date.parse(first.expiresAt ?? "") - Date.now()).toBeGreaterThan(24 * 3600 * 1000);
    expect(await subject.gemini.uploadFile(file)).toEqual(first);
    const changed = await requestFile("0001-1", "gemini-embedding-001", ["b"]);
    expect((await subject.gemini.uploadFile(changed)).name).not.toBe(first.name);
  });

  test.each<ModelName>(["gemini-embedding-001", "gemini-embedding-2"])(
    "a batch of %s goes from file to results, and gives the vectors that embedNow gives",
    async (model) => {
      const { gemini } = subject;
      const job = `ok-${model.at(-1)}`;
      const texts = ["What is a vector?", "", "Was ist ein Vektor? \u2028 ½"];
      const created = await submit(job, model, texts);
      expect(created).toMatchObject({ displayName: `vecfill-${run}-${job}`, error: undefined });
      expect(["pending", "running"]).toContain(created.state);

      await subject.batchesEnd();
      const ended = await gemini.getBatch(created.name);
      expect(ended).toMatchObject({ name: created.name, state: "succeeded" });
      expect(ended?.counts).toEqual({ requests: 3, successful: 2, failed: 1 });

      const vectors = await readVectors(gemini, ended?.resultsFile ?? "");
      const sent = [texts[0] ?? "", texts[2] ?? ""];
      const { vectors: now } = await gemini.embedNow({
        model,
        dimensions: DIMENSIONS,
        taskType: TASK_TYPE,
        texts: sent,
      });
      expect(now.map((vector) => vector.length)).toEqual([DIMENSIONS, DIMENSIONS]);
      expect(now[0]).not.toEqual(now[1]);
      expect([vectors.get("0"), vectors.get("2")]).toEqual(now);
      expect(vectors.has("1")).toBe(false);
    },
  );

  test("batches are found by the beginning of their names, newest first", async () => {
    const first = await submit("find-1", "gemini-embedding-001", ["a"]);
    const second = await submit("find-2", "gemini-embedding-001", ["b"]);
    const found = await subject.gemini.findBatches(`vecfill-${run}-find-`);
    expect(found.map((batch) => batch.name)).toEqual([second.name, first.name]);
    expect(await subject.gemini.findBatches(`vecfill-${run}-find-1`)).toMatchObject([first]);
    expect(await subject.gemini.findBatches("nobody's-")).toEqual([]);
  });

  test("a batch is cancelled, and deleted, and deleted again", async () => {
    const { gemini } = subject;
    const batch = await submit("cancel", "gemini-embedding-001", ["a"]);
    await gemini.cancelBatch(batch.name);
    await subject.batchesEnd();
    expect(await gemini.getBatch(batch.name)).toMatchObject({ state: "cancelled" });
    await gemini.deleteBatch(batch.name);
    expect(await gemini.getBatch(batch.name)).toBeUndefined();
    await gemini.deleteBatch(batch.name);
    expect(await gemini.findBatches(batch.displayName)).toEqual([]);
  });

  test("a file is deleted, and deleted again; a batch of it is refused", async () => {
    const { gemini } = subject;
    const file = await requestFile("gone", "gemini-embedding-001", ["a"]);
    const { name: gone } = await gemini.uploadFile(file);
    expect(await gemini.hasFile(gone)).toBe(true);
    await gemini.deleteFile(gone);
    await gemini.deleteFile(gone);
    expect(await gemini.hasFile(gone)).toBe(false);
    const create = gemini.createBatch({
      model: "gemini-embedding-001",
      file: gone,
      displayName: `vecfill-${run}-gone`,
    });
    await expect(create).rejects.toMatchObject({ kind: "notFound" });
    expect(await gemini.findBatches(`vecfill-${run}-gone`)).toEqual([]);
  });

  test("what is not there", async () => {
    const { gemini } = subject;
    const unknown = "0123456789abcdefghijklmnopqrstuvwxyz";
    expect(await gemini.getBatch(`batches/${unknown}`)).toBeUndefined();
    const results = gemini.openResults(`files/batch-${unknown}`);
    await expect(Array.fromAsync(results)).rejects.toMatchObject({ kind: "notFound" });
    await expect(gemini.getBatch("batches/test-batch")).rejects.toMatchObject({
      kind: "refused",
    });
  });

  test("tokens of several texts are counted together", async () => {
    const { gemini } = subject;
    const [one, both] = await Promise.all([
      gemini.countTokens("gemini-embedding-001", ["What is a vector?"]),
      gemini.countTokens("gemini-embedding-001", ["What is a vector?", "And what is a batch?"]),
    ]);
    expect(one).toBeGreaterThan(0);
    expect(both).toBeGreaterThan(one);
  });

  test("a hundred texts at once, and no more", async () => {
    const texts = Array.from({ length: 100 }, (_, at) => `Question ${at}`);
    const request = { model: "gemini-embedding-2", dimensions: DIMENSIONS } as const;
    const embed = (more: string[]) =>
      subject.gemini.embedNow({ ...request, taskType: TASK_TYPE, texts: [...texts, ...more] });
    expect((await embed([])).vectors).toHaveLength(100);
    await expect(embed(["one more"])).rejects.toThrow(RangeError);
  });
}

function requestLine(key: string, model: ModelName, text: string): string {
  const task = MODELS[model].taskBy === "field" ? { taskType: TASK_TYPE } : {};
  const content = { parts: [{ text }] };
  const request = { content, ...task, outputDimensionality: DIMENSIONS };
  return `${JSON.stringify({ key, request })}\n`;
}

async function readVectors(gemini: Gemini, file: string): Promise<Map<string, number[]>> {
  const bytes = Buffer.concat(await Array.fromAsync(gemini.openResults(file)));
  const vectors = new Map<string, number[]>();
  for (const line of bytes.toString().trimEnd().split("\n")) {
    const { key, response } = JSON.parse(line);
    if (response !== undefined) vectors.set(key, response.embedding.values);
  }
  return vectors;
}
