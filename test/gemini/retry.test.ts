// The service stumbles. Which calls are made again, how soon, and when is it given up? And is the
// one that costs money when repeated never repeated?
import { describe, expect, test } from "vitest";

import type { Clock } from "../../src/clock.ts";
import { type Gemini, GeminiError } from "../../src/gemini/port.ts";
import { RETRIES, retryingGemini } from "../../src/gemini/retry.ts";
import type { ProgressEvent } from "../../src/progress.ts";

/** A 503: unlike no answer at all, it says that nothing was done. */
const uncertain = () => new GeminiError("uncertain", "oops", { httpStatus: 503 });

/** A service that fails so often with so, whatever is asked, and then answers. */
function failing(times: number, error: () => unknown = uncertain) {
  let calls = 0;
  const answer = async <T>(value: T): Promise<T> => {
    calls += 1;
    if (calls <= times) throw error();
    return value;
  };
  const batch = {
    name: "batches/x",
    displayName: "",
    state: "pending",
    rawState: "",
    createdAt: undefined,
    endedAt: undefined,
    model: undefined,
    inputFile: undefined,
    counts: undefined,
    resultsFile: undefined,
    error: undefined,
  } as const;
  const service: Gemini = {
    uploadFile: () => answer({ name: "files/x", expiresAt: undefined }),
    createBatch: () => answer(batch),
    findBatches: () => answer([batch]),
    getBatch: () => answer(batch),
    async *openResults() {
      yield await answer(Buffer.from("x"));
    },
    downloadResults: () => answer({ file: { bytes: 1, sha256: "" }, lines: 1 }),
    isOtherFile: () => answer(false),
    cancelBatch: () => answer(undefined),
    deleteBatch: () => answer(undefined),
    deleteFile: () => answer(undefined),
    hasFile: () => answer(true),
    listModels: () => answer([]),
    countTokens: () => answer(7),
    embedNow: () => answer({ vectors: [[1]], tokens: undefined }),
  };
  return { service, calls: () => calls };
}

function watch() {
  const slept: number[] = [];
  const clock: Clock = {
    now: () => new Date(),
    elapsedMs: () => 0,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      slept.push(ms);
    },
  };
  return { slept, clock };
}

const file = { path: "", bytes: 0, sha256: "", remoteName: "" };
const embedRequest = {
  model: "gemini-embedding-001",
  dimensions: 1,
  taskType: "CLUSTERING",
  texts: ["a"],
} as const;
const batchRequest = { model: "gemini-embedding-001", file: "files/x", displayName: "" } as const;

const withSignal = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

const retried: [
  keyof typeof RETRIES,
  (gemini: Gemini, signal?: AbortSignal) => Promise<unknown>,
][] = [
  ["uploadFile", (gemini, signal) => gemini.uploadFile(file, signal)],
  ["findBatches", (gemini, signal) => gemini.findBatches("", signal)],
  ["getBatch", (gemini, signal) => gemini.getBatch("batches/x", signal)],
  [
    "downloadResults",
    (gemini, signal) => gemini.downloadResults("files/x", "", withSignal(signal)),
  ],
  [
    "isOtherFile",
    (gemini, signal) => gemini.isOtherFile("files/x", { bytes: 1, sha256: "" }, signal),
  ],
  ["cancelBatch", (gemini) => gemini.cancelBatch("batches/x")],
  ["deleteBatch", (gemini) => gemini.deleteBatch("batches/x")],
  ["deleteFile", (gemini) => gemini.deleteFile("files/x")],
  ["hasFile", (gemini, signal) => gemini.hasFile("files/x", signal)],
  ["listModels", (gemini, signal) => gemini.listModels(signal)],
  ["countTokens", (gemini) => gemini.countTokens("gemini-embedding-001", [])],
  ["embedNow", (gemini, signal) => gemini.embedNow(embedRequest, { stop: signal })],
];

test("every call of the table is tried here", () => {
  expect(retried.map(([call]) => call).sort()).toEqual(Object.keys(RETRIES).sort());
});

