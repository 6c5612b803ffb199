// A process can die while it takes or gives the lock, or before it recorded a job whose file it
// wrote. Is what it left swept, and is everything that may still be of use left alone?
import { readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { replaceFileUnlocked } from "../../../src/disk/durable-file.ts";
import { openManifest } from "../../../src/jobs-folder/open.ts";
import { openRequestFile } from "../../../src/jobs-folder/request-file.ts";
import { here, newJob, temporaryFolder } from "../../manifest/sample.ts";

/** Linux gives out no such number. */
const NO_PID = 2 ** 22 + 1;

async function holder(pid: number, host = hostname()): Promise<string> {
  const since = new Date().toISOString();
  return JSON.stringify({ ...(await here()), token: "t", pid, host, started: "", since });
}

test("the next holder sweeps what a dead process left, and nothing else", async () => {
  const folder = await temporaryFolder();
  const leftovers = {
    "manifest.lock.dead": await holder(NO_PID),
    "manifest.lock.torn": '{"token":"t","pi',
    "manifest.lock.empty": "",
    "manifest.lock.live": await holder(process.ppid),
    "manifest.lock.elsewhere": await holder(NO_PID, "elsewhere"),
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

test("who writes without the lock and who sweeps under it leave each other alone", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "verify.jsonl");
  const contents = Array.from({ length: 8 }, (_, index) => String(index).repeat(300_000));
  const rounds = Array.from({ length: 10 }, () => 0);
  await Promise.all([
    ...contents.map(async (content) => {
      for (const _round of rounds) await replaceFileUnlocked(path, content);
    }),
    (async () => {
      for (const _round of rounds) await (await openManifest(folder, systemClock)).close();
    })(),
  ]);
  expect(contents).toContain(await readFile(path, "utf8"));
  expect((await readdir(folder)).toSorted()).toEqual(["manifest.ndjson", "verify.jsonl"]);
  await rm(folder, { recursive: true });
});

test("a part of who wrote without the lock goes when it is too old to be still written", async () => {
  const folder = await temporaryFolder();
  const [young, old] = ["verify.jsonl.0a1b2c3d.part", "verify.jsonl.4e5f6a7b.part"];
  for (const name of [young, old, "0001.results.jsonl.part"]) {
    await writeFile(join(folder, name), "half");
  }
  const anHourAgo = new Date(Date.now() - 3_600_001);
  await utimes(join(folder, old), anHourAgo, anHourAgo);
  await (await openManifest(folder, systemClock)).close();
  expect((await readdir(folder)).toSorted()).toEqual(["manifest.ndjson", young]);
  await rm(folder, { recursive: true });
});

async function withRequestFiles(): Promise<string> {
  const folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  await manifest.recordExported(newJob("0001"));
  await manifest.recordExported(newJob("0004"));
  await manifest.close();
  for (const job of ["0001", "0002", "0003", "0004", "0005"]) {
    await writeFile(join(folder, `${job}.requests.jsonl`), "");
    await writeFile(join(folder, `${job}.copies.jsonl`), "");
  }
  return folder;
}

async function jobsWithRequests(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).toSorted();
  const jobs = names.flatMap(
    (name) => /^(\d{4})\.(?:requests|copies)\.jsonl$/.exec(name)?.[1] ?? [],
  );
  return [...new Set(jobs)];
}

test("the file of a job that was never recorded goes once its number was passed over", async () => {
  const folder = await withRequestFiles();
  await (await openManifest(folder, systemClock)).close();
  // 0005 may be a job's that a manifest restored from a backup does not know
  expect(await jobsWithRequests(folder)).toEqual(["0001", "0004", "0005"]);
  await rm(folder, { recursive: true });
});

test("but not where answers show that there were jobs which the manifest does not know", async () => {
  const folder = await withRequestFiles();
  await writeFile(join(folder, "0003.results.jsonl"), "{}\n");
  await (await openManifest(folder, systemClock)).close();
  expect(await jobsWithRequests(folder)).toEqual(["0001", "0002", "0003", "0004", "0005"]);
  await rm(folder, { recursive: true });
});

test("requests that were kept aside go when no batch can be under way with them any more", async () => {
  const folder = await temporaryFolder();
  const [young, old] = ["0002.requests.jsonl.unknown", "0002.copies.jsonl.unknown-2"];
  const answers = "0001.results.jsonl.unknown";
  const twoMonthsAgo = new Date(Date.now() - 60 * 24 * 3_600_000);
  for (const name of [young, old, answers]) {
    await writeFile(join(folder, name), "{}\n");
    if (name !== young) await utimes(join(folder, name), twoMonthsAgo, twoMonthsAgo);
  }
  await (await openManifest(folder, systemClock)).close();
  expect((await readdir(folder)).toSorted()).toEqual([answers, young, "manifest.ndjson"]);
  await rm(folder, { recursive: true });
});

test("requests that made way for the same ones go with the next export, whoever died before it did that", async () => {
  const folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  const [same, other] = ["0001.requests.jsonl.unknown", "0001.requests.jsonl.unknown-2"];
  await writeFile(join(folder, same), "{}\n");
  await writeFile(join(folder, other), "[]\n");
  const { writer } = await openRequestFile(manifest);
  await writer.add(Buffer.from("{}\n"));
  await writer.commit();
  await manifest.close();
  expect((await readdir(folder)).toSorted()).toEqual([
    "0001.requests.jsonl",
    other,
    "manifest.ndjson",
  ]);
  await rm(folder, { recursive: true });
});
