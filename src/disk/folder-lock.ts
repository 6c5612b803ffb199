/**
 * One process writes in a folder at a time, be it the jobs folder or an embedded database's. The lock
 * is a file that names its holder and whose modification time is a heartbeat. A holder whose process
 * ids mean the same as ours is dead when its process is; any other when its heartbeat has stopped: it
 * looks old, and stays as it is while it is watched. The host's name alone does not tell: containers
 * have the same one and each its own processes.
 *
 * Looking old alone proves nothing, for clocks differ and jump, and a machine that just woke up has
 * not beaten yet. A holder that lost its lock (suspended for long on another host, say) finds out
 * before its next write: see `stillHeld`.
 */
import { randomUUID } from "node:crypto";
import {
  link,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import type { Clock } from "../clock.ts";
import { explainWriteError } from "./durable-file.ts";
import { errorCode, ifThere, isMissing } from "./presence.ts";
import { UserError } from "../errors.ts";

const HEARTBEAT_MS = 5_000;
const DEAD_AFTER_MS = 12 * HEARTBEAT_MS;
/** How long an old heartbeat is watched for another beat. */
const WATCH_MS = 3 * HEARTBEAT_MS;
const MAX_ATTEMPTS = 5;
/** So many may die one after the other while they take the lock of a dead one. */
const MAX_SUCCESSORS = 100;
/** What a person is told of the two. */
const FREE_AFTER_MINUTES = Math.ceil((DEAD_AFTER_MS + WATCH_MS) / 60_000);

export type Lock = {
  /** Throws a UserError when another process has taken the lock over. */
  stillHeld(): Promise<void>;
  release(): Promise<void>;
};

/** How the error names what is locked, and what else it advises. */
export type LockedPlace = Readonly<{ what: string; meanwhile?: string }>;

/** Who has a lock, as it told when it took it. */
export type LockHolder = Pick<Holder, "command" | "pid" | "host" | "since">;

const holderShape = z.object({
  token: z.string(),
  pid: z.number(),
  host: z.string(),
  /** Where process ids mean the same as for the holder; empty where the system does not tell. */
  space: z.string().default(""),
  /** When the holder's process started, as the system counts it; tells a reused pid. */
  started: z.string(),
  since: z.string(),
  /** What it does; empty where it did not tell. */
  command: z.string().default(""),
});
type Holder = z.infer<typeof holderShape>;

/** Throws a UserError that names the holder when another live process has the lock. */
export async function acquireLock(
  path: string,
  clock: Clock,
  place: LockedPlace,
  command = "",
): Promise<Lock> {
  const holder: Holder = {
    token: randomUUID(),
    pid: process.pid,
    host: hostname(),
    space: await processSpace(),
    started: await processStart(process.pid),
    since: clock.now().toISOString(),
    command,
  };
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (await claim(path, holder)) return held(path, holder, place);
    const other = await readHolder(path);
    if (other === undefined) continue;
    if (!(await isDead(path, other, clock))) throw await lockedBy(path, other, place);
    const successor = await takeOver(path, { dead: other, holder, clock });
    if (successor === holder) return held(path, holder, place);
    if (successor !== undefined) throw await lockedBy(path, successor, place);
  }
  throw await lockedBy(path, await readHolder(path), place);
}

/** For who only looks: undefined where nobody has the lock, or only one that is dead by all that shows. */
export async function holderOf(path: string, clock: Clock): Promise<LockHolder | undefined> {
  const holder = await readHolder(path);
  if (holder === undefined) return undefined;
  const isGone = (await diedHere(holder)) ?? isOld((await lastBeatMs(path)) ?? -Infinity, clock);
  return isGone ? undefined : holder;
}

type Succession = Readonly<{ dead: Holder; holder: Holder; clock: Clock }>;

/**
 * Puts our lock in the place of a dead holder's. Whoever makes the file that names its successor is the
 * only one who may; a successor that died meanwhile has one in turn. Gives the successor: ourselves, or
 * another that is alive; undefined when the lock is another one by now.
 */
async function takeOver(
  path: string,
  { dead, holder, clock }: Succession,
): Promise<Holder | undefined> {
  let last = dead;
  for (let generation = 0; generation < MAX_SUCCESSORS; generation++) {
    const claimPath = `${path}.${last.token}.heir`;
    if (await claim(claimPath, holder)) return replace(path, claimPath, dead, holder);
    const successor = await readHolder(claimPath);
    if (successor === undefined || !(await isDead(claimPath, successor, clock))) return successor;
    last = successor;
  }
  return last;
}

