/**
 * `<job>.sync.jsonl`: what the interactive API has answered for a job, a line a request, as a results
 * file has them. Each call's lines are durable before the next ones are asked for in their place, so
 * nothing that stands here is paid for again. When every request has its line, the file takes the
 * name of the results file, and the job goes on as if it had been downloaded. Each line says which
 * request file it answers, so that it is known for what it is also where the journal has lost that.
 */
import { exists, isMissing, sizeOf } from "../disk/presence.ts";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type AppendFile, openAppendFile } from "../disk/append-file.ts";
import { explainWriteError, hashFile, syncFolder } from "../disk/durable-file.ts";
import { isJsonObject } from "../row/json-value.ts";
import { readLines } from "../disk/jsonl.ts";
import { KeySet } from "../row/key-table.ts";
import { parseJson } from "../row/json-value.ts";
import { readResultKey } from "../row/result-line/result-line.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import { type FileRecord, type Job, linesOf } from "../manifest/job.ts";
import { requestMarkOf } from "./request-mark.ts";
import { needs } from "../manifest/states.ts";

export type Checkpoint = {
  /** Requests that have a line. */
  readonly answered: number;
  isAnswered(key: string): boolean;
  /** Durable once it resolves. */
  append(answers: readonly Answer[]): Promise<void>;
  close(): Promise<void>;
};

/** As a line of a results file has it, `response` or `error`. */
export type Answer = Readonly<{ key: string; content: object }>;

/** What an earlier process left is taken up, but for a torn last line. The job is `embedding`. */
export async function openCheckpoint(files: JobFiles, job: Job): Promise<Checkpoint> {
  await takeBackResults(files);
  const keys = new KeySet(linesOf(job));
  const mark = requestMarkOf(job);
  const endsAt = (await exists(files.sync)) ? await readAnswered(files.sync, keys) : 0;
  const file = await openAppendFile(files.sync, endsAt);
  return {
    get answered() {
      return keys.size;
    },
    isAnswered: (key) => keys.has(key),
    append: (answers) => appendAnswers(file, files.sync, { keys, mark }, answers),
    close: () => file.close(),
  };
}

/** Of a job that was given up before its first answer. */
export async function deleteCheckpoint(files: JobFiles): Promise<void> {
  await rm(files.sync, { force: true });
  await syncFolder(dirname(files.sync));
}

/** What stands in the folder where a job's answers go. */
export type StandingAnswers = Readonly<{
  /** What the job goes on from; undefined where nothing is. */
  own: string | undefined;
  /** Files that hold answers of which nothing tells that they are this job's. */
  others: readonly string[];
  /** Files that hold nothing. */
  empty: readonly string[];
}>;

/** The job is `exported` or `embedding`. Changes nothing, and needs no lock. */
export function lookForAnswers(files: JobFiles, job: Job): Promise<StandingAnswers> {
  return againWhereMoved(() => look(files, job));
}

/** Requests that have a line, without taking the file up. Needs no lock. */
export function countAnswered(files: JobFiles, job: Job): Promise<number> {
  return againWhereMoved(async () => {
    const keys = new KeySet();
    const { own } = await look(files, job);
    if (own !== undefined) await readAnswered(own, keys);
    return keys.size;
  });
}

/** Makes the closed checkpoint the results file. The journal's event comes after it. */
export async function placeResults(files: JobFiles): Promise<FileRecord> {
  const record = await hashFile(files.sync);
  await rename(files.sync, files.results);
  await syncFolder(dirname(files.results));
  return record;
}

/** It was put in its place, and the process died before that was recorded. */
async function takeBackResults(files: JobFiles): Promise<void> {
  if (!(await exists(files.sync)) && (await exists(files.results))) {
    await rename(files.results, files.sync);
  }
}

const MAX_LOOKS = 5;

/** Whoever holds the lock may give a file another name after it was found, and before it is read. */
async function againWhereMoved<T>(reading: () => Promise<T>): Promise<T> {
  for (let looks = 1; ; looks += 1) {
    try {
      return await reading();
    } catch (error) {
      if (!isMissing(error) || looks === MAX_LOOKS) throw error;
    }
  }
}

/** Of two files of its own, the results file: the sync lane was done with it. */
async function look({ results, sync }: JobFiles, job: Job): Promise<StandingAnswers> {
  // in the order of their renaming, so that a file is not missed under both names
  const begun = { path: sync, bytes: await sizeOf(sync) };
  const both = [{ path: results, bytes: await sizeOf(results) }, begun];
  const filled = both.filter(({ bytes = 0 }) => bytes > 0).map(({ path }) => path);
  const empty = both.filter(({ bytes }) => bytes === 0).map(({ path }) => path);
  // others were moved before it was begun; with two, it was further than the backup put over it
  const isAlone = needs(job) === "embed" && filled.length === 1;
  const own = isAlone ? filled[0] : await firstOf(filled, job);
  return { own, others: filled.filter((path) => path !== own), empty };
}

async function firstOf(paths: readonly string[], job: Job): Promise<string | undefined> {
  for (const path of paths) if (await isCheckpointOf(path, job)) return path;
  return undefined;
}

/** Whether the file, of either name, was begun for this job's very requests and model. */
async function isCheckpointOf(path: string, job: Job): Promise<boolean> {
  for await (const [first] of readLines(path)) {
    if (first?.terminated !== true || first.bytes === undefined) return false;
    const line = parseJson(first.bytes);
    return isJsonObject(line) && line["of"] === requestMarkOf(job);
  }
  return false;
}

/** Where the last whole line ends. */
async function readAnswered(path: string, keys: KeySet): Promise<number> {
  let endsAt = 0;
  for await (const lines of readLines(path)) {
    for (const { bytes, terminated, offset, byteLength } of lines) {
      if (!terminated) return endsAt;
      const key = bytes === undefined ? undefined : readResultKey(bytes);
      if (key !== undefined) keys.add(key);
      endsAt = offset + byteLength + 1;
    }
  }
  return endsAt;
}

async function appendAnswers(
  file: AppendFile,
  path: string,
  { keys, mark }: Readonly<{ keys: KeySet; mark: string }>,
  answers: readonly Answer[],
): Promise<void> {
  const lines = answers.map(({ key, content }) => JSON.stringify({ ...content, of: mark, key }));
  try {
    await file.append(Buffer.from(lines.map((line) => `${line}\n`).join("")));
  } catch (error) {
    throw explainWriteError(error, path);
  }
  for (const { key } of answers) keys.add(key);
}
