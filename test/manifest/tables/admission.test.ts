/** Many send from one backlog at once. Does Gemini ever get more than the queue takes, or than I said that I pay? */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pricesOf } from "../../../src/cost/tariff.ts";
import { exportAll } from "../../../src/export/export.ts";
import type { Limits } from "../../../src/manifest/quota/set-limits.ts";
import { openShared } from "../../../src/manifest/tables/open-shared.ts";
import { submit, type SubmitOptions } from "../../../src/run/alone.ts";
import { sized } from "../../size.ts";
import { range, startTrial, texts } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { temporaryFolder } from "../sample.ts";
import { openLog, sharing } from "./sharing.ts";

const RACERS = sized({ quick: 3, full: 12 });
const JOBS = sized({ quick: 5, full: 24 });
const ROOM = 3;
const KINDS = sized({ quick: 1, full: 3 });
const MANY = 1_000_000;

let workshop: Workshop;
beforeAll(async () => (workshop = await openWorkshop()));
afterAll(() => workshop.close());
beforeEach(async () => {
  await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
});

/** A dollar a token. */
const prices = pricesOf({ price: 1_000_000 });

type Given = Pick<SubmitOptions, "window" | "costLimit">;

/** `tokens`: of as many jobs as there is room for. */
const LIMITS: readonly (readonly [string, (tokens: number) => Given])[] = [
  ["batches", () => ({ window: { maxActiveJobs: ROOM, maxEnqueuedTokens: MANY } })],
  ["tokens", (tokens) => ({ window: { maxActiveJobs: MANY, maxEnqueuedTokens: tokens } })],
  [
    "money",
    (maxUsd) => ({
      window: { maxActiveJobs: MANY, maxEnqueuedTokens: MANY },
      costLimit: { maxUsd, prices },
    }),
  ],
];

/** The same, as one of them has set it for all. */
const SET: readonly (readonly [string, (tokens: number) => Limits])[] = [
  ["batches", () => ({ maxActiveJobs: ROOM })],
  ["tokens", (maxEnqueuedTokens) => ({ maxEnqueuedTokens })],
  ["money", (maxCost) => ({ maxCost })],
];

const ROOMY: Given = {
  window: { maxActiveJobs: MANY, maxEnqueuedTokens: MANY },
  costLimit: { maxUsd: Infinity, prices },
};

/** How many batches come of it; the limits are made of the tokens of as many jobs as there is room for. */
async function sentBy(
  limitsOf: (tokens: number) => Readonly<{ given: Given; set?: Limits }>,
): Promise<number> {
  const trial = await startTrial(workshop, texts(JOBS), { batchSeconds: 3_600 });
  await trial.services({}, async (all) => {
    const racers = await Promise.all(
      range(1, RACERS).map(async () =>
        openShared(sharing(workshop.database, await temporaryFolder())),
      ),
    );
    const [first] = racers;
    if (first === undefined) throw new Error("nobody sends");
    const bounds = { ...workshop.bounds, maxRows: 1 };
    await exportAll({ ...all, manifest: first }, trial.exportOptions({ bounds }));
    const jobs = first.jobs().slice(0, ROOM);
    const { given, set } = limitsOf(jobs.reduce((sum, job) => sum + job.tokens, 0));
    if (set !== undefined) await first.recordLimits(set);
    await Promise.all(
      racers.map(async (manifest) => {
        await manifest.refresh();
        await submit({ ...all, manifest }, { ...given, reconcileGraceMs: 50 });
      }),
    );
  });
  return trial.emulator.batches().length;
}

describe(`${RACERS} that send at once`, () => {
  test.each(LIMITS.slice(-KINDS))(
    "fill the room and never pass it: %s",
    async (_name, limitsOf) => {
      expect(await sentBy((tokens) => ({ given: limitsOf(tokens) }))).toBe(ROOM);
    },
  );

  test.each(SET.slice(-KINDS))(
    "keep to what one of them was given, though the others were given none: %s",
    async (_name, setOf) => {
      expect(await sentBy((tokens) => ({ given: ROOMY, set: setOf(tokens) }))).toBe(ROOM);
    },
  );
});

test.each([
  [true, 2],
  [false, JOBS],
])("who asks nobody (%s) sends as much as somebody has agreed to", async (asAgreed, sent) => {
  const given: Given = { ...ROOMY, costLimit: { maxUsd: Infinity, prices, asAgreed } };
  expect(await sentBy((tokens) => ({ given, set: { agreedCost: (2 * tokens) / ROOM } }))).toBe(
    sent,
  );
});

test("a limit is what was set last, on all targets together; one that is said again is no event", async () => {
  const [one, other] = [await openLog(workshop.database), await openLog(workshop.database)];
  await one.recordLimits({ maxCost: 5, maxActiveJobs: 3 });
  await other.recordLimits({ maxCost: "off", maxActiveJobs: undefined });
  await other.recordLimits({ maxCost: "off" });
  await one.refresh();
  const limits = { maxCost: "off", maxActiveJobs: 3, targets: [] };
  expect([one.limits(), other.limits()]).toEqual([limits, limits]);
  expect(await workshop.database.query("SELECT number::text FROM vecfill.event")).toHaveLength(2);
});
