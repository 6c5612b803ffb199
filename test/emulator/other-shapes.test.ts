// I rehearse against a service that answers in another shape, or has no money for me: does the emulator
// do so when it is told to, and does the real client read it as ever, or say what it is?
import { expect, test } from "vitest";
import type { Emulator } from "../../src/emulator/emulator.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { GeminiError, type Gemini } from "../../src/gemini/port.ts";
import { call, createBatch, emulatorFor, requestLines, uploadLines } from "./client.ts";

type Answers = Readonly<{ emulator: Emulator; gemini: Gemini; name: string }>;

/** A batch that has ended; what the create was answered with is left to others. */
async function ended(behaviour: string, faults = ""): Promise<Answers> {
  const emulator = await emulatorFor({ behaviour, faults, batchSeconds: 60 });
  const created = await createBatch(emulator, await uploadLines(emulator, requestLines(2)), "mine");
  await emulator.advance(100_000);
  const { name } = created.body;
  return { emulator, gemini: connectGemini({ apiKey: "anything", baseUrl: emulator.url }), name };
}

const looks: readonly (readonly [behaviour: string, faults: string, raw: object])[] = [
  ["get-shape=top-level", "", { state: "BATCH_STATE_SUCCEEDED", displayName: "mine" }],
  [
    "get-shape=response-output",
    "",
    { response: { output: { responsesFile: expect.any(String) } } },
  ],
  ["get-shape=dest", "", { dest: { fileName: expect.any(String) } }],
  ["state-names=job", "", { metadata: { state: "JOB_STATE_SUCCEEDED" } }],
  ["state-names=plain", "", { metadata: { state: "SUCCEEDED" } }],
];

test.each(looks)(
  "%s: a look at a batch has that shape, and says the same",
  async (behaviour, faults, raw) => {
    const { emulator, gemini, name } = await ended(behaviour, faults);
    expect((await call(emulator, "GET", `/v1beta/${name}`)).body).toMatchObject(raw);
    expect(await gemini.getBatch(name)).toMatchObject({
      name,
      displayName: "mine",
      state: "succeeded",
      resultsFile: expect.stringContaining("files/batch-"),
      counts: { requests: 2, successful: 2 },
    });
  },
);

test("all-failed=no-output: it says that it succeeded, and that each request failed", async () => {
  const { gemini, name } = await ended("all-failed=no-output", "permanent");
  expect(await gemini.getBatch(name)).toMatchObject({
    state: "succeeded",
    resultsFile: undefined,
    counts: { requests: 2, failed: 2 },
  });
});

test("bad-end=unexplained: it is done, in a state that nobody knows", async () => {
  const { emulator, gemini, name } = await ended("bad-end=unexplained", "batch-fail");
  const { body } = await call(emulator, "GET", `/v1beta/${name}`);
  expect(body).toMatchObject({ done: true, metadata: { state: "BATCH_STATE_ABANDONED" } });
  expect(body).not.toHaveProperty("error");
  expect(await gemini.getBatch(name)).toMatchObject({ state: "ended" });
});

test("list-shape: everything at the top, or without names; what is in no known form is no list", async () => {
  const named = await ended("list-shape=top-level");
  const { body } = await call(named.emulator, "GET", "/v1beta/batches");
  expect(body.operations[0]).toMatchObject({ displayName: "mine" });
  expect(body.operations[0]).not.toHaveProperty("metadata");
  expect(await named.gemini.findBatches("mine")).toMatchObject([{ displayName: "mine" }]);
  const nameless = await ended("list-shape=nameless");
  expect(await nameless.gemini.findBatches("mine")).toMatchObject([
    { displayName: "", inputFile: undefined },
  ]);
  for (const behaviour of ["list-shape=unknown", "list-end=circular"]) {
    const { gemini } = await ended(behaviour);
    await expect(gemini.findBatches("mine")).rejects.toMatchObject({ kind: "uncertain" });
  }
});

test.each(["operation", "another"])("create-name=%s: uncertain, and it was made", async (name) => {
  const emulator = await emulatorFor({ behaviour: `create-name=${name}` });
  const gemini = connectGemini({ apiKey: "anything", baseUrl: emulator.url });
  const file = await uploadLines(emulator, requestLines(2));
  const request = { model: "gemini-embedding-001", file, displayName: "mine" } as const;
  await expect(gemini.createBatch(request)).rejects.toMatchObject({ kind: "uncertain" });
  expect(await gemini.findBatches("mine")).toHaveLength(1);
});

test("line-keys, line-errors and line-codes: result lines have theirs elsewhere, or say nothing known", async () => {
  const behaviour = "line-keys=metadata,line-errors=response,line-codes=unknown";
  const { gemini, name } = await ended(behaviour, "retryable");
  const [line] = await resultLines(gemini, name);
  expect(line).toMatchObject({
    metadata: { key: expect.stringContaining("key-") },
    error: { message: "" },
    response: { error: { code: 77, message: expect.stringContaining("try again") } },
  });
});

const routes = ["documented-404", "documented-400", "sdk"] as const;

test.each(routes)("download-route=%s: the results come all the same", async (route) => {
  const { gemini, name } = await ended(`download-route=${route}`);
  expect(await resultLines(gemini, name)).toHaveLength(2);
  expect(await resultLines(gemini, name, "other")).toHaveLength(2);
});

async function resultLines(gemini: Gemini, name: string, route?: "other"): Promise<unknown[]> {
  const file = (await gemini.getBatch(name))?.resultsFile ?? "";
  const chunks = await Array.fromAsync(gemini.openResults(file, { route }));
  const lines = Buffer.concat(chunks).toString().split("\n").slice(0, -1);
  return lines.map((line): unknown => JSON.parse(line));
}

const refusals = [
  ["money=credits-depleted", "billing", 429],
  ["money=spending-cap", "billing", 429],
  ["money=free-tier", "billing", 429],
  ["money=no-billing-400", "billing", 400],
  ["money=no-billing-403", "billing", 403],
  ["batch-models=none", "model", 404],
] as const;

test.each(refusals)(
  "%s: a create is refused for that, and nothing is made",
  async (behaviour, kind, httpStatus) => {
    const emulator = await emulatorFor({ behaviour });
    const gemini = connectGemini({ apiKey: "anything", baseUrl: emulator.url });
    const file = await uploadLines(emulator, requestLines(2));
    const request = { model: "gemini-embedding-001", file, displayName: "mine" } as const;
    const refused: unknown = await gemini.createBatch(request).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(GeminiError);
    expect(refused).toMatchObject({ kind, httpStatus });
    expect(emulator.batches()).toEqual([]);
  },
);

test("which models take batches is told by the list of models", async () => {
  for (const [behaviour, takesBatches] of [
    ["", true],
    ["batch-models=newest", false],
    ["batch-models=none", false],
  ] as const) {
    const { url } = await emulatorFor({ behaviour });
    const offered = await connectGemini({ apiKey: "anything", baseUrl: url }).listModels();
    expect(offered).toContainEqual({ name: "gemini-embedding-001", takesBatches });
  }
});
