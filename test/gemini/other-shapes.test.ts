// The same facts come in other shapes than those that were recorded: from a gateway, from another
// version of the service, as its samples have them. Is a batch read for what it is all the same, and is
// what cannot be read never taken for "there is none", which would be paid for again?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXIT_CODES, UserError } from "../../src/errors.ts";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import type { RunOptions } from "../../src/run/pipeline.ts";
import { startProxiedTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import {
  OTHER_ANSWERS,
  type Rewrite,
  rewriteJson,
  rewriteResults,
  type RewritingProxy,
} from "./rewriting-proxy.ts";
import { errorBody } from "./stub-server.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS = 3;

function proxied(options: Parameters<typeof startProxiedTrial>[2] = {}) {
  return startProxiedTrial(workshop, texts(ROWS), { frozen: true, batchSeconds: 60, ...options });
}

/** What is waited for without end would take so much of real time. */
const TOO_LONG_MS = 4_000;

type End = Readonly<{ exit: number; said: string; written: number; failed: number }>;

/** As the command would end. */
async function ended(trial: Trial, changes: Partial<RunOptions> = {}): Promise<End> {
  try {
    const signal = AbortSignal.timeout(TOO_LONG_MS);
    const { written, failed } = await trial.run(changes, { signal });
    return {
      exit: failed > 0 ? EXIT_CODES.rowsFailed : EXIT_CODES.done,
      said: "",
      written,
      failed,
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const said = `${error.message} ${error.hint}`;
    const written = (await trial.rightIds()).length;
    return { exit: EXIT_CODES[error.exit], said, written, failed: 0 };
  }
}

const ALL_WELL = { exit: EXIT_CODES.done, written: ROWS, failed: 0 };

async function expectPaidOnce(trial: Trial, proxy: RewritingProxy): Promise<void> {
  expect(proxy.calls("create")).toHaveLength(1);
  expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1 });
  expect(await trial.rightIds()).toEqual([1, 2, 3]);
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

const looks = (change: (operation: Json) => Json) => rewriteJson("get", change);

function listed(change: (operation: Json) => Json): Rewrite {
  return rewriteJson("list", (page) => {
    const { operations } = page;
    return operations === undefined ? page : { ...page, operations: operations.map(change) };
  });
}

/** Until there was one, the list is as it is. */
function afterCreate(proxy: RewritingProxy, rule: Rewrite): Rewrite {
  return (call, send) => (proxy.calls("create").length > 0 ? rule(call, send) : send());
}

describe("a batch is read for what it is", () => {
  const shapes: Readonly<Record<string, Rewrite>> = {
    "members at the top level": looks(flat),
    "members at the top level, those under metadata are stale": looks((operation) => ({
      ...flat(operation),
      metadata: { state: "BATCH_STATE_RUNNING", batchStats: { successfulRequestCount: "999" } },
    })),
    "the results file in response.output": looks((operation) =>
      withOutput(operation, (responsesFile) => ({ response: { output: { responsesFile } } })),
    ),
    "the results file in output": looks((operation) =>
      withOutput(operation, (responsesFile) => ({ output: { responsesFile } })),
    ),
    "the results file in dest": looks((operation) =>
      withOutput(operation, (fileName) => ({ dest: { fileName } })),
    ),
    "the results file as an address": looks((operation) =>
      withOutput(operation, (file) => ({
        dest: { fileName: `https://generativelanguage.googleapis.com/v1beta/${file}` },
      })),
    ),
    "a state that lags behind": looks((operation) => inState(operation, "BATCH_STATE_RUNNING")),
    "states as JOB_STATE_": looks((operation) =>
      respelled(operation, (word) => `JOB_STATE_${word}`),
    ),
    "states without a prefix": looks((operation) => respelled(operation, (word) => word)),
    "states in small letters": looks((operation) =>
      respelled(operation, (word) => word.toLowerCase()),
    ),
    "an empty error": looks((operation) => ({ ...operation, error: {} })),
  };

  test.each(Object.entries(shapes))("%s", async (_, rule) => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(rule);
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
  });
});

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

  test("is found also where the answer had a name that is no batch's", async () => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(
      rewriteJson("create", (body) => ({ ...lacking(body, "name"), name: "operations/x1" })),
    );
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
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
    "a page that leads back to itself": [
      (call, send) => (call.kind === "list" ? { body: { nextPageToken: "again" } } : send()),
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
});

