// `run` exports while it resubmits. Can a row slip through between the failed file it leaves and the
// new job it goes to, be exported once more, and be paid for twice?
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Job } from "../../../src/manifest/job.ts";
import { openManifest } from "../../../src/jobs-folder/open.ts";
import { readTakenRows } from "../../../src/jobs-folder/taken-rows.ts";
import { everyLine, resubmitJobs, type TakeLine } from "../../../src/resubmit/resubmit.ts";
import { startTrial, texts } from "../../trial.ts";
import { hastyClock, openWorkshop, type Workshop } from "../../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

test.each<readonly [string, TakeLine]>([
  ["all rows of a failed file", everyLine],
  ["some of them", ({ key }) => key.startsWith("2@")],
])("%s that are resubmitted while an export looks count as taken", async (_, take) => {
  const trial = await startTrial(workshop, texts(3), { faults: "batch-fail=1x" });
  await trial.untilEnded();
  const manifest = await openManifest(trial.folder, hastyClock);
  // as it is when the export begins to look; what it reads from the disk is later
  const looks: (readonly Job[])[] = [manifest.jobs()];
  const services = { manifest, report: () => {} };
  await resubmitJobs(services, [manifest.job("0001")], workshop.bounds, take);
  const view = { ...manifest, jobs: () => looks.shift() ?? manifest.jobs() };
  const { inFlight, failedBefore } = await readTakenRows(
    { manifest: view, store: workshop.store },
    trial.target,
  );
  const keys = await workshop.keys();
  expect(keys.map((key) => inFlight.has(key) || failedBefore.has(key))).toEqual([true, true, true]);
  await manifest.close();
});
