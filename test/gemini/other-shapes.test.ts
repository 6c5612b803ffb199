// The same facts come in other shapes than those that were recorded: from a gateway, from another
// version of the service, as its samples have them. Is a batch read for what it is all the same, and is
// what cannot be read never taken for "there is none", which would be paid for again?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXIT_CODES, UserError } from "../../src/errors.ts";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import type { RunOptions } from "../../src/run/run.ts";
import { idOf, startProxiedTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import {
  OTHER_ANSWERS,
  type Rewrite,
  rewriteJson,
  rewriteResults,
  type RewritingProxy,
} from "./rewriting-proxy.ts";
import { errorBody } from "./stub-server.ts";
import { IN_FULL } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS = 3;

function proxied(options: Parameters<typeof startProxiedTrial>[2] = {}, rows = ROWS) {
  return startProxiedTrial(workshop, texts(rows), { frozen: true, batchSeconds: 60, ...options });
}

/** More requests than any run here makes that does not wait without end. */
const TOO_MANY_CALLS = 1_000;

type End = Readonly<{ exit: number; said: string; written: number; failed: number }>;

/** As the command would end. */
async function ended(trial: Trial, changes: Partial<RunOptions> = {}): Promise<End> {
  const controller = new AbortController();
  let calls = 0;
  trial.setWire((_call, send) => {
    calls += 1;
    if (calls > TOO_MANY_CALLS) controller.abort();
    return send();
  });
  try {
    const { written, failed } = await trial.run(
      { pollIntervalMs: 30_000, ...changes },
      { signal: controller.signal },
    );
    const exit = failed > 0 ? EXIT_CODES.rowsFailed : EXIT_CODES.done;
    return { exit, said: "", written, failed };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const said = `${error.message} ${error.hint}`;
    const written = (await trial.rightIds()).length;
    return { exit: EXIT_CODES[error.exit], said, written, failed: 0 };
  }
}

/** One row a job, so that each job can be told something else. */
function oneByOne(trial: Trial): Partial<RunOptions> {
  return { export: trial.exportOptions({ bounds: { ...workshop.bounds, maxRows: 1 } }) };
}

const ALL_WELL = { exit: EXIT_CODES.done, written: ROWS, failed: 0 };

async function expectPaidOnce(trial: Trial, proxy: RewritingProxy, creates = 1): Promise<void> {
  expect(createsOfJobs(proxy)).toHaveLength(creates);
  const ids = await trial.rightIds();
  expect(ids).not.toEqual([]);
  expect(await trial.emptyIds()).toEqual([]);
  expect(await trial.paid()).toEqual(Object.fromEntries(ids.map((id) => [id, 1])));
}

/** Without the one that tries whether Gemini refuses a create of a deleted file. */
function createsOfJobs(proxy: RewritingProxy) {
  return proxy.calls("create").filter(({ body }) => !body.includes("vecfill-check-"));
}

type Json = Record<string, unknown>;

/** `metadata` and its members, all at the top. */
function flat({ metadata, ...operation }: Json): Json {
  return { ...(isJson(metadata) ? metadata : {}), ...operation };
}

function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null;
}

/** The metadata without some of its members, the operation without its response. */
function lacking({ metadata, response: _response, ...operation }: Json, ...names: string[]): Json {
  const kept = Object.entries(isJson(metadata) ? metadata : {});
  return {
    ...operation,
    metadata: Object.fromEntries(kept.filter(([name]) => !names.includes(name))),
  };
}

function outputOf({ response }: Json): string | undefined {
  return isJson(response) ? String(response["responsesFile"]) : undefined;
}

/** Told only once there is some. */
function withOutput(operation: Json, told: (file: string) => Json): Json {
  const file = outputOf(operation);
  return { ...lacking(operation, "output"), ...(file === undefined ? {} : told(file)) };
}

function inState(operation: Json, state: string): Json {
  const { metadata } = operation;
  return { ...operation, metadata: { ...(isJson(metadata) ? metadata : {}), state } };
}

/** `SUCCEEDED` in place of `BATCH_STATE_SUCCEEDED`. */
function respelled(operation: Json, spell: (word: string) => string): Json {
  const { metadata } = operation;
  const state = isJson(metadata) ? String(metadata["state"]) : "";
  return inState(operation, spell(state.replace("BATCH_STATE_", "")));
}

