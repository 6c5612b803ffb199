/**
 * A request file to the service, once: the name is ours, so a file that is already there, whoever
 * put it there and whether or not the answer arrived, is found and used instead of sent again.
 * Whatever comes back, size and hash of what the service holds are compared with ours.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";

import { contradicts, holds, type StoredFile } from "./file-resource.ts";
import type { Limits } from "./http/limits.ts";
import { GeminiError, type RemoteFile, type RequestFile } from "./port.ts";
import { runSession, type SessionEnd, type UploadServices } from "./upload-session.ts";

export type FindFile = (
  name: string,
  signal: AbortSignal | undefined,
) => Promise<StoredFile | undefined>;

export type Upload = (file: RequestFile, signal?: AbortSignal) => Promise<RemoteFile>;

/**
 * What the service takes JSONL for, in order of preference. It has refused each of the first ones
 * at times with "Unsupported MIME type", so the next one is tried.
 */
const MIME_TYPES = [
  "application/jsonl",
  "application/json",
  "text/plain",
  "jsonl",
  "application/octet-stream",
] as const;

export function createUpload(find: FindFile, services: UploadServices): Upload {
  // A type is often refused only after all the bytes were sent: the next file starts from here.
  let accepted: string = MIME_TYPES[0];

  return async (file, signal) => {
    const handle = await open(file.path);
    try {
      const mimeTypes = [accepted, ...MIME_TYPES.filter((type) => type !== accepted)];
      const sent = await sendOrFind({ file, handle, find, services, signal, mimeTypes });
      accepted = sent.mimeType ?? accepted;
      return await untilActive(sent.name, { file, find, services, signal });
    } finally {
      await handle.close();
    }
  };
}

type Sending = Readonly<{
  file: RequestFile;
  handle: FileHandle;
  find: FindFile;
  services: UploadServices;
  signal: AbortSignal | undefined;
  mimeTypes: readonly string[];
}>;

/** Without a type when it was there already. */
type Sent = Readonly<{ name: string; mimeType: string | undefined }>;

async function sendOrFind(sending: Sending): Promise<Sent> {
  const { file, handle, services, signal } = sending;
  let plan: Plan = { name: `files/${file.remoteName}`, mimeTypes: sending.mimeTypes };
  for (let session = 0; session < services.limits.maxSessions; session += 1) {
    const there = await sending.find(plan.name, signal);
    if (there !== undefined && isUsable(there, sending))
      return { name: there.name, mimeType: undefined };
    if (there !== undefined) plan = { ...plan, name: otherName(file) };
    const { name, mimeType } = { name: plan.name, mimeType: plan.mimeTypes[0] };
    if (mimeType === undefined) break;
    const end = await runSession({ file, handle, name, mimeType, signal }, services);
    if (end.type === "stored") return { name: end.name, mimeType };
    plan = await nextPlan(plan, end, sending);
  }
  throw new GeminiError(
    "uncertain",
    `the upload of ${file.path} was begun again and again in vain`,
  );
}

type Plan = Readonly<{ name: string; mimeTypes: readonly string[] }>;

async function nextPlan(plan: Plan, end: SessionEnd, sending: Sending): Promise<Plan> {
  if (end.type === "unsupportedType") {
    if (plan.mimeTypes.length === 1) throw end.error;
    return { ...plan, mimeTypes: plan.mimeTypes.slice(1) };
  }
  // Taken by our own lost upload, which is then found, or by one that is not to be seen.
  const hidden =
    end.type === "nameTaken" && (await sending.find(plan.name, sending.signal)) === undefined;
  return hidden ? { ...plan, name: otherName(sending.file) } : plan;
}

function isUsable(stored: StoredFile, { file, services }: Sending): boolean {
  const remainingMs = Date.parse(stored.expiresAt ?? "") - services.clock.now().getTime();
  const outlives = stored.expiresAt === undefined || remainingMs >= services.limits.minRemainingMs;
  return holds(stored, file) && stored.state !== "FAILED" && outlives;
}

const MAX_ID_CHARS = 40;

/** Ours too, so that it can be found, but not taken. */
function otherName({ remoteName }: RequestFile): string {
  const suffix = `-${randomBytes(4).toString("hex")}`;
  return `files/${remoteName.slice(0, MAX_ID_CHARS - suffix.length)}${suffix}`;
}

type Settling = Pick<Sending, "file" | "find" | "services" | "signal">;

/** Waits until the service is done with the file. Right after an upload it may not be seen yet. */
async function untilActive(name: string, settling: Settling): Promise<RemoteFile> {
  const { find, services, signal } = settling;
  const { clock, limits } = services;
  for (let poll = 0; poll < limits.maxActivePolls; poll += 1) {
    const stored = await find(name, signal);
    if (stored?.state === "FAILED") throw failed(stored);
    if (stored?.state === "ACTIVE") return verified(stored, settling.file);
    await clock.sleep(limits.activePollMs, signal);
  }
  throw new GeminiError("uncertain", `${name} has not become active in ${waitedSeconds(limits)} s`);
}

function verified(stored: StoredFile, file: RequestFile): RemoteFile {
  if (!contradicts(stored, file)) return { name: stored.name, expiresAt: stored.expiresAt };
  throw new GeminiError(
    "uncertain",
    `Gemini holds ${stored.bytes} bytes as ${stored.name} that are not the ${file.bytes} of ${file.path}`,
  );
}

function failed(stored: StoredFile): GeminiError {
  return new GeminiError(
    "refused",
    `Gemini could not process ${stored.name}: ${stored.errorMessage ?? "no reason given"}`,
  );
}

function waitedSeconds({ maxActivePolls, activePollMs }: Limits): number {
  return (maxActivePolls * activePollMs) / 1000;
}
