// What if any single call to the database or any line of the journal goes wrong while indexes are
// dropped and built again? Do they then stand as they were, once the same command was repeated?
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

const ONE_JOB = { rebuildIndex: true, rows: 2, rowsPerJob: 2 };
/** Those before it are made without indexes too, and are tried elsewhere. */
const FROM_IMPORT = { first: 5, step: 1 };

test.each(["before", "after"] as const)(
  "a call to the database: the process ends %s it took effect",
  { timeout: 300_000 },
  async (when) => {
    const calls = { when, how: "kill", kind: "database" } as const;
    const hits = await failEveryCall(workshop, calls, FROM_IMPORT, ONE_JOB);
    expect(hits.filter((hit) => hit.includes("DROP INDEX"))).toHaveLength(2);
    expect(hits.filter((hit) => hit.includes("CREATE INDEX"))).toHaveLength(2);
  },
);

test(
  "a line of the journal: the process ends once it is written",
  { timeout: 300_000 },
  async () => {
    const calls = { when: "after", how: "kill", kind: "file datasync" } as const;
    const hits = await failEveryCall(workshop, calls, { first: 8, step: 1 }, ONE_JOB);
    expect(hits.length).toBeGreaterThan(6);
  },
);
