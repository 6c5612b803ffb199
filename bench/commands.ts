/**
 * What a person waits for: the help, and the list of a long manifest; as built JavaScript, which is
 * what people have, and from source. And what a long manifest takes in memory, beside its file.
 */
import { createHash } from "node:crypto";
import { mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { FORMAT_VERSION, type JournalEvent, type JournalHeader } from "../src/manifest/event.ts";
import { formatJobId } from "../src/manifest/file-names.ts";
import { FIRST_SEAL, sealed } from "../src/disk/seal.ts";
import { systemClock } from "../src/clock.ts";
import { openManifest, readManifest } from "../src/jobs-folder/open.ts";
import { buildInstalled, FROM_SOURCE, INSTALLED, vecfill } from "./process.ts";
import { TARGET } from "./questions.ts";
import { alternate, type Contestant, type Figure, once } from "./rounds.ts";

const AT = "2026-01-01T00:00:00.000Z";
const STEP_MS = 61_007;
const ROWS_A_JOB = 6000;

export type CommandSizes = Readonly<{ jobs: number; rounds: number }>;

export async function measureCommands(
  folder: string,
  { jobs, rounds }: CommandSizes,
): Promise<Figure> {
  await buildInstalled();
  const jobsDir = await mkdtemp(join(folder, "jobs-"));
  const list = ["jobs", "--jobs-dir", jobsDir];
  // where the installed command keeps its compiled code; the first round fills it
  const env = { XDG_CACHE_HOME: jobsDir };
  const peaksMb: number[] = [];
  const timed = (name: string, size: string, args: readonly string[], program = INSTALLED) => ({
    name,
    run: async () => {
      const { seconds, peakMb } = await vecfill(args, env, program);
      if (args === list) peaksMb.push(peakMb);
      return { value: seconds, size };
    },
  });
  const all = `${jobs} jobs, all imported`;
  const state = join(jobsDir, "manifest.state");
  const replayed = (contestant: Contestant): Contestant => ({
    ...contestant,
    run: async () => {
      await rename(state, `${state}-aside`);
      try {
        return await contestant.run();
      } finally {
        await rename(`${state}-aside`, state);
      }
    },
  });
  const contestants: Contestant[] = [
    timed("vecfill --help", "", ["--help"]),
    timed("vecfill --help, from source", "", ["--help"], FROM_SOURCE),
    timed("vecfill completion bash", "", ["completion", "bash"]),
    timed("node -e 0", "", ["0"], "-e"),
    timed("vecfill jobs", all, list),
    replayed(timed("vecfill jobs, without manifest.state", all, list)),
    timed("vecfill jobs, from source", all, list, FROM_SOURCE),
    timed("vecfill jobs --json", all, [...list, "--json"]),
  ];
  try {
    await writeFile(join(jobsDir, "manifest.ndjson"), manifestOf(jobs));
    // leaves manifest.state, as each writer does
    await (await openManifest(jobsDir, systemClock)).close();
    const figure = await alternate({ name: "commands", unit: "s", rounds }, contestants);
    const memory = [
      once("vecfill jobs: peak memory of the process", all, Math.max(...peaksMb), "MB"),
      once("the manifest in memory", all, await heldMb(jobsDir), "MB"),
      once("the manifest's file", all, await fileMb(jobsDir), "MB"),
    ];
    return { ...figure, rows: [...figure.rows, ...memory] };
  } finally {
    await rm(jobsDir, { recursive: true, force: true });
  }
}

const BYTES_A_MB = 1024 * 1024;

async function fileMb(jobsDir: string): Promise<number> {
  return (await stat(join(jobsDir, "manifest.ndjson"))).size / BYTES_A_MB;
}

/** What is there after reading it and was not before, garbage aside. */
async function heldMb(jobsDir: string): Promise<number> {
  const before = heapInUse();
  const manifest = await readManifest(jobsDir);
  const after = heapInUse();
  if (manifest.jobs().length === 0) throw new Error("the manifest is empty");
  return (after - before) / BYTES_A_MB;
}

function heapInUse(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  return process.memoryUsage().heapUsed;
}

function manifestOf(jobs: number): string {
  const header: JournalHeader = {
    format: "vecfill-manifest",
    version: FORMAT_VERSION,
    manifest: "benchmrk",
    createdAt: AT,
  };
  const events = Array.from({ length: jobs }, (_, index) => wholeLife(formatJobId(index + 1)));
  const target: JournalEvent = { type: "target", at: AT, number: 0, target: TARGET };
  let before = FIRST_SEAL;
  const lines = [header, target, ...events.flat()].map((event) => {
    const { line, seal } = sealed(JSON.stringify(event), before);
    before = seal;
    return `${line}\n`;
  });
  return lines.join("");
}

/** Everything that is recorded of a job that has no trouble. No two have the same times, files and figures. */
function wholeLife(job: string): JournalEvent[] {
  const number = Number(job);
  const at = new Date(Date.parse(AT) + number * STEP_MS).toISOString();
  const file = {
    bytes: 10_000 + number,
    sha256: createHash("sha256").update(job).digest("hex"),
  };
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
  const tokens = 200_000 + number;
  const shared = { at, job };
  return [
    {
      ...shared,
      type: "exported",
      target: 0,
      requests: ROWS_A_JOB,
      tokens,
      file,
      attempt: 1,
    },
    { ...shared, type: "uploaded", remoteFile: { name: `files/${name}`, expiresAt: at } },
    { ...shared, type: "submitting", displayName: name, submission: 1, keyId: "0123456789ab" },
    {
      ...shared,
      type: "submitted",
      batch: `batches/${name}`,
      adopted: false,
      keyId: "0123456789ab",
    },
    { ...shared, type: "succeeded", resultsName: `files/batch-${name}` },
    { ...shared, type: "downloaded", file },
    { ...shared, type: "imported", tokens, sums, outstanding },
  ];
}
