// Does the very file that was exported arrive, once, under a name we can find again, whatever
// breaks on the way and however the service words its refusals?
import { createHash } from "node:crypto";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";

import type { Clock } from "../../src/clock.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { contradicts, holds, parseFile } from "../../src/gemini/file-resource.ts";
import type { RequestFile } from "../../src/gemini/port.ts";
import { errorBody, type Reply } from "./stub-server.ts";
import {
  type RefusedTypes,
  startUploadServer,
  type UploadFaults,
  type UploadServer,
} from "./upload-server.ts";

const CHUNK_BYTES = 64 * 1024;
const LENGTH = 5 * CHUNK_BYTES + 1234;

const content = Buffer.from(Array.from({ length: LENGTH }, (_, at) => (at * 31 + (at >> 8)) % 256));
const name = "files/vecfill-0001-1";

let folder: string;
let file: RequestFile;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vecfill-upload-"));
  file = await fileWith(content);
});
afterAll(() => rm(folder, { recursive: true }));

async function fileWith(bytes: Buffer): Promise<RequestFile> {
  const path = join(folder, `${bytes.length}.jsonl`);
  await writeFile(path, bytes);
  return { path, bytes: bytes.length, sha256: sha256Of(bytes), remoteName: "vecfill-0001-1" };
}

