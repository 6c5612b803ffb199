/**
 * Jobs whose request file is not here: another folder has sent them, or the file is lost. Whose rows they are
 * their results tell: each line names its row and the fingerprint of its text, and the table still checks both
 * when a vector is written. Rows that were to get another row's vector are in no results; they are those that
 * wait with a fingerprint that the results answer, none with an md5, as earlier versions have it, which proves
 * no text. What is found stands in `<job>.rows.jsonl`, a key a line, and
 * is in its place before the journal says `rowsFound`; until then it is not known which rows the job has, and
 * none is selected for its column.
 */
import { exists } from "../disk/presence.ts";
import { createDurableFile } from "../disk/durable-file.ts";
import { readLines } from "../disk/jsonl.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import type { FileRecord, Job } from "../manifest/job.ts";
import type { Manifest, ManifestView } from "../manifest/manifest.ts";
import { isToSend, needs } from "../manifest/states.ts";
import { readResultKey } from "../row/result-line/result-line.ts";
import { KeySet } from "../row/key-table.ts";
import { formatKey, parseKey } from "../row/question.ts";
import { type Kin, sameColumn, type Target } from "../row/target.ts";
import type { Store } from "../store/port.ts";
import { pendingPages } from "./pending-pages.ts";

/** Nothing here tells which rows the job has, but for its results. */
export async function lacksRows(files: JobFiles, job: Job): Promise<boolean> {
  // what is yet to be sent needs its very request file
  if (isToSend(job) || needs(job) === "embed") return false;
  if (job.rowsFile !== undefined) return !(await exists(files.rows));
  return job.recovered || !(await exists(files.requests));
}

/** Jobs under way to the target's column, or from where its rows may come, that have rows which nobody here knows yet. */
export async function jobsWithoutRows(
  manifest: ManifestView,
  target: Target,
  kin?: Kin,
): Promise<Job[]> {
  const jobs: Job[] = [];
  const needing = manifest.needing("poll", "fetch", "write");
  const isMeant = (own: Target) => sameColumn(own, target) || kin?.has(own) === true;
  for (const job of needing.filter((each) => isMeant(each.target))) {
    if (await lacksRows(await manifest.bring(job), job)) jobs.push(job);
  }
  return jobs;
}

/** Keys of rows in a results file, those of a row once. */
export async function keysIn(results: string): Promise<string[]> {
  const keys: string[] = [];
  const ids = new KeySet();
  for await (const lines of readLines(results)) {
    for (const { bytes } of lines) {
      const key = bytes === undefined ? undefined : readResultKey(bytes);
      const row = key === undefined ? undefined : parseKey(key);
      if (key !== undefined && row !== undefined && ids.add(row.id)) keys.push(key);
    }
  }
  return keys;
}

/** A fingerprint and its rows take some hundred bytes. */
const MAX_ROWS_A_PASS = 200_000;

type Services = Readonly<{ store: Store; manifest: Manifest }>;

/** Of jobs of one target whose results are here; one pass over the rows that wait does for many of them. */
export async function findRows(services: Services, jobs: readonly Job[]): Promise<void> {
  let group = new Map<string, readonly string[]>();
  let rows = 0;
  for (const { id } of jobs) {
    const keys = await keysIn(services.manifest.files(id).results);
    if (rows + keys.length > MAX_ROWS_A_PASS) {
      await recordRows(services, group);
      [group, rows] = [new Map(), 0];
    }
    group.set(id, keys);
    rows += keys.length;
  }
  await recordRows(services, group);
}

/** `jobs`: the keys in the results of each. */
async function recordRows(
  { store, manifest }: Services,
  jobs: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  if (jobs.size === 0) return;
  const { texts, answered } = answersOf(jobs);
  for await (const page of pendingPages(store)) {
    const others = page.filter(({ id }) => !answered.has(id));
    for (const row of others) texts.get(row.fingerprint)?.others.push(formatKey(row));
  }
  const byJob = Map.groupBy(texts.values(), ({ job }) => job);
  for (const [job, keys] of jobs) {
    const copies = (byJob.get(job) ?? []).flatMap(copiesIn);
    const file = await writeKeys(manifest.files(job).rows, [...keys, ...copies]);
    const requests = keys.length + copies.length;
    await manifest.record({ type: "rowsFound", job, requests, copies: copies.length, file });
  }
}

/** What the results of a job answer: a fingerprint, and rows without a line that wait with it. */
type AnsweredText = {
  readonly job: string;
  /** Lines of the job: of one text there is one. */ lines: number;
  readonly others: string[];
};

/** Texts by fingerprint, one that several jobs answer as the first one's; and ids of rows that have a line. */
function answersOf(jobs: ReadonlyMap<string, readonly string[]>) {
  const texts = new Map<string, AnsweredText>();
  const answered = new Set<string>();
  for (const [job, keys] of jobs) {
    for (const key of keys) {
      const { id = "", fingerprint = "" } = parseKey(key) ?? {};
      const text = texts.get(fingerprint) ?? { job, lines: 0, others: [] };
      if (text.job === job) text.lines += 1;
      texts.set(fingerprint, text);
      answered.add(id);
    }
  }
  return { texts, answered };
}

function copiesIn({ lines, others }: AnsweredText): readonly string[] {
  return lines === 1 ? others : [];
}

export async function writeKeys(path: string, keys: readonly string[]): Promise<FileRecord> {
  const file = await createDurableFile(path);
  try {
    for (const key of keys) await file.write(`${JSON.stringify({ key })}\n`);
    return await file.commit();
  } finally {
    await file.abandon();
  }
}