function looks(change: (operation: Json) => Json): Rewrite {
  return rewriteJson("get", change);
}

function listed(change: (operation: Json) => Json): Rewrite {
  return rewriteJson("list", (page) => {
    const { operations } = page;
    return operations === undefined ? page : { ...page, operations: operations.map(change) };
  });
}

/** Of `vecfill-1f3a-0003-1-…`: 3. */
function jobNumber(operation: Json): number {
  const { metadata } = operation;
  const name = isJson(metadata) ? String(metadata["displayName"]) : "";
  return Number(name.split("-").at(-3));
}

/** How each job came out, by what it was told. */
async function byCase(trial: Trial, cases: Readonly<Record<string, unknown>>) {
  const states = (await trial.jobs()).map(({ state }) => state);
  return Object.fromEntries(Object.keys(cases).map((name, index) => [name, states[index]]));
}

function all<T>(cases: Readonly<Record<string, unknown>>, value: T): Record<string, T> {
  return Object.fromEntries(Object.keys(cases).map((name) => [name, value]));
}

describe("a batch is read for what it is", () => {
  const address = "https://generativelanguage.googleapis.com/v1beta/";
  const shapes: Readonly<Record<string, (operation: Json) => Json>> = {
    "members at the top level": flat,
    "members at the top level, those under metadata are stale": (operation) => ({
      ...flat(operation),
      metadata: { state: "BATCH_STATE_RUNNING", batchStats: { successfulRequestCount: "999" } },
    }),
    "the results file in response.output": (operation) =>
      withOutput(operation, (responsesFile) => ({ response: { output: { responsesFile } } })),
    "the results file in output": (operation) =>
      withOutput(operation, (responsesFile) => ({ output: { responsesFile } })),
    "the results file in dest": (operation) =>
      withOutput(operation, (fileName) => ({ dest: { fileName } })),
    "the results file as an address": (operation) =>
      withOutput(operation, (file) => ({ dest: { fileName: `${address}${file}` } })),
    "a state that lags behind": (operation) => inState(operation, "BATCH_STATE_RUNNING"),
    "states as JOB_STATE_": (operation) => respelled(operation, (word) => `JOB_STATE_${word}`),
    "states without a prefix": (operation) => respelled(operation, (word) => word),
    "states in small letters": (operation) => respelled(operation, (word) => word.toLowerCase()),
    "an empty error": (operation) => ({ ...operation, error: {} }),
  };

  test("in each of these shapes", async () => {
    const changes = Object.values(shapes);
    const { trial, proxy } = await proxied({}, changes.length);
    proxy.rewrite(
      looks((operation) => {
        const change = changes[jobNumber(operation) - 1];
        if (change === undefined) throw new Error("no shape for this job");
        return change(operation);
      }),
    );
    const end = await ended(trial, oneByOne(trial));
    expect(await byCase(trial, shapes)).toEqual(all(shapes, "imported"));
    expect(end).toMatchObject({ ...ALL_WELL, written: changes.length });
    await expectPaidOnce(trial, proxy, changes.length);
  });
});

/** Until there was one, the list is as it is. */
function afterCreate(proxy: RewritingProxy, rule: Rewrite): Rewrite {
  return (call, send) => (proxy.calls("create").length > 0 ? rule(call, send) : send());
}

