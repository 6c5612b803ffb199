/**
 * What the journal comes to up to some place, saved beside it, so that only what follows is read line by line. It is no
 * second truth: it counts only where it is whole, this very version wrote it, and the journal begins with the bytes
 * that it was made from. Else it counts as not there, and a later writer makes it anew.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { deserialize, serialize } from "node:v8";
import { hashStart, replaceFile } from "../../disk/durable-file.ts";
import { packageVersion } from "../../disk/package-version.ts";
import { errorCode } from "../../disk/presence.ts";
import { UserError } from "../../errors.ts";
import { JOB_ID, MANIFEST_ID } from "../event.ts";
import { manifestPath, savedStatePath } from "../file-names.ts";
import { apply, emptyState, type ManifestState } from "../fold.ts";
import { type JournalContent, type Place, readJournal } from "../journal/journal.ts";

/** So many bytes of a journal are read in an instant. */
const WORTH_SAVING_BYTES = 1024 * 1024;

type Folded = Readonly<{
  state: ManifestState;
  content: JournalContent;
  /** Of the journal: they were not read line by line. */
  savedBytes: number;
}>;

/** What the whole journal comes to. Throws as `readJournal` does. */
export async function readState(folder: string): Promise<Folded> {
  const saved = await unlessRefused(findSaved(folder));
  const state = saved?.state ?? emptyState();
  const path = manifestPath(folder);
  const content = await readJournal(path, (event) => apply(state, event), saved?.place);
  return { state, content, savedBytes: saved?.place.endsAt ?? 0 };
}

/** `place`: where the journal ends that comes to the state. Needs the lock. */
export async function saveState(
  folder: string,
  { state, savedBytes }: Pick<Folded, "state" | "savedBytes">,
  place: Place,
): Promise<void> {
  if (place.endsAt - savedBytes < WORTH_SAVING_BYTES) return;
  // numbers that were reserved and never recorded are free again
  const lastJob = [...state.jobs.keys()].reduce((last, id) => Math.max(last, Number(id)), 0);
  const { hash, ...rest } = place;
  const sha256 = hash.copy().digest("hex");
  const saved: Saved = { place: rest, sha256, state: { ...state, lastJob, index: undefined } };
  const body = serialize(saved);
  const content = Buffer.concat([proofOf(body), body]);
  await unlessRefused(replaceFile(savedStatePath(folder), content));
}

type Saved = Readonly<{
  place: Omit<Place, "hash">;
  /** Of the journal up to there. */
  sha256: string;
  state: ManifestState;
}>;

type Found = Readonly<{ state: ManifestState; place: Place }>;

async function findSaved(folder: string): Promise<Found | undefined> {
  const bytes = await readFile(savedStatePath(folder));
  const body = bytes.subarray(PROOF_BYTES);
  if (!proofOf(body).equals(bytes.subarray(0, PROOF_BYTES))) return undefined;
  const saved: Saved = deserialize(body);
  if (!namesAreSound(saved)) return undefined;
  const { place, sha256, state } = saved;
  const hash = await hashStart(manifestPath(folder), place.endsAt);
  return hash.copy().digest("hex") === sha256 ? { state, place: { ...place, hash } } : undefined;
}

/**
 * Anybody can make a proof, and what is found in a folder is data: names of which files and batches are made are such
 * as the journal's check lets through.
 */
function namesAreSound({ place, state }: Saved): boolean {
  const ids = [...state.jobs].flatMap(([id, job]) => [id, job.id, ...job.parents, ...job.children]);
  return (
    MANIFEST_ID.test(String(place.header?.manifest)) &&
    Number.isSafeInteger(state.lastJob) &&
    ids.every((id) => JOB_ID.test(id))
  );
}

const PROOF_BYTES = 32;
/** Counts the shapes that the state has had: a version under work has the number of the one before it. */
const SHAPE = 3;

/** Another for other bytes, and where another version of vecfill or of its engine wrote them. */
function proofOf(body: Uint8Array): Buffer {
  const writer = `vecfill ${packageVersion()}, shape ${SHAPE}, v8 ${process.versions.v8}\n`;
  return createHash("sha256").update(writer).update(body).digest();
}

/** Undefined where the system does not let it be read or written: the journal tells the same, and later. */
async function unlessRefused<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof UserError || errorCode(error) !== "") return undefined;
    throw error;
  }
}
