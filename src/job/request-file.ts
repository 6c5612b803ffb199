/** `<job>.requests.jsonl`: written whole before the job is recorded, checked before it is used. */
import { createDurableFile, hashFile } from "../durable-file.ts";
import { UserError } from "../errors.ts";
import type { FailedLine, Failure } from "../failed-line.ts";
import { readLines } from "../jsonl.ts";
import { parseRequestLine } from "../request-line.ts";
import { readResultKey } from "../result-line.ts";
import { exists, type JobFiles } from "./files.ts";
import type { FileRecord, Job } from "./job.ts";
import type { Manifest } from "./manifest.ts";

export type RequestFileWriter = {
  /** `line`: JSON without its newline. */
  add(line: string): Promise<void>;
  /** Durable and in its place once this resolves. */
  commit(): Promise<FileRecord>;
  abandon(): Promise<void>;
};

/** Starts the request file of a job that is not known yet. */
export async function openRequestFile(
  manifest: Pick<Manifest, "reserveJobId" | "files">,
): Promise<{ job: string; writer: RequestFileWriter }> {
  const job = manifest.reserveJobId();
  const file = await createDurableFile(manifest.files(job).requests);
  const writer: RequestFileWriter = {
    add: (line) => file.write(`${line}\n`),
    commit: () => file.commit(),
    abandon: () => file.abandon(),
  };
  return { job, writer };
}

/** For a dry run: takes lines and writes nothing. */
export async function openNothing(): Promise<{ job: string; writer: RequestFileWriter }> {
  const writer: RequestFileWriter = {
    add: async () => {},
    commit: async () => ({ bytes: 0, sha256: "" }),
    abandon: async () => {},
  };
  return { job: "", writer };
}

/** Throws a UserError when the file is missing or is not the one that was recorded. */
export async function checkRequestFile(files: JobFiles, job: Job): Promise<void> {
  if (!(await exists(files.requests))) throw unusable(files, job, "is missing");
  const found = await hashFile(files.requests);
  if (found.sha256 !== job.requestFile.sha256) throw unusable(files, job, "has been changed");
}

/** The keys of the requests, in the file's order, in arrays. */
export async function* readRequestKeys(files: JobFiles): AsyncGenerator<string[]> {
  for await (const lines of readLines(files.requests)) {
    const keys: string[] = [];
    for (const { bytes } of lines) {
      const key = bytes === undefined ? undefined : readResultKey(bytes);
      if (key !== undefined) keys.push(key);
    }
    yield keys;
  }
}

/** The requests that failed, in the file's order; `failureOf` is asked by their place in it. */
export async function* failedRequests(
  files: JobFiles,
  job: Job,
  failureOf: (place: number) => Failure | undefined,
): AsyncGenerator<FailedLine> {
  let place = 0;
  for await (const lines of readLines(files.requests)) {
    for (const { bytes } of lines) {
      if (bytes === undefined || bytes.length === 0) continue;
      const error = failureOf(place);
      place += 1;
      if (error === undefined) continue;
      yield { ...parseRequestLine(bytes), job: job.id, attempt: job.attempt, error };
    }
  }
}

function unusable(files: JobFiles, job: Job, what: string): UserError {
  const lost = job.state === "exported" ? "" : "what it cost is lost, and ";
  const flag = job.state === "exported" ? "" : " --give-up";
  return new UserError(`The request file ${files.requests} of job ${job.id} ${what}.`, {
    hint: `Restore it from a backup, or give the job up with \`vecfill cancel ${job.id}${flag}\`: ${lost}its rows are exported again.`,
    exit: "fatal",
  });
}
