// A long journal has what it comes to beside it. Is what is known by it always what the journal tells, whatever becomes
// of either file?
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { crc32 } from "node:zlib";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { packageVersion } from "../../src/disk/package-version.ts";
import { parseHeader } from "../../src/manifest/event.ts";
import type { ManifestState } from "../../src/manifest/fold.ts";
import { type Column, columnOf, valuesIn } from "../../src/manifest/saved/columns.ts";
import { readState, saveState } from "../../src/manifest/saved/saved-state.ts";
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import { isJsonObject } from "../../src/row/json-value.ts";
import { sized } from "../size.ts";
import { newJob, resealed, temporaryFolder } from "./sample.ts";

const JOURNAL = "manifest.ndjson";
const STATE = "manifest.state";
const PROOF_BYTES = 4;
/** Longer than any journal is, so that it is saved however short this one is. */
const NOTHING_SAVED = -Infinity;
const LONG = "x".repeat(1024 * 1024);

const fixture = await readFile(new URL("../fixtures/manifest-v2.ndjson", import.meta.url), "utf8");
const lines = fixture.split(/(?<=\n)/);

/** A folder with this journal, and beside it what its first so many lines come to. */
async function savedAfter(count: number, journal = fixture): Promise<string> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, JOURNAL), lines.slice(0, count).join(""));
  await save(folder);
  await writeFile(join(folder, JOURNAL), journal);
  return folder;
}

async function save(folder: string): Promise<void> {
  const { state, content } = await readState(folder);
  await saveState(folder, { state, savedBytes: NOTHING_SAVED }, content);
}

/** As anybody can make it who has read jobs/README.md. */
function withProof(body: Buffer): Buffer {
  const writer = `vecfill ${packageVersion()}, shape 5, v8 ${process.versions.v8}\n`;
  const proof = Buffer.alloc(PROOF_BYTES);
  proof.writeUInt32LE(crc32(body, crc32(writer)));
  return Buffer.concat([proof, body]);
}

/** What the journal alone comes to. */
async function replayed(journal: string): Promise<ManifestState> {
  const folder = await temporaryFolder();
  await writeFile(join(folder, JOURNAL), journal);
  const { state, savedBytes } = await readState(folder);
  expect(savedBytes).toBe(0);
  await rm(folder, { recursive: true });
  return state;
}

/** Jobs are of the very targets that counts and migrations speak of. */
function jobsOfStrangers({ targets, jobs, counts }: ManifestState): unknown[] {
  const named = [...[...jobs.values()].map(({ target }) => target), ...counts.keys()];
  return named.filter((target) => !targets.includes(target));
}

test("saved after any line, it and the rest of the journal come to what the whole journal does", async () => {
  const whole = await replayed(fixture);
  for (let count = 1; count <= lines.length; count += sized({ quick: 5, full: 1 })) {
    const folder = await savedAfter(count);
    const { state, content, savedBytes } = await readState(folder);
    expect(savedBytes).toBe(lines.slice(0, count).join("").length);
    expect(state).toEqual(whole);
    expect(jobsOfStrangers(state)).toEqual([]);
    expect([content.header, content.endsAt, content.lines]).toEqual([
      parseHeader(lines[0] ?? ""),
      fixture.length,
      lines.length,
    ]);
    await rm(folder, { recursive: true });
  }
});

