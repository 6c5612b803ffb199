// When the emulator is killed at a bad moment, is anything forgotten that it had answered?
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { serveEmulator } from "../../src/emulator/port.ts";
import type { Emulator } from "../../src/emulator/emulator.ts";
import {
  call,
  createBatch,
  download,
  emulatorFor,
  requestLines,
  runBatch,
  sendChunk,
  startUpload,
  uploadLines,
} from "./client.ts";

const GRANULE = 262_144;
let folder = "";
const children: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "emulator-restart-"));
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

/** The same port again, so that addresses given before stay good. */
async function restarted(emulator: Emulator): Promise<Emulator> {
  await emulator.kill();
  // The client learns a little later that its idle connections are gone.
  await delay(30);
  return emulatorFor({ folder, port: Number(new URL(emulator.url).port), batchSeconds: 30 });
}

test("files, batches, results and the ledger outlive a kill", async () => {
  const before = await emulatorFor({ folder, batchSeconds: 1 });
  const { operation, results } = await runBatch(before, requestLines(5));
  const after = await restarted(before);
  expect((await call(after, "GET", `/v1beta/${operation.name}`)).body).toEqual(operation);
  expect(await download(after, operation.response.responsesFile)).toEqual(results);
  expect(
    (await call(after, "GET", `/v1beta/${operation.metadata.inputConfig.fileName}`)).status,
  ).toBe(200);
  expect([...(await after.billing()).values()]).toEqual([1, 1, 1, 1, 1]);
});

test("a batch that was under way ends after the restart, with the same results", async () => {
  const lines = requestLines(50);
  const undisturbed = await runBatch(await emulatorFor({ faults: "shuffle,double=0.2" }), lines);
  const before = await emulatorFor({ folder, batchSeconds: 30, faults: "shuffle,double=0.2" });
  const { body } = await createBatch(before, await uploadLines(before, lines));
  await before.advance(20_000);
  const after = await restarted(before);
  await after.advance(30_000);
  const { body: operation } = await call(after, "GET", `/v1beta/${body.name}`);
  expect(operation.metadata.state).toBe("BATCH_STATE_SUCCEEDED");
  expect(await download(after, operation.response.responsesFile)).toEqual(undisturbed.results);
});

test("an upload goes on where it was", async () => {
  const bytes = Buffer.alloc(GRANULE + 11, "x\n");
  const before = await emulatorFor({ folder });
  const started = await startUpload(before, { mimeType: "text/plain" });
  const url = started.headers.get("x-goog-upload-url") ?? "";
  await sendChunk(before, url, bytes.subarray(0, GRANULE), 0, "upload");
  const after = await restarted(before);
  const query = await call(after, "POST", url, undefined, { "x-goog-upload-command": "query" });
  expect(query.headers.get("x-goog-upload-size-received")).toBe(String(GRANULE));
  const done = await sendChunk(after, url, bytes.subarray(GRANULE), GRANULE, "upload, finalize");
  expect(done.body.file.sizeBytes).toBe(String(bytes.length));
});

test("killed while it creates a batch, it knows every batch it had answered for", async () => {
  const emulator = await emulatorFor({ folder, batchSeconds: 30 });
  const file = await uploadLines(emulator, requestLines(2));
  const answered: string[] = [];
  const creates = Array.from({ length: 20 }, () =>
    createBatch(emulator, file).then(
      ({ body }) => answered.push(body.name),
      () => 0,
    ),
  );
  await Promise.race(creates);
  const after = await restarted(emulator);
  await Promise.all(creates);
  expect(answered.length).toBeGreaterThan(0);
  const known = after.batches().map(({ name }) => name);
  for (const name of answered) expect(known).toContain(name);
});

const SERVE = `
  const { serveEmulator } = await import(process.argv[1]);
  const options = { folder: process.argv[2], port: 0, batchSeconds: 0.2 };
  const print = (line) => process.stdout.write(line + "\\n");
  await serveEmulator(options, print, new AbortController().signal);
`;

async function served(): Promise<{ child: ChildProcess; url: string }> {
  const command = new URL("../../src/emulator/port.ts", import.meta.url).href;
  const child = spawn(process.execPath, ["--input-type=module", "-e", SERVE, command, folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /^export GOOGLE_GEMINI_BASE_URL=(?<url>.+)$/.exec(line)?.groups?.["url"];
    if (url !== undefined) return { child, url };
  }
  throw new Error("the emulator said no address");
}

test("a process killed with SIGKILL loses nothing", async () => {
  const first = await served();
  const remote = { url: first.url };
  const { body } = await createBatch(remote, await uploadLines(remote, requestLines(3)));
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  const second = { url: (await served()).url };
  let operation = { done: false, metadata: { state: "" }, response: { responsesFile: "" } };
  for (let i = 0; i < 100 && !operation.done; i++) {
    await delay(50);
    ({ body: operation } = await call(second, "GET", `/v1beta/${body.name}`));
  }
  expect(operation.metadata.state).toBe("BATCH_STATE_SUCCEEDED");
  expect(await download(second, operation.response.responsesFile)).toHaveLength(3);
});

test("served as a program, it says what to set, and at the end what was paid for", async () => {
  const lines: string[] = [];
  const stop = new AbortController();
  const serving = serveEmulator({ folder, port: 0 }, (line) => lines.push(line), stop.signal);
  await expect.poll(() => lines.length).toBe(4);
  const url = lines[2]?.replace("export GOOGLE_GEMINI_BASE_URL=", "") ?? "";
  const remote = { url };
  await createBatch(remote, await uploadLines(remote, requestLines(3)));
  // the same rows by another model are other requests
  const two = await uploadLines(remote, requestLines(2));
  await createBatch(remote, two, "next", "gemini-embedding-2");
  stop.abort();
  const { text } = await serving;
  expect(lines[3]).toBe("export GEMINI_API_KEY=anything");
  expect(text).toBe("Batches created: 2. Requests paid for: 5, of these more than once: 0.");
});