describe.each(retried)("%s", (call, make) => {
  const { attempts, firstDelayMs, maxDelayMs, jitter = 0.5 } = RETRIES[call];

  test("comes through at the last attempt, after growing delays within their bounds", async () => {
    const { service, calls } = failing(attempts - 1);
    const { slept, clock } = watch();
    const expected = await make(failing(0).service);
    expect(await make(retryingGemini(service, clock))).toEqual(expected);
    expect(calls()).toBe(attempts);
    for (const [at, delayMs] of slept.entries()) {
      const full = Math.min(firstDelayMs * 2 ** at, maxDelayMs);
      expect(delayMs).toBeGreaterThanOrEqual(full * (1 - jitter));
      expect(delayMs).toBeLessThanOrEqual(full);
    }
    expect(slept).toHaveLength(attempts - 1);
  });

  test("is given up after it, with the last error", async () => {
    const { service, calls } = failing(attempts);
    const gemini = retryingGemini(service, watch().clock);
    await expect(make(gemini)).rejects.toMatchObject({ kind: "uncertain", message: "oops" });
    expect(calls()).toBe(attempts);
  });
});

test("texts that left without an answer may be charged: they leave three times at most", async () => {
  const { service, calls } = failing(9, () => new GeminiError("uncertain", "the line broke"));
  const gemini = retryingGemini(service, watch().clock);
  await expect(gemini.embedNow(embedRequest)).rejects.toMatchObject({ kind: "uncertain" });
  expect(calls()).toBe(3);
});

test("a create is made once, whatever comes", async () => {
  for (const kind of ["uncertain", "unreachable", "quota"] as const) {
    const { service, calls } = failing(1, () => new GeminiError(kind, "", { retryAfterMs: 1 }));
    const gemini = retryingGemini(service, watch().clock);
    await expect(gemini.createBatch(batchRequest)).rejects.toMatchObject({ kind });
    expect(calls()).toBe(1);
  }
});

test("results are opened once: only their reader can start again", async () => {
  const { service, calls } = failing(1);
  const gemini = retryingGemini(service, watch().clock);
  await expect(Array.fromAsync(gemini.openResults("files/x"))).rejects.toThrow("oops");
  expect(calls()).toBe(1);
});

test.each(["unreachable", "uncertain", "quota"] as const)("%s is tried again", async (kind) => {
  const { service } = failing(1, () => new GeminiError(kind, ""));
  expect(await retryingGemini(service, watch().clock).countTokens("gemini-embedding-001", [])).toBe(
    7,
  );
});

test.each([
  new GeminiError("refused", ""),
  new GeminiError("key", ""),
  new GeminiError("notFound", ""),
  new GeminiError("unusable", ""),
  new TypeError("a bug"),
])("%s is not", async (error) => {
  const { service, calls } = failing(1, () => error);
  await expect(retryingGemini(service, watch().clock).getBatch("batches/x")).rejects.toBe(error);
  expect(calls()).toBe(1);
});

test("the service's own delay is kept, and reported", async () => {
  const { service } = failing(1, () => new GeminiError("quota", "full", { retryAfterMs: 90_000 }));
  const { slept, clock } = watch();
  const events: ProgressEvent[] = [];
  await retryingGemini(service, clock, (event) => events.push(event)).findBatches("");
  expect(slept).toEqual([90_000]);
  expect(events).toEqual([{ type: "waiting", why: "full", seconds: 90 }]);
});

test("but not one of hours: who called decides what else to do", async () => {
  const error = new GeminiError("quota", "full", { retryAfterMs: 3_600_000 });
  const { service } = failing(1, () => error);
  const { slept, clock } = watch();
  await expect(retryingGemini(service, clock).findBatches("")).rejects.toBe(error);
  expect(slept).toEqual([]);
});

test("Ctrl-C ends the waiting with its own reason", async () => {
  const { service, calls } = failing(9);
  const reason = new Error("interrupted");
  const gemini = retryingGemini(service, watch().clock);
  await expect(gemini.findBatches("", AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(calls()).toBe(1);
});
