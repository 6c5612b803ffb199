// What if an answer breaks off in its middle, half of a block is written, or a batch that was made
// without an answer shows in the list only later?
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

const ALL = { first: 1, step: 1 };

describe.each([
  { how: "error", first: 3 },
  { how: "kill", first: 11 },
] as const)("a call that goes wrong halfway, as $how", ({ how, first }) => {
  test("gemini", { timeout: 300_000 }, async () => {
    const fault = { when: "middle", how, kind: "gemini" } as const;
    const hits = await failEveryCall(workshop, fault, ALL, { counts: true });
    expect(hits.length).toBeGreaterThan(5);
    expect(hits.filter((hit) => hit.endsWith(":countTokens"))).not.toEqual([]);
  });

  test("file", { timeout: 300_000 }, async () => {
    const calls = someFileCalls(first);
    const hits = await failEveryCall(workshop, { when: "middle", how, kind: "file" }, calls);
    expect(hits.length).toBeGreaterThan(5);
  });
});

describe("with a batch list that shows a new batch only after a while", () => {
  const late = { reconcileGraceMs: 400, emulatorFaults: "create-late=0.15" };

  test.each(["error", "kill"] as const)(
    "a lost answer as %s",
    { timeout: 300_000 },
    async (how) => {
      const hits = await failEveryCall(workshop, { when: "after", how, kind: "gemini" }, ALL, late);
      expect(hits.filter((hit) => hit.endsWith(":asyncBatchEmbedContent"))).not.toEqual([]);
    },
  );
});
