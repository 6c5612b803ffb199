// And in the sync lane, where a call cannot be told from its repetition: when any single call to the
// outside goes wrong, is no more paid for again than what was under way, and is every row right?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { borderDisk } from "./border-disk.ts";
import { failEveryCall, someFileCalls } from "./sweep.ts";

borderDisk();

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const SYNC = { lane: "sync" } as const;
const EVERY = { first: 1, step: 1 };

describe.each(["before", "middle", "after"] as const)("%s it took effect", (when) => {
  test.each(["error", "kill"] as const)(
    "a call to Gemini fails, as %s",
    { timeout: 300_000 },
    async (how) => {
      const hits = await failEveryCall(workshop, { when, how, kind: "gemini" }, EVERY, SYNC);
      expect(hits.length).toBeGreaterThan(2);
      // a run looks once for batches that its manifest knows nothing of
      const others = hits.filter((hit) => !hit.endsWith(":batchEmbedContents"));
      expect(new Set(others)).toEqual(new Set(["gemini GET /v1beta/batches"]));
    },
  );
});

describe("with six calls in a job, of which four are under way at once", () => {
  const SIX_CALLS = { ...SYNC, rows: 840, rowsPerJob: 840 } as const;

  test.each([
    { when: "before", how: "kill", least: 6 },
    { when: "middle", how: "error", least: 6 },
    { when: "after", how: "kill", least: 6 },
  ] as const)(
    "a call to Gemini fails: $when, as $how",
    { timeout: 300_000 },
    async ({ when, how, least }) => {
      const hits = await failEveryCall(workshop, { when, how, kind: "gemini" }, EVERY, SIX_CALLS);
      expect(hits.length).toBeGreaterThan(least);
    },
  );

  test("the process dies with every second line that is made durable", async () => {
    const fault = { when: "after", how: "kill", kind: "file datasync" } as const;
    const calls = { first: 2, step: 2 };
    const hits = await failEveryCall(workshop, fault, calls, SIX_CALLS);
    expect(hits.length).toBeGreaterThan(4);
  }, 300_000);
});

test.each([
  { when: "before", how: "error", first: 3, stages: false },
  { when: "middle", how: "kill", first: 7, stages: true },
  { when: "after", how: "kill", first: 11, stages: false },
] as const)("a file call fails: %o", { timeout: 300_000 }, async ({ when, how, first, stages }) => {
  const fault = { when, how, kind: "file" } as const;
  const hits = await failEveryCall(workshop, fault, someFileCalls(first), { ...SYNC, stages });
  expect(hits.length).toBeGreaterThan(5);
});
