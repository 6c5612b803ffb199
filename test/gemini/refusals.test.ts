// Gemini refuses. Is it the quota, which comes back, or money, a model, a key, which do not? Then nothing
// is tried for ever, what is at Gemini is fetched all the same, and I am told what to do and where.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EXIT_CODES, UserError } from "../../src/errors.ts";
import { failureFromAnswer } from "../../src/gemini/http/failure.ts";
import { startProxiedTrial, texts } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { errorBody } from "./stub-server.ts";
import { sized } from "../size.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const PREPAID =
  "Your prepayment credits are depleted. Please go to AI Studio at https://ai.studio/projects to manage your project and billing.";
const FREE_TIER =
  "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: generativelanguage.googleapis.com/embed_content_free_tier_requests, limit: 0";

const money: Readonly<Record<string, readonly [number, string, string]>> = {
  "prepaid credits are used up": [429, "RESOURCE_EXHAUSTED", PREPAID],
  "no billing, as 400": [400, "FAILED_PRECONDITION", "Please enable billing on your project."],
  "the spending cap": [
    429,
    "RESOURCE_EXHAUSTED",
    "Your project exceeded its monthly spending cap.",
  ],
  "the free tier": [429, "RESOURCE_EXHAUSTED", FREE_TIER],
  "no billing, as 403": [
    403,
    "PERMISSION_DENIED",
    "This API method requires billing to be enabled.",
  ],
};

test.each(Object.entries(money).slice(0, sized({ quick: 2, full: undefined })))(
  "%s: what is at Gemini is fetched, and the run ends with what to do",
  async (_, [status, word, message]) => {
    const { trial, proxy } = await startProxiedTrial(workshop, texts(6), {
      frozen: true,
      batchSeconds: 60,
    });
    const refused = { status, body: errorBody(status, word, message) };
    proxy.rewrite((call, send) => (call.kind === "create" && call.before > 0 ? refused : send()));
    const bounds = { ...workshop.bounds, maxRows: 3 };
    const run = trial.run({ export: trial.exportOptions({ bounds }), pollIntervalMs: 30_000 });
    const error: unknown = await run.catch((caught: unknown) => caught);
    if (!(error instanceof UserError)) throw new Error("it did not end so", { cause: error });
    expect(EXIT_CODES[error.exit]).toBe(3);
    expect(error.message).toContain(message.split("\n")[0]);
    expect(error.hint).toContain("https://aistudio.google.com/projects");
    expect(proxy.calls("create")).toHaveLength(2);
    expect(await trial.rightIds()).toEqual([1, 2, 3]);
    expect(await trial.states()).toEqual(["0001 imported", "0002 exported"]);
    proxy.rewrite();
    expect(await trial.run()).toMatchObject({ written: 3, failed: 0 });
    expect(await trial.paid()).toEqual({ 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1 });
  },
);

test("the same in the sync lane: what is at Gemini is fetched", async () => {
  const { trial, proxy } = await startProxiedTrial(workshop, texts(6), {
    frozen: true,
    batchSeconds: 60,
  });
  const bounds = { ...workshop.bounds, maxRows: 3 };
  await trial.export({ bounds });
  await trial.submit({ window: { maxActiveJobs: 1, maxEnqueuedTokens: 500_000 } });
  const refused = { status: 429, body: errorBody(429, "RESOURCE_EXHAUSTED", PREPAID) };
  proxy.rewrite((call, send) => (call.kind === "sync" ? refused : send()));
  const lane = { lane: "sync", syncUpToTokens: 0 } as const;
  await expect(trial.run({ lane, pollIntervalMs: 30_000 })).rejects.toMatchObject({
    exit: "fatal",
    message: expect.stringContaining("prepayment credits are depleted"),
  });
  expect(await trial.rightIds()).toEqual([1, 2, 3]);
  expect(await trial.states()).toEqual(["0001 imported", "0002 embedding"]);
  proxy.rewrite();
  expect(await trial.run({ lane })).toMatchObject({ written: 3, failed: 0 });
  expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5, 6]);
});

test("a model that is not there: one create, and which there are", async () => {
  const { trial, proxy } = await startProxiedTrial(workshop, texts(3), { frozen: true });
  const message = "models/gemini-embedding-001 is not found for API version v1beta.";
  const refused = { status: 404, body: errorBody(404, "NOT_FOUND", message) };
  proxy.rewrite((call, send) => (call.kind === "create" ? refused : send()));
  await expect(trial.run()).rejects.toMatchObject({
    exit: "fatal",
    hint: expect.stringContaining("gemini-embedding-2"),
  });
  expect(proxy.calls("create")).toHaveLength(1);
  expect(await trial.states()).toEqual(["0001 exported"]);
});

test("a plain quota is none of these, although it mentions billing", () => {
  const message = "You exceeded your current quota, please check your plan and billing details.";
  const told = [message, `${message} limit: 100`, `${message} limit: 0.5`];
  for (const each of told) expect(kindOf(429, "RESOURCE_EXHAUSTED", each)).toBe("quota");
  expect(kindOf(404, "NOT_FOUND", "Requested entity was not found.")).toBe("notFound");
});

test("the refusals that were recorded", () => {
  const path = new URL("../fixtures/gemini/refusals-2026.json", import.meta.url);
  const recorded: { status: number; body?: { error: { status: string; message: string } } }[] =
    JSON.parse(readFileSync(path, "utf8"));
  const kinds = recorded.flatMap(({ status, body }) =>
    body === undefined ? [] : [kindOf(status, body.error.status, body.error.message)],
  );
  expect(kinds).toEqual(["billing", "quota"]);
});

function kindOf(status: number, word: string, message: string): string {
  const url = new URL("http://gemini/v1beta/models/m:asyncBatchEmbedContent");
  const text = JSON.stringify(errorBody(status, word, message));
  return failureFromAnswer({ status, headers: new Headers(), text, url }, new Date()).kind;
}

test("a create refused again and again with nothing at Gemini: the usual causes are named", async () => {
  const quotas = [
    "You exceeded your current quota, please check your plan and billing details.",
    "Quota exceeded: batch requests per minute for this project.",
    "Too many concurrent batch jobs.",
  ];
  for (const message of quotas) {
    const { trial, proxy } = await startProxiedTrial(workshop, texts(3));
    const refused = { status: 429, body: errorBody(429, "RESOURCE_EXHAUSTED", message) };
    proxy.rewrite((call, send) => (call.kind === "create" ? refused : send()));
    await trial.export();
    const warnings = () => workshop.events.filter(({ type }) => type === "warning");
    for (let times = 0; times < 2; times++) await trial.submit();
    expect(JSON.stringify(warnings())).not.toContain("free tier");
    await trial.submit();
    expect(warnings().at(-1)).toMatchObject({
      message: expect.stringMatching(/3 refusals in a row.*no billing.*free tier.*another client/),
      hint: expect.stringMatching(/aistudio\.google\.com\/usage.*aistudio\.google\.com\/projects/),
    });
    workshop.events.length = 0;
  }
});
