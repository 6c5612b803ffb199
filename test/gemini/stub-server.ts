/** An HTTP server that answers by a script: for answers that no service would give twice. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type SeenRequest = Readonly<{
  method: string;
  url: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: Buffer;
}>;

export type Reply =
  | Readonly<{
      status?: number;
      headers?: Record<string, string>;
      /** Text and bytes go as they are, anything else as JSON. */
      body?: unknown;
      /** Announces the whole body, sends so many bytes of it, and breaks the connection. */
      cutAfter?: number;
    }>
  | "reset"
  | "hang";

export type Stub = Readonly<{ baseUrl: string; seen: SeenRequest[]; close(): Promise<void> }>;

/** `answer` sees a request when it is complete, with the number of those before it. */
export async function startStub(
  answer: (request: SeenRequest, before: number) => Reply,
): Promise<Stub> {
  const seen: SeenRequest[] = [];
  return serve(seen, async (message, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(Buffer.from(chunk));
    const request = describeRequest(message, Buffer.concat(chunks));
    const before = seen.push(request) - 1;
    reply(response, answer(request, before));
  });
}

/** For a server that looks at a request while it comes in. */
export async function serve(
  seen: SeenRequest[],
  handle: (message: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<Stub> {
  const server = createServer((message, response) => {
    handle(message, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port }: AddressInfo = addressOf(server.address());
  return {
    baseUrl: `http://127.0.0.1:${port}`,
    seen,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function addressOf(address: AddressInfo | string | null): AddressInfo {
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address;
}

export function describeRequest(message: IncomingMessage, body: Buffer): SeenRequest {
  const { method = "", url = "", headers } = message;
  return { method, url, path: new URL(url, "http://stub").pathname, headers, body };
}

export function reply(response: ServerResponse, what: Reply): void {
  if (what === "hang") return;
  if (what === "reset") {
    response.socket?.resetAndDestroy();
    return;
  }
  const body = bytesOf(what.body);
  const headers = { "content-type": "application/json", "content-length": String(body.length) };
  response.writeHead(what.status ?? 200, { ...headers, ...what.headers });
  if (what.cutAfter === undefined) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, what.cutAfter), () => response.socket?.destroy());
}

function bytesOf(body: unknown): Buffer {
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === "string") return Buffer.from(body);
  return Buffer.from(body === undefined ? "" : JSON.stringify(body, undefined, 2));
}

/** An error as the service words it. */
export function errorBody(code: number, status: string, message: string, details?: unknown) {
  return { error: { code, message, status, ...(details === undefined ? {} : { details }) } };
}
