/**
 * The one loop. Each lane that has no work in hand is asked for its next step, so that several work at once; and again
 * whenever a piece of work has ended or a wait is over. It ends when none works and none waits. The first that
 * fails stops the others where their files and the manifest agree.
 */
import type { Clock } from "../clock.ts";
import { HoldLost } from "../errors.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { IDLE, type Lane, type Step } from "../gates/step.ts";
import type { World } from "../gates/world.ts";

/** True where it was stopped after `timeoutMs`. */
export async function drive(
  lanes: readonly Lane[],
  {
    manifest,
    clock,
    signal,
    stop,
  }: Pick<World, "clock" | "signal" | "stop"> & Readonly<{ manifest: Pick<Manifest, "refresh"> }>,
  timeoutMs = Infinity,
): Promise<boolean> {
  const endsAtMs = clock.elapsedMs() + timeoutMs;
  let isOver = false;
  const inHand = new Set<Lane>();
  const failures: unknown[] = [];
  let wake: (() => void) | undefined;
  const onAbort = () => wake?.();
  const fail = (error: unknown) => {
    // what the stop itself makes is no failure
    if (!signal.aborted || !(isAbort(error) || error === signal.reason)) failures.push(error);
    stop.abort();
    return IDLE;
  };
  const work = async (lane: Lane, step: () => Promise<unknown>) => {
    inHand.add(lane);
    try {
      await step();
    } catch (error) {
      // others went on with it: the lane sees what is left to do
      if (error instanceof HoldLost) await manifest.refresh().catch(fail);
      else fail(error);
    }
    inHand.delete(lane);
    wake?.();
  };
  /** Begins what there is to do. For how long there is nothing else. */
  const beginSteps = () => {
    let waitMs = Infinity;
    for (const lane of lanes.filter((each) => !inHand.has(each))) {
      if (signal.aborted) break;
      const nobodyWorks = inHand.size === 0;
      const step = nextOf(lane, [nobodyWorks && waitMs === Infinity, nobodyWorks], fail);
      if (typeof step === "number") waitMs = Math.min(waitMs, step);
      else void work(lane, step);
    }
    return waitMs;
  };
  signal.addEventListener("abort", onAbort);
  for (;;) {
    const leftMs = endsAtMs - clock.elapsedMs();
    if (leftMs <= 0 && !signal.aborted) {
      isOver = true;
      stop.abort();
    }
    const waitMs = signal.aborted ? Infinity : beginSteps();
    if (inHand.size === 0 && waitMs === Infinity) {
      signal.removeEventListener("abort", onAbort);
      if (failures.length > 0) throw failures[0];
      return isOver;
    }
    const woken = new Promise<void>((resolve) => (wake = resolve));
    await within(signal.aborted ? Infinity : Math.min(waitMs, leftMs), clock, woken);
  }
}

function nextOf(lane: Lane, given: Parameters<Lane["next"]>, fail: (error: unknown) => Step): Step {
  try {
    return lane.next(...given);
  } catch (error) {
    return fail(error);
  }
}

/** Resolves after `ms`, or when it is woken before. */
async function within(ms: number, clock: Clock, woken: Promise<void>): Promise<void> {
  if (!Number.isFinite(ms)) return woken;
  const nap = new AbortController();
  // the sleep that comes too late is aborted, and says so
  await Promise.race([woken, clock.sleep(ms, nap.signal).catch(() => {})]);
  nap.abort();
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
