/**
 * Another process goes on with the very work that this one has in hand: does this one drop it, record nothing, pay for
 * nothing, and go on with the rest? The other one is played within the process, over the same manifest.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { exportAll } from "../../src/export/export.ts";
import { GeminiError } from "../../src/gemini/port.ts";
import { importResults } from "../../src/import/import.ts";
import { HoldLost } from "../../src/errors.ts";
import type { Manifest } from "../../src/manifest/manifest.ts";
import { pollJob } from "../../src/poll/poll-job.ts";
import { everyLine, resubmitFile, resubmitJobs } from "../../src/resubmit/resubmit.ts";
import { submit } from "../../src/run/alone.ts";
import { requestLine } from "../../src/row/request-line.ts";
import { run } from "../../src/run/run.ts";
import type { Store } from "../../src/store/port.ts";
import { revokeInput } from "../../src/submit/revoke.ts";
import { submitJob } from "../../src/submit/submit-job.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { errorLine, range, startTrial, texts } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** The same store; others do their work before it answers with its first rows. */
function after(store: Store, others: () => Promise<unknown>): Store {
  let isFirst = true;
  return {
    ...store,
    readPending: async (page) => {
      const rows = await store.readPending(page);
      if (isFirst) {
        isFirst = false;
        await others();
      }
      return rows;
    },
  };
}

test("of two that select rows at once, one drops what it has: each row is in one job", async () => {
  const trial = await startTrial(workshop, texts(10));
  await trial.services({}, async (all) => {
    const other = () => exportAll(all, trial.exportOptions({ limit: 4 }));
    const late = exportAll({ ...all, store: after(all.store, other) }, trial.exportOptions());
    await expect(late).rejects.toThrow(HoldLost);
    expect(all.manifest.jobs().map(({ requests }) => requests)).toEqual([4]);
  });
});

test("of two that send the same lines written by hand at once, one drops what it has", async () => {
  const trial = await startTrial(workshop, texts(2));
  const rows = await workshop.store.readPending({ after: undefined, limit: 2 });
  const lines = rows.map((row) => ({ ...requestLine(row, trial.target), attempt: 1 }));
  await trial.services({}, async (all) => {
    const path = join(await temporaryFolder(), "mine.jsonl");
    await writeFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    const { bounds, target } = workshop;
    const other = () => resubmitFile(all, path, bounds, target);
    const recordExported: Manifest["recordExported"] = async (...given) => {
      await other();
      return all.manifest.recordExported(...given);
    };
    const manifest = { ...all.manifest, recordExported };
    const late = resubmitFile({ ...all, manifest }, path, bounds, target);
    await expect(late).rejects.toThrow(HoldLost);
    expect(all.manifest.jobs().map(({ requests }) => requests)).toEqual([2]);
  });
});

test("no file is deleted of a batch that others found just before", async () => {
  const trial = await startTrial(workshop, texts(2));
  await trial.export();
  await trial.services({}, async (all) => {
    const { manifest, keyId } = all;
    const gemini = { ...all.gemini };
    gemini.createBatch = async (given) => {
      await all.gemini.createBatch(given);
      throw new GeminiError("uncertain", "no answer");
    };
    await submitJob({ ...all, gemini }, manifest.job("0001"));
    const [batch] = await all.gemini.findBatches("", all.signal);
    const record: Manifest["recordIf"] = async (...given) => {
      const revoking = await manifest.recordIf(...given);
      const its = { type: "submitted", job: "0001", batch: batch?.name ?? "" } as const;
      await manifest.record({ ...its, adopted: true, keyId });
      return revoking;
    };
    const services = { ...all, manifest: { ...manifest, recordIf: record } };
    expect(await revokeInput(services, manifest.job("0001"), 2)).toBe("open");
    const { name } = manifest.job("0001").remoteFile ?? {};
    expect(await all.gemini.hasFile(name ?? "", all.signal)).toBe(true);
  });
});

test("who slept until others had the folder deletes no file of theirs", async () => {
  const trial = await startTrial(workshop, texts(2));
  await trial.export();
  await trial.services({}, async (all) => {
    const { manifest } = all;
    const gemini = { ...all.gemini };
    gemini.createBatch = async () => {
      throw new GeminiError("uncertain", "no answer");
    };
    await submitJob({ ...all, gemini }, manifest.job("0001"));
    const lock = await trial.text("manifest.lock");
    const refresh = () =>
      writeFile(trial.path("manifest.lock"), JSON.stringify({ ...JSON.parse(lock), token: "-" }));
    const services = { ...all, manifest: { ...manifest, refresh } };
    const late = revokeInput(services, manifest.job("0001"), 2);
    await expect(late).rejects.toMatchObject({ exit: "locked" });
    await writeFile(trial.path("manifest.lock"), lock);
    const { name } = manifest.job("0001").remoteFile ?? {};
    expect(await all.gemini.hasFile(name ?? "", all.signal)).toBe(true);
  });
});

