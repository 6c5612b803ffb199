// I give vecfill so many dollars and no more. Does it ever send the job that passes them, whichever
// command sends it and however often I start it again, and is what was sent still fetched?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pricesOf } from "../../src/cost/tariff.ts";
import { type CostLimit, spentOn } from "../../src/cost/cost.ts";
import { range, startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** A dollar a token, so that limits read as tokens. */
const prices = pricesOf({ price: 1_000_000 });

function upTo(maxUsd: number): CostLimit {
  return { maxUsd, prices };
}

function runUpTo(trial: Trial, maxUsd: number, rowsAJob = 4) {
  const bounds = { ...workshop.bounds, maxRows: rowsAJob };
  return trial.run({ export: trial.exportOptions({ bounds }), prices, costLimit: upTo(maxUsd) });
}

/** What the jobs of a first export would cost, by their estimates. */
async function estimates(trial: Trial): Promise<number[]> {
  return (await trial.jobs()).map(({ tokens }) => tokens);
}

async function spentUsd(trial: Trial): Promise<number> {
  return spentOn(await trial.jobs(), prices).usd;
}

describe("a run", () => {
  test("stops before the job that would pass, having fetched what was sent", async () => {
    const trial = await startTrial(workshop, texts(20));
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 4 } });
    const [first = 0, second = 0, third = 0] = await estimates(trial);
    const maxUsd = first + second + third - 1;
    const { costStop, ...summary } = await runUpTo(trial, maxUsd);
    expect(summary).toMatchObject({ written: 8, remaining: 12, timedOut: false });
    expect(await trial.rightIds()).toEqual(range(1, 8));
    expect(costStop).toMatchObject({ maxUsd, spentUsd: await spentUsd(trial) });
    expect(await spentUsd(trial)).toBeLessThanOrEqual(maxUsd);
    expect(trial.emulator.batches()).toHaveLength(2);
  });

  test("started again sends nothing more, and with a higher limit the rest", async () => {
    const trial = await startTrial(workshop, texts(12));
    await runUpTo(trial, 50);
    const batches = trial.emulator.batches().length;
    const again = await runUpTo(trial, 50);
    expect([batches, trial.emulator.batches().length]).toEqual([batches, batches]);
    expect(again.costStop?.neededUsd).toBeGreaterThan(50);
    const rest = await runUpTo(trial, 10_000);
    expect(rest).toMatchObject({ remaining: 0, costStop: undefined });
    expect(Object.values(await trial.paid())).toEqual(range(1, 12).map(() => 1));
  });

  test("with a limit of nothing, or of less than is spent already, sends nothing", async () => {
    const trial = await startTrial(workshop, texts(8));
    expect(await runUpTo(trial, 0)).toMatchObject({ written: 0, costStop: { spentUsd: 0 } });
    expect(trial.emulator.batches()).toHaveLength(0);
    await trial.run({ export: trial.exportOptions({ limit: 4 }), prices });
    const spent = await spentUsd(trial);
    expect(spent).toBeGreaterThan(0);
    await trial.sql("UPDATE questions SET embedding = NULL, question_text = 'new ' || id");
    expect(await runUpTo(trial, 1)).toMatchObject({
      written: 0,
      costStop: { spentUsd: spent, maxUsd: 1 },
    });
  });

  test("does not export a whole table that it may not send", async () => {
    const trial = await startTrial(workshop, texts(200));
    await runUpTo(trial, 30, 1);
    expect((await trial.jobs()).length).toBeLessThan(200);
    expect(await trial.rightIds()).not.toEqual([]);
  });

  test("lets more through where the bill is lower than the estimate was", async () => {
    const trial = await startTrial(
      workshop,
      range(1, 12).map((n) => `Am I it or is it ${n % 9}?`),
      { tokenizer: "characters" },
    );
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 4 } });
    const [first = 0, second = 0, third = 0] = await estimates(trial);
    const summary = await runUpTo(trial, first + second + third - 1);
    expect(summary).toMatchObject({ written: 12, costStop: undefined });
    expect(summary.cost.tokens).toBeLessThan(first + second + third);
  });

  test("counts what is sent again", async () => {
    const trial = await startTrial(workshop, texts(4));
    trial.setResults({ 1: unusable, 2: unusable, 3: unusable, 4: unusable });
    await trial.export();
    const [once = 0] = await estimates(trial);
    const summary = await runUpTo(trial, 2.5 * once);
    expect(summary.costStop).toBeDefined();
    expect(trial.emulator.batches()).toHaveLength(2);
    expect((await trial.states()).at(-1)).toBe("0003 exported");
  });

  test("counts a create whose answer was lost until it is known that nothing was made", async () => {
    const trial = await startTrial(workshop, texts(8), { faults: "create-lost=1x" });
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 4 } });
    const [first = 0, second = 0] = await estimates(trial);
    const summary = await runUpTo(trial, first + second);
    expect(summary).toMatchObject({ written: 8, costStop: undefined });
    expect(await spentUsd(trial)).toBeLessThanOrEqual(first + second);
  });
});

/** Its tokens are not told, so that the estimate stands. */
function unusable(line: string): string[] {
  return [JSON.stringify({ ...JSON.parse(line), response: {} })];
}

describe("submit", () => {
  test("sends what the limit lets through, and says what the rest would need", async () => {
    const trial = await startTrial(workshop, texts(12));
    await trial.export({ bounds: { ...workshop.bounds, maxRows: 4 } });
    const [first = 0, second = 0, third = 0] = await estimates(trial);
    const costLimit = upTo(first + second);
    expect(await trial.submit({ costLimit })).toMatchObject({
      submitted: ["0001", "0002"],
      waiting: ["0003"],
      costStop: { spentUsd: first + second, neededUsd: first + second + third },
    });
    expect(await trial.submit({ costLimit })).toMatchObject({ submitted: [] });
    expect(await trial.submit()).toMatchObject({ submitted: ["0003"], costStop: undefined });
  });

  test("counts each target by itself, and does not pick a small job that stands behind", async () => {
    const trial = await startTrial(workshop, texts(10));
    await trial.export({ limit: 8, bounds: { ...workshop.bounds, maxRows: 8 } });
    await trial.export({ limit: 1 });
    await trial.export({
      target: { ...trial.target, text: "{id} {question_text}" },
      limit: 1,
    });
    const [large = 0, small = 0, other = 0] = await estimates(trial);
    expect(small).toBeLessThan(large);
    const costLimit = upTo(Math.max(other, small));
    expect(await trial.submit({ costLimit })).toMatchObject({ submitted: ["0003"] });
  });
});
