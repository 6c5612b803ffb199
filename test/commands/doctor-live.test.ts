// I have a key, and the documents do not say how the service behaves: does `doctor --live` find it
// out, keep what it saw, name what the emulator does otherwise, and leave nothing behind? Here the
// "service" is an emulator told to behave otherwise: the real one was never at hand.
import { readFile, readdir, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import { type Ended, runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { IN_FULL } from "../size.ts";

const KEY = "AIza-a-key-that-must-not-be-kept";
const EU_KEY = "AIza-that-of-another-project";
const REPORT = z.object({
  live: z.object({
    folder: z.string(),
    comparisons: z.array(
      z.object({
        question: z.string(),
        service: z.string(),
        emulator: z.string().optional(),
        differs: z.boolean(),
      }),
    ),
  }),
});

let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
});
beforeEach(() => rm(join(folder, "jobs"), { recursive: true, force: true }));
afterAll(() => rm(folder, { recursive: true, force: true }));

async function service(options: EmulatorOptions): Promise<Emulator> {
  const emulator = await startEmulator({ batchSeconds: 0.2, ...options });
  onTestFinished(() => emulator.close());
  return emulator;
}

function doctor(emulator: Emulator, ...args: readonly string[]): Promise<Ended> {
  const flags = ["--live", "--jobs-dir", join(folder, "jobs"), "--poll-interval", "0.05"];
  return runHere(["doctor", ...flags, ...args], {
    env: { GEMINI_API_KEY: KEY, GOOGLE_GEMINI_BASE_URL: emulator.url, VECFILL_KEY_EU: EU_KEY },
  });
}

function comparisons({ stdout }: Ended) {
  return REPORT.parse(JSON.parse(stdout)).live.comparisons;
}

async function rawBodies(): Promise<string[]> {
  const [live = ""] = await readdir(join(folder, "jobs"));
  const names = await readdir(join(folder, "jobs", live));
  return Promise.all(names.map((name) => readFile(join(folder, "jobs", live, name), "utf8")));
}

test("a service that is as the emulator is answers everything as expected", async () => {
  const emulator = await service({});
  const found = comparisons(await doctor(emulator, "--json"));
  expect(found.length).toBeGreaterThan(12);
  expect(found.filter(({ differs }) => differs)).toEqual([]);
});

test("each way in which it behaves otherwise is named, and nothing else", IN_FULL, async () => {
  const behaviour = [
    "nested-config=honoured",
    "line-codes=http",
    "delete-output=deleted",
    "get-output=refused",
    "cancel-ended=ignored",
    "duplicate-name=renamed",
    "list-stats=fresh",
    "create-input=unchecked",
  ].join(",");
  const emulator = await service({ behaviour, faults: "shuffle" });
  const differing = comparisons(await doctor(emulator, "--json")).filter(({ differs }) => differs);
  const answers = Object.fromEntries(
    differing.map(({ question, service: told }) => [question, told]),
  );
  expect(answers).toEqual({
    "embedContentConfig in a line is": "honoured",
    "a line with an empty text comes to": "an error line, code 400 with code, message",
    "deleting a results file is answered": "with HTTP 200",
    "a look at a results file is answered": "with HTTP 400",
    "cancelling a batch that has ended is answered": "with HTTP 200",
    "an upload under a name that is taken is answered": "with another name",
    "batchStats of an ended batch in the list": "are up to date",
    "result lines come": "in another order",
    "a create with it, right after, is answered":
      "with a batch: no create that comes late is kept out",
  });
});

test("a whole batch that fails for one line is told as that", IN_FULL, async () => {
  const emulator = await service({ behaviour: "empty-text=batch-failed" });
  const found = comparisons(await doctor(emulator, "--json")).find(({ differs }) => differs);
  expect(found).toMatchObject({
    question: "a line with an empty text comes to",
    service: expect.stringMatching(/^the failure of the whole batch, error code 3/),
  });
});

