/** A job goes on in another process, with another disk or none that lasts. Are its rows, its failed lines and its lists there? */
import { copyFile, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { cancelJob } from "../../../src/commands/cancel/cancel.ts";
import { exportAll } from "../../../src/export/export.ts";
import { importResults } from "../../../src/import/import.ts";
import { pollJob } from "../../../src/poll/poll-job.ts";
import { everyLine, resubmitFile, resubmitJobs } from "../../../src/resubmit/resubmit.ts";
import { run } from "../../../src/run/run.ts";
import { openShared } from "../../../src/manifest/tables/open-shared.ts";
import { submitJob } from "../../../src/submit/submit-job.ts";
import { temporaryFolder } from "../sample.ts";
import { errorLine, range, startTrial, texts } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";
import { sharing } from "./sharing.ts";

let workshop: Workshop;
beforeAll(async () => (workshop = await openWorkshop()));
afterAll(() => workshop.close());
beforeEach(async () => {
  await workshop.database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
});

/** A process with an empty disk. */
async function elsewhere() {
  return openShared(sharing(workshop.database, await temporaryFolder()));
}

test("each step of a job can be taken by another process, with an empty disk", async () => {
  const trial = await startTrial(workshop, [...texts(3), texts(1)[0] ?? ""], {
    batchSeconds: 0.05,
  });
  trial.setResults({ 2: errorLine(13) });
  await trial.services({}, async (all) => {
    await exportAll({ ...all, manifest: await elsewhere() }, trial.exportOptions());
    const sender = await elsewhere();
    const sent = await submitJob({ ...all, manifest: sender }, sender.job("0001"));
    expect(sent).toMatchObject({ kind: "submitted" });
    await trial.emulator.advance(1_000);
    const looker = await elsewhere();
    await pollJob({ ...all, manifest: looker }, looker.job("0001"));
    const importer = await elsewhere();
    await importResults({ ...all, manifest: importer }, importer.job("0001"));
    const again = await elsewhere();
    expect(again.job("0001").sums).toMatchObject({ requests: 4, written: 3, failed: 1 });
    const its = { ...all, manifest: again };
    await resubmitJobs(its, [again.job("0001")], workshop.bounds, everyLine);
    trial.setResults({});
    const last = await elsewhere();
    const summary = await run({ ...all, manifest: last }, trial.runOptions());
    expect(summary).toMatchObject({ written: 1, failed: 0, remaining: 0 });
    expect(last.job("0001").outstanding.lines).toBe(0);
  });
  expect(await trial.rightIds()).toEqual(range(1, 4));
  // the one that failed, and the copy that was not sent
  expect(await trial.paid()).toMatchObject({ 1: 1, 3: 1 });
});

test("rows that others have on their way, or that wait in failed files, are not selected again", async () => {
  const trial = await startTrial(workshop, texts(4));
  await trial.services({}, async (all) => {
    await exportAll({ ...all, manifest: await elsewhere() }, trial.exportOptions({ limit: 3 }));
    const other = await elsewhere();
    const summary = await exportAll({ ...all, manifest: other }, trial.exportOptions());
    expect(summary).toMatchObject({ exported: 1, skipped: { inFlight: 3 } });
  });
});

test("a file in the scratch folder that is not the recorded one is fetched anew", async () => {
  const trial = await startTrial(workshop, texts(2));
  await trial.services({}, async (all) => {
    const maker = await elsewhere();
    await exportAll({ ...all, manifest: maker }, trial.exportOptions());
    const { requests } = maker.files("0001");
    const content = await readFile(requests, "utf8");
    const other = await elsewhere();
    const files = await other.bring(other.job("0001"));
    expect(await readFile(files.requests, "utf8")).toBe(content);
    await writeFile(files.requests, content.slice(1));
    const third = await openShared(sharing(workshop.database, other.folder));
    await third.bring(third.job("0001"));
    expect(await readFile(files.requests, "utf8")).toBe(content);
    await rm(other.folder, { recursive: true });
    await third.bring(third.job("0001"));
    expect(await readFile(files.requests, "utf8")).toBe(content);
  });
});

test("a failed file of which others sent all again is gone here, too", async () => {
  const trial = await startTrial(workshop, texts(2), { frozen: true });
  trial.setResults({ 2: errorLine(13) });
  await trial.services({}, async (all) => {
    const first = await elsewhere();
    await exportAll({ ...all, manifest: first }, trial.exportOptions());
    await submitJob({ ...all, manifest: first }, first.job("0001"));
    await trial.emulator.advance(1_000);
    await pollJob({ ...all, manifest: first }, first.job("0001"));
    await importResults({ ...all, manifest: first }, first.job("0001"));
    const copy = join(first.folder, "mended.jsonl");
    await copyFile(first.files("0001").failed, copy);
    const other = await elsewhere();
    const { bounds } = workshop;
    await resubmitJobs({ ...all, manifest: other }, [other.job("0001")], bounds, everyLine);
    await first.refresh();
    expect(await resubmitFile({ ...all, manifest: first }, copy, bounds, undefined)).toEqual([]);
  });
});

test("what is not what would be recorded of it is not recorded", async () => {
  const trial = await startTrial(workshop, texts(2));
  await trial.services({}, async (all) => {
    const manifest = await elsewhere();
    const recordExported: typeof manifest.recordExported = async (job, isFree) => {
      await writeFile(manifest.files(job.job).requests, "torn");
      return manifest.recordExported(job, isFree);
    };
    const torn = { ...manifest, recordExported };
    const late = exportAll({ ...all, manifest: torn }, trial.exportOptions());
    await expect(late).rejects.toThrow("is not what is about to be recorded");
    expect((await elsewhere()).jobs()).toEqual([]);
  });
});

test("a job has its files though another one with the same lines was cleaned by somebody else", async () => {
  const trial = await startTrial(workshop, texts(2), { frozen: true });
  await trial.services({}, async (all) => {
    const first = await elsewhere();
    await exportAll({ ...all, manifest: first }, trial.exportOptions());
    const other = await elsewhere();
    await submitJob({ ...all, manifest: other }, other.job("0001"));
    await trial.emulator.advance(1_000);
    await pollJob({ ...all, manifest: other }, other.job("0001"));
    await importResults({ ...all, manifest: other }, other.job("0001"));
    await other.record({ type: "cleaned", job: "0001", files: ["requests"] });
    await trial.sql("UPDATE questions SET embedding = NULL");
    await first.refresh();
    await exportAll({ ...all, manifest: first }, trial.exportOptions());
    const third = await elsewhere();
    const [one, two] = third.jobs();
    if (one === undefined || two === undefined) throw new Error("there are two jobs");
    expect(two.requestFile.sha256).toBe(one.requestFile.sha256);
    expect((await readFile((await third.bring(two)).requests)).length).toBe(two.requestFile.bytes);
  });
});

test("a job whose file is lost or damaged in the tables can be given up", async () => {
  const trial = await startTrial(workshop, texts(2));
  await trial.services({}, async (all) => {
    const bounds = { ...workshop.bounds, maxRows: 1 };
    await exportAll({ ...all, manifest: await elsewhere() }, trial.exportOptions({ bounds }));
    await trial.sql("DELETE FROM vecfill.file WHERE job = '0001'");
    await trial.sql("UPDATE vecfill.file SET bytes = '\\x00' WHERE job = '0002'");
    const manifest = await elsewhere();
    const its = { ...all, manifest, gemini: async () => all.gemini };
    for (const job of manifest.jobs()) {
      await expect(manifest.bring(job)).rejects.toThrow("is not in the shared manifest");
      expect(await cancelJob(its, job, true)).toBe("givenUp");
    }
    expect(manifest.jobs().map(({ state }) => state)).toEqual(["cancelled", "cancelled"]);
  });
});
