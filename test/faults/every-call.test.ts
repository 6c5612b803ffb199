// What if any single call to the outside goes wrong, before or after it took effect, as an error or
// as the end of the process? Is every row then still paid for once and given its right vector?
import type * as Files from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openWorkshop, type Workshop } from "../workshop.ts";
import type { Fault } from "./outside.ts";
import { runWithFault } from "./sweep.ts";

vi.mock("node:fs/promises", async (original: () => Promise<typeof Files>) => {
  const { borderFiles } = await import("./outside.ts");
  return borderFiles(await original());
});

/** In CI every nth file system call is tried, each time from another start; `STEP=1` tries all. */
const FILE_STEP = Number(process.env["STEP"] ?? 9);
const MAX_CALLS = 2_000;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const WAYS = (["before", "after"] as const).flatMap((when) =>
  (["error", "kill"] as const).map((how) => ({ when, how })),
);

describe.each(WAYS)("a call that fails $when it took effect, as $how", ({ when, how }) => {
  test.each(["database", "gemini", "file"] as const)("%s", { timeout: 300_000 }, async (kind) => {
    const step = kind === "file" ? FILE_STEP : 1;
    const start =
      1 +
      (kind === "file" ? WAYS.findIndex((way) => way.when === when && way.how === how) % step : 0);
    const hits: string[] = [];
    for (let nth = start; nth < MAX_CALLS; nth += step) {
      const fault: Fault = { nth, when, how, kind };
      const { hit } = await runWithFault(workshop, fault);
      if (hit === undefined) break;
      hits.push(hit);
    }
    expect(hits.length).toBeGreaterThan(kind === "file" ? 0 : 5);
  });
});

describe("with a batch list that shows a new batch only after a while", () => {
  const GRACE_MS = 400;

  beforeAll(() => workshop.emulator.setFaults("create-late=0.15"));
  afterAll(() => workshop.emulator.setFaults(""));

  test.each(["error", "kill"] as const)(
    "a lost answer as %s",
    { timeout: 300_000 },
    async (how) => {
      let creates = 0;
      for (let nth = 1; nth < MAX_CALLS; nth++) {
        const fault: Fault = { nth, when: "after", how, kind: "gemini" };
        const { hit } = await runWithFault(workshop, fault, GRACE_MS);
        if (hit === undefined) break;
        if (hit.endsWith(":asyncBatchEmbedContent")) creates += 1;
      }
      expect(creates).toBeGreaterThan(0);
    },
  );
});
