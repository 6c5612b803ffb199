/** Many send from one backlog at once. Does Gemini ever get more than the queue takes, or than I said that I pay? */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pricesOf } from "../../../src/cost/tariff.ts";
import { exportAll } from "../../../src/export/export.ts";
import { openShared } from "../../../src/manifest/tables/open-shared.ts";
import { submit, type SubmitOptions } from "../../../src/run/alone.ts";
import { sized } from "../../size.ts";
import { range, startTrial, texts } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { temporaryFolder } from "../sample.ts";
import { sharing } from "./sharing.ts";

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

type Limits = Pick<SubmitOptions, "window" | "costLimit">;

/** `tokens`: of as many jobs as there is room for. */
const LIMITS: readonly (readonly [string, (tokens: number) => Limits])[] = [
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

describe(`${RACERS} that send at once`, () => {
  test.each(LIMITS.slice(-KINDS))(
    "fill the room and never pass it: %s",
    async (_name, limitsOf) => {
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
        const tokens = first.jobs().slice(0, ROOM);
        const limits = limitsOf(tokens.reduce((sum, job) => sum + job.tokens, 0));
        await Promise.all(
          racers.map(async (manifest) => {
            await manifest.refresh();
            await submit({ ...all, manifest }, { ...limits, reconcileGraceMs: 50 });
          }),
        );
      });
      expect(trial.emulator.batches()).toHaveLength(ROOM);
    },
  );
});
