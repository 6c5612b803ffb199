/** A table and a Gemini that behave, without a database, a network, or real time. */
import { NOTHING_IN_THE_WAY, type TargetDescription } from "../../src/row/target-description.ts";
import { readFile, writeFile } from "node:fs/promises";
import type { Clock } from "../../src/clock.ts";
import { hashFile } from "../../src/disk/durable-file.ts";
import {
  enqueuedTokens,
  hasRoom,
  sizeAt,
  type QueuedBatch,
  type TokenQuota,
} from "../../src/emulator/state/quota.ts";
import { type Batch, type Gemini, GeminiError } from "../../src/gemini/port.ts";
import type { PendingQuestion } from "../../src/row/question.ts";
import type { Store } from "../../src/store/port.ts";

function refuse(): Promise<never> {
  return Promise.reject(new Error("nobody asks for that here"));
}

const FINGERPRINT_DIGITS = 32;

/** A row's own, although the texts are equal: none is to be folded into another. */
function fingerprintOf(id: number): string {
  return id.toString(16).padStart(FINGERPRINT_DIGITS, "0");
}

/** So many rows of equal length; ids count from 1. */
export function memoryStore(rows: number, text: string, dimensions: number): Store {
  const written = new Uint8Array(rows + 1);
  const description: TargetDescription = {
    idType: "integer",
    idTypeName: "bigint",
    idUnique: true,
    embedding: { typeName: "vector", dimensions },
    embeddingIndexes: [],
    updateTriggers: [],
    writing: NOTHING_IN_THE_WAY,
    serverVersion: "17",
    pgvectorVersion: "0.8.0",
  };
  return {
    describe: async () => description,
    readPending: async ({ after = "0", limit }) => {
      const page: PendingQuestion[] = [];
      for (let id = Number(after) + 1; id <= rows && page.length < limit; id += 1) {
        if (written[id] === 0) page.push({ id: String(id), text, fingerprint: fingerprintOf(id) });
      }
      return page;
    },
    apply: async (chunk) =>
      chunk.map(({ id }) => {
        written[Number(id)] = 1;
        return "written";
      }),
    tryWrite: async () => ({ tried: 0, refusal: undefined, withoutKey: 0, untried: undefined }),
    count: async () => ({
      total: rows,
      pending: rows - written.reduce((sum, one) => sum + one, 0),
    }),
    indexes: undefined,
    compare: refuse,
    look: refuse,
    clear: refuse,
    close: async () => {},
  };
}

export type World = Readonly<{
  clock: Clock;
  quota: TokenQuota;
  tokensPerRow: number;
  dimensions: number;
  /** From a create to the end of its batch. */
  batchMs: number;
  /** What a batch held comes back so long after its end. */
  releaseMs: number;
  /** How long an upload and a create take. */
  uploadMs: number;
  createMs: number;
  activeBatchesMax: number;
}>;

/** What happened at Gemini, for figures. */
export type Ledger = {
  uploads: number;
  deletedFiles: number;
  /** From an upload to the first create with it, at most. */
  uploadLeadMs: number;
  refusedAtMs: number[];
  acceptedAtMs: number[];
  batches: (QueuedBatch & { readonly file: string; readonly name: string; endsAtMs: number })[];
};

const CALL_MS = 100;
const FILE_LIFE_MS = 48 * 3_600_000;

