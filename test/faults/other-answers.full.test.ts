// What if the answer to a call is another one than Gemini gave: a sign-in page, nothing, a gateway's
// error with a 200, or the answer to the call before? Whatever took effect, is nothing paid for twice and
// nothing lost, and is all written where the command says that it is done?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import {
  type CallKind,
  OTHER_ANSWERS,
  type ProxiedCall,
  type Rewrite,
} from "../gemini/rewriting-proxy.ts";
import type { Reply } from "../gemini/stub-server.ts";
import { range, startProxiedTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS = 4;
/** Those of a run in batches. Results have tests of their own. */
const KINDS: readonly CallKind[] = ["list", "upload", "session", "file", "create", "get"];
const REPETITIONS = 4;

/** The nth call of a kind gets another answer. */
function wrong(kind: CallKind, nth: number, answer: Reply, tookEffect: boolean): Rewrite {
  return async (call, send) => {
    if (!isIt(call, kind, nth)) return send();
    if (tookEffect) await send();
    return answer;
  };
}

/** The second call of a kind gets the first one's answer. */
function stale(kind: CallKind): Rewrite {
  let first: Reply | undefined;
  return async (call, send) => {
    const answer = await send();
    if (call.kind !== kind) return answer;
    first ??= answer;
    return isIt(call, kind, 2) ? first : answer;
  };
}

function isIt(call: ProxiedCall, kind: CallKind, nth: number): boolean {
  return call.kind === kind && call.before === nth - 1;
}

const rules: Readonly<Record<string, (kind: CallKind) => Rewrite>> = {
  "the answer to the call before": stale,
};
for (const [what, answer] of Object.entries(OTHER_ANSWERS)) {
  for (const nth of [1, 2]) {
    for (const tookEffect of [true, false]) {
      const name = `${what}, call ${nth}, ${tookEffect ? "which took effect" : "which never came"}`;
      Object.assign(rules, { [name]: (kind: CallKind) => wrong(kind, nth, answer, tookEffect) });
    }
  }
}

async function isDone(trial: Trial): Promise<boolean> {
  const bounds = { ...workshop.bounds, maxRows: 2 };
  const options = { export: trial.exportOptions({ bounds }), pollIntervalMs: 30_000 };
  try {
    await trial.run({ ...options, reconcileGraceMs: 60_000 });
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

describe.each(KINDS)("%s", (kind) => {
  test.each(Object.entries(rules))("%s", async (_, rule) => {
    const { trial, proxy } = await startProxiedTrial(workshop, texts(ROWS), {
      frozen: true,
      batchSeconds: 60,
    });
    proxy.rewrite(rule(kind));
    let done = await isDone(trial);
    expect(done ? await trial.emptyIds() : []).toEqual([]);
    proxy.rewrite();
    for (let more = 0; more < REPETITIONS && !done; more += 1) done = await isDone(trial);
    expect(done).toBe(true);
    expect(await trial.rightIds()).toEqual(range(1, ROWS));
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1 });
    expect((await trial.jobs()).flatMap((job) => job.duplicateBatches)).toEqual([]);
  });
});
