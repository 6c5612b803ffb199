// Does a client that queues too much meet the service's limits, and when do they let go?
import { expect, test } from "vitest";
import type { Emulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import {
  call,
  createBatch,
  emulatorFor,
  fixture,
  requestLine,
  requestLines,
  uploadLines,
} from "./client.ts";

const MINUTE_MS = 60_000;
/** 2,000 tokens a line, by characters. */
const LONG_TEXT = "word ".repeat(1_600);

async function emulatorWithFile(
  options: EmulatorOptions,
  lines: number,
): Promise<{
  emulator: Emulator;
  create: () => Promise<number>;
  cancelFirst: () => Promise<unknown>;
}> {
  const emulator = await emulatorFor({
    tier: "1",
    tokenizer: "characters",
    batchSeconds: 10 * 60,
    ...options,
  });
  const file = await uploadLines(
    emulator,
    Array.from({ length: lines }, (_, i) => requestLine(`k${i}`, LONG_TEXT)),
  );
  return {
    emulator,
    create: async () => (await createBatch(emulator, file)).status,
    cancelFirst: () => call(emulator, "POST", `/v1beta/${emulator.batches()[0]?.name}:cancel`, {}),
  };
}

test("100 batches may be active, the next is refused with the published body", async () => {
  const emulator = await emulatorFor({ batchSeconds: 60 });
  const file = await uploadLines(emulator, requestLines(1));
  for (let i = 0; i < 100; i++) expect((await createBatch(emulator, file)).status).toBe(200);
  const refused = await createBatch(emulator, file);
  expect(refused).toMatchObject({ status: 429, body: fixture("errors-observed")[0].body });
  expect(refused.headers.get("retry-after")).toBeNull();
  await emulator.advance(MINUTE_MS);
  expect((await createBatch(emulator, file)).status).toBe(200);
});

test("tier 1 queues 500,000 tokens a model, and they come back when the batch ends", async () => {
  const { emulator, create } = await emulatorWithFile({}, 150);
  expect(await create()).toBe(200);
  expect(await create()).toBe(429);
  await emulator.advance(10 * MINUTE_MS);
  expect(await create()).toBe(200);
  expect(emulator.batches()).toHaveLength(2);
});

test("the other tiers queue more", async () => {
  const { create } = await emulatorWithFile({ tier: "2" }, 150);
  expect([await create(), await create(), await create()]).toEqual([200, 200, 200]);
});

test("a batch over the whole quota is never taken", async () => {
  const { emulator, create } = await emulatorWithFile({}, 260);
  expect(await create()).toBe(429);
  await emulator.advance(60 * MINUTE_MS);
  expect(await create()).toBe(429);
});

test("as a bucket, tokens drip back whether or not the batch has ended", async () => {
  const { emulator, create } = await emulatorWithFile(
    { behaviour: "quota=bucket", batchSeconds: 0 },
    150,
  );
  expect(await create()).toBe(200);
  await emulator.advance(MINUTE_MS);
  expect(await create()).toBe(429);
  await emulator.advance(10 * MINUTE_MS);
  expect(await create()).toBe(200);
});

test("a quota of any size, and a bucket that drains as fast as told", async () => {
  const { emulator, create } = await emulatorWithFile(
    { behaviour: "quota=bucket", quotaTokens: 400_000, quotaRefillSeconds: 600 },
    150,
  );
  expect([await create(), await create()]).toEqual([200, 429]);
  // 300,000 are in it, and 40,000 a minute leave it
  await emulator.advance(4 * MINUTE_MS);
  expect(await create()).toBe(429);
  await emulator.advance(MINUTE_MS);
  expect([await create(), await create()]).toEqual([200, 429]);
});

test("a quota that shrinks: what is queued stays, and drains at the new pace", async () => {
  const shrinks = { quotaTokens: 400_000, quotaChangeSeconds: 60, quotaChangeTokens: 350_000 };
  const level = await emulatorWithFile(shrinks, 100);
  expect([await level.create(), await level.create()]).toEqual([200, 200]);
  await level.emulator.advance(10 * MINUTE_MS);
  expect([await level.create(), await level.create()]).toEqual([200, 429]);
  const bucket = await emulatorWithFile(
    { ...shrinks, behaviour: "quota=bucket", quotaRefillSeconds: 600 },
    100,
  );
  await bucket.create();
  await bucket.emulator.advance(2 * MINUTE_MS);
  // a minute at 40,000 and one at 35,000: 125,000 are left
  expect([await bucket.create(), await bucket.create()]).toEqual([200, 429]);
});

test("a cancel gives its tokens back at once, or not for 48 hours", async () => {
  const kind = await emulatorWithFile({}, 150);
  await kind.create();
  await kind.cancelFirst();
  expect(await kind.create()).toBe(200);
  const harsh = await emulatorWithFile({ behaviour: "cancel-quota=kept" }, 150);
  await harsh.create();
  await harsh.cancelFirst();
  expect(await harsh.create()).toBe(429);
});
