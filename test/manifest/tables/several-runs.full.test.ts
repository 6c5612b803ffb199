/** Several run on one backlog at once, each with a disk of its own. Is each row paid for once, and in the column, whoever did what? */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { run } from "../../../src/run/run.ts";
import { openShared } from "../../../src/manifest/tables/open-shared.ts";
import { temporaryFolder } from "../sample.ts";
import { sized } from "../../size.ts";
import { range, startTrial, texts } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { sharing } from "./sharing.ts";

const RUNS = 3;
/** On a busy machine: half a minute of CPU each. */
const SEVERAL_MS = 240_000;
const ROWS = sized({ quick: 40, full: 400 });

let workshop: Workshop;
beforeAll(async () => (workshop = await openWorkshop()));
afterAll(() => workshop.close());
beforeEach(async () => {
  await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
});

describe(`${RUNS} runs at once`, { timeout: SEVERAL_MS }, () => {
  test("fill the column, and pay for each row once", async () => {
    const trial = await startTrial(workshop, texts(ROWS), { batchSeconds: 0.2 });
    await trial.services({}, async (all) => {
      const window = { maxActiveJobs: 3, maxEnqueuedTokens: 500_000 };
      const summaries = await Promise.all(
        range(1, RUNS).map(async () => {
          const manifest = await openShared(sharing(workshop.database, await temporaryFolder()));
          return run({ ...all, manifest }, trial.runOptions({ window }));
        }),
      );
      for (const { failed, remaining } of summaries) expect([failed, remaining]).toEqual([0, 0]);
    });
    expect(await trial.rightIds()).toEqual(range(1, ROWS));
    expect(Object.values(await trial.paid())).toEqual(range(1, ROWS).map(() => 1));
  });

  test("send what failed again, each row once", async () => {
    const trial = await startTrial(workshop, texts(ROWS), { faults: "retryable=0.2" });
    await trial.services({}, async (all) => {
      await Promise.all(
        range(1, RUNS).map(async () => {
          const manifest = await openShared(sharing(workshop.database, await temporaryFolder()));
          await run({ ...all, manifest }, trial.runOptions({ maxAttempts: 20 }));
        }),
      );
    });
    expect(await trial.rightIds()).toEqual(range(1, ROWS));
    const paid = Object.values(await trial.paid());
    expect(Math.max(...paid)).toBeLessThanOrEqual(2);
  });
});
