// A process can die while it takes or gives the lock. Is what it left beside the lock swept, and is
// what a live process is about to use left alone?
import { readdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { openManifest } from "../../src/job/manifest.ts";
import { temporaryFolder } from "../job/sample.ts";

/** Linux gives out no such number. */
const NO_PID = 2 ** 22 + 1;

function holder(pid: number, host = hostname()): string {
  return JSON.stringify({ token: "t", pid, host, started: "", since: new Date().toISOString() });
}

test("the next holder sweeps what a dead process left, and nothing else", async () => {
  const folder = await temporaryFolder();
  const leftovers = {
    "manifest.lock.dead": holder(NO_PID),
    "manifest.lock.torn": '{"token":"t","pi',
    "manifest.lock.empty": "",
    "manifest.lock.live": holder(process.ppid),
    "manifest.lock.elsewhere": holder(NO_PID, "elsewhere"),
    "notes.txt": "mine",
  };
  for (const [name, text] of Object.entries(leftovers)) await writeFile(join(folder, name), text);
  const manifest = await openManifest(folder, systemClock);
  await manifest.close();
  expect((await readdir(folder)).toSorted()).toEqual([
    "manifest.lock.elsewhere",
    "manifest.lock.live",
    "manifest.ndjson",
    "notes.txt",
  ]);
  await rm(folder, { recursive: true });
});
