/**
 * The other side never ends, never answers or sends far too much; a file is a device without an end:
 * does vecfill stop with a word, instead of filling the memory or the disk, or waiting for ever?
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fingerprintSql } from "../fingerprints.ts";
import { systemClock } from "../../src/clock.ts";
import { loadConfiguration } from "../../src/settings/config.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import type { Limits } from "../../src/gemini/http/limits.ts";
import { RequestRows } from "../../src/import/row-outcomes.ts";
import { MAX_TEXT_CHARS } from "../../src/row/question.ts";
import { NEW_QUOTA } from "../../src/manifest/quota/quota-log.ts";
import { pauseMs } from "../../src/quota/next-try.ts";
import { serve, type Stub } from "../gemini/stub-server.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { startTrial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { drive } from "../../src/run/drive.ts";
import { worldOf } from "../../src/gates/world.ts";
import { createsOf } from "../../src/submit/creates.ts";
import { SettleLane } from "../../src/submit/settle-lane.ts";
import { SubmitLane } from "../../src/submit/submit-lane.ts";
import { IN_FULL } from "../size.ts";

let workshop: Workshop;
let stub: Stub | undefined;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());
afterEach(async () => {
  await stub?.close();
  stub = undefined;
});

const PIECE = Buffer.alloc(1_000, "x");

/** A service whose every answer goes on and on, a piece at a time. */
async function endless(limits: Partial<Limits>, everyMs: number) {
  stub = await serve([], async (_, response) => {
    while (!response.destroyed) {
      response.write(PIECE);
      await systemClock.sleep(everyMs);
    }
  });
  return connectGemini({ apiKey: "k", baseUrl: stub.baseUrl, limits });
}

describe("a service that sends without end", () => {
  it("as an answer: refused once it is larger than any", async () => {
    const gemini = await endless({ maxAnswerBytes: 20_000 }, 0);
    await expect(gemini.getBatch("batches/x")).rejects.toMatchObject({
      kind: "uncertain",
      message: expect.stringContaining("over 20000 bytes"),
    });
  });

  it.each([
    ["too much", { maxResultsBytes: 20_000 }, "over 20000 bytes"],
    ["too slowly", { downloadMs: 200 }, "took over 0.2 s"],
  ])("as results, %s: nothing is left on the disk", async (_, limits, says) => {
    const folder = await temporaryFolder();
    const gemini = await endless(limits, 5);
    const saving = gemini.downloadResults("files/x", join(folder, "results"), {});
    await expect(saving).rejects.toMatchObject({ message: expect.stringContaining(says) });
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  });
});

describe("a service that asks for patience", () => {
  it("for a year, is asked again after a day", () => {
    const log = { ...NEW_QUOTA, refusalsInRow: 1, retryAfterMs: 365 * 86_400_000 };
    expect(pauseMs(log, 1_000)).toBe(86_400_000);
  });

  it("by never answering a create is left after so many in a row", async () => {
    const trial = await startTrial(workshop, ["a"], { frozen: true, faults: "create-lost" });
    await trial.export();
    const ended = trial.services({}, async (all) => {
      const grace = { reconcileGraceMs: 1_000, quotaWaitMs: 0 };
      const window = { maxActiveJobs: 9, maxEnqueuedTokens: 999 };
      const around = { ...worldOf(all), ...grace, window };
      const { projects } = createsOf(around, 1);
      const lanes = projects.flatMap((own) => [new SubmitLane(own), new SettleLane(own)]);
      await drive(lanes, around);
      around.outages.halted.throwIfAborted();
    });
    await expect(ended).rejects.toMatchObject({
      exit: "unfinished",
      message: expect.stringMatching(
        /^Starting the batch of job 0001 had no answer 2 times in a row/,
      ),
    });
    expect(await trial.states()).toEqual(["0001 submitting"]);
  });

  it(
    "by never answering a create: run gives up, and the next one finds out first",
    IN_FULL,
    async () => {
      const trial = await startTrial(workshop, ["a", "b"], { frozen: true, faults: "create-lost" });
      await expect(trial.run({ reconcileGraceMs: 1_000 })).rejects.toMatchObject({
        exit: "unfinished",
        message: expect.stringContaining("25 times in a row"),
      });
      // and one with a throw-away file, which was refused
      expect(trial.emulator.calls("create")).toBe(26);
      expect(trial.emulator.createsOfGoneFiles()).toBe(1);
      expect(await trial.states()).toEqual(["0001 submitting"]);
      trial.emulator.setFaults("");
      expect(await trial.run()).toMatchObject({ written: 2, remaining: 0 });
      expect(await trial.paid()).toEqual({ 1: 1, 2: 1 });
    },
  );
});

it("a settings file without an end is no settings file", async () => {
  const folder = await temporaryFolder();
  for (const flag of ["env-file", "config"]) {
    const loading = loadConfiguration({ flags: { [flag]: "/dev/zero" }, env: {}, folder });
    await expect(loading).rejects.toMatchObject({
      exit: "usage",
      message: expect.stringMatching(/\/dev\/zero is over 1000000 bytes/),
    });
  }
});

describe("a text longer than any model takes", () => {
  const LONG = "   ".repeat(MAX_TEXT_CHARS) + "at last a word";

  it("comes cut, so that a page of them fits the memory, with the fingerprint of the whole", async () => {
    await startTrial(workshop, [LONG, "x".repeat(MAX_TEXT_CHARS)]);
    const rows = await workshop.store.readPending({ after: undefined, limit: 10 });
    expect(rows.map(({ text }) => text.length)).toEqual([MAX_TEXT_CHARS + 1, MAX_TEXT_CHARS]);
    const whole = await workshop.database.query(
      `SELECT ${fingerprintSql("question_text")} AS its FROM questions ORDER BY id`,
    );
    expect(rows.map(({ fingerprint }) => fingerprint)).toEqual(whole.map((row) => row["its"]));
  });

  it("is left out as too long, although its start would be short enough or empty", async () => {
    const trial = await startTrial(workshop, [LONG, `a${LONG}`, "short"]);
    expect(await trial.export()).toMatchObject({ exported: 1, skipped: { tooLong: 2, empty: 0 } });
  });
});

it("a service that words every failure differently fills no memory", () => {
  const ROWS = 30_000;
  const rows = new RequestRows(ROWS);
  for (let row = 0; row < ROWS; row += 1) {
    rows.add(`${row}@${"0".repeat(32)}`);
    rows.fail(row, { class: "retryable", reason: "service", code: 13, message: `error ${row}` });
  }
  const all = Array.from({ length: ROWS }, (_, row) => rows.failureOf(row)?.message);
  expect(all[9_999]).toBe("error 9999");
  expect(new Set(all).size).toBeLessThanOrEqual(10_001);
  expect(rows.failureOf(ROWS - 1)).toMatchObject({ class: "retryable", code: 13 });
  expect(rows.sums()).toMatchObject({ failed: ROWS });
});