describe("it does not count", () => {
  const half = Math.floor(lines.length / 2);
  const others: Readonly<Record<string, string>> = {
    "a journal that was restored from before it": lines.slice(0, half - 1).join(""),
    "another journal of the same length": resealed(fixture.replaceAll("k3x9w2ma", "k3x9w2mb")),
    "a journal in which an early line was mended by hand": resealed(
      fixture.replace('"tokens":14000', '"tokens":14001'),
    ),
  };

  test.each(Object.entries(others))("beside %s", async (_, journal) => {
    const folder = await savedAfter(half, journal);
    const { state, savedBytes } = await readState(folder);
    expect(savedBytes).toBe(0);
    expect(state).toEqual(await replayed(journal));
  });

  test("where a byte of it is another, or some are not there", async () => {
    const folder = await savedAfter(half);
    const path = join(folder, STATE);
    const whole = await readFile(path);
    const step = Math.ceil(whole.length / sized({ quick: 40, full: 400 }));
    for (let at = 0; at < whole.length; at += step) {
      const flipped = Buffer.from(whole);
      flipped.writeUInt8(whole.readUInt8(at) ^ 1, at);
      for (const damaged of [flipped, whole.subarray(0, at)]) {
        await writeFile(path, damaged);
        expect((await readState(folder)).savedBytes).toBe(0);
      }
    }
    await writeFile(path, whole);
    expect((await readState(folder)).savedBytes).toBeGreaterThan(0);
  });

  test("where another version of the engine or of vecfill wrote it", async () => {
    const folder = await savedAfter(half);
    const { versions } = process;
    Object.defineProperty(process, "versions", { value: { ...versions, v8: "0" } });
    try {
      expect((await readState(folder)).savedBytes).toBe(0);
    } finally {
      Object.defineProperty(process, "versions", { value: versions });
    }
  });

  type Forged = { state: { lastJob: unknown }; count: number; jobs: Column };
  const inJobs = (saved: Forged, forge: (id: unknown) => object) => {
    const jobs = valuesIn(saved.jobs, saved.count).map((job) =>
      isJsonObject(job) ? { ...job, ...forge(job["id"]) } : job,
    );
    saved.jobs = columnOf(jobs);
  };
  const forged: Readonly<Record<string, (saved: Forged) => void>> = {
    "the id of a job": (saved) => inJobs(saved, (id) => ({ id: `../${String(id)}` })),
    "the number of the last job": ({ state }) => Object.assign(state, { lastJob: "/../1" }),
    "the id of a child": (saved) => inJobs(saved, () => ({ children: ["../x"] })),
  };

  test.each(Object.entries(forged))("where %s would name a file elsewhere", async (_, forge) => {
    const folder = await savedAfter(half);
    const path = join(folder, STATE);
    const saved: Forged = deserialize((await readFile(path)).subarray(PROOF_BYTES));
    await writeFile(path, withProof(serialize(saved)));
    expect((await readState(folder)).savedBytes).toBeGreaterThan(0);
    forge(saved);
    await writeFile(path, withProof(serialize(saved)));
    const { state, savedBytes } = await readState(folder);
    expect(savedBytes).toBe(0);
    expect(state).toEqual(await replayed(fixture));
  });

  test("where there is no journal any more", async () => {
    const folder = await savedAfter(half);
    await rm(join(folder, JOURNAL));
    expect((await readManifest(folder)).jobs()).toEqual([]);
  });
});

test("a line that is damaged before its place is refused with its number, as ever", async () => {
  const folder = await savedAfter(lines.length);
  await writeFile(join(folder, JOURNAL), fixture.replace('"tokens":14000', '"tokens":14001'));
  await expect(readManifest(folder)).rejects.toThrow("damaged in line 3");
});

test("a line that is damaged or torn behind its place has the number that it has in the file", async () => {
  const folder = await savedAfter(10);
  await writeFile(join(folder, JOURNAL), fixture.replace(/"reads":6/, '"reads":7'));
  await expect(readManifest(folder)).rejects.toThrow("damaged in line 15");
  await writeFile(join(folder, JOURNAL), `${fixture}{"type":`);
  expect((await readManifest(folder)).warnings).toEqual([
    expect.stringContaining(`line ${lines.length + 1} was torn`),
  ]);
});

/** Long in bytes, by what a service said. */
async function longJournal(folder: string): Promise<void> {
  const manifest = await openManifest(folder, systemClock);
  const job = await manifest.reserveJobId();
  await manifest.recordExported(newJob(job));
  await manifest.record({ type: "submitting", job, displayName: "d", submission: 1 });
  const error = { code: 429, message: LONG };
  await manifest.record({ type: "refused", job, error, fileGone: false });
  // recorded by nobody
  await manifest.reserveJobId();
  await manifest.close();
}

describe("a writer", () => {
  test("leaves it beside a long journal, and the next ones go on from there", async () => {
    const folder = await temporaryFolder();
    await longJournal(folder);
    const { mode, mtimeMs } = await stat(join(folder, STATE));
    expect(mode & 0o777).toBe(0o600);
    const before = await readManifest(folder);
    const next = await openManifest(folder, systemClock);
    expect(next.jobs()).toEqual(before.jobs());
    expect(next.quota("gemini-embedding-001")).toEqual(before.quota("gemini-embedding-001"));
    expect(await next.reserveJobId()).toBe("0002");
    await next.recordExported(newJob("0002"));
    await next.close();
    // not made anew for a line
    expect((await stat(join(folder, STATE))).mtimeMs).toBe(mtimeMs);
    const known = (await readManifest(folder)).jobs();
    expect(known.map(({ id }) => id)).toEqual(["0001", "0002"]);
    await rm(join(folder, STATE));
    expect((await readManifest(folder)).jobs()).toEqual(known);
  });

  test("makes it anew of a journal that it gave its seals", async () => {
    const folder = await temporaryFolder();
    await longJournal(folder);
    const sealedOne = await readFile(join(folder, JOURNAL), "utf8");
    const unsealed = sealedOne
      .replaceAll(/,"crc":"\w+"\}$/gm, "}")
      .replace(/"version":2/, '"version":1');
    await writeFile(join(folder, JOURNAL), unsealed);
    expect((await readState(folder)).savedBytes).toBe(0);
    await (await openManifest(folder, systemClock)).close();
    const { savedBytes, content, state } = await readState(folder);
    expect([savedBytes, content.header?.version]).toEqual([sealedOne.length, 2]);
    expect(state).toEqual(await replayed(sealedOne));
  });

  test("does without where the disk does not let it", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, STATE));
    await longJournal(folder);
    expect((await readManifest(folder)).jobs()).toHaveLength(1);
  });
});
