// What if any single call to the database fails, before it took effect or after it, with an error or because the
// process ends? Is every row then still paid for once and given its right vector?
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { borderDisk } from "./border-disk.ts";
import { failEveryCall } from "./sweep.ts";

borderDisk();

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

test.each([
  { when: "before", how: "error" },
  { when: "before", how: "kill" },
  { when: "after", how: "error" },
  { when: "after", how: "kill" },
] as const)("$when it took effect, as $how", { timeout: 300_000 }, async (fault) => {
  const hits = await failEveryCall(workshop, { ...fault, kind: "database" });
  expect(hits.length).toBeGreaterThan(5);
});
