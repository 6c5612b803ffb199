/**
 * The resumable upload protocol as far as it is known, with faults to order. Keeps what it was
 * sent, so that a test can compare it with the file.
 */
import { createHash } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

import { describeRequest, errorBody, reply, type Reply, serve, type Stub } from "./stub-server.ts";

export type UploadFaults = {
  /** Breaks the connection when so many bytes have come, in all, once for each number. */
  breakAt?: number[];
  /** Bytes that came with a broken connection are kept only in whole multiples of this. */
  granularity?: number;
  /** What to answer instead, once each: before the chunk of that order took effect, or after. */
  insteadOfChunk?: Map<number, Reply>;
  afterChunk?: Map<number, Reply>;
  /** Of these types, and at which point it says so. */
  refuseTypes?: RefusedTypes;
  onStart?: Reply[];
  onQuery?: Reply[];
  /** Answers a taken name like this. */
  conflict?: "at start" | "at finalize" | "renames";
  /** The service names the file itself, whatever name was wanted. */
  renameTo?: string;
  /** States told by GET, one each, before ACTIVE. */
  statesFirst?: string[];
  /** Spoils what is stored. */
  corrupt?: (bytes: Buffer) => Buffer;
  leaveOut?: string[];
};

export type RefusedTypes = { types: string[]; with: Reply; at: "start" | "finalize" };

type StoredBytes = { bytes: Buffer; mimeType: string; expiresAt: string };

type UploadSession = { name: string; mimeType: string; size: number; bytes: Buffer; done: boolean };

export type UploadServer = Stub &
  Readonly<{ files: Map<string, StoredBytes>; sessions: UploadSession[] }>;

const inTwoDays = () => new Date(Date.now() + 48 * 3600 * 1000).toISOString();

export async function startUploadServer(faults: UploadFaults = {}): Promise<UploadServer> {
  const files = new Map<string, StoredBytes>();
  const sessions: UploadSession[] = [];
  const seen: Stub["seen"] = [];
  let chunks = 0;

  const stub = await serve(seen, async (message, response) => {
    const { path, method } = describeRequest(message, Buffer.alloc(0));
    if (method === "GET") {
      seen.push(describeRequest(message, await readAll(message)));
      reply(response, lookAt(path.replace("/v1beta/", "")));
      return;
    }
    const command = String(message.headers["x-goog-upload-command"]);
    if (command === "start") {
      const body = await readAll(message);
      seen.push(describeRequest(message, body));
      reply(response, faults.onStart?.shift() ?? begin(message, JSON.parse(String(body))));
      return;
    }
    const session = sessions[Number(path.split("/").at(-1))];
    if (session === undefined) throw new Error(`no session: ${path}`);
    if (command === "query") {
      seen.push(describeRequest(message, await readAll(message)));
      reply(response, faults.onQuery?.shift() ?? status(session));
      return;
    }
    seen.push(describeRequest(message, Buffer.alloc(0)));
    await receive(session, command, message, response);
  });

  function begin(message: IncomingMessage, body: { file: { name: string } }): Reply {
    const mimeType = String(message.headers["x-goog-upload-header-content-type"]);
    const size = Number(message.headers["x-goog-upload-header-content-length"]);
    if (faults.refuseTypes?.at === "start" && faults.refuseTypes.types.includes(mimeType)) {
      return faults.refuseTypes.with;
    }
    let name = faults.renameTo ?? body.file.name;
    if (files.has(name) && faults.conflict === "at start") return taken(name);
    if (files.has(name) && faults.conflict === "renames") name = `files/named-by-us-${files.size}`;
    const id = sessions.push({ name, mimeType, size, bytes: Buffer.alloc(0), done: false }) - 1;
    // Google's host: the client must come back to the address it was given.
    const url = `https://generativelanguage.googleapis.com/upload/v1beta/files/${id}?upload_id=${id}`;
    return { headers: { "x-goog-upload-status": "active", "x-goog-upload-url": url } };
  }

  async function receive(
    session: UploadSession,
    command: string,
    message: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const instead = faults.insteadOfChunk?.get(chunks);
    const after = faults.afterChunk?.get(chunks);
    chunks += 1;
    if (instead !== undefined) {
      await readAll(message);
      reply(response, instead);
      return;
    }
    if (Number(message.headers["x-goog-upload-offset"]) !== session.bytes.length) {
      await readAll(message);
      reply(response, { status: 400, body: errorBody(400, "INVALID_ARGUMENT", "bad offset") });
      return;
    }
    if (!(await take(session, message, response))) return;
    const answer = command.includes("finalize") ? finalize(session) : status(session);
    reply(response, after ?? answer);
  }

  /** False when the connection was broken on the way. */
  async function take(
    session: UploadSession,
    message: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    for await (const chunk of message) {
      const whole = Buffer.concat([session.bytes, Buffer.from(chunk)]);
      const breakAt = faults.breakAt?.[0];
      if (breakAt !== undefined && whole.length >= breakAt) {
        faults.breakAt?.shift();
        const granularity = faults.granularity ?? 1;
        session.bytes = whole.subarray(0, breakAt - (breakAt % granularity));
        response.socket?.resetAndDestroy();
        return false;
      }
      session.bytes = whole;
    }
    return true;
  }

  function finalize(session: UploadSession): Reply {
    const { name, mimeType, bytes, size } = session;
    if (bytes.length !== size) throw new Error(`finalized with ${bytes.length} of ${size}`);
    if (faults.refuseTypes?.at === "finalize" && faults.refuseTypes.types.includes(mimeType)) {
      return faults.refuseTypes.with;
    }
    if (files.has(name)) return taken(name);
    session.done = true;
    const kept = faults.corrupt?.(bytes) ?? bytes;
    files.set(name, { bytes: kept, mimeType, expiresAt: inTwoDays() });
    return {
      headers: { "x-goog-upload-status": "final" },
      body: { file: { name } },
    };
  }

  function lookAt(name: string): Reply {
    const file = files.get(name);
    if (file === undefined) {
      const words = `You do not have permission to access the File ${name} or it may not exist.`;
      return { status: 403, body: errorBody(403, "PERMISSION_DENIED", words) };
    }
    const hex = createHash("sha256").update(file.bytes).digest("hex");
    const resource: Record<string, string> = {
      name,
      mimeType: file.mimeType,
      sizeBytes: String(file.bytes.length),
      sha256Hash: Buffer.from(hex).toString("base64"),
      expirationTime: file.expiresAt,
      state: faults.statesFirst?.shift() ?? "ACTIVE",
    };
    for (const field of faults.leaveOut ?? []) delete resource[field];
    return { body: resource };
  }

  return { ...stub, files, sessions };
}

function status({ done, bytes }: UploadSession): Reply {
  return {
    headers: {
      "x-goog-upload-status": done ? "final" : "active",
      "x-goog-upload-size-received": String(bytes.length),
    },
  };
}

function taken(name: string): Reply {
  return { status: 409, body: errorBody(409, "ALREADY_EXISTS", `${name} exists`) };
}

async function readAll(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
