/**
 * What is made once for a run: the data folder of an embedded database as initdb leaves it, which takes seconds
 * each time, the folder of all temporary files, and what the first process of a program leaves to the next ones of
 * its compiled source.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
const maker = fileURLToPath(new URL("make-prepared.ts", import.meta.url));
const packageFile = join(modules, "@electric-sql", "pglite", "package.json");
const mark = createHash("sha1")
  .update(readFileSync(packageFile))
  .update(readFileSync(maker))
  .digest("hex")
  .slice(0, 12);

/** In the modules' cache, or where that cannot be written. Another version of PGlite, or its maker's, has another one. */
const CACHE = "VECFILL_TEST_EMBEDDED";
/** For the processes that tests start. */
const COMPILED = "VECFILL_TEST_COMPILED";
export const compiledFolder = () => process.env[COMPILED];
export const preparedFolder = () => join(process.env[CACHE] ?? "", "data");
export const preparedArchive = () => join(process.env[CACHE] ?? "", "data.tar");

/** A folder in memory, where no test waits for a disk to be sure, and the room that it takes to be used. */
const IN_MEMORY = "/dev/shm";
const MIN_FREE_BYTES = 2 ** 30;

/** Vitest calls it before the first test, and what it returns after the last one. Workers inherit the variables. */
export async function setup(): Promise<() => Promise<void>> {
  const folder = await temporaryFolder();
  process.env["TMPDIR"] = folder;
  process.env[COMPILED] = join(folder, "compiled");
  process.env[CACHE] = await prepared(join(modules, ".cache")).catch(() => prepared(folder));
  return () => rm(folder, { recursive: true, force: true });
}

async function temporaryFolder(): Promise<string> {
  const usual = () => makeIn(tmpdir());
  return hasRoom(IN_MEMORY) ? makeIn(IN_MEMORY).catch(usual) : usual();
}

function makeIn(folder: string): Promise<string> {
  return mkdtemp(join(folder, "vecfill-tests-"));
}

function hasRoom(folder: string): boolean {
  if (!existsSync(folder)) return false;
  const { bavail, bsize } = statfsSync(folder);
  return Math.min(bavail * bsize, freemem()) > MIN_FREE_BYTES;
}

async function prepared(parent: string): Promise<string> {
  const cache = join(parent, `vecfill-embedded-${mark}`);
  if (existsSync(cache)) return cache;
  const part = `${cache}.${process.pid}.part`;
  try {
    await mkdir(part, { recursive: true });
    // in a process of its own: what a database leaves behind in this one slows the whole run down by a fifth
    await run(process.execPath, ["--liftoff-only", maker, part]);
    await rename(part, cache);
  } catch (error) {
    // another run was as quick
    if (!existsSync(cache)) throw error;
  } finally {
    await rm(part, { recursive: true, force: true });
  }
  return cache;
}
