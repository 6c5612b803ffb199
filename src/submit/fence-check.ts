/**
 * Whether Gemini refuses a create whose input file was deleted: not published, so it is tried with a
 * throw-away file, and only then relied upon. What is refused is not billed; a create that passes has one
 * line, and is deleted.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../clock.ts";
import { type Gemini, GeminiError } from "../gemini/port.ts";
import { withThrowAwayFile } from "../jobs-folder/throw-away-file.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { ModelName } from "../row/models.ts";

type FenceCheckServices = Readonly<{
  gemini: Gemini;
  manifest: Pick<Manifest, "folder">;
  clock: Clock;
  signal: AbortSignal;
}>;

/** How often in a row the service has to say that a file is gone. */
export const GONE_TIMES = 2;

const LINE = `${JSON.stringify({ key: "check", request: { content: { parts: [{ text: "check" }] } } })}\n`;

/** Undefined where it cannot be told, such as for a quota that is full. Throws what an upload throws. */
export async function doesDeletionFence(
  services: FenceCheckServices,
  model: ModelName,
): Promise<boolean | undefined> {
  const { gemini, manifest, signal } = services;
  // not as the batches of a manifest are called: nobody looks for this one
  const name = `vecfill-check-${randomBytes(8).toString("hex")}`;
  const file = await withThrowAwayFile(manifest.folder, LINE, (local) =>
    gemini.uploadFile({ ...local, remoteName: name }, signal),
  );
  await gemini.deleteFile(file.name);
  if (!(await isSeenGone(services, file.name))) return undefined;
  return isRefused(gemini, { model, file: file.name, displayName: name });
}

/** A deletion that is still unseen after two minutes tells nothing. */
const MAX_LOOKS = 12;
const LOOK_MS = 10_000;

async function isSeenGone(
  { gemini, clock, signal }: FenceCheckServices,
  file: string,
): Promise<boolean> {
  for (let looks = 0, gone = 0; looks < MAX_LOOKS; looks++) {
    gone = (await gemini.hasFile(file, signal)) ? 0 : gone + 1;
    if (gone >= GONE_TIMES) return true;
    if (gone === 0) await clock.sleep(LOOK_MS, signal);
  }
  return false;
}

async function isRefused(
  gemini: Gemini,
  request: Parameters<Gemini["createBatch"]>[0],
): Promise<boolean | undefined> {
  let name: string;
  try {
    ({ name } = await gemini.createBatch(request));
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    return error.kind === "notFound" ? true : undefined;
  }
  // what was learned stands, also where the batch of one line stays
  await gemini.deleteBatch(name).catch((error: unknown) => {
    if (!(error instanceof GeminiError)) throw error;
  });
  return false;
}