describe("a create whose answer is lost", () => {
  const lists: Readonly<Record<string, (operation: Json) => Json>> = {
    "the list has everything at the top level": flat,
    "the list tells no names, but what each batch was made of": (operation) =>
      lacking(operation, "displayName"),
  };

  test.each(Object.entries(lists))("%s: it is found", async (_, change) => {
    const { trial, proxy } = await proxied({ faults: "create-reset=1x" });
    proxy.rewrite(listed(change));
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
  });

  const lies: Readonly<Record<string, (operation: Json) => Json>> = {
    "a name that is no batch's": (body) => ({ ...lacking(body, "name"), name: "operations/x1" }),
    "another display name": (body) => named(body, "vecfill-f00d-0001-1-00000000"),
  };

  test.each(Object.entries(lies))("is found also where the answer had %s", async (_, lie) => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(rewriteJson("create", lie));
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
  });

  test("is found where the answer is another job's, as from a cache", async () => {
    const { trial, proxy } = await proxied();
    let first: unknown;
    proxy.rewrite(rewriteJson("create", (body: unknown) => (first ??= body)));
    expect(await ended(trial, oneByOne(trial))).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy, ROWS);
  });

  const unsure: Record<string, [rule: Rewrite, said: string]> = {
    "entries without a name": [
      listed((operation) => lacking(operation, "displayName", "inputConfig")),
      "without a name",
    ],
    "entries of nothing but a name of the service's": [
      listed(({ name }) => ({ name })),
      "without a name",
    ],
    "entries in a form that is not known": [listed(() => ({ id: "x1" })), "no list of batches"],
    "a page under another name": [
      rewriteJson("list", ({ operations = [] }) => ({ batches: operations })),
      "no list of batches",
    ],
    "an empty page with something beside it": [
      rewriteJson("list", ({ operations = [] }) => ({ operations: [], batches: operations })),
      "no list of batches",
    ],
    "a page that leads back to itself": [
      (call, send) => (call.kind === "list" ? { body: { nextPageToken: "again" } } : send()),
      "leads back",
    ],
    "the same page again under new tokens": [
      (call, send) => (call.kind === "list" ? { body: pageAgain(call.before) } : send()),
      "leads back",
    ],
  };

  for (const [what, answer] of Object.entries(OTHER_ANSWERS)) {
    const rule: Rewrite = (call, send) => (call.kind === "list" ? answer : send());
    unsure[`${what} in place of the list`] = [rule, "no list of batches"];
  }

  test.each(Object.entries(unsure))("%s: nothing is sent again", async (_, [rule, said]) => {
    const { trial, proxy } = await proxied({ faults: "create-reset=1x" });
    proxy.rewrite(afterCreate(proxy, rule));
    const end = await ended(trial, { reconcileGraceMs: 60_000 });
    expect(end).toMatchObject({ exit: EXIT_CODES.unfinished, said: expect.stringContaining(said) });
    expect(proxy.calls("create")).toHaveLength(1);
    expect(proxy.calls("list").length).toBeLessThan(50);
    expect(await trial.states()).toEqual(["0001 submitting"]);
    // as soon as the list can be read, it is found
    proxy.rewrite();
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
  });

  test("and cannot be found: the others are sent and fetched all the same", async () => {
    const { trial, proxy } = await proxied();
    const nameless = listed((operation) => lacking(operation, "displayName", "inputConfig"));
    proxy.rewrite(async (call, send) => {
      const isLost = call.kind === "create" && call.before === 1;
      if (!isLost) return nameless(call, send);
      await send();
      return "reset";
    });
    expect(await ended(trial, oneByOne(trial))).toMatchObject({ exit: EXIT_CODES.unfinished });
    expect(await trial.states()).toEqual(["0001 imported", "0002 submitting", "0003 imported"]);
    proxy.rewrite();
    expect(await ended(trial)).toMatchObject({ exit: EXIT_CODES.done });
    await expectPaidOnce(trial, proxy, ROWS);
  });

  test(
    "a batch without a name that cannot be the job's does not stand in its way",
    IN_FULL,
    async () => {
      const { trial, proxy } = await proxied({ faults: "create-lost=1x" });
      const model = "models/gemini-embedding-001";
      const createTime = new Date(trial.clock.now().getTime() + 1_000).toISOString();
      const strangers = [
        { name: "batches/old", metadata: { model, createTime: "2026-01-01T00:00:00Z" } },
        { name: "batches/chat", metadata: { model: "models/gemini-2.5-flash", createTime } },
        {
          name: "batches/b",
          metadata: { model, createTime, inputConfig: { fileName: "files/b" } },
        },
      ];
      proxy.rewrite(
        rewriteJson("list", ({ operations = [] }) => ({
          operations: [...strangers, ...operations],
        })),
      );
      expect(await ended(trial)).toMatchObject(ALL_WELL);
      await expectPaidOnce(trial, proxy, 2);
    },
  );
});

function named({ metadata, ...operation }: Json, displayName: string): Json {
  return { ...operation, metadata: { ...(isJson(metadata) ? metadata : {}), displayName } };
}

/** Of a gateway that knows nothing of pages. */
function pageAgain(before: number): Json {
  const operation = { name: "batches/x1", metadata: { displayName: "somebody's" } };
  return { operations: [operation], nextPageToken: `page-${before}` };
}

function noOutput(operation: Json): Json {
  return lacking(operation, "output");
}

