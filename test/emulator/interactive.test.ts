// A client that embeds at once: does it meet the limits of a minute, is each text on the books, and
// does each fault of this lane do what it says?
import { expect, test } from "vitest";
import type { Emulator } from "../../src/emulator/emulator.ts";
import { call, emulatorFor } from "./client.ts";

const MINUTE_MS = 60_000;
const MODEL = "gemini-embedding-001";

function embed(emulator: Emulator, texts: readonly string[], key = "anything") {
  const requests = texts.map((text) => ({
    model: `models/${MODEL}`,
    content: { parts: [{ text }] },
    outputDimensionality: 8,
  }));
  const path = `/v1beta/models/${MODEL}:batchEmbedContents`;
  return call(emulator, "POST", path, { requests }, { "x-goog-api-key": key });
}

function numbered(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `text ${from + index}`);
}

test("tier 1 takes 3,000 texts in any minute: each text of a call counts", async () => {
  const emulator = await emulatorFor({ tier: "1" });
  for (let calls = 0; calls < 30; calls += 1) {
    expect((await embed(emulator, numbered(100))).status).toBe(200);
  }
  expect((await embed(emulator, ["one more"])).status).toBe(429);
  await emulator.advance(MINUTE_MS - 1);
  expect((await embed(emulator, ["one more"])).status).toBe(429);
  await emulator.advance(1);
  expect((await embed(emulator, ["one more"])).status).toBe(200);
  expect([emulator.embeddedNow(), emulator.paidTexts().get("one more")]).toEqual([3_001, 1]);
});

test("each project has its own minute", async () => {
  const keys = { anything: "one", same: "one", other: "two" };
  const emulator = await emulatorFor({ requestsPerMinute: 1, keys });
  expect((await embed(emulator, ["a"])).status).toBe(200);
  expect((await embed(emulator, ["b"], "same")).status).toBe(429);
  expect((await embed(emulator, ["b"], "other")).status).toBe(200);
});

test("where only calls count, as many texts pass as they hold", async () => {
  const behaviour = "sync-requests=calls";
  const emulator = await emulatorFor({ requestsPerMinute: 2, behaviour });
  const calls = [await embed(emulator, numbered(100)), await embed(emulator, numbered(100))];
  expect(calls.map(({ status }) => status)).toEqual([200, 200]);
  expect((await embed(emulator, ["a"])).status).toBe(429);
});

test("tokens count as well, and a call over the limit of a minute never passes", async () => {
  const emulator = await emulatorFor({ tokensPerMinute: 10 });
  expect((await embed(emulator, ["one two three", "four five six"])).status).toBe(200);
  expect((await embed(emulator, ["one two three four five"])).status).toBe(429);
  await emulator.advance(MINUTE_MS);
  expect((await embed(emulator, ["one two three four five"])).status).toBe(200);
  await emulator.advance(10 * MINUTE_MS);
  expect((await embed(emulator, numbered(11))).status).toBe(429);
});

test("a text that cannot be embedded has its whole call refused, again and again", async () => {
  const emulator = await emulatorFor({ faults: "sync-bad-text=0.1" });
  const alone = await Promise.all(numbered(50).map((text) => embed(emulator, [text])));
  const bad = alone.flatMap(({ status }, index) => (status === 400 ? [index] : []));
  expect(bad.length).toBeGreaterThan(0);
  const together = await embed(emulator, numbered(50));
  expect(together.body.error).toMatchObject({ code: 400, status: "INVALID_ARGUMENT" });
  expect(together.body.error.message).toContain(`requests[${bad[0]}]`);
  expect(emulator.embeddedNow()).toBe(50 - bad.length);
});

test("429 and 503 charge nothing; a connection that breaks, and a vector too few, are charged", async () => {
  const emulator = await emulatorFor({ faults: "sync-429=1x" });
  expect((await embed(emulator, ["a"])).status).toBe(429);
  emulator.setFaults("sync-5xx=1x");
  expect((await embed(emulator, ["a"])).status).toBe(503);
  expect(emulator.paidTexts().size).toBe(0);
  emulator.setFaults("sync-cut=1x");
  await expect(embed(emulator, ["a"])).rejects.toThrow("fetch failed");
  emulator.setFaults("sync-count=1x");
  expect((await embed(emulator, ["a", "b"])).body.embeddings).toHaveLength(1);
  expect(Object.fromEntries(emulator.paidTexts())).toEqual({ a: 2, b: 1 });
});

test("what was paid for is still known after a kill", async () => {
  const first = await emulatorFor();
  await embed(first, ["a", "with\nnew line"]);
  await first.kill();
  const second = await emulatorFor({ folder: first.folder });
  await embed(second, ["a"]);
  expect(Object.fromEntries(second.paidTexts())).toEqual({ a: 2, "with\nnew line": 1 });
});
