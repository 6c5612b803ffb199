// What if any single call to the outside fails before it took effect, with an error or because the
// process ends? Is every row then still paid for once and given its right vector?
import type * as Files from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { failEveryCall, someFileCalls } from "./sweep.ts";

vi.mock("node:fs/promises", async (original: () => Promise<typeof Files>) => {
  const { borderFiles } = await import("./outside.ts");
  return borderFiles(await original());
});

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const EVERY = { first: 1, step: 1 };

describe.each([
  { how: "error", first: 1 },
  { how: "kill", first: 5 },
] as const)("a call that fails before it took effect, as $how", ({ how, first }) => {
  test("database", { timeout: 300_000 }, async () => {
    const hits = await failEveryCall(workshop, { when: "before", how, kind: "database" });
    expect(hits.length).toBeGreaterThan(5);
  });

  test("gemini", { timeout: 300_000 }, async () => {
    const fault = { when: "before", how, kind: "gemini" } as const;
    const hits = await failEveryCall(workshop, fault, EVERY, { counts: true });
    expect(hits.length).toBeGreaterThan(5);
    expect(hits.filter((hit) => hit.endsWith(":countTokens"))).not.toEqual([]);
  });

  test("file", { timeout: 300_000 }, async () => {
    const calls = someFileCalls(first);
    const hits = await failEveryCall(workshop, { when: "before", how, kind: "file" }, calls);
    expect(hits.length).toBeGreaterThan(5);
  });
});
