/**
 * What the journal comes to up to some place, saved beside it, so that only what follows is read line by line. It is no
 * second truth: it counts only where it is whole, this very version wrote it, and the journal begins with the bytes
 * that it was made from. Else it counts as not there, and a later writer makes it anew. So it is in tables, with the last event.
 */
import { readFile } from "node:fs/promises";
import { deserialize, serialize } from "node:v8";
import { crc32 } from "node:zlib";
import { crcOfStart, replaceFile } from "../../disk/durable-file.ts";
import { packageVersion } from "../../disk/package-version.ts";
import { errorCode } from "../../disk/presence.ts";
import { UserError } from "../../errors.ts";
import { JOB_ID, MANIFEST_ID } from "../event.ts";
import { manifestPath, savedStatePath } from "../file-names.ts";
import { isJsonObject } from "../../row/json-value.ts";
import { type Column, columnOf, valuesIn } from "./columns.ts";
import { apply, emptyState, type ManifestState } from "../fold.ts";
import type { Job } from "../job.ts";
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
  await unlessRefused(replaceFile(savedStatePath(folder), packed(state, place)));
}

/** `place`: in whatever way it is known. */
export function packed(state: ManifestState, place: unknown): Buffer {
  // numbers that were reserved and never recorded are free again
  const lastJob = [...state.jobs.keys()].reduce((last, id) => Math.max(last, Number(id)), 0);
  const { jobs, index: _made, ...rest } = state;
  const stored = [...jobs.values()].map(({ target, ...job }) => ({
    ...job,
    target: state.targets.indexOf(target),
  }));
  const columns = columnOf(stored);
  const saved = { place, state: { ...rest, lastJob }, count: jobs.size, jobs: columns };
  const body = serialize(saved satisfies Saved<unknown>);
  return Buffer.concat([proofOf(body), body]);
}

type Saved<P> = Readonly<{
  place: P;
  state: Omit<ManifestState, "jobs" | "index">;
  count: number;
  /** In the order of their making. */
  jobs: Column;
}>;

/** Its target by number. */
type StoredJob = Omit<Job, "target"> & Readonly<{ target: number }>;

type Found<P> = Readonly<{ state: ManifestState; place: P }>;

async function findSaved(folder: string): Promise<Found<Place> | undefined> {
  const found = unpacked<Place>(await readFile(savedStatePath(folder)));
  if (found === undefined) return undefined;
  const { endsAt, crc, header } = found.place;
  if (!MANIFEST_ID.test(String(header?.manifest))) return undefined;
  return (await crcOfStart(manifestPath(folder), endsAt)) === crc ? found : undefined;
}

/** Undefined where it is not whole, or another version packed it. */
export function unpacked<P>(bytes: Buffer): Found<P> | undefined {
  const body = bytes.subarray(PROOF_BYTES);
  if (!proofOf(body).equals(bytes.subarray(0, PROOF_BYTES))) return undefined;
  const saved: Saved<P> = deserialize(body);
  const state = soundState(saved);
  return state && { state, place: saved.place };
}

/**
 * Anybody can make a proof, and what is found in a folder is data: names of which files and batches are made are such
 * as the journal's check lets through.
 */
function soundState({ state, count, jobs: columns }: Saved<unknown>): ManifestState | undefined {
  const stored = valuesIn(columns, count);
  if (!Number.isSafeInteger(state.lastJob) || !stored.every(isSound)) return undefined;
  const jobs = new Map<string, Job>();
  for (const job of stored) {
    const target = state.targets[job.target];
    if (target === undefined) return undefined;
    jobs.set(job.id, { ...job, target });
  }
  return { ...state, jobs, index: undefined };
}

function isSound(job: unknown): job is StoredJob {
  if (!isJsonObject(job)) return false;
  const { id, parents, children } = job;
  if (!Array.isArray(parents) || !Array.isArray(children)) return false;
  return [id, ...parents, ...children].every(
    (each) => typeof each === "string" && JOB_ID.test(each),
  );
}

const PROOF_BYTES = 4;
/** Counts the shapes that the state has had: a version under work has the number of the one before it. */
const SHAPE = 5;

/** Another for other bytes, and where another version of vecfill or of its engine wrote them. */
function proofOf(body: Uint8Array): Buffer {
  const writer = `vecfill ${packageVersion()}, shape ${SHAPE}, v8 ${process.versions.v8}\n`;
  const proof = Buffer.alloc(PROOF_BYTES);
  proof.writeUInt32LE(crc32(body, crc32(writer)));
  return proof;
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
