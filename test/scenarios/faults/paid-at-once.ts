/**
 * The sync lane's books, process by process. What has a whole line on disk is paid for and never
 * again; what was paid for beside that was lost with a call that was under way, and how many of those
 * there may be follows from what went wrong in that process: a call that took effect and whose answer
 * broke is one, an answer that could not be written is one, a death takes all that were under way,
 * and anything else loses none.
 */
import { exists } from "../../../src/disk/presence.ts";
import type { Emulator } from "../../../src/emulator/emulator.ts";
import type { JobFiles } from "../../../src/manifest/file-names.ts";
import { readManifest } from "../../../src/jobs-folder/open.ts";
import { readLines } from "../../../src/disk/jsonl.ts";
import { parseRequestLine } from "../../../src/row/request-line.ts";
import { parseResultLine } from "../../../src/row/result-line/result-line.ts";
import type { Struck } from "./outside.ts";

/** How a process went. */
export type Went = Readonly<{
  struck: readonly Struck[];
  /** The texts of each call of the sync lane that it tried to send. */
  asked: readonly (readonly string[])[];
  /** The service may lose answers by itself, as many as it likes. */
  losesItself: boolean;
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
    const { onDisk, requests } = await readFolder(this.#folder);
    const lost = new Map<string, number>();
    for (const [text, times] of paid) {
      const now = times - (this.#paid.get(text) ?? 0);
      const written = (onDisk.get(text) ?? 0) - (this.#onDisk.get(text) ?? 0);
      if (written < 0) this.breaches.push(`the answer to "${text}" is on disk no more`);
      if (now < written) this.breaches.push(`"${text}" was answered and not paid for`);
      // rows of several jobs may have the same text: each job asks for it
      const isOpen = (requests.get(text) ?? 0) > (this.#onDisk.get(text) ?? 0);
      if (now > 0 && !isOpen) this.breaches.push(`"${text}" was paid for again`);
      if (now > written) lost.set(text, now - written);
    }
    this.#checkLost(lost, went);
    for (const [text, times] of lost) this.#lost.set(text, times + (this.#lost.get(text) ?? 0));
    [this.#paid, this.#onDisk] = [paid, onDisk];
  }

  #checkLost(lost: Times, went: Went): void {
    const lostCalls = fewestCalls(lost, went.asked);
    const most = went.losesItself ? Infinity : lostAtMost(went);
    if (lostCalls > most) this.breaches.push(`${lostCalls} calls were lost, not ${most} at most`);
  }
}

/** How many calls explain what was lost: rows of several jobs, and so of several calls, may share a text. */
function fewestCalls(lost: Times, asked: Went["asked"]): number {
  const left = new Map(lost);
  const isLeft = (text: string) => (left.get(text) ?? 0) > 0;
  let calls = 0;
  while ([...left.keys()].some(isLeft)) {
    const [call] = asked.toSorted((a, b) => b.filter(isLeft).length - a.filter(isLeft).length);
    if (call === undefined || !call.some(isLeft)) return Infinity;
    for (const text of call.filter(isLeft)) left.set(text, (left.get(text) ?? 0) - 1);
    calls += 1;
  }
  return calls;
}

function lostAtMost({ struck }: Went): number {
  const onDisk = struck.filter(({ hit }) => hit.startsWith("file")).length;
  const each = struck.map(({ hit, fault }) => {
    if (fault.how === "kill") return CALLS_UNDER_WAY;
    // where an append can neither be made nor be taken back, no further one is
    if (hit.startsWith("file")) return onDisk === 1 ? 1 : CALLS_UNDER_WAY;
    return hit.endsWith(":batchEmbedContents") && fault.when !== "before" ? 1 : 0;
  });
  return each.reduce((sum: number, calls) => sum + calls, 0);
}

/**
 * Of each text: in how many jobs of the sync lane it has a whole line with a vector, and how many jobs
 * ask for it.
 */
async function readFolder(folder: string): Promise<Readonly<{ onDisk: Times; requests: Times }>> {
  const manifest = await readManifest(folder);
  const [onDisk, requests] = [new Map<string, number>(), new Map<string, number>()];
  for (const { id, lane } of manifest.jobs()) {
    const files = manifest.files(id);
    const texts = await readTexts(files.requests);
    for (const text of texts.values()) countOne(requests, text);
    if (lane !== "sync") continue;
    for (const key of await readKeys(files)) countOne(onDisk, texts.get(key));
  }
  return { onDisk, requests };
}

function countOne(times: Map<string, number>, text = ""): void {
  times.set(text, (times.get(text) ?? 0) + 1);
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
