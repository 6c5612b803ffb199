/** Answers as bytes on the wire: pretty-printed and chunked, as the service sends them. */
import { createReadStream } from "node:fs";
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { pipeline } from "node:stream/promises";
import type { Answer } from "./http.ts";

const SERVER_NAME = "scaffolding on HTTPServer2";
const DOWNLOAD_BLOCK_BYTES = 1024 * 1024;

/** Writes an answer, or breaks the connection, as the answer says. */
export async function send(
  answer: Answer,
  response: ServerResponse,
  socket: Socket,
): Promise<void> {
  response.setHeader("server", SERVER_NAME);
  switch (answer.kind) {
    case "json":
      response.writeHead(answer.status, {
        "content-type": "application/json; charset=UTF-8",
        "transfer-encoding": "chunked",
        ...answer.headers,
      });
      response.end(`${JSON.stringify(answer.body, undefined, 2)}\n`);
      return;
    case "empty":
      response.writeHead(200, answer.headers);
      response.end();
      return;
    case "file":
      await sendFile(answer, response, socket);
      return;
    case "reset":
      socket.resetAndDestroy();
      return;
    case "silence":
      return;
  }
}

type FileAnswer = Extract<Answer, { kind: "file" }>;

async function sendFile(
  answer: FileAnswer,
  response: ServerResponse,
  socket: Socket,
): Promise<void> {
  response.writeHead(200, { "content-type": "application/octet-stream" });
  const bytes = answer.end === "whole" ? answer.bytes : Math.floor(answer.bytes / 2);
  try {
    if (bytes > 0) {
      const source = createReadStream(answer.path, {
        end: bytes - 1,
        highWaterMark: DOWNLOAD_BLOCK_BYTES,
      });
      await pipeline(source, response, { end: false });
    }
  } catch (error) {
    // The client hung up; nobody is left to be told.
    if (response.destroyed) return;
    throw error;
  }
  if (answer.end === "cut") socket.destroySoon();
  else response.end();
}
