// Before a commit: when the call that pays, or another one that matters, goes wrong once, is every row still paid
// for once and given its right vector? Every call in turn, and every moment: the files `*.full.test.ts` here.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { borderDisk } from "./border-disk.ts";
import type { Fault } from "./outside.ts";
import { runDisturbed } from "./sweep.ts";

borderDisk();

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const CREATE = "gemini POST /v1beta/models/gemini-embedding-001:asyncBatchEmbedContent";
const EMBED = "gemini POST /v1beta/models/gemini-embedding-001:batchEmbedContents";
const DOWNLOAD = "gemini GET /v1beta/files/batch-";
const WRITE = 'database UPDATE "public"."questions"';

test.each([
  [CREATE, "before", "error"],
  [CREATE, "after", "error"],
  [CREATE, "after", "kill"],
  ["gemini POST /upload", "after", "kill"],
  [DOWNLOAD, "middle", "kill"],
  [WRITE, "after", "kill"],
  ["file rename", "before", "kill"],
] as const)("%s, %s it took effect, as %s", async (kind, when, how) => {
  expect(await struckBy({ nth: 1, kind, when, how })).toHaveLength(1);
});

describe("a line of the journal", () => {
  test.each([8, 20])("number %i: the process ends once it is written", async (nth) => {
    expect(await struckBy({ nth, kind: "file datasync", when: "after", how: "kill" })).toHaveLength(
      1,
    );
  });

  test("of which half is written", async () => {
    expect(
      await struckBy({ nth: 9, kind: "file write", when: "middle", how: "kill" }),
    ).toHaveLength(1);
  });
});

test.each([
  ["middle", "error"],
  ["after", "kill"],
] as const)("in the sync lane, the call that pays, %s it took effect, as %s", async (when, how) => {
  const { hits } = await runDisturbed(workshop, {
    lane: "sync",
    processes: [[{ nth: 2, kind: EMBED, when, how }]],
  });
  expect(hits).toHaveLength(1);
});

async function struckBy(fault: Fault): Promise<readonly string[]> {
  return (await runDisturbed(workshop, { processes: [[fault]] })).hits;
}