function hidesTheFirst(operation: Json): Json {
  return jobNumber(operation) === 1 ? noOutput(operation) : operation;
}

/** One with an error is done, without it and in a state of the future. */
function abandoned({ error, ...operation }: Json): Json {
  return error === undefined ? operation : inState(operation, "BATCH_STATE_ABANDONED");
}

async function noKey(): Promise<never> {
  throw new UserError("No Gemini key is set", { hint: "Set one.", exit: "usage" });
}

describe("a batch that left no results", () => {
  test("since all of its requests failed: they failed, and are sent once more and no more", async () => {
    const { trial, proxy } = await proxied({ faults: "permanent" });
    proxy.rewrite(looks(noOutput));
    expect(await ended(trial)).toMatchObject({ exit: EXIT_CODES.rowsFailed, failed: ROWS });
    expect(proxy.calls("create")).toHaveLength(2);
    expect(await trial.lines("0002.failed.jsonl")).toMatchObject(
      Array.from({ length: ROWS }, () => ({
        attempt: 2,
        error: {
          class: "permanent",
          reason: "batch",
          message: expect.stringContaining("each of its requests failed"),
        },
      })),
    );
  });

  test("and is done in a state that nobody knows: it has ended", async () => {
    const { trial, proxy } = await proxied({ faults: "batch-fail" });
    proxy.rewrite(looks(abandoned));
    expect(await ended(trial, { maxAttempts: 1 })).toMatchObject({
      exit: EXIT_CODES.rowsFailed,
      failed: ROWS,
    });
    expect(proxy.calls("create")).toHaveLength(1);
    expect(await trial.job("0001")).toMatchObject({
      error: { message: expect.stringContaining("ended at Gemini as BATCH_STATE_ABANDONED") },
      outstanding: { lines: ROWS, retryable: ROWS },
    });
  });

  test("although requests of it succeeded: these are paid for and waited for", async () => {
    const { trial, proxy } = await proxied();
    const isEarly = () => proxy.calls("get").length < 20;
    proxy.rewrite(looks((operation) => (isEarly() ? noOutput(operation) : operation)));
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
  });

  test("although requests of it succeeded, and never does: that is told, after a day, and looked at again", async () => {
    const { trial, proxy } = await proxied({}, 4);
    proxy.rewrite(looks(hidesTheFirst));
    const bounds = { ...workshop.bounds, maxRows: 2 };
    const hourly = { export: trial.exportOptions({ bounds }), pollIntervalMs: 3_600_000 };
    const end = await ended(trial, hourly);
    expect(end).toMatchObject({ exit: EXIT_CODES.unfinished, written: 2 });
    expect(end.said).toMatch(
      /^Job 0001: .* counts 2 requests that succeeded, but shows no results/,
    );
    expect(await trial.poll({ pollIntervalMs: 3_600_000 })).toEqual({
      ended: [],
      pending: ["0001"],
    });
    expect(await trial.states()).toEqual(["0001 submitted", "0002 imported"]);
    proxy.rewrite();
    expect(await ended(trial, hourly)).toMatchObject({ exit: EXIT_CODES.done, written: 2 });
    await expectPaidOnce(trial, proxy, 2);
  });

  test.each([
    ["tells no counts", ["batchStats"]],
    ["tells neither counts nor when it ended", ["batchStats", "endTime"]],
  ])("and %s: it is waited for, but not for ever", async (_, names) => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(looks((operation) => lacking(operation, "output", ...names)));
    const end = await ended(trial, { maxAttempts: 1, pollIntervalMs: 3_600_000 });
    expect(end).toMatchObject({ exit: EXIT_CODES.rowsFailed, failed: ROWS });
    expect(proxy.calls("get").length).toBeGreaterThan(20);
    expect(proxy.calls("create")).toHaveLength(1);
  });
});

/** At the first attempt. */
function later(code: number) {
  return (line: Json, attempt: number): Json =>
    attempt === 1 ? { key: line["key"], error: { code, message: "some other time" } } : line;
}

