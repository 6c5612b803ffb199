/** Several work on one backlog, and a setting is wrong in a way that only results show. Do they pay for more than the first job of it? */
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportAll } from "../../../src/export/export.ts";
import { openShared } from "../../../src/manifest/tables/open-shared.ts";
import { everyLine, resubmitJobs } from "../../../src/resubmit/resubmit.ts";
import { run } from "../../../src/run/run.ts";
import { temporaryFolder } from "../sample.ts";
import { errorLine, range, startTrial, texts } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { sharing } from "./sharing.ts";

const ROWS = 6;

let workshop: Workshop;
beforeAll(async () => (workshop = await openWorkshop()));
afterAll(() => workshop.close());

async function opened() {
  return openShared(sharing(workshop.database, await temporaryFolder()));
}

test("what one has begun alone the others wait for, be it few rows that they have, and whoever comes when it has failed", async () => {
  const trial = await startTrial(workshop, texts(ROWS));
  const bounds = { ...workshop.bounds, maxRows: 2 };
  const options = trial.runOptions({ canary: true, export: trial.exportOptions({ bounds }) });
  trial.setResults(Object.fromEntries(range(1, ROWS).map((row) => [row, errorLine(3)])));
  await trial.services({}, async (all) => {
    const others = async () => ({
      ...all,
      manifest: await opened(),
    });
    const first = await others();
    await first.manifest.recordTrial(trial.target);
    await exportAll(first, options.export);
    for (let times = 0; times < 2; times += 1) {
      const late = run(await others(), options);
      await expect(late).rejects.toMatchObject({
        message: expect.stringMatching(/first 2 rows.*job 0001.*Nothing else was sent/),
        hint: expect.stringMatching(/vecfill resubmit.*--no-canary/),
      });
      expect(trial.emulator.batches()).toHaveLength(1);
    }
    trial.setResults({});
    const person = await others();
    await resubmitJobs(person, [person.manifest.job("0001")], bounds, everyLine);
    expect(await run(await others(), options)).toMatchObject({ failed: 0, remaining: 0 });
    const jobs = (await others()).manifest.jobs();
    expect(jobs.map(({ id, state }) => `${id} ${state}`)).toEqual(
      range(1, 4).map((id) => `000${id} imported`),
    );
  });
  expect(await trial.rightIds()).toEqual(range(1, ROWS));
  expect(Object.values(await trial.paid())).toEqual([2, 2, 1, 1, 1, 1]);
});

test("what one had begun to upload when another began the trial waits for it, too", async () => {
  const trial = await startTrial(workshop, texts(ROWS));
  await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
  const bounds = { ...workshop.bounds, maxRows: 2 };
  const options = trial.runOptions({ canary: true, export: trial.exportOptions({ bounds }) });
  trial.setResults(Object.fromEntries(range(1, ROWS).map((row) => [row, errorLine(3)])));
  await trial.services({}, async (all) => {
    const [manifest, other] = [await opened(), await opened()];
    const uploadFile: typeof all.gemini.uploadFile = async (...given) => {
      if (manifest.needing("send").length < 3) await other.recordTrial(trial.target);
      return all.gemini.uploadFile(...given);
    };
    await exportAll({ ...all, manifest }, options.export);
    const late = run({ ...all, manifest, gemini: { ...all.gemini, uploadFile } }, options);
    await expect(late).rejects.toMatchObject({ message: expect.stringContaining("first 2 rows") });
  });
  expect(trial.emulator.batches()).toHaveLength(1);
});