/** Quota as the emulator keeps it; batches end after their time; results are unit vectors. */
export function simulatedGemini(world: World): { gemini: Gemini; ledger: Ledger } {
  const { clock, quota } = world;
  const ledger: Ledger = {
    uploads: 0,
    deletedFiles: 0,
    uploadLeadMs: 0,
    refusedAtMs: [],
    acceptedAtMs: [],
    batches: [],
  };
  const files = new Map<string, string>();
  const names = new Map<string, string>();
  const unusedSinceMs = new Map<string, number>();
  const nowMs = () => clock.now().getTime();
  const gemini: Gemini = {
    uploadFile: async ({ path, remoteName }, signal) => {
      await clock.sleep(world.uploadMs, signal);
      ledger.uploads += 1;
      const name = `files/${remoteName}`;
      files.set(name, path);
      unusedSinceMs.set(name, nowMs());
      return { name, expiresAt: new Date(nowMs() + FILE_LIFE_MS).toISOString() };
    },
    createBatch: async ({ file, displayName }) => {
      const leadMs = nowMs() - (unusedSinceMs.get(file) ?? nowMs());
      ledger.uploadLeadMs = Math.max(ledger.uploadLeadMs, leadMs);
      unusedSinceMs.delete(file);
      await clock.sleep(world.createMs);
      const path = files.get(file);
      if (path === undefined) throw new GeminiError("notFound", `there is no ${file}`);
      const tokens = (await lines(path)).length * world.tokensPerRow;
      const batches = seen(ledger, nowMs() - world.releaseMs);
      const active = seen(ledger, nowMs()).filter(({ end }) => end === undefined).length;
      if (active >= world.activeBatchesMax || !hasRoom(quota, batches, tokens, nowMs())) {
        ledger.refusedAtMs.push(nowMs());
        throw new GeminiError("quota", "You exceeded your current quota", { httpStatus: 429 });
      }
      ledger.acceptedAtMs.push(nowMs());
      const number = ledger.batches.length;
      const name = `batches/${number}`;
      ledger.batches.push({
        number,
        name,
        file,
        tokens,
        createdAtMs: nowMs(),
        endsAtMs: nowMs() + world.batchMs,
        end: undefined,
        deletedAtMs: undefined,
      });
      names.set(name, displayName);
      return batchOf(ledger, names, name, nowMs());
    },
    findBatches: async () => {
      await clock.sleep(CALL_MS);
      return ledger.batches.map(({ name }) => batchOf(ledger, names, name, nowMs())).toReversed();
    },
    getBatch: async (name) => {
      await clock.sleep(CALL_MS);
      return batchOf(ledger, names, name, nowMs());
    },
    openResults: () => {
      throw new Error("nobody asks for that here");
    },
    isOtherFile: async () => false,
    downloadResults: async (results, path) => {
      await clock.sleep(CALL_MS);
      const batch = ledger.batches.find(({ name }) => resultsOf(name) === results);
      const input = files.get(batch?.file ?? "") ?? "";
      const asked = await lines(input);
      await writeFile(path, answers(asked, world.dimensions), { mode: 0o600 });
      return { file: await hashFile(path), lines: asked.length };
    },
    cancelBatch: async () => {},
    deleteBatch: async () => {},
    deleteFile: async () => {
      await clock.sleep(CALL_MS);
      ledger.deletedFiles += 1;
    },
    hasFile: async (name) => files.has(name),
    listModels: async () => [],
    countTokens: async () => 0,
    embedNow: () => Promise.reject(new Error("nobody asks for that here")),
  };
  return { gemini, ledger };
}

/** The share of what could have drained between two moments that did. */
export function drainedShare(
  ledger: Ledger,
  quota: TokenQuota,
  fromMs: number,
  toMs: number,
): number {
  let held = 0;
  let possible = 0;
  const stepMs = Math.max(1_000, (toMs - fromMs) / SAMPLES);
  for (let atMs = fromMs; atMs < toMs; atMs += stepMs) {
    const before = seen(ledger, atMs).filter(({ createdAtMs }) => createdAtMs <= atMs);
    const level = enqueuedTokens(quota, before, atMs);
    const size = sizeAt(quota, atMs);
    possible += size;
    // a bucket drains at full pace while there is anything in it; else what is queued is worked on
    held += quota.kind === "bucket" ? (level > 0 ? size : 0) : Math.min(size, level);
  }
  return possible === 0 ? 1 : held / possible;
}

const SAMPLES = 4_000;

/** The batches as they are at a moment. */
function seen(ledger: Ledger, nowMs: number): Ledger["batches"] {
  return ledger.batches.map((batch) =>
    nowMs < batch.endsAtMs ? batch : { ...batch, end: ended(batch.endsAtMs) },
  );
}

function ended(atMs: number): QueuedBatch["end"] {
  return {
    state: "SUCCEEDED",
    atMs,
    successful: 0,
    failed: 0,
    resultBytes: undefined,
    error: undefined,
  };
}

function batchOf(
  ledger: Ledger,
  names: ReadonlyMap<string, string>,
  name: string,
  nowMs: number,
): Batch {
  const batch = ledger.batches.find((each) => each.name === name);
  const hasEnded = batch !== undefined && nowMs >= batch.endsAtMs;
  return {
    name,
    displayName: names.get(name) ?? "",
    state: hasEnded ? "succeeded" : "running",
    rawState: hasEnded ? "BATCH_STATE_SUCCEEDED" : "BATCH_STATE_RUNNING",
    createdAt: undefined,
    endedAt: undefined,
    model: undefined,
    inputFile: undefined,
    counts: undefined,
    resultsFile: hasEnded ? resultsOf(name) : undefined,
    error: undefined,
  };
}

function resultsOf(batch: string): string {
  return `files/${batch.replace("/", "-")}`;
}

async function lines(path: string): Promise<string[]> {
  return (await readFile(path, "utf8")).split("\n").slice(0, -1);
}

function answers(requests: readonly string[], dimensions: number): string {
  const values = JSON.stringify([1, ...Array.from({ length: dimensions - 1 }, () => 0)]);
  return requests
    .map((line) => {
      const key = /"key":"(?<key>[^"]+)"/.exec(line)?.groups?.["key"] ?? "";
      return `{"response":{"embedding":{"values":${values}}},"key":"${key}"}\n`;
    })
    .join("");
}