async function replace(
  path: string,
  claimPath: string,
  dead: Holder,
  holder: Holder,
): Promise<Holder | undefined> {
  try {
    // a former successor may have come, worked and gone since we looked
    if ((await readHolder(path))?.token !== dead.token) return undefined;
    const candidate = `${path}.${holder.token}`;
    await writeHolder(candidate, holder);
    await rename(candidate, path);
    return holder;
  } finally {
    await rm(claimPath, { force: true });
  }
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
  await writeHolder(candidate, holder);
  try {
    await link(candidate, path);
    return true;
  } catch (error) {
    // ENOENT: the holder swept the candidate away before it was written to its end
    if (errorCode(error) === "EEXIST" || isMissing(error)) return false;
    throw error;
  } finally {
    await rm(candidate, { force: true });
  }
}

async function writeHolder(path: string, holder: Holder): Promise<void> {
  try {
    await writeFile(path, `${JSON.stringify(holder)}\n`, { mode: 0o600, flush: true });
  } catch (error) {
    throw explainWriteError(error, `a lock in ${dirname(path)}`);
  }
}

function held(path: string, holder: Holder, place: LockedPlace): Lock {
  const heartbeat = setInterval(() => {
    const now = new Date();
    // a heartbeat that cannot be written shows as a lost lock at the next write
    utimes(path, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async stillHeld() {
      const current = await readHolder(path);
      if (current?.token !== holder.token) throw await lockedBy(path, current, place);
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
    if (isMissing(error)) return;
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
  if (holder.space === "" || holder.space !== (await processSpace())) return undefined;
  if (!isAlive(holder.pid)) return true;
  const started = await processStart(holder.pid);
  return started === "" || holder.started === "" ? undefined : started !== holder.started;
}

async function heartbeatStopped(path: string, clock: Clock): Promise<boolean> {
  const beatMs = await lastBeatMs(path);
  if (beatMs === undefined) return true;
  if (!isOld(beatMs, clock)) return false;
  await clock.sleep(WATCH_MS);
  const latestMs = await lastBeatMs(path);
  return latestMs === undefined || latestMs === beatMs;
}

function isOld(beatMs: number, clock: Clock): boolean {
  return Math.abs(clock.now().getTime() - beatMs) > DEAD_AFTER_MS;
}

/** Undefined when the lock file is gone. */
async function lastBeatMs(path: string): Promise<number | undefined> {
  return (await ifThere(stat(path)))?.mtimeMs;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}

/**
 * A process id names a process within one boot of one kernel and, on Linux, one pid namespace of it.
 * Elsewhere there are no namespaces, and a restart ends every process that had a lock there.
 */
async function processSpace(): Promise<string> {
  if (process.platform !== "linux") return process.platform;
  try {
    const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8");
    return `${boot.trim()} ${await readlink("/proc/self/ns/pid")}`;
  } catch {
    return "";
  }
}

/** Behind the process's name, of which its state is the first. */
const THREADS_FIELD = 17;
const START_TIME_FIELD = 19;
/** No process starts at such a time. */
const ENDED = "ended";

/** The process's start in clock ticks since boot; empty where the system does not tell. */
async function processStart(pid: number): Promise<string> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
    // killed, and its parent has not asked yet; with a thread left it may still write
    if (fields[0] === "Z" && Number(fields[THREADS_FIELD]) <= 1) return ENDED;
    return fields[START_TIME_FIELD] ?? "";
  } catch {
    return "";
  }
}

/** Undefined when there is no lock file, or none that can be read as one. */
async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return holderShape.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw new UserError(`The lock file ${path} cannot be read as one.`, {
      hint: `If no other vecfill works there, delete ${path} and try again.`,
      exit: "locked",
      cause: error,
    });
  }
}

async function lockedBy(
  path: string,
  holder: Holder | undefined,
  { what, meanwhile }: LockedPlace,
): Promise<UserError> {
  const who =
    holder === undefined
      ? "another process"
      : `${holder.command === "" ? "" : `\`vecfill ${holder.command}\`, `}process ${holder.pid} on ${holder.host}, since ${holder.since}`;
  const wait = `Wait until it has finished or stop it${meanwhile === undefined ? "" : `; ${meanwhile}`}.`;
  const elsewhere = holder !== undefined && (await diedHere(holder)) === undefined;
  return new UserError(`${what} is in use by ${who} (lock file ${path}).`, {
    hint: elsewhere
      ? `${wait} It is on another machine or in another container: if it died there, the lock is free ${FREE_AFTER_MINUTES} minutes after.`
      : wait,
    exit: "locked",
  });
}