function noOutput(operation: Json): Json {
  return lacking(operation, "output");
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

  test("and tells no counts: it is waited for, but not for ever", async () => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(looks((operation) => lacking(operation, "output", "batchStats")));
    expect(await ended(trial, { maxAttempts: 1, pollIntervalMs: 60_000 })).toMatchObject({
      exit: EXIT_CODES.rowsFailed,
      failed: ROWS,
    });
    expect(proxy.calls("get").length).toBeGreaterThan(10);
  });
});

describe("a results file", () => {
  test("with its keys in metadata is read", async () => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(eachLine(({ key, ...line }) => ({ metadata: { key, hash: "x" }, ...line })));
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    await expectPaidOnce(trial, proxy);
  });

  const empty = { message: "" };

  test("with an empty error beside one that says something: that one counts", async () => {
    const { trial, proxy } = await proxied();
    const error = { code: 3, message: "too long" };
    proxy.rewrite(eachLine(({ key }) => ({ key, error: empty, response: { error } })));
    expect(await ended(trial)).toMatchObject({ exit: EXIT_CODES.rowsFailed, failed: ROWS });
    expect(proxy.calls("create")).toHaveLength(1);
    const [line] = await trial.lines("0001.failed.jsonl");
    expect(line).toMatchObject({ error: { class: "permanent", reason: "service", ...error } });
  });

  test.each([1, 2, 10, 499])("with code %i, which says nothing of a text: again", async (code) => {
    const { trial, proxy } = await proxied();
    const failing = eachLine(({ key }) => ({ key, error: { code, message: "some other time" } }));
    proxy.rewrite((call, send) => (call.before === 0 ? failing(call, send) : send()));
    expect(await ended(trial)).toMatchObject(ALL_WELL);
    expect(proxy.calls("create")).toHaveLength(2);
  });

  test("with a code that nobody knows, again and again: once more, and no more", async () => {
    const { trial, proxy } = await proxied();
    proxy.rewrite(eachLine(({ key }) => ({ key, error: { code: 77, message: "beyond me" } })));
    expect(await ended(trial)).toMatchObject({ exit: EXIT_CODES.rowsFailed, failed: ROWS });
    expect(proxy.calls("create")).toHaveLength(2);
    const [line] = await trial.lines("0002.failed.jsonl");
    expect(line).toMatchObject({ error: { class: "permanent", code: 77, message: "beyond me" } });
  });

  const refusals = {
    "404": errorBody(404, "NOT_FOUND", "Requested entity was not found."),
    "400": errorBody(400, "INVALID_ARGUMENT", "* DownloadFileRequest.name: too long"),
    "403": errorBody(403, "PERMISSION_DENIED", "You do not have permission to access the File x."),
  };

  test.each(Object.entries(refusals))(
    "is refused on one way with %s: the other way",
    async (status, body) => {
      for (const way of [/^\/v1beta\//, /^\/download\//]) {
        const { trial, proxy } = await proxied();
        proxy.rewrite((call, send) =>
          call.kind === "download" && way.test(call.path)
            ? { status: Number(status), body }
            : send(),
        );
        expect(await ended(trial)).toMatchObject(ALL_WELL);
        await expectPaidOnce(trial, proxy);
      }
    },
  );
});

function eachLine(change: (line: Json) => Json): Rewrite {
  return rewriteResults((lines) => lines.map((line) => JSON.stringify(change(JSON.parse(line)))));
}

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
