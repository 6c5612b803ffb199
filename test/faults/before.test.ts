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

describe.each([
  { how: "error", first: 1 },
  { how: "kill", first: 5 },
] as const)("a call that fails before it took effect, as $how", ({ how, first }) => {
  test.each(["database", "gemini"] as const)("%s", { timeout: 300_000 }, async (kind) => {
    const hits = await failEveryCall(workshop, { when: "before", how, kind });
    expect(hits.length).toBeGreaterThan(5);
  });

  test("file", { timeout: 300_000 }, async () => {
    const calls = someFileCalls(first);
    const hits = await failEveryCall(workshop, { when: "before", how, kind: "file" }, calls);
    expect(hits.length).toBeGreaterThan(5);
  });
});
