// Does the client keep the port's promises against a service as strict as Gemini is known to be,
// in each of the ways in which nobody knows what Gemini does, and under each fault of a transfer?
import { createHash } from "node:crypto";
import { getEventListeners } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import type { Clock } from "../../src/clock.ts";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import type { RequestFile } from "../../src/gemini/port.ts";
import { retryingGemini } from "../../src/gemini/retry.ts";
import { describeGemini } from "./contract.ts";
import { IN_FULL } from "../size.ts";

/** Sleeps for no time at all. */
const hasty: Clock = {
  now: () => new Date(),
  elapsedMs: () => performance.now(),
  sleep: async (_, signal) => signal?.throwIfAborted(),
};

const HOUR_MS = 3_600_000;

describe("the contract of the port", () => {
  describeGemini(async () => {
    const service = await startEmulator({ frozen: true });
    const gemini = connectGemini({ apiKey: "k", baseUrl: service.url, clock: hasty });
    return { gemini, batchesEnd: () => service.advance(HOUR_MS), close: service.close };
  });
});

let emulator: Emulator;
let started: Emulator[] = [];
afterEach(async () => {
  await Promise.all(started.map((each) => each.close()));
  started = [];
});

async function start(options: EmulatorOptions): Promise<Emulator> {
  const one = await startEmulator(options);
  started.push(one);
  return one;
}

let folder: string;
let file: RequestFile;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vecfill-emulated-"));
  const line = `{"key":"1","request":{"content":{"parts":[{"text":"${"x".repeat(800)}"}]}}}\n`;
  const content = Buffer.from(line.repeat(1500));
  file = {
    path: join(folder, "requests.jsonl"),
    bytes: content.length,
    sha256: createHash("sha256").update(content).digest("hex"),
    remoteName: "vecfill-0001-1",
  };
  await writeFile(file.path, content);
});
afterAll(() => rm(folder, { recursive: true }));

async function connect(options: EmulatorOptions) {
  emulator = await start({ frozen: true, ...options });
  // one that is to stay without an answer is not waited for long; any other may come late on a busy machine
  const isSilent = options.faults?.includes("create-silent") === true;
  const limits = { chunkBytes: 256 * 1024, ...(isSilent ? { createMs: 300 } : {}) };
  const client = connectGemini({ apiKey: "k", baseUrl: emulator.url, clock: hasty, limits });
  return retryingGemini(client, hasty);
}

const create = (input: string) =>
  ({ model: "gemini-embedding-001", file: input, displayName: "vecfill-0001-1" }) as const;

test("no call leaves a listener on the caller's signal, which lives as long as a run", async () => {
  const gemini = connectGemini({
    apiKey: "k",
    baseUrl: (await start({})).url,
    clock: hasty,
  });
  const { signal } = new AbortController();
  const sent = await gemini.uploadFile(file, signal);
  await gemini.hasFile(sent.name, signal);
  await gemini.hasFile("files/none", signal);
  await gemini.findBatches("vecfill-", signal);
  await gemini.listModels(signal);
  await gemini.embedNow(
    { model: "gemini-embedding-001", dimensions: 128, taskType: "RETRIEVAL_QUERY", texts: ["a"] },
    { stop: signal, drop: signal },
  );
  expect(getEventListeners(signal, "abort")).toHaveLength(0);
});

describe("an upload", () => {
  test.each([
    "upload-cut=3x",
    "upload-cut=0.4",
    "upload-no-status=2x",
    "upload-no-status=0.3",
    "upload-final-lost=1x",
    "upload-5xx=2x",
    "upload-5xx=0.4",
    "upload-session-lost=1x",
    "mime-200-error=1x",
    "get-5xx=2x",
    "rate-429=3x",
    "upload-cut=0.3,upload-no-status=0.2,upload-5xx=0.2,upload-final-lost=1x,rate-429=0.1",
  ])("with the faults %s", async (faults) => {
    const gemini = await connect({ faults });
    const remote = await gemini.uploadFile(file);
    emulator.setFaults("");
    // The emulator has what we sent: it says so itself, and takes it for a batch.
    expect(await gemini.uploadFile(file)).toEqual(remote);
    expect(remote.name).toBe("files/vecfill-0001-1");
    await gemini.createBatch(create(remote.name));
    expect(emulator.batches()).toMatchObject([{ requests: 1500 }]);
  });

  test.each(["at-start", "at-end", "as-success"])("of types refused %s", async (way) => {
    const gemini = await connect({
      behaviour: `mime-refusal=${way}`,
      refusedMimeTypes: ["application/jsonl", "application/json"],
    });
    expect((await gemini.uploadFile(file)).name).toBe("files/vecfill-0001-1");
  });

  test.each(["refused-at-start", "refused-at-end", "renamed"])(
    "under a name that another content has (%s)",
    async (way) => {
      const gemini = await connect({ behaviour: `duplicate-name=${way}` });
      const path = join(folder, "other.jsonl");
      await writeFile(path, "{}\n");
      const sha256 = createHash("sha256").update("{}\n").digest("hex");
      const other = await gemini.uploadFile({ ...file, path, sha256, bytes: 3 });
      const remote = await gemini.uploadFile(file);
      expect(remote.name).not.toBe(other.name);
      await gemini.createBatch(create(remote.name));
      expect(emulator.batches()).toMatchObject([{ requests: 1500 }]);
    },
  );
});

