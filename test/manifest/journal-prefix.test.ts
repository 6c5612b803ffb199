// A machine may lose power after any byte of the journal. Is what is left then exactly what was
// known at some moment before, and can work go on from there?
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import fc from "fast-check";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { Job } from "../../src/manifest/job.ts";
import { type Manifest } from "../../src/manifest/manifest.ts";
import { newJob, temporaryFolder } from "./sample.ts";
import { sized } from "../size.ts";

const LF = 0x0a;
/** Even, where drawn doubles crowd at the ends. */
const PLACES = 10_000;
const sums = { requests: 3, written: 2, failed: 1, stale: 0, filled: 0, gone: 0 };
const file = { bytes: 10, sha256: "b".repeat(64) };
const ending = { sums, outstanding: { lines: 1, retryable: 1 }, failedFile: file };
const error = { message: "tödlich" };

/** Takes a job one step on, another one by another choice; a job that has ended gets a child. */
async function step(manifest: Manifest, { id: job, state, submissions }: Job, choice: number) {
  switch (state) {
    case "exported":
      if (choice % 4 === 0) return manifest.record({ type: "embedding", job });
      return manifest.record({
        type: "submitting",
        job,
        displayName: `d-${job}-${submissions + 1}`,
        submission: submissions + 1,
      });
    case "embedding":
      return manifest.record({ type: "downloaded", job, file });
    case "submitting":
      if (choice === 4) {
        const fences = Number(job) % 2 === 0;
        return manifest.record({ type: "revoking", job, reads: 2, keyId: "k", fences });
      }
      return choice % 3 === 0
        ? manifest.record({ type: "absent", job, reads: 2 })
        : manifest.record({
            type: "submitted",
            job,
            batch: `batches/${job}`,
            adopted: choice % 3 === 1,
            keyId: "k",
          });
    case "submitted":
      return choice % 3 === 0
        ? manifest.record({ type: "failed", job, error, ...ending })
        : manifest.record({ type: "succeeded", job, resultsName: "files/r" });
    case "succeeded":
      return manifest.record({ type: "downloaded", job, file });
    case "downloaded":
      return manifest.record({ type: "imported", job, tokens: 4, ...ending });
    case "imported":
    case "failed":
    case "expired":
    case "cancelled":
    case "rolledBack":
      return manifest.recordResubmitted(
        [newJob(await manifest.reserveJobId(), { parents: [job], attempt: 2 })],
        [
          {
            job: manifest.job(job),
            outstanding: { lines: 0, retryable: 0 },
            failedFile: undefined,
          },
        ],
      );
  }
}

/** How many whole lines the first so many bytes hold. */
function linesIn(bytes: Uint8Array): number {
  return bytes.reduce((lines, byte) => (byte === LF ? lines + 1 : lines), 0);
}

test("a journal cut after any byte tells what was known after its last whole line", async () => {
  const histories = fc.array(fc.tuple(fc.nat(4), fc.nat(5)), { minLength: 1, maxLength: 20 });
  const places = fc.array(fc.nat(PLACES), { minLength: 8, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(histories, places, async (choices, cuts) => {
      const folder = await temporaryFolder();
      const path = join(folder, "manifest.ndjson");
      /** By the number of lines: the jobs as the writer knew them. */
      const known = new Map<number, readonly Job[]>([[0, []]]);
      const manifest = await openManifest(folder, systemClock);
      const remember = async () =>
        known.set(linesIn(await readFile(path)), structuredClone(manifest.jobs()));
      await remember();
      await manifest.recordExported(newJob(await manifest.reserveJobId()));
      await remember();
      for (const [which, choice] of choices) {
        const jobs = manifest.jobs();
        const job = jobs[which % jobs.length];
        if (job !== undefined) await step(manifest, job, choice);
        await remember();
      }
      await manifest.close();
      const whole = await readFile(path);
      for (const cut of cuts) {
        const left = whole.subarray(0, Math.floor((cut / PLACES) * whole.length));
        await writeFile(path, left);
        // a job's target is recorded in an event of its own, which changes no job
        const lines = linesIn(left);
        const before = known.get(lines) ?? known.get(lines - 1);
        expect((await readManifest(folder)).jobs()).toEqual(before);
        const next = await openManifest(folder, systemClock);
        expect(next.jobs()).toEqual(before);
        await next.recordExported(newJob(await next.reserveJobId()));
        await next.close();
        expect((await readManifest(folder)).warnings).toEqual([]);
      }
      await rm(folder, { recursive: true });
    }),
    { numRuns: sized({ quick: 5, full: 12 }) },
  );
});
