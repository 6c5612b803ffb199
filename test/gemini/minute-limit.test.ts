// How fast may texts be embedded at once? Does the client, under the limits of a minute, ever meet a
// refusal; does it use what it may; and what does it do when it is refused all the same?
import { expect, test } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { startEmulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { limitedGemini } from "../../src/gemini/minute-limit.ts";
import { type Gemini, GeminiError, type MinuteLimits } from "../../src/gemini/port.ts";
import { IN_FULL } from "../size.ts";

const request = {
  model: "gemini-embedding-001",
  dimensions: 8,
  taskType: "CLUSTERING",
} as const;
const MINUTE_MS = 60_000;

/** Sleeping moves its time; `advance` is told. */
function virtualTime(advance: (ms: number) => Promise<void> = async () => {}) {
  let nowMs = 0;
  const clock: Clock = {
    now: () => new Date(nowMs),
    elapsedMs: () => nowMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      nowMs += ms;
      await advance(ms);
    },
  };
  return clock;
}

function texts(count: number, call = 0): string[] {
  return Array.from({ length: count }, (_, index) => `text ${call} ${index}`);
}

async function embedMuch(
  limits: MinuteLimits,
  options: EmulatorOptions,
  calls: number,
  workers = 1,
) {
  const emulator = await startEmulator({ frozen: true, ...options });
  const clock = virtualTime((ms) => emulator.advance(ms));
  const client = connectGemini({ apiKey: "k", baseUrl: emulator.url });
  const gemini = limitedGemini(client, limits, clock);
  let next = 0;
  const worker = async () => {
    while (next < calls) await gemini.embedNow({ ...request, texts: texts(100, (next += 1)) });
  };
  try {
    await Promise.all(Array.from({ length: workers }, worker));
    return { seconds: clock.elapsedMs() / 1000, embedded: emulator.embeddedNow() };
  } finally {
    await emulator.close();
  }
}

test(
  "under tier 1's limits nothing is refused, and every minute is used whole",
  IN_FULL,
  async () => {
    const limits = { requestsPerMinute: 3_000, tokensPerMinute: 1_000_000 };
    const { seconds, embedded } = await embedMuch(limits, { tier: "1" }, 90);
    expect(embedded).toBe(9_000);
    // 30 calls at the start, 30 after each of two minutes
    expect(seconds).toBeCloseTo(120, 0);
  },
);

test("nor with several calls under way, which count from their sending until after their answer", async () => {
  const limits = { requestsPerMinute: 3_000, tokensPerMinute: 1_000_000 };
  expect((await embedMuch(limits, { tier: "1" }, 90, 4)).embedded).toBe(9_000);
});

test("tokens are held back as texts are", async () => {
  // by the estimate as by the emulator, each text has few tokens
  const limits = { requestsPerMinute: 100_000, tokensPerMinute: 2_000 };
  const { embedded, seconds } = await embedMuch(limits, { tokensPerMinute: 2_000 }, 12);
  expect(embedded).toBe(1_200);
  expect(seconds).toBeGreaterThan(60);
});

/** A service that refuses so often. */
function refusing(times: number, retryAfterMs?: number) {
  let calls = 0;
  const gemini: Pick<Gemini, "embedNow"> = {
    embedNow: async () => {
      calls += 1;
      if (calls > times) return { vectors: [[1]], tokens: undefined };
      throw new GeminiError("quota", "full", retryAfterMs === undefined ? {} : { retryAfterMs });
    },
  };
  return { gemini, calls: () => calls };
}

async function limited(service: Pick<Gemini, "embedNow">, clock: Clock) {
  const emulator = await startEmulator({ frozen: true });
  const rest = connectGemini({ apiKey: "k", baseUrl: emulator.url });
  await emulator.close();
  const limits = { requestsPerMinute: 400, tokensPerMinute: 1_000_000 };
  return limitedGemini({ ...rest, ...service }, limits, clock);
}

test("a refusal makes every call rest, as long as the service asks for", async () => {
  const clock = virtualTime();
  const gemini = await limited(refusing(1, 30_000).gemini, clock);
  await expect(gemini.embedNow({ ...request, texts: ["a"] })).rejects.toThrow("full");
  await gemini.embedNow({ ...request, texts: ["b"] });
  expect(clock.elapsedMs()).toBe(30_000);
});

test("after a refusal half as much leaves in a minute, until it has passed for a while", async () => {
  const clock = virtualTime();
  const gemini = await limited(refusing(1).gemini, clock);
  await expect(gemini.embedNow({ ...request, texts: texts(100) })).rejects.toThrow("full");
  const startMs = clock.elapsedMs();
  await clock.sleep(MINUTE_MS);
  const leftAtMs: number[] = [];
  for (let call = 0; call < 8; call += 1) {
    await gemini.embedNow({ ...request, texts: texts(100, call) });
    leftAtMs.push(clock.elapsedMs() - startMs);
  }
  // 400 are allowed, 200 leave in the first minute, more in those after it
  const perMinute = Map.groupBy(leftAtMs, (ms) => Math.floor(ms / MINUTE_MS));
  expect([...perMinute.values()].map((calls) => calls.length)).toEqual([2, 2, 3, 1]);
});

test("a call over the limit leaves alone: only the service can say that it is too large", async () => {
  const clock = virtualTime();
  const gemini = await limited(refusing(0).gemini, clock);
  await gemini.embedNow({ ...request, texts: texts(500) });
  await gemini.embedNow({ ...request, texts: texts(500) });
  expect(clock.elapsedMs()).toBe(MINUTE_MS);
});

test("Ctrl-C ends the wait for a turn with its own reason, and nothing leaves", async () => {
  const { gemini: service, calls } = refusing(0);
  const reason = new Error("interrupted");
  const gemini = await limited(service, virtualTime());
  const stop = AbortSignal.abort(reason);
  await expect(gemini.embedNow({ ...request, texts: ["a"] }, { stop })).rejects.toBe(reason);
  expect(calls()).toBe(0);
});
