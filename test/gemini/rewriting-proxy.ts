/**
 * A proxy between the real client and the emulator, over HTTP, that passes everything on and gives
 * other answers than it got: as captive portals, caches and gateways do, and as other shapes of the
 * service's bodies would come. What was asked for takes effect at the emulator unless the rule says no.
 */
import { type IncomingMessage, request as httpRequest } from "node:http";
import type { RouteKind } from "../../src/emulator/routes.ts";
import { describeRequest, reply, type Reply, type SeenRequest, serve } from "./stub-server.ts";

/** What a call is for. `session` is what follows the start of an upload; `file` looks at a file. */
export type CallKind = RouteKind | "session" | "file" | "count";

export type ProxiedCall = SeenRequest &
  Readonly<{
    kind: CallKind;
    /** How many calls of its kind came before it. */
    before: number;
  }>;

type ProxiedAnswer = Readonly<{
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}>;

/** What the client gets instead. Without `send` the emulator never hears of the call. */
export type Rewrite = (
  call: ProxiedCall,
  send: () => Promise<ProxiedAnswer>,
) => Reply | Promise<Reply>;

export type RewritingProxy = Readonly<{
  url: string;
  /** From now on; without a rule everything is passed on as it is. */
  rewrite(rule?: Rewrite): void;
  /** Those of a kind that came so far. */
  calls(kind: CallKind): readonly ProxiedCall[];
  close(): Promise<void>;
}>;

export async function startRewritingProxy(target: string): Promise<RewritingProxy> {
  const calls: ProxiedCall[] = [];
  const of = (kind: CallKind) => calls.filter((call) => call.kind === kind);
  let rule: Rewrite = passOn;
  const server = await serve([], async (message, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(Buffer.from(chunk));
    const seen = describeRequest(message, Buffer.concat(chunks));
    const kind = kindOf(seen);
    const call = { ...seen, kind, before: of(kind).length };
    calls.push(call);
    reply(response, await rule(call, () => forward(target, call)));
  });
  return {
    url: server.baseUrl,
    rewrite: (next = passOn) => {
      rule = next;
    },
    calls: of,
    close: () => server.close(),
  };
}

const passOn: Rewrite = (_call, send) => send();

/** A rule for calls of one kind, which take effect; `change` is given the answer's JSON. */
export function rewriteJson(
  kind: CallKind,
  // oxlint-disable-next-line typescript/no-explicit-any -- answers are changed freely in tests
  change: (body: any, call: ProxiedCall) => unknown,
): Rewrite {
  return async (call, send) => {
    const answer = await send();
    if (call.kind !== kind || answer.status !== 200) return answer;
    return { body: change(JSON.parse(answer.body.toString()), call) };
  };
}

/** A rule for results files: `change` is given their lines, without the newlines. */
export function rewriteResults(
  change: (lines: readonly string[], call: ProxiedCall) => readonly string[],
): Rewrite {
  return async (call, send) => {
    const answer = await send();
    if (call.kind !== "download" || answer.status !== 200) return answer;
    const lines = change(answer.body.toString().split("\n").slice(0, -1), call);
    return { body: lines.map((line) => `${line}\n`).join("") };
  };
}

/** What comes with 200 in place of what was asked for. */
export const OTHER_ANSWERS = {
  html: { headers: { "content-type": "text/html" }, body: "<html><body>Sign in</body></html>\n" },
  empty: { body: "" },
  gatewayError: { body: '{"error":"upstream timeout","code":504}\n' },
} as const satisfies Readonly<Record<string, Reply>>;

/** The order matters: what ends in a verb is no plain resource. */
const KINDS: readonly (readonly [string, RegExp, CallKind])[] = [
  ["POST", /:asyncBatchEmbedContent$/, "create"],
  ["POST", /:countTokens$/, "count"],
  ["POST", /:(?:batchE|e)mbedContents?$/, "sync"],
  ["POST", /:cancel$/, "cancel"],
  ["POST", /\/files$/, "upload"],
  ["GET", /:download$/, "download"],
  ["GET", /\/batches$/, "list"],
  ["GET", /\/batches\//, "get"],
  ["GET", /\/files(?:\/|$)/, "file"],
  ["GET", /\/models/, "model"],
  ["DELETE", /./, "delete"],
];

/** A session's address says in its query that it is one, and so does its command. */
function kindOf({ method, path, headers }: SeenRequest): CallKind {
  const command = headers["x-goog-upload-command"];
  if (command !== undefined && command !== "start") return "session";
  const found = KINDS.find(([verb, pattern]) => verb === method && pattern.test(path));
  if (found === undefined) throw new Error(`no kind of call: ${method} ${path}`);
  return found[2];
}

/** The host is kept, so that addresses in answers lead through the proxy as well. */
function forward(target: string, { method, url, headers, body }: SeenRequest) {
  const { hostname, port } = new URL(target);
  return new Promise<ProxiedAnswer>((resolve, reject) => {
    const options = { hostname, port, method, path: url, headers, agent: false };
    const outgoing = httpRequest(options, (incoming) => resolve(readWhole(incoming)));
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

async function readWhole(incoming: IncomingMessage): Promise<ProxiedAnswer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(Buffer.from(chunk));
  const { statusCode = 0, headers } = incoming;
  return { status: statusCode, headers: passedOn(headers), body: Buffer.concat(chunks) };
}

const OF_THE_CONNECTION = ["transfer-encoding", "content-length", "connection", "keep-alive"];

function passedOn(headers: SeenRequest["headers"]): Record<string, string> {
  const entries = Object.entries(headers).flatMap(([name, value]) =>
    value === undefined || OF_THE_CONNECTION.includes(name) ? [] : [[name, String(value)] as const],
  );
  return Object.fromEntries(entries);
}
