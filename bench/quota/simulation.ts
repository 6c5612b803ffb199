/** One whole `run` in virtual time against a quota, and how well it was used. */
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TokenQuota } from "../../src/emulator/state/quota.ts";
import { pricesOf } from "../../src/cost/tariff.ts";
import type { JobBounds } from "../../src/jobs-folder/cut.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { run } from "../../src/run/run.ts";
import type { Window } from "../../src/quota/next-try.ts";
import { memoryStore, simulatedGemini, drainedShare } from "./doubles.ts";
import { VirtualClock } from "./virtual-clock.ts";

export type Scenario = Readonly<{
  rows: number;
  tokensPerRow: number;
  window: Window;
  bounds: JobBounds;
  quota: TokenQuota;
  batchMs: number;
  /** What a batch held comes back so long after its end; at once where nothing is said. */
  releaseMs?: number;
  uploadMs?: number;
  createMs?: number;
  quotaWaitMs?: number;
  pollIntervalMs?: number;
  canary?: boolean;
  /** Of the vectors that come back, where it is not what was asked for. */
  dimensionsGiven?: number;
}>;

export type Outcome = Readonly<{
  jobs: number;
  refused: number;
  /** Of all creates. */
  refusedShare: number;
  /** Of what could drain until the last create, as much did. */
  utilisation: number;
  /** Uploads that no accepted batch came of. */
  uploadsWasted: number;
  /** From an upload to the first create with it, at most. */
  uploadLeadMs: number;
  hours: number;
  /** From the start to the last create that was accepted. */
  sentAfterMs: number;
  /** What `run` told of the queue. */
  told: readonly string[];
  /** As often as the rows of any job were sent, by the job's own word. */
  attempts: number;
  /** Rows that have their vector. */
  written: number;
  /** Requests of each batch, and when it was made, in the order of the creates. */
  batches: readonly Readonly<{ requests: number; atMs: number }>[];
  /** Most creates refused within an hour. */
  refusedAnHour: number;
}>;

const PRICES_OF_THE_MODEL = pricesOf({ price: undefined, priceSync: undefined });
export const START_MS = Date.parse("2026-11-25T00:00:00Z");
/** Every event of the journal is synced, which takes a disk longer than all else here. */
const MEMORY_DISK = "/dev/shm";
/** The least there is; nobody looks at them. */
const DIMENSIONS = 128;
const HOUR_MS = 3_600_000;
const GRACE_MS = 60_000;
const QUOTA_WAIT_MS = 60_000;
const UPLOAD_MS = 1_000;
const CREATE_MS = 2_000;
const ACTIVE_BATCHES_MAX = 100;

export async function simulate(scenario: Scenario): Promise<Outcome> {
  const { rows, tokensPerRow, window, bounds, quota, batchMs } = scenario;
  const clock = new VirtualClock(START_MS);
  const world = {
    clock,
    quota,
    tokensPerRow,
    dimensions: scenario.dimensionsGiven ?? DIMENSIONS,
    batchMs,
    releaseMs: scenario.releaseMs ?? 0,
    uploadMs: scenario.uploadMs ?? UPLOAD_MS,
    createMs: scenario.createMs ?? CREATE_MS,
    activeBatchesMax: ACTIVE_BATCHES_MAX,
  };
  const { gemini, ledger } = simulatedGemini(world);
  const target = {
    schema: "public",
    table: "questions",
    id: "id",
    text: "question_text",
    embedding: "embedding",
    model: "gemini-embedding-001",
    dimensions: DIMENSIONS,
    taskType: "RETRIEVAL_DOCUMENT",
  } as const;
  // a word of so few letters is estimated as one token
  const store = memoryStore(rows, "word ".repeat(tokensPerRow).trim(), DIMENSIONS);
  const folder = await mkdtemp(
    join(existsSync(MEMORY_DISK) ? MEMORY_DISK : tmpdir(), "vecfill-quota-"),
  );
  const manifest = await openManifest(folder, clock);
  const told: string[] = [];
  try {
    const summary = await clock.during(
      run(
        {
          store,
          storeOf: async () => store,
          manifest,
          gemini,
          clock,
          report: (event) => {
            if (event.type === "quotaFull") told.push(event.why);
          },
          signal: new AbortController().signal,
          keyId: "simulated",
          resultsGraceMs: 0,
        },
        {
          export: { target, bounds, limit: undefined, onTooLong: "skip" },
          window,
          canary: scenario.canary === true,
          prices: PRICES_OF_THE_MODEL,
          reconcileGraceMs: GRACE_MS,
          quotaWaitMs: scenario.quotaWaitMs ?? QUOTA_WAIT_MS,
          pollIntervalMs: scenario.pollIntervalMs,
          stuckAfterMs: 24 * HOUR_MS,
          maxAttempts: 3,
          timeoutMs: undefined,
        },
      ),
    );
    const { refusedAtMs, acceptedAtMs, uploads, batches } = ledger;
    const creates = refusedAtMs.length + acceptedAtMs.length;
    const [fromMs = 0, toMs = 0] = [acceptedAtMs[0], acceptedAtMs.at(-1)];
    return {
      jobs: batches.length,
      refused: refusedAtMs.length,
      refusedShare: refusedAtMs.length / creates,
      utilisation: drainedShare(ledger, quota, fromMs, toMs),
      uploadsWasted: uploads - batches.length,
      uploadLeadMs: ledger.uploadLeadMs,
      hours: clock.elapsedMs() / HOUR_MS,
      sentAfterMs: toMs - START_MS,
      told,
      attempts: Math.max(...manifest.jobs().map(({ attempt }) => attempt)),
      written: summary.written,
      batches: batches.map(({ tokens, createdAtMs }) => ({
        requests: tokens / tokensPerRow,
        atMs: createdAtMs,
      })),
      refusedAnHour: mostWithin(refusedAtMs, HOUR_MS),
    };
  } finally {
    await manifest.close();
    await rm(folder, { recursive: true, force: true });
  }
}

function mostWithin(timesMs: readonly number[], spanMs: number): number {
  return Math.max(
    0,
    ...timesMs.map((from) => timesMs.filter((at) => at >= from && at < from + spanMs).length),
  );
}
