// What if any single call to the outside goes wrong, before or after it took effect or in the
// middle, as an error or as the end of the process? Is every row then still paid for once and given
// its right vector?
import type * as Files from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { openWorkshop, type Workshop } from "../workshop.ts";
import type { Fault } from "./outside.ts";
import { runDisturbed } from "./sweep.ts";

vi.mock("node:fs/promises", async (original: () => Promise<typeof Files>) => {
  const { borderFiles } = await import("./outside.ts");
  return borderFiles(await original());
});

/** In CI every nth file system call is tried, each time from another start; `STEP=1` tries all. */
const FILE_STEP = Number(process.env["STEP"] ?? 12);
const MAX_CALLS = 2_000;

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const WAYS = (["before", "middle", "after"] as const).flatMap((when) =>
  (["error", "kill"] as const).map((how) => ({ when, how })),
);

describe.each(WAYS)("a call that fails $when it took effect, as $how", ({ when, how }) => {
  // a database's answer comes whole or not at all
  const kinds =
    when === "middle" ? (["gemini", "file"] as const) : (["database", "gemini", "file"] as const);

  test.each(kinds)("%s", { timeout: 300_000 }, async (kind) => {
    const step = kind === "file" ? FILE_STEP : 1;
    const way = WAYS.findIndex((each) => each.when === when && each.how === how);
    const start = 1 + (kind === "file" ? (way * 2) % step : 0);
    const hits: string[] = [];
    for (let nth = start; nth < MAX_CALLS; nth += step) {
      const fault: Fault = { nth, when, how, kind };
      const swept = await runDisturbed(workshop, { processes: [[fault]] });
      if (swept.hits.length === 0) break;
      hits.push(...swept.hits);
    }
    expect(hits.length).toBeGreaterThan(kind === "file" ? 0 : 5);
  });
});

describe("with a batch list that shows a new batch only after a while", () => {
  const late = { reconcileGraceMs: 400, emulatorFaults: "create-late=0.15" };

  test.each(["error", "kill"] as const)(
    "a lost answer as %s",
    { timeout: 300_000 },
    async (how) => {
      let creates = 0;
      for (let nth = 1; nth < MAX_CALLS; nth++) {
        const fault: Fault = { nth, when: "after", how, kind: "gemini" };
        const { hits } = await runDisturbed(workshop, { processes: [[fault]], ...late });
        if (hits.length === 0) break;
        creates += hits.filter((hit) => hit.endsWith(":asyncBatchEmbedContent")).length;
      }
      expect(creates).toBeGreaterThan(0);
    },
  );
});