test("a batch that shows late in the list is seen, and how late", { timeout: 60_000 }, async () => {
  const emulator = await service({ faults: "create-late=1" });
  const found = comparisons(await doctor(emulator, "--json")).find(({ differs }) => differs);
  expect(found).toMatchObject({
    question: "a new batch shows in the list",
    service: expect.stringMatching(/^after \d+ s$/),
  });
});

test("what was sent and what came back is kept, without the key; nothing is left at the service", async () => {
  const emulator = await service({});
  const ended = await doctor(emulator);
  expect(ended.stderr).toContain("less than a cent");
  const bodies = await rawBodies();
  expect(bodies.length).toBeGreaterThan(20);
  expect(bodies.filter((body) => body.includes(KEY))).toEqual([]);
  expect(bodies.filter((body) => body.includes('"values":')).length).toBeGreaterThan(0);
  const batches = emulator.batches();
  expect(batches.map(({ displayName }) => displayName)).toEqual([
    expect.stringMatching(/^vecfill-doctor-[0-9a-f]{8}-plain$/),
    expect.stringMatching(/-empty$/),
    expect.stringMatching(/-nested$/),
    expect.stringMatching(/-cancelled$/),
  ]);
  expect(batches.every(({ deleted }) => deleted)).toBe(true);
});

test("a key that comes back in a header or an address is not kept either", IN_FULL, async () => {
  const gateway = await service({});
  const target = new URL(gateway.url);
  const echoing = createServer((message, response) => {
    const { url: path = "", method, headers } = message;
    const upstream = request({ host: target.hostname, port: target.port, path, method, headers });
    upstream.once("response", (answer) => {
      const upload = answer.headers["x-goog-upload-url"];
      const named =
        upload === undefined ? {} : { "x-goog-upload-url": `${String(upload)}&key=${KEY}` };
      response.writeHead(answer.statusCode ?? 500, {
        ...answer.headers,
        ...named,
        "x-seen-key": String(headers["x-goog-api-key"]),
      });
      answer.pipe(response);
    });
    message.pipe(upstream);
  });
  await new Promise<void>((resolve) => echoing.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => new Promise<void>((resolve) => echoing.close(() => resolve())));
  const { port } = z.object({ port: z.number() }).parse(echoing.address());
  const ended = await doctor({ ...gateway, url: `http://127.0.0.1:${port}` });
  expect(ended.stdout, ended.stderr).toContain("What the service answers:");
  const bodies = await rawBodies();
  expect(bodies.filter((body) => body.includes("x-seen-key: ")).length).toBeGreaterThan(20);
  expect(bodies.filter((body) => body.includes(KEY))).toEqual([]);
});

test("a batch that does not end within --timeout ends it with code 4, and says what to do", async () => {
  const emulator = await service({ faults: "batch-stuck=1" });
  const ended = await doctor(emulator, "--timeout", "0.5");
  expect(ended.code).toBe(4);
  expect(ended.stderr).toMatch(/^error: The batch batches\/\w+ has not ended within/m);
  expect(ended.stderr).toContain("--timeout");
  expect((await rawBodies()).length).toBeGreaterThan(8);
});

test("the project is asked that is named", async () => {
  const emulator = await service({
    faults: "batch-stuck=1",
    keys: { [KEY]: "one", [EU_KEY]: "eu" },
  });
  await doctor(emulator, "--timeout", "0.1", "--projects", "eu");
  expect(new Set(emulator.batches().map(({ project }) => project))).toEqual(new Set(["eu"]));
});

test("without a key that works nothing is sent", async () => {
  const emulator = await service({ keys: { "another-key-than-ours": "project" } });
  const ended = await doctor(emulator);
  expect(ended.code).toBe(3);
  expect(emulator.batches()).toEqual([]);
  expect(ended.stdout).not.toContain("What the service answers");
});
