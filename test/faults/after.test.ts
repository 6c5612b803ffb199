// What if any single call to the outside takes effect and nobody hears of it, for an error or because
// the process ends? Is every row then still paid for once and given its right vector?
import type * as Files from "node:fs/promises";
import { afterAll, beforeAll, vi } from "vitest";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { failEveryCallInTurn } from "./every-call.ts";

vi.mock("node:fs/promises", async (original: () => Promise<typeof Files>) => {
  const { borderFiles } = await import("./outside.ts");
  return borderFiles(await original());
});

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

failEveryCallInTurn(() => workshop, "after", { error: 9, kill: 13 });