function sha256Of(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

let server: UploadServer | undefined;
afterEach(async () => server?.close());

/** Sleeps for no time at all. */
const hasty: Clock = {
  now: () => new Date(),
  elapsedMs: () => performance.now(),
  sleep: async (_, signal) => signal?.throwIfAborted(),
};

async function withFaults(faults: UploadFaults = {}) {
  const started = await startUploadServer(faults);
  server = started;
  const limits = { chunkBytes: CHUNK_BYTES };
  const gemini = connectGemini({ apiKey: "k", baseUrl: started.baseUrl, clock: hasty, limits });
  return { gemini, server: started };
}

/** The one file that is there, after all. */
function onlyFile({ files }: UploadServer) {
  expect([...files.keys()]).toHaveLength(1);
  return [...files.values()][0];
}

describe("an upload that goes well", () => {
  test("arrives whole, under our name, with the time until which it is kept", async () => {
    const { gemini, server: there } = await withFaults({ statesFirst: ["PROCESSING"] });
    const remote = await gemini.uploadFile(file);
    expect(there.files.get(name)?.bytes.equals(content)).toBe(true);
    expect(remote).toEqual({ name, expiresAt: there.files.get(name)?.expiresAt });
    expect(there.files.get(name)?.mimeType).toBe("application/jsonl");
  });

  test.each([0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES])(
    "of %i bytes",
    async (length) => {
      const { gemini, server: there } = await withFaults();
      await gemini.uploadFile(await fileWith(content.subarray(0, length)));
      expect(onlyFile(there)?.bytes.equals(content.subarray(0, length))).toBe(true);
    },
  );

  test("the name in the answer counts", async () => {
    const { gemini, server: there } = await withFaults({ renameTo: "files/t5snrshrqff1" });
    expect((await gemini.uploadFile(file)).name).toBe("files/t5snrshrqff1");
    expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
  });

  test("a recorded answer of the service is known for the file it was about", () => {
    const lines = [
      `{"key": "request_1", "request": {"output_dimensionality": 3, "content": {"parts": [{"text": "1"}]}}}`,
      `{"key": "request_2", "request": {"output_dimensionality": 4, "content": {"parts": [{"text": "2"}]}}}`,
    ];
    const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
    const stored = parseFile({
      name: "files/t5snrshrqff1",
      sizeBytes: "202",
      sha256Hash:
        "NTk3Yjk2ZTVjN2QyYjBkMDFhY2RjODBkZDBiY2Q2NTNkYTA5OWJiMjZkODEwNmIxMmQ4NzBlZGFkZjI4MzdmYw==",
      state: "ACTIVE",
    });
    const sent = { path: "", bytes: 202, sha256: sha256Of(bytes), remoteName: "x" };
    expect(stored !== undefined && holds(stored, sent)).toBe(true);
    const other = { ...sent, sha256: sha256Of(Buffer.from("other")) };
    expect(stored !== undefined && contradicts(stored, other)).toBe(true);
  });
});

describe("an upload that breaks", () => {
  const places = [
    1,
    CHUNK_BYTES - 1,
    CHUNK_BYTES,
    CHUNK_BYTES + 1,
    3 * CHUNK_BYTES + 77,
    LENGTH - 1,
  ];
  test.each(places)("at byte %i goes on where the service says", async (breakAt) => {
    const { gemini, server: there } = await withFaults({ breakAt: [breakAt] });
    await gemini.uploadFile(file);
    expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
    expect(there.sessions).toHaveLength(1);
  });

  test("goes on from less than was sent, as the service keeps whole blocks only", async () => {
    const { gemini, server: there } = await withFaults({
      breakAt: [CHUNK_BYTES + 5000, 2 * CHUNK_BYTES + 9999],
      granularity: 4096,
    });
    await gemini.uploadFile(file);
    expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
  });

  test("again and again, but gets further each time, is not given up", async () => {
    const breakAt = Array.from({ length: 30 }, (_, at) => (at + 1) * 10_000);
    const { gemini, server: there } = await withFaults({ breakAt });
    await gemini.uploadFile(file);
    expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
    expect(there.sessions).toHaveLength(1);
  });

  const answers: [string, Reply][] = [
    ["503", { status: 503, body: errorBody(503, "UNAVAILABLE", "overloaded") }],
    ["429", { status: 429, body: errorBody(429, "RESOURCE_EXHAUSTED", "slower") }],
    ["a reset", "reset"],
    ["412", { status: 412, body: "" }],
    ["no upload status", { body: {} }],
    ["200 with an error", { body: errorBody(503, "UNAVAILABLE", "overloaded") }],
  ];

  describe.each(answers)("%s", (_, answer) => {
    test.each([0, 2, 5])("instead of chunk %i", async (chunk) => {
      const { gemini, server: there } = await withFaults({
        insteadOfChunk: new Map([[chunk, answer]]),
      });
      await gemini.uploadFile(file);
      expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
      expect(there.sessions).toHaveLength(1);
    });

    test.each([0, 2, 5])("after chunk %i took effect", async (chunk) => {
      const { gemini, server: there } = await withFaults({
        afterChunk: new Map([[chunk, answer]]),
      });
      expect((await gemini.uploadFile(file)).name).toBe(name);
      expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
      expect(there.sessions).toHaveLength(1);
    });
  });

  test("while it asks how much has arrived, too", async () => {
    const { gemini, server: there } = await withFaults({
      insteadOfChunk: new Map<number, Reply>([[1, "reset"]]),
      onQuery: ["reset", { status: 500, body: "" }, { body: {} }],
    });
    await gemini.uploadFile(file);
    expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
    expect(there.sessions).toHaveLength(1);
  });

  test.each([401, 403, 404, 410])(
    "with a session that is gone (%i) begins anew",
    async (status) => {
      const gone: Reply = { status, body: errorBody(status, "GONE", "no such session") };
      const { gemini, server: there } = await withFaults({ insteadOfChunk: new Map([[3, gone]]) });
      await gemini.uploadFile(file);
      expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
      expect(there.sessions).toHaveLength(2);
    },
  );

  test("for good is given up, with the service's words", async () => {
    const down: Reply = { status: 503, body: errorBody(503, "UNAVAILABLE", "out of order") };
    const always = new Map(Array.from({ length: 100 }, (_, at) => [at, down] as const));
    const { gemini, server: there } = await withFaults({ insteadOfChunk: always });
    const upload = gemini.uploadFile(file);
    await expect(upload).rejects.toMatchObject({ kind: "uncertain", httpStatus: 503 });
    await expect(upload).rejects.toThrow("out of order");
    expect(there.seen.length).toBeLessThan(30);
  });
});

describe("a type that the service does not know", () => {
  const words = errorBody(400, "INVALID_ARGUMENT", "Unsupported MIME type: application/jsonl");
  const types = ["application/jsonl", "application/json"];
  const cases: [string, RefusedTypes][] = [
    ["at the start", { types, with: { status: 400, body: words }, at: "start" }],
    ["at the end", { types, with: { status: 400, body: words }, at: "finalize" }],
    ["at the end, as 200", { types, with: { body: words }, at: "finalize" }],
    [
      "at the end, as 200 and final",
      {
        types,
        with: { headers: { "x-goog-upload-status": "final" }, body: words },
        at: "finalize",
      },
    ],
  ];

  test.each(cases)("%s: the next is taken, and remembered", async (_, refuseTypes) => {
    const { gemini, server: there } = await withFaults({ refuseTypes });
    await gemini.uploadFile(file);
    expect(onlyFile(there)).toMatchObject({ mimeType: "text/plain" });
    const sessions = there.sessions.length;
    await gemini.uploadFile({ ...file, remoteName: "vecfill-0002-1" });
    expect(there.files.get("files/vecfill-0002-1")).toMatchObject({ mimeType: "text/plain" });
    expect(there.sessions).toHaveLength(sessions + 1);
  });

  test("and no other either: refused in its words", async () => {
    const refusal: Reply = { status: 400, body: words };
    const { gemini } = await withFaults({ onStart: Array.from({ length: 9 }, () => refusal) });
    const upload = gemini.uploadFile(file);
    await expect(upload).rejects.toMatchObject({ kind: "refused", httpStatus: 400 });
    await expect(upload).rejects.toThrow("Unsupported MIME type");
  });
});

describe("a name that is there already", () => {
  test("with our content: used, nothing is sent", async () => {
    const { gemini, server: there } = await withFaults();
    const first = await gemini.uploadFile(file);
    expect(await gemini.uploadFile(file)).toEqual(first);
    expect(there.sessions).toHaveLength(1);
  });

  test.each(["at start", "at finalize", "renames"] as const)(
    "with other content (%s): sent under another name, the other is left alone",
    async (conflict) => {
      const { gemini, server: there } = await withFaults({ conflict });
      const other = { bytes: Buffer.from("other"), mimeType: "x", expiresAt: inDays(2) };
      there.files.set(name, other);
      const remote = await gemini.uploadFile(file);
      expect(remote.name).toMatch(/^files\/[a-z0-9-]{1,40}$/);
      expect(there.files.get(remote.name)?.bytes.equals(content)).toBe(true);
      expect(there.files.get(name)).toBe(other);
    },
  );

  test("with our content, but soon dropped: sent again under another name", async () => {
    const { gemini, server: there } = await withFaults();
    there.files.set(name, { bytes: content, mimeType: "x", expiresAt: inDays(0.5) });
    const remote = await gemini.uploadFile(file);
    expect(remote.name).not.toBe(name);
    expect(remote.expiresAt).toBe(there.files.get(remote.name)?.expiresAt);
  });

  test("but not to be seen, as of another project: sent under another name", async () => {
    const conflict: Reply = { status: 409, body: errorBody(409, "ALREADY_EXISTS", "taken") };
    const { gemini, server: there } = await withFaults({ onStart: [conflict] });
    const remote = await gemini.uploadFile(file);
    expect(remote.name).not.toBe(name);
    expect(onlyFile(there)?.bytes.equals(content)).toBe(true);
  });
});

describe("what the service holds", () => {
  test("is not what was sent: never returned as good", async () => {
    const { gemini } = await withFaults({ corrupt: (bytes) => Buffer.from(bytes).fill(0, 9, 10) });
    await expect(gemini.uploadFile(file)).rejects.toMatchObject({ kind: "uncertain" });
  });

  test("is shorter than what was sent", async () => {
    const { gemini } = await withFaults({
      corrupt: (bytes) => bytes.subarray(1),
      leaveOut: ["sha256Hash"],
    });
    await expect(gemini.uploadFile(file)).rejects.toThrow(`not the ${LENGTH} of`);
  });

  test("has failed to be processed", async () => {
    const { gemini } = await withFaults({ statesFirst: ["PROCESSING", "FAILED"] });
    await expect(gemini.uploadFile(file)).rejects.toMatchObject({ kind: "refused" });
  });

  test("never becomes active: given up", async () => {
    const statesFirst = Array.from({ length: 1000 }, () => "PROCESSING");
    const { gemini } = await withFaults({ statesFirst });
    await expect(gemini.uploadFile(file)).rejects.toMatchObject({ kind: "uncertain" });
    expect(statesFirst.length).toBeGreaterThan(900);
  });
});

test("a file that was cut short on disk is a matter for a person", async () => {
  const { gemini, server: there } = await withFaults();
  const short = await fileWith(content.subarray(0, 2 * CHUNK_BYTES + 1));
  await truncate(short.path, CHUNK_BYTES + 10);
  await expect(gemini.uploadFile(short)).rejects.toMatchObject({ name: "UserError" });
  expect(there.files.size).toBe(0);
});

test("Ctrl-C ends it with its own reason", async () => {
  const { gemini } = await withFaults({ insteadOfChunk: new Map<number, Reply>([[2, "hang"]]) });
  const controller = new AbortController();
  const reason = new Error("interrupted");
  setTimeout(() => controller.abort(reason), 200);
  await expect(gemini.uploadFile(file, controller.signal)).rejects.toBe(reason);
});

function inDays(days: number): string {
  return new Date(Date.now() + days * 24 * 3600 * 1000).toISOString();
}