describe("a results file", () => {
  const silent = { message: "" };
  const tooLong = { code: 3, message: "too long" };
  /** For each row, in order. */
  const shapes: readonly ((line: Json, attempt: number) => Json)[] = [
    ({ key, ...line }) => ({ metadata: { key, hash: "x" }, ...line }),
    (line) => ({ ...line, error: silent }),
    later(1),
    later(2),
    later(10),
    later(499),
    ({ key }) => ({ key, error: silent, response: { error: tooLong } }),
    ({ key }) => ({ key, error: { code: 11, message: "out of range" } }),
    ({ key }) => ({ key, error: { code: 77, message: "beyond me" } }),
  ];

  test("is read in each of these shapes; what says nothing of the text is sent again", async () => {
    const { trial, proxy } = await proxied({}, shapes.length);
    proxy.rewrite(
      rewriteResults((lines, { before }) =>
        lines.map((text) => {
          const line: unknown = JSON.parse(text);
          const shape = shapes[idOf(line) - 1];
          if (shape === undefined || !isJson(line)) throw new Error("no shape for this line");
          return JSON.stringify(shape(line, before + 1));
        }),
      ),
    );
    const end = await ended(trial);
    expect(end).toMatchObject({ exit: EXIT_CODES.rowsFailed, written: 6, failed: 3 });
    expect(proxy.calls("create")).toHaveLength(2);
    expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(new Set(await trial.idsIn("0002.requests.jsonl"))).toEqual(new Set([3, 4, 5, 6, 9]));
    const service = { class: "permanent", reason: "service" };
    expect(await trial.lines("0001.failed.jsonl")).toMatchObject([
      { attempt: 1, error: { ...service, ...tooLong } },
      { attempt: 1, error: { ...service, code: 11 } },
    ]);
    expect(await trial.lines("0002.failed.jsonl")).toMatchObject([
      { attempt: 2, error: { ...service, code: 77, message: "beyond me" } },
    ]);
  });

  const refusals = [
    { status: 404, body: errorBody(404, "NOT_FOUND", "Requested entity was not found.") },
    { status: 404, body: "<html>nothing here</html>" },
    { status: 400, body: errorBody(400, "INVALID_ARGUMENT", "* DownloadFileRequest.name: long") },
    {
      status: 403,
      body: errorBody(403, "PERMISSION_DENIED", "You do not have permission to access the File x."),
    },
  ];

  test("is fetched the other way where one way is refused", IN_FULL, async () => {
    const cases = refusals.flatMap((refusal) =>
      [/^\/v1beta\//, /^\/download\//].map((way) => ({ refusal, way })),
    );
    const { trial, proxy } = await proxied({}, cases.length);
    const numbers = new Map<string, number>();
    const look = looks((operation) => {
      numbers.set(`${outputOf(operation)}`, jobNumber(operation));
      return operation;
    });
    proxy.rewrite((call, send) => {
      if (call.kind !== "download") return look(call, send);
      const number = numbers.get(/files\/[\w-]+/.exec(call.path)?.[0] ?? "") ?? 0;
      const told = cases[number - 1];
      return told?.way.test(call.path) === true ? told.refusal : send();
    });
    const end = await ended(trial, oneByOne(trial));
    expect(end).toMatchObject({ ...ALL_WELL, written: cases.length });
    await expectPaidOnce(trial, proxy, cases.length);
  });
});

describe("cancel --give-up", () => {
  test("needs neither Gemini nor a key, and says what that may cost", async () => {
    const { trial } = await proxied();
    await trial.export();
    await trial.submit();
    await trial.emulator.close();
    workshop.events.length = 0;
    await trial.services({}, async ({ manifest, report }) => {
      const cancel = (insist: boolean) =>
        cancelJob({ manifest, gemini: noKey, report }, manifest.job("0001"), insist);
      await expect(cancel(false)).rejects.toThrow("No Gemini key is set");
      expect(await cancel(true)).toBe("givenUp");
    });
    expect(await trial.states()).toEqual(["0001 cancelled"]);
    expect(workshop.events).toContainEqual(
      expect.objectContaining({ type: "warning", message: expect.stringContaining("is lost") }),
    );
  });

  test("ends a job whose recorded batch has a name that cannot be looked up", async () => {
    const { trial } = await proxied();
    await trial.export();
    await trial.services({}, async ({ manifest, report, gemini, keyId }) => {
      const event = { job: "0001", keyId, adopted: true } as const;
      await manifest.record({ type: "submitted", batch: "operations/x1", ...event });
      const services = { manifest, gemini: async () => gemini, report };
      expect(await cancelJob(services, manifest.job("0001"), true)).toBe("givenUp");
    });
    expect(await ended(trial)).toMatchObject(ALL_WELL);
  });
});