test("a run selects anew, and each row is paid for once", async () => {
  const trial = await startTrial(workshop, texts(10));
  await trial.services({}, async (all) => {
    const other = () => exportAll(all, trial.exportOptions({ limit: 4 }));
    // the rows are counted and tried before
    const store = after(all.store, other);
    const summary = await run({ ...all, store }, trial.runOptions());
    expect(summary).toMatchObject({ requests: 10, written: 10, remaining: 0 });
  });
  expect(Object.values(await trial.paid())).toEqual(range(1, 10).map(() => 1));
});

test("what others sent while a file was uploaded fills the window: nothing more is sent", async () => {
  const trial = await startTrial(workshop, texts(4));
  await trial.export({ bounds: { ...workshop.bounds, maxRows: 2 } });
  let isFirst = true;
  await trial.services({}, async (all) => {
    const gemini = {
      ...all.gemini,
      uploadFile: async (...given: Parameters<typeof all.gemini.uploadFile>) => {
        const file = await all.gemini.uploadFile(...given);
        // on a busy machine its upload may fail, and this one is sent once more
        if (isFirst) await submitJob(all, all.manifest.job("0002"));
        isFirst = false;
        return file;
      },
    };
    const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
    await submit({ ...all, gemini }, { window, reconcileGraceMs: 0 });
  });
  expect(await trial.states()).toEqual(["0001 exported", "0002 submitted"]);
  expect(trial.emulator.batches()).toHaveLength(1);
});

test("a job that others have seen end, or imported, keeps what they recorded of it", async () => {
  const trial = await startTrial(workshop, texts(2));
  await trial.export();
  await trial.submit();
  await trial.services({}, async (all) => {
    const inHand = all.manifest.job("0001");
    const ended = await pollJob(all, inHand);
    await expect(pollJob(all, inHand)).rejects.toThrow(HoldLost);
    await importResults(all, ended);
    const imported = all.manifest.job("0001");
    await expect(importResults(all, ended)).rejects.toThrow(HoldLost);
    expect(all.manifest.job("0001")).toBe(imported);
  });
  expect(await trial.rightIds()).toEqual([1, 2]);
});

test("of failed lines that several jobs left, those go again that others did not take meanwhile", async () => {
  const trial = await startTrial(workshop, texts(4));
  trial.setResults({ 1: errorLine(13), 3: errorLine(13) });
  await trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 2 } });
  await trial.import();
  trial.setWire((_call, send) => send());
  await trial.services({}, async (all) => {
    let isFirst = true;
    const recordResubmitted: Manifest["recordResubmitted"] = async (children, parents) => {
      if (isFirst) {
        isFirst = false;
        await resubmitJobs(all, [all.manifest.job("0001")], workshop.bounds, everyLine);
      }
      return all.manifest.recordResubmitted(children, parents);
    };
    const manifest = { ...all.manifest, recordResubmitted };
    const summary = await run({ ...all, manifest }, trial.runOptions());
    expect(summary).toMatchObject({ written: 2, failed: 0, remaining: 0 });
    expect(manifest.jobs().map(({ parents }) => parents)).toEqual([[], [], ["0001"], ["0002"]]);
  });
  expect(await trial.rightIds()).toEqual([1, 2, 3, 4]);
});

test.each([["revoking"], ["revoking", "absent"]])(
  "whose batch was made while others wrote %s of its job says which it is: nothing is sent again",
  async (...written) => {
    const trial = await startTrial(workshop, texts(3));
    await trial.export();
    await trial.services({}, async (all) => {
      const createBatch: typeof all.gemini.createBatch = async (given) => {
        const batch = await all.gemini.createBatch(given);
        const its = { job: "0001", reads: 2, keyId: all.keyId } as const;
        const { file } = given;
        await all.manifest.record({ ...its, type: "revoking", file, fences: true });
        if (written.includes("absent")) {
          await all.manifest.record({ type: "absent", job: "0001", reads: 2, revoked: true });
        }
        return batch;
      };
      const window = { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 };
      // and the list does not show it yet
      const gemini = { ...all.gemini, createBatch, findBatches: async () => [] };
      const services = { ...all, gemini };
      await submit(services, { window, reconcileGraceMs: 0 });
      expect(all.manifest.job("0001")).toMatchObject({ state: "submitted", submissions: 1 });
    });
    expect(trial.emulator.batches()).toHaveLength(1);
  },
);
