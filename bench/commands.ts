/** What a person waits for: the help, and the list of a long manifest. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { JournalEvent, JournalHeader } from "../src/job/event.ts";
import { formatJobId } from "../src/job/files.ts";
import { vecfill } from "./process.ts";
import { TARGET } from "./questions.ts";
import { alternate, type Contestant, type Figure } from "./rounds.ts";

const AT = "2026-01-01T00:00:00.000Z";
const FILE = { bytes: 10_000, sha256: "a".repeat(64) };
const ROWS_A_JOB = 6000;

export type CommandSizes = Readonly<{ jobs: number; rounds: number }>;

export async function measureCommands(
  folder: string,
  { jobs, rounds }: CommandSizes,
): Promise<Figure> {
  const jobsDir = await mkdtemp(join(folder, "jobs-"));
  try {
    await writeFile(join(jobsDir, "manifest.ndjson"), manifestOf(jobs));
    return await alternate({ name: "commands", unit: "s", rounds }, [
      timed("vecfill --help", "", ["--help"]),
      timed("vecfill jobs", `${jobs} jobs, all imported`, ["jobs", "--jobs-dir", jobsDir]),
      timed("vecfill jobs --json", `${jobs} jobs`, ["jobs", "--json", "--jobs-dir", jobsDir]),
    ]);
  } finally {
    await rm(jobsDir, { recursive: true, force: true });
  }
}

function timed(name: string, size: string, args: readonly string[]): Contestant {
  return { name, run: async () => ({ value: (await vecfill(args)).seconds, size }) };
}

function manifestOf(jobs: number): string {
  const header: JournalHeader = {
    format: "vecfill-manifest",
    version: 1,
    manifest: "benchmrk",
    createdAt: AT,
  };
  const events = Array.from({ length: jobs }, (_, index) => wholeLife(formatJobId(index + 1)));
  const target: JournalEvent = { type: "target", at: AT, number: 0, target: TARGET };
  return [header, target, ...events.flat()].map((event) => `${JSON.stringify(event)}\n`).join("");
}

/** Everything that is recorded of a job that has no trouble. */
function wholeLife(job: string): JournalEvent[] {
  const name = `vecfill-benchmrk-${job}-1`;
  const sums = {
    requests: ROWS_A_JOB,
    written: ROWS_A_JOB,
    failed: 0,
    stale: 0,
    filled: 0,
    gone: 0,
  };
  const outstanding = { lines: 0, retryable: 0 };
  const tokens = 200_000;
  const shared = { at: AT, job };
  return [
    {
      ...shared,
      type: "exported",
      target: 0,
      requests: ROWS_A_JOB,
      tokens,
      file: FILE,
      attempt: 1,
    },
    { ...shared, type: "uploaded", remoteFile: { name: `files/${name}`, expiresAt: AT } },
    { ...shared, type: "submitting", displayName: name, submission: 1, keyId: "0123456789ab" },
    {
      ...shared,
      type: "submitted",
      batch: `batches/${name}`,
      adopted: false,
      keyId: "0123456789ab",
    },
    { ...shared, type: "succeeded", resultsName: `files/batch-${name}` },
    { ...shared, type: "downloaded", file: FILE },
    { ...shared, type: "imported", tokens, sums, outstanding },
  ];
}
