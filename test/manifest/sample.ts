import { mkdtemp, readFile, readlink } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import type { NewJob } from "../../src/manifest/job.ts";
import { FIRST_SEAL, sealed } from "../../src/disk/seal.ts";
import type { Target } from "../../src/row/target.ts";

export const TARGET: Target = {
  schema: "public",
  table: "questions",
  id: "id",
  text: "question_text",
  embedding: "embedding",
  model: "gemini-embedding-001",
  dimensions: 768,
  taskType: "RETRIEVAL_DOCUMENT",
};

export function newJob(job: string, changes: Partial<NewJob> = {}): NewJob {
  return {
    job,
    target: TARGET,
    requests: 3,
    tokens: 30,
    file: { bytes: 300, sha256: "a".repeat(64) },
    parents: [],
    attempt: 1,
    ...changes,
  };
}

/** A journal's lines as if they had been written so: for what a writer would never record. */
export function resealed(journal: string): string {
  let before = FIRST_SEAL;
  const lines = journal.split("\n").filter((line) => line !== "");
  const written = lines.map((line) => {
    const next = sealed(line.replace(/,"crc":"\w+"\}$/, "}"), before);
    before = next.seal;
    return `${next.line}\n`;
  });
  return written.join("");
}

/** In a folder of its own, for one test. */
export async function emptyManifest() {
  const manifest = await openManifest(await temporaryFolder(), systemClock);
  onTestFinished(() => manifest.close());
  return manifest;
}

export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "vecfill-test-"));
}

/** Of a lock's holder: where process ids mean the same as here. */
export async function here(): Promise<object> {
  if (process.platform !== "linux") return { host: hostname(), space: process.platform };
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
  const space = `${boot.trim()} ${await readlink("/proc/self/ns/pid")}`;
  return { host: hostname(), space };
}
