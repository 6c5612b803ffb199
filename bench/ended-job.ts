/** A jobs folder with one job whose results are downloaded: what an import starts from. */
import { openManifest } from "../src/jobs-folder/open.ts";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { copyFile, link, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { finished } from "node:stream/promises";
import { systemClock } from "../src/clock.ts";
import { exportAll } from "../src/export/export.ts";
import { type Manifest } from "../src/manifest/manifest.ts";
import { readRequestKeys } from "../src/jobs-folder/request-file.ts";
import type { Store } from "../src/store/port.ts";
import { someValues, TARGET } from "./questions.ts";

/** More than any figure has: everything goes into one job. */
const NO_BOUNDS = { maxRows: 1e9, maxTokens: 1e12, maxBytes: 1e12 };

/** Lines share so many vectors; each has its own key. */
const DISTINCT_VECTORS = 256;
const QUIET = { report: () => {}, signal: new AbortController().signal };

/** The vector of the nth line, as it stands between the brackets. */
type VectorOfLine = (line: number) => string;

/** `until`: the results file is there in either case. */
type Ended = Readonly<{ vectorOfLine?: VectorOfLine; until?: "succeeded" | "downloaded" }>;

/** Exports the store's pending rows, and writes results as if the service had embedded them. */
export async function makeEndedJob(
  folder: string,
  store: Store,
  { vectorOfLine = sharedVectors(), until = "downloaded" }: Ended = {},
): Promise<void> {
  const manifest = await openManifest(folder, systemClock);
  try {
    await exportAll(
      { store, manifest, ...QUIET },
      { target: TARGET, bounds: NO_BOUNDS, limit: undefined, onTooLong: "skip" },
    );
    const [job] = manifest.jobs();
    if (job === undefined) throw new Error("nothing was exported");
    const file = await writeResults(manifest, job.id, vectorOfLine);
    await recordUntilSucceeded(manifest, job.id);
    if (until === "downloaded") await manifest.record({ type: "downloaded", job: job.id, file });
  } finally {
    await manifest.close();
  }
}

/** The same job once more, in a folder of its own: an import changes the manifest only. */
export async function copyJobs(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { mode: 0o700 });
  await copyFile(join(from, "manifest.ndjson"), join(to, "manifest.ndjson"));
  for (const name of ["0001.requests.jsonl", "0001.results.jsonl"]) {
    await link(join(from, name), join(to, name));
  }
}

function sharedVectors(): VectorOfLine {
  const vectors = Array.from({ length: DISTINCT_VECTORS }, (_, seed) => someValues(seed).join(","));
  return (line) => vectors[line % DISTINCT_VECTORS] ?? "";
}

async function writeResults(manifest: Manifest, job: string, vectorOfLine: VectorOfLine) {
  const { results } = manifest.files(job);
  const hash = createHash("sha256");
  const stream = createWriteStream(results, { mode: 0o600 });
  let bytes = 0;
  let line = 0;
  for await (const keys of readRequestKeys(manifest.files(job), manifest.job(job))) {
    const text = keys.map((key) => resultLine(key, vectorOfLine(line++))).join("");
    hash.update(text);
    bytes += text.length;
    if (!stream.write(text)) await once(stream, "drain");
  }
  stream.end();
  await finished(stream);
  return { bytes, sha256: hash.digest("hex") };
}

/** As gemini-embedding-001 writes it. */
export function resultLine(key: string, values: string): string {
  return `{"response":{"tokenCount":"24","embedding":{"values":[${values}]}},"key":${JSON.stringify(key)}}\n`;
}

async function recordUntilSucceeded(manifest: Manifest, job: string): Promise<void> {
  const keyId = "bench";
  await manifest.record({ type: "uploaded", job, remoteFile: { name: "files/bench" } });
  const displayName = "bench";
  await manifest.record({ type: "submitting", job, displayName, submission: 1, keyId });
  await manifest.record({ type: "submitted", job, batch: "batches/bench", adopted: false, keyId });
  await manifest.record({ type: "succeeded", job, resultsName: "files/results" });
}
