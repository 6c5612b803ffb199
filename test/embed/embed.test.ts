// I cannot wait for a batch, so I have the rows embedded at once. Do I get the very same column; is
// nothing that was answered paid for again, whatever breaks; does one bad text cost one row; and what
// happens to a job that I stop half-way?
import { readManifest } from "../../src/jobs-folder/open.ts";
import { appendFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import { pricesOf } from "../../src/cost/tariff.ts";
import { countAnswered } from "../../src/jobs-folder/checkpoint.ts";
import { spentOn } from "../../src/cost/cost.ts";
import type { LaneChoice } from "../../src/cost/lane.ts";
import { type Manifest } from "../../src/manifest/manifest.ts";
import { reportedManifest } from "../../src/cost/reported-manifest.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { resealed } from "../manifest/sample.ts";
import { embedAtOnce, startTrial, texts, type Trial, type Wire } from "../trial.ts";
import { answerOf } from "../../src/embed/answer.ts";
import { CallGroup } from "../../src/embed/call-group.ts";
import type { Answer } from "../../src/jobs-folder/checkpoint.ts";
import { requestLine } from "../../src/row/request-line.ts";
import { parseResultLine } from "../../src/row/result-line/result-line.ts";
import { adoptFound } from "../../src/submit/adopt.ts";
import { openWorkshop, type Workshop, type WorkshopServices } from "../workshop.ts";
import { IN_FULL } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS = 450;
const BOUNDS = { maxRows: 1_000, maxTokens: 100_000, maxBytes: 10_000_000 };
const SYNC: LaneChoice = { lane: "sync", syncUpToTokens: 0 };

/** Rows in one exported job. */
async function exported(rows = ROWS, options: Parameters<typeof startTrial>[2] = {}) {
  const trial = await startTrial(workshop, texts(rows), options);
  await trial.export({ bounds: BOUNDS });
  return trial;
}

async function column(trial: Trial) {
  return trial.sql("SELECT id::text, embedding::text AS vector FROM questions ORDER BY id");
}

/** How often the texts were paid for, and how many of them so often. */
function payments({ emulator }: Trial): Record<number, number> {
  const times = Map.groupBy(emulator.paidTexts().values(), (each) => each);
  return Object.fromEntries([...times].map(([often, all]) => [often, all.length]));
}

/** Lets so many interactive calls through, and then does something else with each. */
function afterCalls(passing: number, then: Wire): Wire {
  let calls = 0;
  return (call, send) => {
    if (!call.url.pathname.endsWith(":batchEmbedContents")) return send();
    calls += 1;
    return calls <= passing ? send() : then(call, send);
  };
}

const refusedKey = async () =>
  new Response(
    JSON.stringify({
      error: { code: 400, message: "API key not valid.", status: "INVALID_ARGUMENT" },
    }),
    { status: 400 },
  );

async function failingCall(): Promise<never> {
  throw new Error("it was refused");
}

async function halfDone() {
  const trial = await exported();
  trial.setWire(afterCalls(2, refusedKey));
  await expect(trial.embed()).rejects.toThrow("API key not valid");
  trial.setWire((_call, send) => send());
  return trial;
}
function cancel(trial: Trial, insist = false) {
  return trial.services({}, ({ manifest, gemini, report }) =>
    cancelJob({ manifest, gemini: async () => gemini, report }, manifest.job("0001"), insist),
  );
}

async function dies(): Promise<never> {
  throw new Error("died");
}

async function byBatch(trial: Trial): Promise<void> {
  await trial.submit();
  await trial.poll();
  await trial.import();
}

/** Everything but the manifest is as it was left. */
async function restoredAfter(work: (trial: Trial) => Promise<unknown>) {
  const trial = await exported();
  await trial.forgetting(() => work(trial));
  return trial;
}

/** As whoever has no lock counts them. */
async function answeredOf(trial: Trial): Promise<number> {
  const manifest = await readManifest(trial.folder);
  return countAnswered(manifest.files("0001"), manifest.job("0001"));
}

async function answeredLines(trial: Trial): Promise<number> {
  return (await trial.lines("0001.sync.jsonl")).length;
}

describe("the same rows", () => {
  test("come to the same column by batch, at once, and by both", { timeout: 60_000 }, async () => {
    const rows = [...texts(ROWS - 3), "Ünïcödé \u2028 \u{1f600}", '"quoted"\n\\', "ß".repeat(300)];
    const columns = [];
    for (const lane of ["batch", "sync", "auto"] as const) {
      const trial = await startTrial(workshop, rows);
      const bounds = { ...BOUNDS, maxRows: 300 };
      const summary = await trial.run({
        export: trial.exportOptions({ bounds }),
        lane: { lane, syncUpToTokens: 1_600 },
      });
      expect(summary).toMatchObject({ written: ROWS, failed: 0, remaining: 0 });
      const atOnce = { batch: [], sync: ["0001", "0002"], auto: ["0002"] }[lane];
      expect(summary.atOnce).toEqual(atOnce);
      expect(trial.emulator.batches()).toHaveLength(2 - atOnce.length);
      expect(await trial.rightIds()).toHaveLength(ROWS);
      columns.push(await column(trial));
    }
    expect(columns[1]).toEqual(columns[0]);
    expect(columns[2]).toEqual(columns[0]);
  });

  test("are imported as a batch's are, and paid for at the interactive price", async () => {
    const trial = await exported();
    expect(await trial.embed()).toEqual({ embedded: ["0001"], left: [] });
    expect(await trial.job("0001")).toMatchObject({ state: "downloaded", lane: "sync" });
    expect(await trial.files()).not.toContain("0001.sync.jsonl");
    expect(await trial.import()).toMatchObject({ requests: ROWS, written: ROWS });
    expect(payments(trial)).toEqual({ 1: ROWS });
    const [job] = await trial.jobs();
    if (job === undefined) throw new Error("no job");
    const spent = spentOn([job], pricesOf({}));
    expect(spent.usd).toBeCloseTo((job.tokens / 1_000_000) * 0.15, 12);
  });

  test("of the newer model too: one vector a text, and its tokens as the service counts them", async () => {
    const trial = await startTrial(workshop, texts(120));
    const target = { ...trial.target, model: "gemini-embedding-2" } as const;
    await trial.export({ target, bounds: BOUNDS });
    await trial.embed();
    expect(await trial.import()).toMatchObject({ written: 120, failed: 0 });
    const lines = await trial.lines("0001.results.jsonl");
    expect(lines).toHaveLength(120);
    // "title: none | text: Question number 7?"
    expect((await trial.job("0001")).billedTokens).toBeGreaterThan(120 * 10);
  });
});

describe("what was answered is never paid for again", () => {
  test("when a call fails for good: the next time goes on behind it", IN_FULL, async () => {
    const trial = await exported();
    trial.setWire(afterCalls(2, refusedKey));
    await expect(trial.embed()).rejects.toMatchObject({ exit: "fatal" });
    expect(await trial.states()).toEqual(["0001 embedding"]);
    const answered = await answeredLines(trial);
    expect(answered).toBe(200);
    trial.setWire((_call, send) => send());
    await trial.embed();
    expect(await trial.import()).toMatchObject({ written: ROWS, failed: 0 });
    expect(payments(trial)).toEqual({ 1: ROWS });
  });

  test("when the file ends inside a line: that row alone is asked for again", async () => {
    const trial = await exported(150);
    trial.setWire(afterCalls(1, refusedKey));
    await expect(trial.embed()).rejects.toThrow("API key not valid");
    const path = trial.path("0001.sync.jsonl");
    const whole = await readFile(path, "utf8");
    const lines = whole.trimEnd().split("\n");
    await writeFile(path, whole.slice(0, -1 - Math.floor((lines.at(-1) ?? "").length / 2)));
    trial.setWire((_call, send) => send());
    await trial.embed();
    expect(payments(trial)).toEqual({ 1: 149, 2: 1 });
    expect(await trial.import()).toMatchObject({ written: 150 });
  });

  test("when the process died between the last answer and its record", async () => {
    const trial = await exported(50);
    await expect(
      trial.services({}, async (all) => {
        const record: typeof all.manifest.record = (event) =>
          event.type === "downloaded" ? dies() : all.manifest.record(event);
        return embedAtOnce({ ...all, manifest: { ...all.manifest, record } });
      }),
    ).rejects.toThrow("died");
    expect(await trial.files()).toContain("0001.results.jsonl");
    expect(await trial.states()).toEqual(["0001 embedding"]);
    await trial.embed();
    expect(await trial.import()).toMatchObject({ written: 50 });
    expect(payments(trial)).toEqual({ 1: 50 });
  });

  test("on Ctrl-C: calls under way are waited for and kept, and no further one leaves", async () => {
    const trial = await exported(1_000);
    const interrupt = new AbortController();
    let calls = 0;
    trial.setWire(async ({ url }, send) => {
      if (!url.pathname.endsWith(":batchEmbedContents")) return send();
      calls += 1;
      if (calls === 4) interrupt.abort(new Error("interrupted"));
      await new Promise((soon) => setTimeout(soon, 50));
      return send();
    });
    expect(await trial.embed({ signal: interrupt.signal })).toEqual({
      embedded: [],
      left: ["0001"],
    });
    expect([calls, await answeredLines(trial)]).toEqual([4, 400]);
    expect(payments(trial)).toEqual({ 1: 400 });
    await trial.embed();
    expect(payments(trial)).toEqual({ 1: 1_000 });
  });

  test("but an answer that got lost is paid for again, a few times at most", async () => {
    const trial = await exported(60, { faults: "sync-cut=1x" });
    await trial.embed();
    expect(payments(trial)).toEqual({ 2: 60 });
    const never = await exported(60, { faults: "sync-cut" });
    await expect(never.embed()).rejects.toMatchObject({ exit: "unfinished" });
    expect(payments(never)).toEqual({ 3: 60 });
  });

  test("once a call has failed no further one leaves", async () => {
    const group = new CallGroup(new AbortController().signal);
    const sent: string[] = [];
    const other = async () => {
      sent.push("under way");
      await nextTurn();
      if (!group.stop.aborted) sent.push("one more");
    };
    await expect(group.all([failingCall, other])).rejects.toThrow("it was refused");
    expect(sent).toEqual(["under way"]);
  });
});

describe("a service that stumbles", () => {
  test.each(["sync-429=3x", "sync-5xx=3x", "rate-429=2x"])("%s costs time only", async (faults) => {
    const trial = await exported(ROWS, { faults });
    await trial.embed();
    expect(payments(trial)).toEqual({ 1: ROWS });
    expect(await trial.import()).toMatchObject({ written: ROWS });
  });

  test("that sends a vector too few: the rows fail, may be sent again, and none is mixed up", async () => {
    const trial = await startTrial(workshop, texts(150), { faults: "sync-count=1x" });
    const bounds = { ...BOUNDS, maxRows: 100 };
    const options = { export: trial.exportOptions({ bounds }), lane: SYNC };
    expect(await trial.run(options)).toMatchObject({ written: 150, failed: 0 });
    expect(await trial.rightIds()).toHaveLength(150);
    expect(payments(trial)).toMatchObject({ 1: expect.any(Number) });
    const [first] = await trial.jobs();
    expect(first?.sums?.failed).toBe(100);
    // it was answered, and so paid for, but nobody knows for how many tokens
    expect(first?.billedTokens).toBeUndefined();
    const spent = first === undefined ? undefined : spentOn([first], pricesOf({}));
    expect(spent?.tokens).toBe(first?.tokens);
  });
});

describe("a text that the service does not take", () => {
  test("costs its own row, wherever in a call it stands", async () => {
    const trial = await exported(ROWS, { faults: "sync-bad-text=0.01", seed: 3 });
    await trial.embed();
    const summary = await trial.import();
    const failed = await trial.lines("0001.failed.jsonl");
    expect(failed.length).toBeGreaterThan(1);
    expect(summary).toMatchObject({ written: ROWS - failed.length, failed: failed.length });
    expect(failed[0]).toMatchObject({
      error: {
        class: "permanent",
        reason: "service",
        code: 3,
        message: expect.stringContaining("cannot be embedded"),
      },
    });
    expect(payments(trial)).toEqual({ 1: ROWS - failed.length });
    expect(await trial.rightIds()).toHaveLength(ROWS - failed.length);
  });

  test("alone in its job, too", async () => {
    const trial = await exported(1, { faults: "sync-bad-text" });
    await trial.embed();
    expect(await trial.import()).toMatchObject({ written: 0, failed: 1 });
  });

  test("is not to blame where every text of a call is refused: it stops, and no row fails", async () => {
    const trial = await exported(150, { faults: "sync-bad-text" });
    await expect(trial.embed()).rejects.toThrow("cannot be embedded");
    expect(await trial.states()).toEqual(["0001 embedding"]);
    expect(await answeredLines(trial)).toBe(0);
  });
});

describe("a job that was begun at once", () => {
  test("is left alone by submit, and no batch is made of it", async () => {
    const trial = await halfDone();
    expect(await trial.submit()).toMatchObject({ submitted: [], waiting: [] });
    expect(trial.emulator.batches()).toEqual([]);
    expect(await trial.export()).toMatchObject({ exported: 0, skipped: { inFlight: ROWS } });
  });

  test("is finished at once by run, whatever the lane of the others", async () => {
    const trial = await halfDone();
    expect(await trial.run()).toMatchObject({ written: ROWS, atOnce: ["0001"] });
    expect(trial.emulator.batches()).toEqual([]);
    expect(payments(trial)).toEqual({ 1: ROWS });
  });

  test(
    "ends with what it has when it is cancelled: that is imported, the rest may be sent again",
    IN_FULL,
    async () => {
      const trial = await halfDone();
      expect(await cancel(trial)).toBe("kept");
      expect(await trial.import()).toMatchObject({ written: 200, failed: 250 });
      const job = await trial.job("0001");
      expect(job.outstanding).toEqual({ lines: 250, retryable: 250 });
      await trial.run({ export: trial.exportOptions({ bounds: BOUNDS }) });
      expect(await trial.rightIds()).toHaveLength(ROWS);
      expect(payments(trial)).toEqual({ 1: 200 });
      const paid = Object.values(await trial.paid());
      expect([paid.length, new Set(paid)]).toEqual([250, new Set([1])]);
    },
  );

  test("is given up when it is cancelled before its first answer", async () => {
    const trial = await exported();
    trial.setWire(afterCalls(0, refusedKey));
    await expect(trial.embed()).rejects.toThrow("API key not valid");
    expect(await cancel(trial)).toBe("givenUp");
    expect(await trial.files()).not.toContain("0001.sync.jsonl");
    expect(await trial.export({ bounds: BOUNDS })).toMatchObject({ exported: ROWS });
  });

  test("and whose results are lost waits for a person: nobody else has them", async () => {
    const trial = await exported(20);
    await trial.embed();
    await rename(trial.path("0001.results.jsonl"), trial.path("elsewhere"));
    await expect(trial.import()).rejects.toMatchObject({
      hint: expect.stringContaining("vecfill cancel 0001 --give-up"),
    });
    await rename(trial.path("elsewhere"), trial.path("0001.results.jsonl"));
    await appendFile(trial.path("0001.results.jsonl"), "x");
    await expect(trial.import()).rejects.toThrow("missing or has been changed");
    await expect(cancel(trial)).rejects.toMatchObject({ exit: "usage" });
    expect(await cancel(trial, true)).toBe("givenUp");
    expect(await trial.export({ bounds: BOUNDS })).toMatchObject({ exported: 20 });
  });

  test("takes nothing from files that another manifest left under its number", async () => {
    const trial = await exported(20);
    const foreign = (await trial.lines("0001.requests.jsonl"))
      .map((line) => Object(line).key)
      .map((key) => JSON.stringify({ key, response: { embedding: { values: [1, 2, 3] } } }));
    await writeFile(trial.path("0001.sync.jsonl"), `${foreign.join("\n")}\n`);
    await writeFile(trial.path("0001.results.jsonl"), `${foreign.join("\n")}\n`);
    await trial.embed();
    expect(await trial.import()).toMatchObject({ written: 20, failed: 0 });
    expect(await trial.rightIds()).toHaveLength(20);
    for (const name of ["0001.sync.jsonl.unknown", "0001.results.jsonl.unknown"]) {
      expect(await trial.lines(name)).toEqual(foreign.map((line): unknown => JSON.parse(line)));
    }
  });
});

describe("a manifest restored from a backup that is older than the answers", () => {
  test.each(["batch", "sync"] as const)(
    "knows a half-done job for what it is, with --lane %s",
    async (lane) => {
      const trial = await restoredAfter(async (half) => {
        half.setWire(afterCalls(2, refusedKey));
        await expect(half.embed()).rejects.toThrow("API key not valid");
        half.setWire((_call, send) => send());
      });
      const summary = await trial.run({ lane: { lane, syncUpToTokens: 0 } });
      expect(summary).toMatchObject({ written: ROWS, failed: 0, atOnce: ["0001"] });
      expect(payments(trial)).toEqual({ 1: ROWS });
      expect(trial.emulator.batches()).toEqual([]);
    },
  );

  test.each(["batch", "sync"] as const)(
    "imports what is complete, with --lane %s",
    async (lane) => {
      const trial = await restoredAfter((whole) => whole.embed());
      expect(await trial.run({ lane: { lane, syncUpToTokens: 0 } })).toMatchObject({
        written: ROWS,
      });
      expect(payments(trial)).toEqual({ 1: ROWS });
      expect(trial.emulator.batches()).toEqual([]);
    },
  );

  test("and put over a job that was further: what is complete is taken, the half is kept aside", async () => {
    const trial = await halfDone();
    const [manifest, half] = await Promise.all(
      ["manifest.ndjson", "0001.sync.jsonl"].map((name) => readFile(trial.path(name))),
    );
    await trial.embed();
    const whole = await trial.text("0001.results.jsonl");
    await writeFile(trial.path("manifest.ndjson"), manifest ?? "");
    await writeFile(trial.path("0001.sync.jsonl"), half ?? "");
    expect(await answeredOf(trial)).toBe(ROWS);
    expect(await trial.run({ lane: SYNC })).toMatchObject({ written: ROWS, failed: 0 });
    expect(payments(trial)).toEqual({ 1: ROWS });
    expect(await trial.text("0001.results.jsonl")).toBe(whole);
    expect(await trial.text("0001.sync.jsonl.unknown")).toBe(String(half));
  });

  test("is seen through without the lock too, and nothing is changed by that", async () => {
    const trial = await restoredAfter((whole) => whole.embed());
    await writeFile(trial.path("0001.sync.jsonl"), "");
    const [files, manifest] = [await trial.files(), await trial.text("manifest.ndjson")];
    expect(await trial.states()).toEqual(["0001 embedding"]);
    expect(await answeredOf(trial)).toBe(ROWS);
    expect(await trial.files()).toEqual(files);
    expect(await trial.text("manifest.ndjson")).toBe(manifest);
    expect(await trial.run({ lane: SYNC })).toMatchObject({ written: ROWS });
    expect(payments(trial)).toEqual({ 1: ROWS });
  });

  test(
    "calls a job exported whose answers are not for its requests, without the lock as with it",
    IN_FULL,
    async () => {
      const trial = await restoredAfter(byBatch);
      const files = await trial.files();
      expect(files).toContain("0001.results.jsonl");
      expect(await trial.states()).toEqual(["0001 exported"]);
      expect(await trial.files()).toEqual(files);
    },
  );

  test("lets a job be cancelled without losing what it was answered", async () => {
    const trial = await restoredAfter((whole) => whole.embed());
    expect(await cancel(trial)).toBe("kept");
    expect(await trial.import()).toMatchObject({ written: ROWS });
  });

  test("takes no answers that another model gave to the same rows", async () => {
    const trial = await restoredAfter((whole) => whole.embed());
    const path = trial.path("manifest.ndjson");
    const journal = await readFile(path, "utf8");
    const others = journal.replaceAll("gemini-embedding-001", "gemini-embedding-2");
    await writeFile(path, resealed(others));
    await trial.embed();
    expect(trial.emulator.embeddedNow()).toBe(2 * ROWS);
    expect(await trial.lines("0001.results.jsonl.unknown")).toHaveLength(ROWS);
  });

  test(
    "keeps a batch's results aside, and says so, before others take their place",
    IN_FULL,
    async () => {
      const trial = await restoredAfter(async (whole) => {
        await byBatch(whole);
        await whole.sql("UPDATE questions SET embedding = NULL");
      });
      const results = await trial.text("0001.results.jsonl");
      const events: ProgressEvent[] = [];
      await trial.services({}, async ({ manifest }) => {
        reportedManifest(manifest, (event) => events.push(event), pricesOf({}));
      });
      expect(events[0]).toMatchObject({
        type: "warning",
        message: expect.stringContaining("0001.results.jsonl.unknown"),
      });
      expect(await trial.run()).toMatchObject({ written: ROWS, atOnce: [] });
      expect(await trial.text("0001.results.jsonl.unknown")).toBe(results);
      const paid = Object.values(await trial.paid());
      expect([paid.length, new Set(paid)]).toEqual([ROWS, new Set([1])]);
      expect(trial.emulator.embeddedNow()).toBe(0);
    },
  );

  test("gives no number out again whose answers are there", async () => {
    const trial = await startTrial(workshop, texts(30));
    await trial.export({ bounds: { ...BOUNDS, maxRows: 10 }, limit: 10 });
    await trial.forgetting(async () => {
      await trial.export({ bounds: { ...BOUNDS, maxRows: 10 } });
      await trial.embed();
    });
    // as if it were still under way
    await rm(trial.path("0002.results.jsonl"));
    const names = ["0003.requests.jsonl", "0003.results.jsonl"];
    const kept = await Promise.all(names.map((name) => trial.text(name)));
    await trial.run({ export: trial.exportOptions({ bounds: BOUNDS }), lane: SYNC });
    expect(await trial.states()).toEqual(["0001 imported", "0002 imported"]);
    await trial.sql("INSERT INTO questions (id, question_text) VALUES (31, 'a further row')");
    await trial.export();
    expect(await trial.states()).toEqual(["0001 imported", "0002 imported", "0004 exported"]);
    expect(await Promise.all(names.map((name) => trial.text(name)))).toEqual(kept);
  });
});

describe("a limit on cost", () => {
  test("counts jobs at the price of the lane that they will take, and what was begun as spent", async () => {
    const trial = await startTrial(workshop, texts(40));
    const bounds = { ...BOUNDS, maxRows: 10 };
    await trial.export({ bounds });
    const perJob = (await trial.jobs())[0]?.tokens ?? 0;
    // a dollar a token as a batch, two at once: enough for three jobs as batches, for one at once
    const prices = pricesOf({ price: 1_000_000, priceSync: 2_000_000 });
    const costLimit = { maxUsd: perJob * 3.2, prices, lane: SYNC };
    const options = { export: trial.exportOptions({ bounds }), prices, costLimit, lane: SYNC };
    const first = await trial.run(options);
    expect(first).toMatchObject({ written: 10, atOnce: ["0001"] });
    expect(first.costStop).toMatchObject({ maxUsd: perJob * 3.2, spentUsd: perJob * 2 });
    expect(await trial.run(options)).toMatchObject({ written: 0, atOnce: [] });
    expect(trial.emulator.embeddedNow()).toBe(10);
  });
});

/** The manifest does not know of the batch, and the other event comes before the awaited one. */
async function withBatch(
  work: (all: WorkshopServices) => Promise<unknown>,
  other: (all: WorkshopServices) => Promise<unknown>,
) {
  const trial = await exported(20);
  await trial.forgetting(trial.submit);
  await trial.services({}, async (all) => {
    let isFirst = true;
    const recordIf: Manifest["recordIf"] = async (holds, event) => {
      if (isFirst) await other(all);
      isFirst = false;
      return all.manifest.recordIf(holds, event);
    };
    await work({ ...all, manifest: { ...all.manifest, recordIf } });
  });
  return trial;
}

describe("a job whose batch is found at the very moment at which it is begun at once", () => {
  test("stays with the batch that came first, and nothing is embedded", async () => {
    const trial = await withBatch(embedAtOnce, (all) => adoptFound(all));
    expect(await trial.states()).toEqual(["0001 submitted"]);
    expect(trial.emulator.embeddedNow()).toBe(0);
  });

  test("stays in the sync lane when that came first, and the batch is told of", async () => {
    const trial = await withBatch(adoptFound, ({ manifest }) =>
      manifest.record({ type: "embedding", job: "0001" }),
    );
    const [batch] = trial.emulator.batches();
    expect(await trial.job("0001")).toMatchObject({
      state: "embedding",
      duplicateBatches: [batch?.name],
    });
  });
});

describe("a job whose create request was lost", () => {
  test("stays with the batches: its batch may still turn up", async () => {
    const trial = await exported(20, { faults: "create-lost=1x" });
    await trial.services({}, async (all) => {
      const { submitJob } = await import("../../src/submit/submit-job.ts");
      await submitJob(all, all.manifest.job("0001"));
      await all.manifest.record({ type: "absent", job: "0001", reads: 2 });
    });
    expect(await trial.embed()).toEqual({ embedded: [], left: [] });
    expect(await trial.run({ lane: SYNC })).toMatchObject({ written: 20, atOnce: [] });
    expect(trial.emulator.embeddedNow()).toBe(0);
  });

  test("one that was refused for quota need not wait any more", async () => {
    const trial = await exported(20, { faults: "create-429=1x" });
    await trial.submit();
    expect(await trial.states()).toEqual(["0001 exported"]);
    expect(await trial.run({ lane: SYNC })).toMatchObject({ written: 20, atOnce: ["0001"] });
    expect(trial.emulator.batches()).toEqual([]);
  });
});

test("without its request file a job is not begun: nobody could tell its rows apart", async () => {
  const trial = await exported(20);
  await rm(trial.path("0001.requests.jsonl"));
  await expect(trial.embed()).rejects.toThrow("is missing");
  expect(trial.emulator.embeddedNow()).toBe(0);
});

test("the tokens that a call tells are on one of its lines: their sum is what was billed", async () => {
  const kept: Answer[] = [];
  const requests = ["1", "2", "3"].map((id) =>
    requestLine({ id, text: "one", fingerprint: "0".repeat(32) }, workshop.target),
  );
  await answerOf(requests, {
    embed: async (given) => ({ vectors: given.map(() => [1]), tokens: 12 }),
    keep: async (answers) => void kept.push(...answers),
  });
  const lines = kept.map(({ key, content }) => JSON.stringify({ ...content, key }));
  const told = lines.map((line) => parseResultLine(Buffer.from(line)));
  expect(told.map((line) => line.kind === "vector" && line.tokens)).toEqual([12, 0, 0]);
});
