/**
 * `<job>.sync.jsonl`: what the interactive API has answered for a job, a line a request, as a results
 * file has them. Each call's lines are durable before the next ones are asked for in their place, so
 * nothing that stands here is paid for again. When every request has its line, the file takes the
 * name of the results file, and the job goes on as if it had been downloaded.
 */
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { type AppendFile, openAppendFile } from "../append-file.ts";
import { explainWriteError, hashFile, syncFolder } from "../durable-file.ts";
import { readLines } from "../jsonl.ts";
import { KeySet } from "../key-table.ts";
import { readResultKey } from "../result-line.ts";
import { exists, type JobFiles } from "./files.ts";
import type { FileRecord } from "./job.ts";

export type Checkpoint = {
  /** Requests that have a line. */
  readonly answered: number;
  isAnswered(key: string): boolean;
  /** Durable once it resolves. A line is JSON without its newline. */
  append(answers: readonly Answer[]): Promise<void>;
  close(): Promise<void>;
};

export type Answer = Readonly<{ key: string; line: string }>;

/**
 * What an earlier process left is taken up, but for a torn last line. `expectedRequests` saves
 * memory. Only for a job that is known to be `embedding`: see `forgetCheckpoint`.
 */
export async function openCheckpoint(
  files: JobFiles,
  expectedRequests: number,
): Promise<Checkpoint> {
  await takeBackResults(files);
  const keys = new KeySet(expectedRequests);
  const file = await openAppendFile(files.sync, await readAnswered(files.sync, keys));
  return {
    get answered() {
      return keys.size;
    },
    isAnswered: (key) => keys.has(key),
    append: (answers) => append(file, files.sync, keys, answers),
    close: () => file.close(),
  };
}

/**
 * To be called before a job is recorded as `embedding`: a file of its name is then of a job that
 * this manifest does not know, and may hold vectors of another model.
 */
export async function forgetCheckpoint(files: JobFiles): Promise<void> {
  await rm(files.sync, { force: true });
  await rm(files.results, { force: true });
  await syncFolder(dirname(files.sync));
}

/** Requests that have a line, without taking the file up. */
export async function countAnswered(files: JobFiles): Promise<number> {
  const keys = new KeySet();
  await readAnswered(files.sync, keys);
  return keys.size;
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

/** Where the last whole line ends. */
async function readAnswered(path: string, keys: KeySet): Promise<number> {
  let endsAt = 0;
  if (!(await exists(path))) return endsAt;
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

async function append(
  file: AppendFile,
  path: string,
  keys: KeySet,
  answers: readonly Answer[],
): Promise<void> {
  try {
    await file.append(Buffer.from(answers.map(({ line }) => `${line}\n`).join("")));
  } catch (error) {
    throw explainWriteError(error, path);
  }
  for (const { key } of answers) keys.add(key);
}