describe("a create", () => {
  test.each([
    ["create-reset=1x", "uncertain", 1],
    ["create-503=1x", "uncertain", 1],
    ["create-silent=1x", "uncertain", 1],
    ["create-lost=1x", "uncertain", 0],
    ["create-429=1x", "quota", 0],
  ])("with the fault %s is %s, and there is what there is", async (faults, kind, batches) => {
    const gemini = await connect({ faults });
    const remote = await gemini.uploadFile(file);
    const creating = gemini.createBatch(create(remote.name));
    await expect(creating).rejects.toMatchObject({ kind });
    expect(emulator.calls("create")).toBe(1);
    expect(emulator.batches()).toHaveLength(batches);
    expect(await gemini.findBatches("vecfill-0001-1")).toHaveLength(batches);
  });
});

describe("results", () => {
  test("that break off do so as an error, and are whole the next time", IN_FULL, async () => {
    const { gemini, batch } = await ended({ faults: "download-cut=1x" });
    const read = () => Array.fromAsync(gemini.openResults(batch?.resultsFile ?? ""));
    await expect(read()).rejects.toMatchObject({ kind: "uncertain" });
    const lines = Buffer.concat(await read())
      .toString()
      .trimEnd()
      .split("\n");
    expect(lines).toHaveLength(1500);
  });

  test("cannot always be deleted, and this is said", IN_FULL, async () => {
    const { gemini, batch } = await ended({ behaviour: "delete-output=refused" });
    const deletion = gemini.deleteFile(batch?.resultsFile ?? "");
    await expect(deletion).rejects.toMatchObject({ kind: "refused" });
  });

  test.each([
    ["batch-fail=1x", "failed"],
    ["batch-expire=1x", "expired"],
    ["batch-cancel=1x", "cancelled"],
  ])("of a batch with the fault %s: none, it has %s", async (faults, state) => {
    const { batch } = await ended({ faults });
    expect(batch).toMatchObject({ state, resultsFile: undefined });
    expect(batch?.error?.message).not.toBe("");
  });
});

test("a wrong key is told from all other refusals", async () => {
  emulator = await start({});
  const gemini = connectGemini({ apiKey: "wrong-key", baseUrl: emulator.url });
  await expect(gemini.findBatches("")).rejects.toMatchObject({ kind: "key" });
  await expect(gemini.uploadFile(file)).rejects.toMatchObject({ kind: "key" });
});

test("another project's batches and files are not there", async () => {
  emulator = await start({ keys: { ours: "a", theirs: "b" } });
  const ours = connectGemini({ apiKey: "ours", baseUrl: emulator.url, clock: hasty });
  const theirs = connectGemini({ apiKey: "theirs", baseUrl: emulator.url, clock: hasty });
  const remote = await ours.uploadFile(file);
  const batch = await ours.createBatch(create(remote.name));
  expect(await theirs.getBatch(batch.name)).toBeUndefined();
  expect(await theirs.findBatches("")).toEqual([]);
  await expect(theirs.createBatch(create(remote.name))).rejects.toMatchObject({ kind: "notFound" });
});

async function ended(options: EmulatorOptions) {
  const gemini = await connect(options);
  const remote = await gemini.uploadFile({ ...file });
  const { name } = await gemini.createBatch(create(remote.name));
  await emulator.advance(HOUR_MS);
  return { gemini, batch: await gemini.getBatch(name) };
}
