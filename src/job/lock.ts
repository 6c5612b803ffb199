/**
 * One process writes in a jobs folder at a time. The lock is a file that names its holder and whose
 * modification time is a heartbeat. A holder on this host is dead when its process is; a holder
 * elsewhere when its heartbeat has stopped: it looks old, and stays as it is while it is watched.
 * Looking old alone proves nothing, for clocks differ and jump, and a machine that just woke up has
 * not beaten yet. A holder that lost its lock (suspended for long on
 * another host, say) finds out before its next write: see `stillHeld`.
 */
import { randomUUID } from "node:crypto";
import { link, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import type { Clock } from "../clock.ts";
import { UserError } from "../errors.ts";

const HEARTBEAT_MS = 5_000;
const DEAD_AFTER_MS = 12 * HEARTBEAT_MS;
/** How long an old heartbeat is watched for another beat. */
const WATCH_MS = 3 * HEARTBEAT_MS;
const MAX_ATTEMPTS = 5;

export type Lock = {
  /** Throws a UserError when another process has taken the lock over. */
  stillHeld(): Promise<void>;
  release(): Promise<void>;
};

const holderShape = z.object({
  token: z.string(),
  pid: z.number(),
  host: z.string(),
  /** When the holder's process started, as the system counts it; tells a reused pid. */
  started: z.string(),
  since: z.string(),
});
type Holder = z.infer<typeof holderShape>;

/** Throws a UserError that names the holder when another live process has the lock. */
export async function acquireLock(path: string, clock: Clock): Promise<Lock> {
  const holder: Holder = {
    token: randomUUID(),
    pid: process.pid,
    host: hostname(),
    started: await processStart(process.pid),
    since: clock.now().toISOString(),
  };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (await claim(path, holder)) return held(path, holder);
    const other = await readHolder(path);
    if (other === undefined) continue;
    if (!(await isDead(path, other, clock))) throw lockedBy(path, other);
    await removeIfStill(path, other);
  }
  throw lockedBy(path, await readHolder(path));
}

/**
 * Deletes what processes that died while they took or gave the lock left beside it. To be called by
 * the holder. What a live process is about to use stays; it could do without, see `claim`.
 */
export async function sweepLeftovers(path: string): Promise<void> {
  const prefix = `${basename(path)}.`;
  const names = (await readdir(dirname(path))).filter((name) => name.startsWith(prefix));
  for (const name of names) {
    const leftover = join(dirname(path), name);
    const owner = await readHolder(leftover).catch(() => undefined);
    if (owner === undefined || (await diedHere(owner)) === true)
      await rm(leftover, { force: true });
  }
}

/** Creates the lock file with its content in one step, so that nobody reads half of it. */
async function claim(path: string, holder: Holder): Promise<boolean> {
  const candidate = `${path}.${holder.token}`;
  await writeFile(candidate, `${JSON.stringify(holder)}\n`, { mode: 0o600, flush: true });
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    // ENOENT: the holder swept the candidate away before it was written to its end
    if (errorCode(error) === "EEXIST" || errorCode(error) === "ENOENT") return false;
    throw error;
  } finally {
    await rm(candidate, { force: true });
  }
}

function held(path: string, holder: Holder): Lock {
  const heartbeat = setInterval(() => {
    const now = new Date();
    // a heartbeat that cannot be written shows as a lost lock at the next write
    utimes(path, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async stillHeld() {
      const current = await readHolder(path);
      if (current?.token !== holder.token) throw lockedBy(path, current);
    },
    async release() {
      clearInterval(heartbeat);
      await removeIfStill(path, holder);
    },
  };
}

/**
 * Takes a lock file away only if it is the one that was looked at: it is moved aside first, and put
 * back when somebody else turns out to have claimed the lock in between.
 */
async function removeIfStill(path: string, expected: Holder): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  const moved = await readHolder(aside);
  if (moved !== undefined && moved.token !== expected.token) await putBack(aside, path);
  await rm(aside, { force: true });
}

async function putBack(aside: string, path: string): Promise<void> {
  try {
    await link(aside, path);
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
}

async function isDead(path: string, holder: Holder, clock: Clock): Promise<boolean> {
  return (await diedHere(holder)) ?? heartbeatStopped(path, clock);
}

/** Undefined where this system cannot tell: for a process elsewhere, or without start times. */
async function diedHere(holder: Holder): Promise<boolean | undefined> {
  if (holder.host !== hostname()) return undefined;
  if (!isAlive(holder.pid)) return true;
  const started = await processStart(holder.pid);
  return started === "" || holder.started === "" ? undefined : started !== holder.started;
}

async function heartbeatStopped(path: string, clock: Clock): Promise<boolean> {
  const beatMs = await lastBeatMs(path);
  if (beatMs === undefined) return true;
  if (Math.abs(clock.now().getTime() - beatMs) <= DEAD_AFTER_MS) return false;
  await clock.sleep(WATCH_MS);
  const latestMs = await lastBeatMs(path);
  return latestMs === undefined || latestMs === beatMs;
}

/** Undefined when the lock file is gone. */
async function lastBeatMs(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

const START_TIME_FIELD = 19;

/** The process's start in clock ticks since boot; empty where the system does not tell. */
async function processStart(pid: number): Promise<string> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, "utf8");
    const afterName = line.slice(line.lastIndexOf(")") + 2);
    return afterName.split(" ")[START_TIME_FIELD] ?? "";
  } catch {
    return "";
  }
}

/** Undefined when there is no lock file, or none that can be read as one. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return holderShape.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw new UserError(`The lock file ${path} cannot be read as one.`, {
      hint: `If no other vecfill is running on this folder, delete ${path} and try again.`,
      exit: "locked",
      cause: error,
    });
  }
}

function lockedBy(path: string, holder: Holder | undefined): UserError {
  const who =
    holder === undefined
      ? "another process"
      : `process ${holder.pid} on ${holder.host}, since ${holder.since}`;
  return new UserError(`The jobs folder is in use by ${who} (lock file ${path}).`, {
    hint: "Wait until it has finished or stop it; `vecfill jobs` can look meanwhile.",
    exit: "locked",
  });
}

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}
