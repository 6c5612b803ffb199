/**
 * The sync lane's books, process by process. What has a whole line on disk is paid for and never
 * again; what was paid for beside that was lost with a call that was under way, and how many of those
 * there may be follows from what went wrong in that process: a call that took effect and whose answer
 * broke is one, an answer that could not be written is one, a death takes all that were under way,
 * and anything else loses none.
 */
import type { Emulator } from "../../src/emulator/emulator.ts";
import { exists, type JobFiles } from "../../src/job/files.ts";
import { readManifest } from "../../src/job/manifest.ts";
import { readLines } from "../../src/jsonl.ts";
import { parseRequestLine } from "../../src/request-line.ts";
import { parseResultLine } from "../../src/result-line.ts";
import type { Fault } from "./outside.ts";

/** How a process went. */
export type Went = Readonly<{
  faults: readonly Fault[];
  /** Names of the calls that went wrong. */
  hits: readonly string[];
  /** The texts of each call of the sync lane that it tried to send. */
  asked: readonly (readonly string[])[];
}>;

type Times = ReadonlyMap<string, number>;

/** As README and `src/embed/embed-job.ts` promise. */
const CALLS_UNDER_WAY = 4;

export class PaidAtOnce {
  readonly #emulator: Emulator;
  readonly #folder: string;
  readonly #lost = new Map<string, number>();
  readonly breaches: string[] = [];
  #paid: Times = new Map();
  #onDisk: Times = new Map();

  constructor(emulator: Emulator, folder: string) {
    this.#emulator = emulator;
    this.#folder = folder;
  }

  /** How often each text was paid for and its answer lost. */
  get lost(): Times {
    return this.#lost;
  }

  /** To be called when a process has ended and nothing of it is under way. */
  async close(went: Went): Promise<void> {
    const paid = new Map(this.#emulator.paidTexts());
    const onDisk = await readAnswered(this.#folder);
    const lost = new Map<string, number>();
    for (const [text, times] of paid) {
      const now = times - (this.#paid.get(text) ?? 0);
      const written = (onDisk.get(text) ?? 0) - (this.#onDisk.get(text) ?? 0);
      if (written < 0) this.breaches.push(`the answer to "${text}" is on disk no more`);
      if (now < written) this.breaches.push(`"${text}" was answered and not paid for`);
      if (now > 0 && this.#onDisk.has(text)) this.breaches.push(`"${text}" was paid for again`);
      if (now > written) lost.set(text, now - written);
    }
    this.#checkLost(lost, went);
    for (const [text, times] of lost) this.#lost.set(text, times + (this.#lost.get(text) ?? 0));
    [this.#paid, this.#onDisk] = [paid, onDisk];
  }

  #checkLost(lost: Times, went: Went): void {
    const calls = new Map(went.asked.map((texts) => [texts.join("\n"), texts]));
    let lostCalls = 0;
    for (const texts of calls.values()) {
      lostCalls += Math.max(...texts.map((text) => lost.get(text) ?? 0));
    }
    const most = lostAtMost(went);
    if (lostCalls > most) this.breaches.push(`${lostCalls} calls were lost, not ${most} at most`);
  }
}

function lostAtMost({ faults, hits }: Went): number {
  const struck = hits.map((hit, index) => ({ hit, fault: faults[index] ?? faults.at(-1) }));
  const each = struck.map(({ hit, fault }) => {
    if (fault?.how === "kill") return CALLS_UNDER_WAY;
    if (hit.startsWith("file")) return 1;
    return hit.endsWith(":batchEmbedContents") && fault?.when !== "before" ? 1 : 0;
  });
  return each.reduce((sum: number, calls) => sum + calls, 0);
}

/** How often each text has a whole line with a vector, over the jobs of the sync lane. */
async function readAnswered(folder: string): Promise<Times> {
  const manifest = await readManifest(folder);
  const times = new Map<string, number>();
  for (const job of manifest.jobs().filter(({ lane }) => lane === "sync")) {
    const files = manifest.files(job.id);
    const texts = await readTexts(files.requests);
    for (const key of await readKeys(files)) {
      const text = texts.get(key) ?? "";
      times.set(text, (times.get(text) ?? 0) + 1);
    }
  }
  return times;
}

async function readTexts(path: string): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  for await (const lines of readLines(path)) {
    for (const { bytes } of lines) {
      if (bytes === undefined || bytes.length === 0) continue;
      const { key, request } = parseRequestLine(bytes);
      texts.set(key, request.content.parts[0].text);
    }
  }
  return texts;
}

async function readKeys({ sync, results }: JobFiles): Promise<ReadonlySet<string>> {
  const keys = new Set<string>();
  const path = (await exists(sync)) ? sync : results;
  if (!(await exists(path))) return keys;
  for await (const lines of readLines(path)) {
    for (const { bytes, terminated } of lines) {
      const line = bytes === undefined ? undefined : parseResultLine(bytes);
      if (terminated && line?.kind === "vector") keys.add(line.key);
    }
  }
  return keys;
}
