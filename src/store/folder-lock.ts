/**
 * One process at a time in the folder of an embedded database: two would damage it, and PGlite does
 * not notice (tried: rows of the one vanished under the other). The lock is a file beside the
 * folder that names its holder. A holder on this host that is no longer alive loses it.
 */
import { link, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { z } from "zod";
import { UserError } from "../errors.ts";

const holderShape = z.object({ pid: z.number(), host: z.string() });
type Holder = z.infer<typeof holderShape>;

/** Locks held by this very process, whose pid a dead holder in another container may have had. */
const held = new Set<string>();

/** Throws a UserError (locked) when another live process has it. Gives the release. */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = `${folder}.lock`;
  if (held.has(path)) throw new Error(`${folder} is locked twice by one process`);
  held.add(path);
  try {
    if (!(await claim(path))) await takeOver(folder, path);
  } catch (error) {
    held.delete(path);
    throw error;
  }
  return async () => {
    await rm(path, { force: true });
    held.delete(path);
  };
}

/** The file appears whole or not at all. */
async function claim(path: string): Promise<boolean> {
  const candidate = await writeCandidate(path);
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw error;
  } finally {
    await rm(candidate, { force: true });
  }
}

/**
 * Only who holds the file `….takeover` may replace a lock, so no two processes replace one. A crash
 * in between leaves it behind; the error then says what to delete.
 */
async function takeOver(folder: string, path: string): Promise<void> {
  const guard = `${path}.takeover`;
  try {
    await writeFile(guard, "", { flag: "wx" });
  } catch (error) {
    if (isCode(error, "EEXIST")) throw inUse(folder, undefined, [path, guard]);
    throw error;
  }
  try {
    const holder = await readHolder(folder, path);
    if (isAlive(holder)) throw inUse(folder, holder, [path]);
    await rename(await writeCandidate(path), path);
  } finally {
    await rm(guard, { force: true });
  }
}

async function writeCandidate(path: string): Promise<string> {
  const candidate = `${path}.${process.pid}`;
  const holder: Holder = { pid: process.pid, host: hostname() };
  await writeFile(candidate, JSON.stringify(holder));
  return candidate;
}

async function readHolder(folder: string, path: string): Promise<Holder | undefined> {
  try {
    return holderShape.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (isCode(error, "ENOENT")) return undefined;
    throw inUse(folder, undefined, [path]);
  }
}

/** On another host nobody can tell. */
function isAlive(holder: Holder | undefined): boolean {
  if (holder === undefined) return false;
  if (holder.host !== hostname()) return true;
  if (holder.pid === process.pid) return false;
  try {
    process.kill(holder.pid, 0);
    return true;
  } catch (error) {
    return !isCode(error, "ESRCH");
  }
}

function inUse(folder: string, holder: Holder | undefined, files: readonly string[]): UserError {
  const who = holder === undefined ? "another process" : `process ${holder.pid} on ${holder.host}`;
  return new UserError(`The embedded database in ${folder} is in use by ${who}.`, {
    hint: `Wait until it has finished. If no such process runs, delete ${files.join(" and ")}.`,
    exit: "locked",
  });
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
