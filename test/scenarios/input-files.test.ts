// Gemini keeps 20 GB for a project. Do our uploads go once their batches have ended, never earlier,
// and does a full storage stop a run that could make room?
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import { deleteIdleInputs } from "../../src/jobs-folder/input-file.ts";
import { submitJob } from "../../src/submit/submit-job.ts";
import { startTrial, texts, type Trial, type Wire } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const TWO_ROWS = { maxRows: 2, maxTokens: 100_000, maxBytes: 1_000_000 };

async function uploads({ emulator }: Trial): Promise<number> {
  const names = await readdir(join(emulator.folder, "files"));
  return names.filter((name) => name.endsWith(".bin")).length;
}

const refuseDeletes: Wire = async ({ method }, send) =>
  method === "DELETE"
    ? Response.json({ error: { code: 400, message: "no", status: "X" } }, { status: 400 })
    : send();

test("an upload is there while its batch runs, and goes when that has ended", async () => {
  const trial = await startTrial(workshop, texts(4), { batchSeconds: 60, frozen: true });
  await trial.export({ bounds: TWO_ROWS });
  await trial.submit();
  await trial.poll({ once: true });
  expect(await uploads(trial)).toBe(2);
  await trial.poll();
  expect(await uploads(trial)).toBe(0);
  expect((await trial.jobs()).map(({ cleaned }) => cleaned)).toEqual([["upload"], ["upload"]]);
  expect(await trial.import()).toMatchObject({ written: 4 });
});

test("one that cannot be deleted is told of, and stops nothing", async () => {
  const trial = await startTrial(workshop, texts(4));
  trial.setWire(refuseDeletes);
  workshop.events.length = 0;
  expect(await trial.run()).toMatchObject({ written: 4, failed: 0 });
  const warnings = workshop.events.filter(({ type }) => type === "warning");
  expect(warnings).toMatchObject([{ message: expect.stringContaining("was not deleted") }]);
});

test("one whose create may have made a batch that nobody knows of stays, even where it is given up", async () => {
  const trial = await startTrial(workshop, texts(2), { faults: "create-reset=1x" });
  await trial.export();
  await trial.services({}, async (all) => {
    const { manifest, report } = all;
    const outcome = await submitJob(all, manifest.job("0001"));
    expect(outcome.kind).toBe("uncertain");
    expect(await deleteIdleInputs(all)).toBe(0);
    const gemini = async () => all.gemini;
    expect(await cancelJob({ manifest, gemini, report }, manifest.job("0001"), true)).toBe(
      "givenUp",
    );
    expect(await deleteIdleInputs(all)).toBe(0);
  });
  expect(await uploads(trial)).toBe(1);
});

test("a full storage: what no batch needs any more goes, and the upload is sent again", async () => {
  const trial = await startTrial(workshop, texts(4));
  trial.setWire(refuseDeletes);
  await trial.export({ bounds: TWO_ROWS, limit: 2 });
  await trial.submit();
  await trial.poll();
  expect(await uploads(trial)).toBe(1);
  const message = "You have exceeded your file storage quota.";
  trial.setWire(async ({ url, method }, send) =>
    method === "POST" && url.pathname.startsWith("/upload/") && (await uploads(trial)) > 0
      ? Response.json({ error: { code: 429, message, status: "X" } }, { status: 429 })
      : send(),
  );
  await trial.export({ bounds: TWO_ROWS });
  expect(await trial.submit()).toMatchObject({ submitted: ["0002"] });
  expect((await trial.job("0001")).cleaned).toEqual(["upload"]);
});
