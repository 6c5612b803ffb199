// A call failed. Did it take effect, is it worth trying again, when, and what did the service say?
// And does the key stay where it belongs?
import { inspect } from "node:util";
import { afterEach, describe, expect, test } from "vitest";

import { connectGemini } from "../../src/gemini/client.ts";
import { failureFromNetwork } from "../../src/gemini/http/failure.ts";
import type { Gemini } from "../../src/gemini/port.ts";
import { errorBody, type Reply, startStub, type Stub } from "./stub-server.ts";

const apiKey = "AIzaSyNotAKeyButJustAsLong0123456789abc";

let stub: Stub | undefined;
afterEach(async () => stub?.close());

/** As long as silence takes; what is answered has as long as a busy machine needs for it. */
const SILENT_MS = 500;
const ANSWERED_MS = 30_000;

async function connectTo(reply: Reply): Promise<Gemini> {
  stub = await startStub(() => reply);
  const ms = reply === "hang" ? SILENT_MS : ANSWERED_MS;
  const limits = { callMs: ms, createMs: ms, idleMs: ms };
  return connectGemini({ apiKey, baseUrl: stub.baseUrl, limits });
}

const errorInfo = (reason: string) => [
  { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "googleapis.com" },
];

const cases: [name: string, reply: Reply, kind: string][] = [
  [
    "a wrong key",
    {
      status: 400,
      body: errorBody(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    },
    "key",
  ],
  [
    "a wrong key, told by the reason only",
    { status: 400, body: errorBody(400, "INVALID_ARGUMENT", "no", errorInfo("API_KEY_INVALID")) },
    "key",
  ],
  ["401", { status: 401, body: errorBody(401, "UNAUTHENTICATED", "no") }, "key"],
  ["403", { status: 403, body: errorBody(403, "PERMISSION_DENIED", "no") }, "key"],
  ["400", { status: 400, body: errorBody(400, "FAILED_PRECONDITION", "no") }, "refused"],
  [
    "no billing",
    { status: 400, body: errorBody(400, "FAILED_PRECONDITION", "no billing") },
    "billing",
  ],
  ["413", { status: 413, body: "" }, "refused"],
  ["429", { status: 429, body: "" }, "quota"],
  ["408", { status: 408, body: "" }, "uncertain"],
  ["502", { status: 502, body: "<html>bad gateway</html>" }, "uncertain"],
  ["a redirect", { status: 302, headers: { location: "https://elsewhere.invalid" } }, "refused"],
  ["200, not JSON", { body: "<html>" }, "uncertain"],
  ["a reset", "reset", "uncertain"],
  ["silence", "hang", "uncertain"],
];

// One goes by our own requests, the other one through the SDK.
describe.each([
  ["findBatches", (gemini: Gemini) => gemini.findBatches("")],
  ["cancelBatch", (gemini: Gemini) => gemini.cancelBatch("batches/x")],
])("%s", (_, call) => {
  test.each(cases)("%s", async (_name, reply, kind) => {
    const gemini = await connectTo(reply);
    await expect(call(gemini)).rejects.toMatchObject({ name: "GeminiError", kind });
    expect(stub?.seen).toHaveLength(1);
  });
});

describe("a 403 on a file", () => {
  test("is a file that is not there", async () => {
    const gemini = await connectTo({
      status: 403,
      body: errorBody(403, "PERMISSION_DENIED", "You do not have permission to access the File x."),
    });
    await expect(gemini.deleteFile("files/x")).resolves.toBeUndefined();
  });

  test("is the key where the service gives a reason: nothing of ours is gone", async () => {
    const details = errorInfo("CONSUMER_SUSPENDED");
    const body = errorBody(403, "PERMISSION_DENIED", `Consumer 'api_key:${apiKey}'`, details);
    const gemini = await connectTo({ status: 403, body });
    await expect(gemini.deleteFile("files/x")).rejects.toMatchObject({ kind: "key" });
  });
});

describe("nothing was sent", () => {
  test("where nobody listens", async () => {
    const gemini = await connectTo({});
    await stub?.close();
    const call = gemini.findBatches("");
    await expect(call).rejects.toMatchObject({ kind: "unreachable" });
    await expect(call).rejects.toThrow("ECONNREFUSED");
  });

  test("where the name is unknown", async () => {
    const gemini = connectGemini({ apiKey, baseUrl: "http://gemini.invalid" });
    await expect(gemini.cancelBatch("batches/x")).rejects.toMatchObject({ kind: "unreachable" });
  });

  const before: [string, object][] = [
    ["a refused connection", { code: "ECONNREFUSED", syscall: "connect" }],
    ["a connection that timed out", { code: "ETIMEDOUT", syscall: "connect" }],
    ["fetch's own limit for connecting", { code: "UND_ERR_CONNECT_TIMEOUT" }],
    ["a name that is not known now", { code: "EAI_AGAIN", syscall: "getaddrinfo" }],
    ["a certificate of nobody's", { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }],
    ["a certificate of someone else", { code: "ERR_TLS_CERT_ALTNAME_INVALID" }],
    ["no TLS on the other side", { code: "ERR_SSL_WRONG_VERSION_NUMBER" }],
    ["an issuer that is not known", { code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY" }],
  ];
  test.each(before)("%s", (_, system) => {
    expect(kindOfNetworkError(system)).toBe("unreachable");
  });

  const after: [string, object][] = [
    ["a reset", { code: "ECONNRESET", syscall: "read" }],
    ["a broken pipe", { code: "EPIPE", syscall: "write" }],
    ["a connection that timed out while it was open", { code: "ETIMEDOUT", syscall: "read" }],
    ["a closed socket", { code: "UND_ERR_SOCKET" }],
    ["an answer that does not come", { code: "UND_ERR_HEADERS_TIMEOUT" }],
    ["no one knows what", {}],
  ];
  test.each(after)("but perhaps with %s", (_, system) => {
    expect(kindOfNetworkError(system)).toBe("uncertain");
  });

  test("at any of a name's addresses", () => {
    const attempt = Object.assign(new Error("refused"), { syscall: "connect" });
    const cause = new AggregateError([attempt, attempt]);
    const error = failureFromNetwork(new TypeError("fetch failed", { cause }), "http://x");
    expect(error.kind).toBe("unreachable");
  });
});

describe("when to come again", () => {
  const body = errorBody(429, "RESOURCE_EXHAUSTED", "slower", [
    { "@type": "type.googleapis.com/google.rpc.QuotaFailure" },
    { "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34.5s" },
  ]);

  test("in seconds", async () => {
    const gemini = await connectTo({ status: 429, headers: { "retry-after": "7" }, body });
    await expect(gemini.findBatches("")).rejects.toMatchObject({ retryAfterMs: 7000 });
  });

  test("as a date", async () => {
    const headers = { "retry-after": new Date(Date.now() + 10_000).toUTCString() };
    const gemini = await connectTo({ status: 503, headers, body: "" });
    const error: { retryAfterMs?: number } = await gemini.findBatches("").catch((e) => e);
    expect(error.retryAfterMs).toBeGreaterThan(8000);
    expect(error.retryAfterMs).toBeLessThanOrEqual(10_000);
  });

  test("in the error's details, through the SDK too", async () => {
    const gemini = await connectTo({ status: 429, body });
    const call = gemini.countTokens("gemini-embedding-001", ["a"]);
    await expect(call).rejects.toMatchObject({ retryAfterMs: 34_500 });
  });

  test.each(["soon", ""])("not for %j", async (retryAfter) => {
    const gemini = await connectTo({
      status: 429,
      headers: { "retry-after": retryAfter },
      body: "",
    });
    await expect(gemini.findBatches("")).rejects.toMatchObject({ retryAfterMs: undefined });
  });
});

describe("the message", () => {
  test("holds the service's words", async () => {
    const gemini = await connectTo({
      status: 400,
      body: errorBody(400, "INVALID_ARGUMENT", "a\nb"),
    });
    await expect(gemini.findBatches("")).rejects.toThrow(
      "Gemini answered 400 INVALID_ARGUMENT: a b",
    );
  });

  test("but not too many of them", async () => {
    const gemini = await connectTo({ status: 500, body: "x".repeat(1_000_000) });
    const error: Error = await gemini.findBatches("").catch((e) => e);
    expect(error.message.length).toBeLessThan(1000);
  });
});

describe("the key", () => {
  const calls: [string, (gemini: Gemini) => Promise<unknown>][] = [
    ["findBatches", (gemini) => gemini.findBatches("")],
    ["getBatch", (gemini) => gemini.getBatch("batches/x")],
    ["cancelBatch", (gemini) => gemini.cancelBatch("batches/x")],
    ["deleteFile", (gemini) => gemini.deleteFile("files/x")],
    ["countTokens", (gemini) => gemini.countTokens("gemini-embedding-001", ["a"])],
    ["openResults", (gemini) => Array.fromAsync(gemini.openResults("files/x"))],
    [
      "createBatch",
      (gemini) =>
        gemini.createBatch({ model: "gemini-embedding-001", file: "files/x", displayName: "d" }),
    ],
  ];
  const echo = errorBody(403, "PERMISSION_DENIED", `Consumer 'api_key:${apiKey}' is suspended.`);
  const replies: [string, Reply][] = [
    ["is quoted by the service", { status: 403, body: { ...echo, details: errorInfo(apiKey) } }],
    ["is quoted by a gateway", { status: 502, body: `no ${apiKey}` }],
    ["is quoted where a success should be", { body: apiKey }],
    ["was sent before a reset", "reset"],
    ["was sent into silence", "hang"],
  ];

  describe.each(replies)("%s", (_, reply) => {
    test.each(calls)("and is in no error of %s, nor in its causes", async (_name, call) => {
      const gemini = await connectTo(reply);
      const error = await call(gemini).catch((caught: unknown) => caught);
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(apiKey);
      const keys = stub?.seen.map(({ headers }) => headers["x-goog-api-key"]);
      expect([...new Set(keys)]).toEqual([apiKey]);
      expect(stub?.seen.map(({ url }) => url).join()).not.toContain(apiKey);
    });
  });

  test.each(["", "two\nlines", "quoted “key”", "with space "])(
    "that cannot be one (%j) is refused without quoting it",
    (wrong) => {
      const connect = () => connectGemini({ apiKey: wrong });
      expect(connect).toThrow(expect.objectContaining({ name: "UserError", exit: "usage" }));
      expect(connect).not.toThrow("“key”");
    },
  );
});

test.each(["localhost:80", "ftp://x", "http://user:secret@x", "http://x?key=secret", ""])(
  "%j is no address for the API, and is not repeated",
  (baseUrl) => {
    const connect = () => connectGemini({ apiKey, baseUrl });
    expect(connect).toThrow(expect.objectContaining({ name: "UserError", exit: "usage" }));
    expect(connect).not.toThrow("secret");
  },
);

test("an address with a path, as of a gateway, is kept in front", async () => {
  stub = await startStub(() => ({ body: {} }));
  const gemini = connectGemini({ apiKey, baseUrl: `${stub.baseUrl}/gw/` });
  await gemini.findBatches("");
  await gemini.cancelBatch("batches/x");
  expect(stub.seen.map(({ path }) => path)).toEqual([
    "/gw/v1beta/batches",
    "/gw/v1beta/batches/x:cancel",
  ]);
});

test.each([
  ["findBatches", (gemini: Gemini, signal: AbortSignal) => gemini.findBatches("", signal)],
  ["getBatch", (gemini: Gemini, signal: AbortSignal) => gemini.getBatch("batches/x", signal)],
  [
    "embedNow",
    (gemini: Gemini, signal: AbortSignal) =>
      gemini.embedNow(
        { model: "gemini-embedding-001", dimensions: 3, taskType: "CLUSTERING", texts: ["a"] },
        { drop: signal },
      ),
  ],
])("Ctrl-C during %s rejects with its own reason, before and while", async (_, call) => {
  const gemini = await connectTo("hang");
  const reason = new Error("interrupted");
  await expect(call(gemini, AbortSignal.abort(reason))).rejects.toBe(reason);
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 50);
  await expect(call(gemini, controller.signal)).rejects.toBe(reason);
});

/** As `fetch` throws what the system told it. */
function kindOfNetworkError(system: object): string {
  const cause = Object.assign(new Error("no"), system);
  return failureFromNetwork(new TypeError("fetch failed", { cause }), "http://x").kind;
}
