// I add a lane to the loop. When is it asked, what does it see of the others, and what becomes of it when one
// of them fails, the time is over, or somebody stops it all?
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { HoldLost, UserError } from "../../src/errors.ts";
import { Outages } from "../../src/gates/outages.ts";
import { IDLE, type Lane, type Step } from "../../src/gates/step.ts";
import { drive } from "../../src/run/drive.ts";
import { othersLane } from "../../src/run/others-lane.ts";
import { GeminiError } from "../../src/gemini/port.ts";
import { NO_ROWS } from "../../src/row/sums.ts";
import { explain } from "../../src/words/explain.ts";
import { emptyManifest, newJob } from "../manifest/sample.ts";

function around() {
  const stop = new AbortController();
  return { manifest: { refresh: async () => {} }, clock: systemClock, signal: stop.signal, stop };
}

async function loseHold(): Promise<never> {
  throw new HoldLost("Job 0001");
}

/** Takes these steps, one after the other, and is idle then. */
function stepping(...steps: readonly Step[]): Lane & { readonly seen: boolean[] } {
  const left = [...steps];
  const seen: boolean[] = [];
  return {
    seen,
    next: (isQuiet) => {
      seen.push(isQuiet);
      return left.shift() ?? IDLE;
    },
  };
}

test("lanes work side by side, and each is asked again when another has ended its work", async () => {
  const order: string[] = [];
  const work = (name: string, ms: number) => async () => {
    order.push(`${name} begins`);
    await delay(ms);
    order.push(`${name} ends`);
  };
  // what the first leaves for the second
  const slow = stepping(work("a", 30));
  const waiting: Lane = {
    next: () => (order.at(-1) === "a ends" ? work("c", 1) : IDLE),
  };
  expect(await drive([slow, stepping(work("b", 5)), waiting], around())).toBe(false);
  expect(order).toEqual(["a begins", "b begins", "b ends", "a ends", "c begins", "c ends"]);
});

test("a lane is told whether all rests that is asked before it, and nothing works", async () => {
  const first = stepping(async () => {}, 5, IDLE);
  const last = stepping();
  await drive([first, last], around());
  expect(last.seen).toEqual([false, false, true]);
});

test("it ends when nothing works and nothing waits for a time, however many are idle", async () => {
  expect(await drive([stepping(), stepping(1, 1)], around())).toBe(false);
  expect(await drive([], around())).toBe(false);
});

test("who lost what it had in hand to another process is asked again, and stops nobody", async () => {
  let steps = 0;
  const goOn = async () => (steps += 1);
  await drive([stepping(loseHold, goOn), stepping(goOn)], around());
  expect(steps).toBe(2);
});

test("the first that fails stops the others, which come to their end, and is thrown", async () => {
  const its = around();
  let ended = false;
  const other = stepping(
    async () => {
      await systemClock.sleep(60_000, its.signal).finally(() => (ended = true));
    },
    async () => expect.unreachable("is begun after the stop"),
  );
  const failing = stepping(async () => {
    await delay(1);
    throw new Error("the disk is full");
  });
  await expect(drive([other, failing], its)).rejects.toThrow("the disk is full");
  expect(ended).toBe(true);
});

test("of several that fail the first is told: the others may fail for it", async () => {
  const its = around();
  const late = stepping(async () => {
    await systemClock.sleep(60_000, its.signal).catch(() => {});
    throw new Error("it was stopped half-way");
  });
  const first = stepping(async () => {
    throw new Error("the disk is full");
  });
  await expect(drive([late, first], its)).rejects.toThrow("the disk is full");
});

test("the time is over: what works is stopped, and that is told", async () => {
  const its = around();
  const waits = stepping(() => systemClock.sleep(60_000, its.signal), 60_000);
  expect(await drive([waits], its, 20)).toBe(true);
});

test("stopped from outside, it begins nothing, waits for nothing, and fails at nothing", async () => {
  const its = around();
  const waits = stepping(60_000);
  setTimeout(() => its.stop.abort(), 5);
  expect(await drive([waits, stepping()], its)).toBe(false);
});

test("stopped by a time limit of the caller's, it fails at nothing either", async () => {
  const its = around();
  const waits = stepping(async () => {
    its.stop.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
    its.signal.throwIfAborted();
  });
  expect(await drive([waits], its)).toBe(false);
});

test("a lane that fails where it is asked stops the others, which come to their end", async () => {
  const its = around();
  let ended = false;
  const working = stepping(async () => {
    await systemClock.sleep(60_000, its.signal).finally(() => (ended = true));
  });
  const broken: Lane = {
    next: () => {
      throw new Error("broken");
    },
  };
  const unasked = stepping(async () => {});
  await expect(drive([working, broken, unasked], its)).rejects.toThrow("broken");
  expect([ended, unasked.seen]).toEqual([true, []]);
});

test("a stop by hand is not told as the end of the time", async () => {
  const its = around();
  const lane = stepping(async () => {
    its.stop.abort();
    await delay(20);
  });
  expect(await drive([lane], its, 10)).toBe(false);
});

test("what one lane asked tells it to send nothing where another has halted meanwhile", async () => {
  const manifest = await emptyManifest();
  const outages = new Outages({ manifest, clock: systemClock, report: () => {} }, 1_000);
  const halting = async () => outages.halt(new UserError("the key is another", { hint: "-" }));
  expect(await outages.guarded(async () => {}, {})).toBe(true);
  expect(await outages.guarded(halting, {})).toBe(false);
});

test("a model that Gemini refuses stops what is sent, and not what is at Gemini", async () => {
  const manifest = await emptyManifest();
  const outages = new Outages({ manifest, clock: systemClock, report: () => {} }, 1_000);
  for (const kind of ["model", "billing"] as const) {
    outages.fail(explain(new GeminiError(kind, "no such thing"), "starting the batch"), {});
    expect(outages.halted.aborted).toBe(true);
  }
});

test("of a job that another process has ended the lanes hear here, too", async () => {
  const manifest = await emptyManifest();
  for (const id of ["0001", "0002", "0003"]) await manifest.recordExported(newJob(id));
  const end = async (job: string) => {
    const outcome = { sums: NO_ROWS, outstanding: { lines: 0, retryable: 0 } };
    await manifest.record({ type: "cancelled", job, error: { message: "-" }, ...outcome });
  };
  const refreshed = ["0001", "0002"];
  const ended: string[] = [];
  let elapsedMs = 0;
  const lane = othersLane({
    manifest: { ...manifest, isShared: true, refresh: () => end(refreshed.shift() ?? "") },
    clock: { ...systemClock, elapsedMs: () => elapsedMs },
    onEnded: ({ id }) => ended.push(id),
  });
  const read = async () => {
    elapsedMs += 60_000;
    const step = lane.next(false, false);
    expect(typeof step === "function" && (await step())).toBe(undefined);
  };
  await read();
  expect(ended).toEqual(["0001"]);
  // as is read behind an append that came second
  await end("0003");
  await read();
  expect(ended).toEqual(["0001", "0002", "0003"]);
});
