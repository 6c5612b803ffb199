// What if any single call to Gemini or the disk fails before it took effect, with an error or because the
// process ends? Is every row then still paid for once and given its right vector?
import { afterAll, beforeAll } from "vitest";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { borderDisk } from "./border-disk.ts";
import { failEveryCallInTurn } from "./every-call.ts";

borderDisk();

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

failEveryCallInTurn(() => workshop, "before", { error: 1, kill: 5 });
