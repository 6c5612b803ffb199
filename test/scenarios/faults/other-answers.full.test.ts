// What if the answer to a call is another one than Gemini gave: a sign-in page, nothing, a gateway's
// error with a 200, or the answer to the call before; and for results, a part of them, another job's, or
// other shapes? Whatever took effect, is nothing paid for twice and nothing lost, and is all written where
// the command says that it is done?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.ts";
import {
  type CallKind,
  OTHER_ANSWERS,
  type ProxiedCall,
  type Rewrite,
} from "../../gemini/rewriting-proxy.ts";
import type { Reply } from "../../gemini/stub-server.ts";
import { range, startProxiedTrial, texts, type Trial } from "../../trial.ts";
import { openWorkshop, type Workshop } from "../../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS = 4;
/** Those of a run in batches. */
const KINDS = ["list", "upload", "session", "file", "create", "get", "download"] as const;
const REPETITIONS = 4;
const GRACE = { resultsGraceMs: 600_000 };

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

type Whole = Awaited<ReturnType<Parameters<Rewrite>[1]>>;
type Change = (whole: Whole) => Reply;

/** Each line of the results, as it may come from elsewhere. */
function lines(change: (line: Record<string, unknown>, place: number) => unknown): Change {
  return ({ body }) => ({
    body: body
      .toString()
      .trimEnd()
      .split("\n")
      .map((line, place) => change(JSON.parse(line), place))
      .map((line) => (line === undefined ? "" : `${JSON.stringify(line)}\n`))
      .join(""),
  });
}

const otherResults: Readonly<Record<string, Change>> = {
  ...Object.fromEntries(
    Object.entries(OTHER_ANSWERS).map(([what, answer]) => [what, (): Reply => answer]),
  ),
  "cut at a line": lines((line, place) => (place === 0 ? line : undefined)),
  "cut within a line": ({ body }) => ({ body: body.subarray(0, body.length - 200) }),
  "without keys": lines((line) => ({ ...line, key: undefined })),
  "with keys elsewhere": lines(({ key, ...line }) => ({ metadata: { key }, ...line })),
  "of vectors without values": lines(({ key }) => ({ key, response: { embedding: {} } })),
  "of other keys": lines(({ key, ...line }) => ({ key: `${String(key)}0`, ...line })),
};

/** Downloads get it, from the nth on, so many. */
function results(change: Change, from: number, times: number): Rewrite {
  return async (call, send) => {
    const answer = await send();
    const isOne = call.kind === "download" && call.before >= from && call.before < from + times;
    return isOne ? change(answer) : answer;
  };
}

/** Each download gets the other job's results. */
function swapped(times: number): Rewrite {
  const seen = new Map<string, Reply>();
  return async (call, send) => {
    const answer = await send();
    if (call.kind !== "download") return answer;
    const file = call.path.replace(/^.*files\//, "");
    seen.set(file, answer);
    const others = [...seen].filter(([other]) => other !== file).map(([, reply]) => reply);
    return call.before < times ? (others[0] ?? answer) : answer;
  };
}

async function isDone(trial: Trial): Promise<boolean> {
  const bounds = { ...workshop.bounds, maxRows: 2 };
  const options = { export: trial.exportOptions({ bounds }), pollIntervalMs: 30_000 };
  try {
    await trial.run({ ...options, reconcileGraceMs: 60_000, maxAttempts: 1 }, GRACE);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

async function expectAllOnce(rule: Rewrite): Promise<void> {
  const options = { frozen: true, batchSeconds: 60 };
  const { trial, proxy } = await startProxiedTrial(workshop, texts(ROWS), options);
  proxy.rewrite(rule);
  let done = await isDone(trial);
  expect(done ? await trial.emptyIds() : []).toEqual([]);
  proxy.rewrite();
  for (let more = 0; more < REPETITIONS && !done; more += 1) done = await isDone(trial);
  expect(done).toBe(true);
  expect(await trial.rightIds()).toEqual(range(1, ROWS));
  expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1 });
  expect((await trial.jobs()).flatMap((job) => job.duplicateBatches)).toEqual([]);
}

describe.each(KINDS)("%s", (kind) => {
  test.each(Object.entries(rules))("%s", (_, rule) => expectAllOnce(rule(kind)));
});

describe.each(Object.entries(otherResults))("results %s", (_, change) => {
  test.each([
    ["at first", 0, 1],
    ["at second", 1, 1],
  ] as const)("%s", (_when, from, times) => expectAllOnce(results(change, from, times)));
});

/** As often as these come by both routes, they are what Gemini has to all appearance: rows of them fail. */
const believed: readonly string[] = ["cut within a line", "of vectors without values"];
const neverBelieved = Object.entries(otherResults).filter(([what]) => !believed.includes(what));

describe.each(neverBelieved)("results %s", (_, change) => {
  test.each([3, 10, Infinity])("%f times", (times) => expectAllOnce(results(change, 0, times)));
});

test.each([1, 2, 6, Infinity])("results of the other job, %f times", (times) =>
  expectAllOnce(swapped(times)),
);
