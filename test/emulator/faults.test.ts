// Can every kind of trouble be had on purpose, and the same again with the same seed?
import { expect, test } from "vitest";
import { commandPage } from "../../src/cli/help.ts";
import { COMMANDS } from "../../src/commands/commands.ts";
import { UserError } from "../../src/errors.ts";
import { BEHAVIOURS } from "../../src/emulator/faults/behaviour.ts";
import { Faults, FAULTS } from "../../src/emulator/faults/faults.ts";
import {
  call,
  createBatch,
  emulatorFor,
  requestLine,
  requestLines,
  runBatch,
  uploadLines,
} from "./client.ts";

type Line = {
  key?: string;
  response?: { embedding: { values: number[] } };
  error?: { code: number };
};

function parsed(lines: readonly string[]): Line[] {
  return lines.flatMap((line): Line[] => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

async function linesUnder(faults: string, count = 400): Promise<string[]> {
  const emulator = await emulatorFor({ faults });
  return (await runBatch(emulator, requestLines(count))).results;
}

test("the same seed gives the same file, another one another", async () => {
  const faults = "shuffle,double=0.1,missing=0.1,malformed=0.1,retryable=0.1";
  const run = async (seed: number): Promise<string[]> =>
    (await runBatch(await emulatorFor({ faults, seed }), requestLines(100))).results;
  const first = await run(1);
  expect(await run(1)).toEqual(first);
  expect(await run(2)).not.toEqual(first);
});

test("shuffle keeps every line and changes their order", async () => {
  const plain = await linesUnder("");
  const shuffled = await linesUnder("shuffle");
  expect(shuffled).not.toEqual(plain);
  expect(shuffled.toSorted()).toEqual(plain.toSorted());
});

test("double, missing, no-key and unknown-key change how many lines a key has", async () => {
  expect(await linesUnder("double=1", 5)).toHaveLength(10);
  expect(await linesUnder("missing=1", 5)).toHaveLength(0);
  expect(parsed(await linesUnder("no-key=1", 5)).map(({ key }) => key)).toEqual(
    Array(5).fill(undefined),
  );
  const keys = parsed(await linesUnder("unknown-key=1", 2)).map(({ key }) => key);
  expect(keys).toEqual(["key-0", "unknown-key-0", "key-1", "unknown-key-1"]);
  const some = await linesUnder("double=0.1");
  expect(some.length).toBeGreaterThan(410);
  expect(some.length).toBeLessThan(480);
});

test("conflict gives a key two different vectors", async () => {
  const [one, two] = parsed(await linesUnder("conflict=1", 1));
  expect(one?.key).toBe(two?.key);
  expect(one?.response).not.toEqual(two?.response);
});

async function values(faults: string): Promise<unknown[]> {
  return parsed(await linesUnder(faults, 30)).map(({ response }) => response?.embedding.values);
}

test("vectors can be too short, zero or no numbers", async () => {
  for (const vector of await values("wrong-width=1")) expect(vector).toHaveLength(7);
  for (const vector of await values("zero=1")) expect(vector).toEqual(Array(8).fill(0));
  const odd = (await values("nan=1")).map((vector) => (Array.isArray(vector) ? vector[0] : vector));
  expect(new Set(odd)).toEqual(new Set(["NaN", null, Infinity]));
});

test("malformed lines are of several kinds, and none of them is a result", async () => {
  const lines = await linesUnder("malformed=1", 60);
  expect(new Set(lines.map((line) => line.replace(/key-\d+/, ""))).size).toBeGreaterThan(5);
  for (const { response } of parsed(lines)) {
    expect(response?.embedding.values?.length ?? 0).toBeLessThan(8);
  }
});

test("a retryable row may pass in the next batch, a permanent one never; neither is paid for", async () => {
  const emulator = await emulatorFor({ faults: "retryable=0.5,permanent=0.1" });
  const lines = requestLines(200);
  const errors = async (): Promise<Map<string | undefined, number | undefined>> => {
    const { results } = await runBatch(emulator, lines);
    return new Map(parsed(results).map(({ key, error }) => [key, error?.code]));
  };
  const first = await errors();
  const second = await errors();
  const permanent = [...first].filter(([, code]) => code === 3).map(([key]) => key);
  expect(permanent.length).toBeGreaterThan(5);
  for (const key of permanent) expect(second.get(key)).toBe(3);
  const retryable = [...first].filter(([, code]) => code !== undefined && code !== 3);
  expect(new Set(retryable.map(([, code]) => code))).toEqual(new Set([1, 2, 4, 8, 10, 13, 14]));
  expect(retryable.filter(([key]) => second.get(key) === undefined).length).toBeGreaterThan(20);
  const bill = await emulator.billing();
  for (const { key } of lines.map((line): { key: string } => JSON.parse(line))) {
    const paid = [first, second].filter((run) => run.get(key) === undefined).length;
    expect(bill.get(key) ?? 0).toBe(paid);
  }
});

test("a row that fails for good may pass once its text is mended, under the same key", async () => {
  const emulator = await emulatorFor({ faults: "permanent=0.5" });
  const failing = async (text: string) => {
    const lines = Array.from({ length: 40 }, (_, n) => requestLine(`key-${n}`, text));
    const { results } = await runBatch(emulator, lines);
    return new Set(parsed(results).flatMap(({ key, error }) => (error === undefined ? [] : [key])));
  };
  const before = await failing("What is it?");
  const after = await failing("What is this?");
  expect(await failing("What is it?")).toEqual(before);
  expect(before.difference(after).size).toBeGreaterThan(3);
});

test("a lost line was paid for all the same, and shows when it is paid again", async () => {
  const emulator = await emulatorFor({ faults: "missing=1" });
  await runBatch(emulator, requestLines(2));
  await runBatch(emulator, requestLines(1));
  expect(await emulator.billing()).toEqual(
    new Map([
      ["key-0", 2],
      ["key-1", 1],
    ]),
  );
});

test.each([
  ["batch-fail=1x", "FAILED", 13],
  ["batch-expire=1x", "EXPIRED", 4],
  ["batch-cancel=1x", "CANCELLED", 1],
])(
  "%s ends the first batch without results, and the second is fine",
  async (faults, state, code) => {
    const emulator = await emulatorFor({ faults });
    const { operation } = await runBatch(emulator, requestLines(2));
    expect(operation).toMatchObject({
      done: true,
      error: { code },
      metadata: { state: `BATCH_STATE_${state}` },
    });
    expect(operation.response).toBeUndefined();
    expect(operation.metadata.output).toBeUndefined();
    expect((await emulator.billing()).size).toBe(0);
    expect((await runBatch(emulator, requestLines(2))).results).toHaveLength(2);
  },
);

test("a stuck batch is pending until it expires", async () => {
  const emulator = await emulatorFor({ faults: "batch-stuck" });
  await runBatch(emulator, requestLines(1));
  await emulator.advance(47 * 3600 * 1000);
  expect(emulator.batches()).toMatchObject([{ state: "BATCH_STATE_PENDING" }]);
  await emulator.advance(3600 * 1000);
  expect(emulator.batches()).toMatchObject([{ state: "BATCH_STATE_EXPIRED" }]);
});

test("a batch in an unknown state succeeds in the end", async () => {
  const emulator = await emulatorFor({ faults: "batch-unknown-state", batchSeconds: 30 });
  await createBatch(emulator, await uploadLines(emulator, requestLines(1)));
  await emulator.advance(20_000);
  expect(emulator.batches()[0]?.state).not.toMatch(/PENDING|RUNNING|SUCCEEDED/);
  await emulator.advance(10_000);
  expect(emulator.batches()[0]?.state).toBe("BATCH_STATE_SUCCEEDED");
});

test("a create can take effect without an answer, or fail to, or be refused", async () => {
  const emulator = await emulatorFor();
  const file = await uploadLines(emulator, requestLines(1));
  const outcome = async (faults: string): Promise<string> => {
    const before = emulator.batches().length;
    emulator.setFaults(faults);
    const answer = await createBatch(emulator, file).then(
      ({ status }) => status,
      () => "reset",
    );
    return `${answer}, ${emulator.batches().length - before} created`;
  };
  expect(await outcome("create-503")).toBe("503, 1 created");
  expect(await outcome("create-reset")).toBe("reset, 1 created");
  expect(await outcome("create-lost")).toBe("503, 0 created");
  expect(await outcome("create-429")).toBe("429, 0 created");
  const ambiguous = [];
  for (let i = 0; i < 12; i++) ambiguous.push(await outcome("create-ambiguous"));
  expect(new Set(ambiguous)).toEqual(new Set(["503, 1 created", "reset, 1 created"]));
  expect(await outcome("create-ambiguous=0x")).toBe("200, 1 created");
});

test("a create can be silent, and its batch is there", async () => {
  const emulator = await emulatorFor({ faults: "create-silent" });
  const file = await uploadLines(emulator, requestLines(1));
  const silent = fetch(
    `${emulator.url}/v1beta/models/gemini-embedding-001:asyncBatchEmbedContent`,
    {
      method: "POST",
      headers: { "x-goog-api-key": "anything" },
      body: JSON.stringify({ batch: { inputConfig: { fileName: file } } }),
      signal: AbortSignal.timeout(300),
    },
  );
  await expect(silent).rejects.toThrow(/timeout/i);
  expect(emulator.batches()).toHaveLength(1);
});

test("a late batch is in the list only after its time, though it can be looked at", async () => {
  const emulator = await emulatorFor({ faults: "create-late=40", batchSeconds: 100 });
  const { body } = await createBatch(emulator, await uploadLines(emulator, requestLines(1)));
  const listed = async (): Promise<number> =>
    (await call(emulator, "GET", "/v1beta/batches")).body.operations?.length ?? 0;
  expect((await call(emulator, "GET", `/v1beta/${body.name}`)).status).toBe(200);
  await emulator.advance(39_000);
  expect(await listed()).toBe(0);
  await emulator.advance(1_000);
  expect(await listed()).toBe(1);
});

test("downloads can break, or end early as if they were whole", async () => {
  const emulator = await emulatorFor();
  const { operation, results } = await runBatch(emulator, requestLines(300));
  const path = `/v1beta/${operation.response.responsesFile}:download?alt=media`;
  emulator.setFaults("download-cut=1x");
  await expect(call(emulator, "GET", path)).rejects.toThrow("terminated");
  emulator.setFaults("download-short=1x");
  const short = await call(emulator, "GET", path);
  expect(short.status).toBe(200);
  expect(`${results.join("\n")}\n`.startsWith(short.text)).toBe(true);
  expect(short.text.length).toBeLessThan(results.join("\n").length);
  emulator.setFaults("download-5xx=1x");
  expect((await call(emulator, "GET", path)).status).toBe(503);
  expect((await call(emulator, "GET", path)).text).toBe(`${results.join("\n")}\n`);
});

test("results-cut leaves the stored file without its end", async () => {
  const results = await linesUnder("results-cut", 20);
  expect(results).toHaveLength(19);
});

test("looks, lists, cancels and interactive calls can fail once", async () => {
  const emulator = await emulatorFor({ batchSeconds: 100 });
  const { body } = await createBatch(emulator, await uploadLines(emulator, requestLines(1)));
  const path = `/v1beta/${body.name}`;
  emulator.setFaults("get-5xx=1x,list-5xx=1x,cancel-5xx=1x");
  expect((await call(emulator, "GET", path)).status).toBe(503);
  expect((await call(emulator, "GET", "/v1beta/batches")).status).toBe(503);
  expect((await call(emulator, "POST", `${path}:cancel`, {})).status).toBe(503);
  expect((await call(emulator, "GET", path)).body.metadata.state).toBe("BATCH_STATE_CANCELLED");
  emulator.setFaults("rate-429=1x");
  const refused = await call(emulator, "GET", path);
  expect(refused.status).toBe(429);
  expect(refused.headers.get("retry-after")).toBeNull();
  expect((await call(emulator, "GET", path)).status).toBe(200);
});

test("slow makes every answer slow", async () => {
  const emulator = await emulatorFor({ faults: "slow=150" });
  const start = performance.now();
  await call(emulator, "GET", "/v1beta/batches");
  expect(performance.now() - start).toBeGreaterThan(140);
});

test.each([
  ["shufle", "shuffle"],
  ["create-ambigous=0.5", "create-ambiguous"],
  ["dubble=1", "double"],
])("a misspelt fault, %s, is refused and %s is offered", async (faults, meant) => {
  const error: unknown = await emulatorFor({ faults }).catch((reason) => reason);
  expect(error).toBeInstanceOf(UserError);
  expect(error).toMatchObject({ exit: "usage", hint: expect.stringContaining(meant) });
});

test.each(["double=2", "double=x", "double=2x", "create-late", "slow=1x", "slow=fast"])(
  "the value in %s is refused",
  (faults) => {
    expect(() => new Faults(faults, 1)).toThrow(UserError);
  },
);

test.each(["bad-lin=line-error", "bad-line=line-eror", "bad-line"])(
  "%s is no behaviour",
  async (behaviour) => {
    await expect(emulatorFor({ behaviour })).rejects.toThrow(UserError);
  },
);

test("help lists every fault and every behaviour with its meaning", async () => {
  const help = await commandPage("emulator", COMMANDS.emulator, undefined);
  const words = help.replaceAll(/\s+/g, " ");
  for (const [name, { meaning }] of Object.entries({ ...FAULTS, ...BEHAVIOURS })) {
    expect(help).toMatch(new RegExp(`^  ${name}=<?\\S+`, "m"));
    expect(words).toContain(meaning);
  }
});
