// Does the resumable upload behave as Google's protocol does when chunks go missing?
import { expect, test } from "vitest";
import type { Emulator } from "../../src/emulator/emulator.ts";
import {
  type Answered,
  call,
  emulatorFor,
  fixture,
  requestLines,
  sendChunk,
  startUpload,
  uploadLines,
} from "./client.ts";

const GRANULE = 262_144;
const BYTES = Buffer.alloc(2 * GRANULE + 5, "some bytes\n");

async function begun(emulator: Emulator, file: Record<string, unknown> = {}): Promise<string> {
  const started = await startUpload(
    emulator,
    { mimeType: "text/plain", ...file },
    { "x-goog-upload-header-content-length": String(BYTES.length) },
  );
  expect(started.headers.get("x-goog-upload-status")).toBe("active");
  expect(started.headers.get("x-goog-upload-chunk-granularity")).toBe(String(GRANULE));
  return started.headers.get("x-goog-upload-url") ?? "";
}

async function received(emulator: Emulator, url: string): Promise<string> {
  const { headers } = await call(emulator, "POST", url, undefined, {
    "x-goog-upload-command": "query",
  });
  return `${headers.get("x-goog-upload-status")} ${headers.get("x-goog-upload-size-received")}`;
}

function announced(bytes: number): Record<string, string> {
  return { "x-goog-upload-header-content-length": String(bytes) };
}

function rest(emulator: Emulator, url: string, offset: number): Promise<Answered> {
  return sendChunk(emulator, url, BYTES.subarray(offset), offset, "upload, finalize");
}

test("chunks in order make a file; each answer has its status", async () => {
  const emulator = await emulatorFor();
  const url = await begun(emulator);
  const chunk = await sendChunk(emulator, url, BYTES.subarray(0, GRANULE), 0, "upload");
  expect(chunk.headers.get("x-goog-upload-status")).toBe("active");
  expect(await received(emulator, url)).toBe(`active ${GRANULE}`);
  const done = await rest(emulator, url, GRANULE);
  expect(done.headers.get("x-goog-upload-status")).toBe("final");
  expect(done.body.file.sizeBytes).toBe(String(BYTES.length));
  expect(await received(emulator, url)).toBe(`final ${BYTES.length}`);
});

test("a wrong offset, an odd chunk, a wrong length and a repeated end are refused", async () => {
  const emulator = await emulatorFor();
  const url = await begun(emulator);
  expect((await sendChunk(emulator, url, BYTES, 7, "upload")).status).toBe(400);
  expect((await sendChunk(emulator, url, BYTES, 0, "upload")).status).toBe(400);
  expect(await received(emulator, url)).toBe("active 0");
  expect((await sendChunk(emulator, url, BYTES.subarray(1), 0, "upload, finalize")).status).toBe(
    400,
  );
  await call(emulator, "POST", url, undefined, { "x-goog-upload-command": "cancel" });
  expect((await rest(emulator, url, 0)).status).toBe(400);
});

test("a broken chunk keeps whole granules, and the upload goes on from there", async () => {
  const emulator = await emulatorFor({ faults: "upload-cut=1x" });
  const url = await begun(emulator);
  await expect(sendChunk(emulator, url, BYTES, 0, "upload, finalize")).rejects.toThrow(
    "fetch failed",
  );
  expect(await received(emulator, url)).toBe(`active ${GRANULE}`);
  const done = await rest(emulator, url, GRANULE);
  expect(done.body.file.sizeBytes).toBe(String(BYTES.length));
});

test("when the last answer is lost, the file is there all the same", async () => {
  const emulator = await emulatorFor({ faults: "upload-final-lost=1x" });
  const url = await begun(emulator, { name: "files/mine" });
  await expect(rest(emulator, url, 0)).rejects.toThrow("fetch failed");
  expect(await received(emulator, url)).toBe(`final ${BYTES.length}`);
  expect((await call(emulator, "GET", "/v1beta/files/mine")).status).toBe(200);
  expect((await startUpload(emulator, { mimeType: "text/plain", name: "files/mine" })).status).toBe(
    409,
  );
});

test("a lost session is 404, a missing status is missing, and a 503 changes nothing", async () => {
  const emulator = await emulatorFor();
  const url = await begun(emulator);
  emulator.setFaults("upload-5xx=1x,upload-no-status=1x");
  expect((await sendChunk(emulator, url, BYTES.subarray(0, GRANULE), 0, "upload")).status).toBe(
    503,
  );
  const bare = await sendChunk(emulator, url, BYTES.subarray(0, GRANULE), 0, "upload");
  expect([bare.status, bare.headers.get("x-goog-upload-status")]).toEqual([200, null]);
  emulator.setFaults("upload-session-lost=1x");
  expect((await rest(emulator, url, GRANULE)).status).toBe(404);
  emulator.setFaults("");
  expect((await rest(emulator, url, GRANULE)).status).toBe(404);
});

test.each([
  ["mime-refusal=at-start", 400],
  ["mime-refusal=at-end", 400],
  ["mime-refusal=as-success", 200],
])("%s: a type that is refused is an error with status %d", async (behaviour, status) => {
  const emulator = await emulatorFor({ behaviour });
  const file = { mimeType: "jsonl" };
  const started = await startUpload(emulator, file);
  const url = started.headers.get("x-goog-upload-url");
  const answer =
    url === null ? started : await sendChunk(emulator, url, BYTES, 0, "upload, finalize");
  const published = fixture("errors-observed").find(
    (error: { where: string }) => error.where === "upload finalize",
  );
  expect(answer).toMatchObject({ status, body: published.body });
  expect((await call(emulator, "GET", "/v1beta/files")).body).toEqual({});
});

test("the fault mime-200-error strikes a type that is fine", async () => {
  const emulator = await emulatorFor({ faults: "mime-200-error=1x" });
  const answer = await rest(emulator, await begun(emulator), 0);
  expect(answer).toMatchObject({ status: 200, body: { error: { code: 400 } } });
});

test.each([
  ["duplicate-name=refused-at-start", [409], []],
  ["duplicate-name=refused-at-end", [200, 409], []],
  ["duplicate-name=renamed", [200, 200], [false]],
])("%s: a name that is taken", async (behaviour, statuses, isOldName) => {
  const emulator = await emulatorFor({ behaviour });
  const file = { mimeType: "text/plain", name: "files/mine" };
  await uploadLines(emulator, requestLines(1), file);
  const started = await startUpload(emulator, file);
  const answers = [started];
  const url = started.headers.get("x-goog-upload-url");
  if (url !== null) answers.push(await sendChunk(emulator, url, BYTES, 0, "upload, finalize"));
  expect(answers.map(({ status }) => status)).toEqual(statuses);
  const names = answers.flatMap(({ body }) => (body?.file === undefined ? [] : [body.file.name]));
  expect(names.map((name) => name === "files/mine")).toEqual(isOldName);
});

test("more than 2 GB a file, or 20 GB in all, is refused at the start", async () => {
  const emulator = await emulatorFor();
  expect(
    (await startUpload(emulator, { mimeType: "text/plain" }, announced(2 * 1024 ** 3 + 1))).status,
  ).toBe(400);
  expect(
    (await startUpload(emulator, { mimeType: "text/plain" }, announced(2 * 1024 ** 3))).status,
  ).toBe(200);
});
