/** A plain HTTP client for the emulator: what curl would send, with no SDK to smooth anything. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";

const KEY = "anything";
const emulators: Emulator[] = [];

afterEach(async () => {
  for (const emulator of emulators.splice(0)) await emulator.close();
});

/** Frozen time unless told otherwise; closed after the test. */
export async function emulatorFor(options: EmulatorOptions = {}): Promise<Emulator> {
  const emulator = await startEmulator({ frozen: true, ...options });
  emulators.push(emulator);
  return emulator;
}

/** An emulator here, or one in another process. */
export type Address = { readonly url: string };

// oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at freely in tests
export type Answered = { status: number; body: any; headers: Headers; text: string };

export async function call(
  emulator: Address,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answered> {
  const url = path.startsWith("http") ? path : `${emulator.url}${path}`;
  const raw =
    body instanceof Uint8Array ? body : body === undefined ? undefined : JSON.stringify(body);
  const response = await fetch(url, {
    method,
    headers: { "x-goog-api-key": KEY, ...headers },
    ...(raw === undefined ? {} : { body: raw }),
    signal: AbortSignal.timeout(10_000),
  });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
  return {
    status: response.status,
    body: isJson ? JSON.parse(text) : undefined,
    headers: response.headers,
    text,
  };
}

export function startUpload(
  emulator: Address,
  file: Record<string, unknown> = { mimeType: "application/jsonl" },
  headers: Record<string, string> = {},
): Promise<Answered> {
  return call(
    emulator,
    "POST",
    "/upload/v1beta/files",
    { file },
    {
      "x-goog-upload-protocol": "resumable",
      "x-goog-upload-command": "start",
      ...headers,
    },
  );
}

export function sendChunk(
  emulator: Address,
  url: string,
  bytes: Uint8Array,
  offset: number,
  command: string,
): Promise<Answered> {
  return call(emulator, "POST", url, bytes, {
    "x-goog-upload-command": command,
    "x-goog-upload-offset": String(offset),
  });
}

/** Uploads the lines and resolves with the file's name. */
export async function uploadLines(
  emulator: Address,
  lines: readonly string[],
  file: Record<string, unknown> = { mimeType: "application/jsonl" },
  headers: Record<string, string> = {},
): Promise<string> {
  const started = await startUpload(emulator, file, headers);
  const url = started.headers.get("x-goog-upload-url") ?? "";
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
  const done = await call(emulator, "POST", url, bytes, {
    "x-goog-upload-command": "upload, finalize",
    "x-goog-upload-offset": "0",
    ...headers,
  });
  if (done.status !== 200) throw new Error(done.text);
  return done.body.file.name;
}

export function requestLine(key: string, text: string, more: Record<string, unknown> = {}): string {
  const request = {
    content: { parts: [{ text }] },
    taskType: "RETRIEVAL_DOCUMENT",
    outputDimensionality: 8,
    ...more,
  };
  return JSON.stringify({ key, request });
}

export function requestLines(count: number, more: Record<string, unknown> = {}): string[] {
  return Array.from({ length: count }, (_, i) => requestLine(`key-${i}`, `What is ${i}?`, more));
}

export function createBatch(
  emulator: Address,
  fileName: string,
  displayName = "vecfill test",
  model = "gemini-embedding-001",
): Promise<Answered> {
  const batch = { inputConfig: { file_name: fileName }, displayName };
  return call(emulator, "POST", `/v1beta/models/${model}:asyncBatchEmbedContent`, { batch });
}

/** Uploads, creates, lets it end, and resolves with the operation and the lines of its results. */
export async function runBatch(
  emulator: Emulator,
  lines: readonly string[],
  model = "gemini-embedding-001",
): Promise<{ operation: Answered["body"]; results: string[] }> {
  const created = await createBatch(emulator, await uploadLines(emulator, lines), "run", model);
  await emulator.advance(2_000);
  const { body: operation } = await call(emulator, "GET", `/v1beta/${created.body.name}`);
  const file = operation.response?.responsesFile;
  return { operation, results: file === undefined ? [] : await download(emulator, file) };
}

export async function download(emulator: Address, file: string): Promise<string[]> {
  const { text } = await call(emulator, "GET", `/v1beta/${file}:download?alt=media`);
  return text.split("\n").slice(0, -1);
}

/** A body as published; see test/fixtures/gemini. */
export function fixture(name: string): Answered["body"] {
  const path = join(import.meta.dirname, "../fixtures/gemini", `${name}.json`);
  return JSON.parse(readFileSync(path, "utf8")).body;
}
