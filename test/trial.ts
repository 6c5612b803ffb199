/**
 * One test's own world in a workshop: its rows, an empty jobs folder, an emulator of its own, and
 * the stages as separate commands would run them: each opens the manifest, works, and closes it.
 */
import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Clock, systemClock } from "../src/clock.ts";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../src/emulator/faults/emulator-options.ts";
import { exportAll, type ExportOptions } from "../src/export/export.ts";
import { isForSync } from "../src/cost/lane.ts";
import { embedLane } from "../src/embed/embed-lane.ts";
import { worldOf } from "../src/gates/world.ts";
import { connectGemini } from "../src/gemini/client.ts";
import type { Gemini } from "../src/gemini/port.ts";
import { retryingGemini } from "../src/gemini/retry.ts";
import { pricesOf } from "../src/cost/tariff.ts";
import { readManifest } from "../src/jobs-folder/open.ts";
import { everyLine, resubmitFile, resubmitJobs } from "../src/resubmit/resubmit.ts";
import {
  importEnded,
  poll,
  type PollAloneOptions,
  submit,
  type SubmitOptions,
} from "../src/run/alone.ts";
import { drive } from "../src/run/drive.ts";
import { run, type RunOptions } from "../src/run/run.ts";
import { type RewritingProxy, startRewritingProxy } from "./gemini/rewriting-proxy.ts";
import { API_KEY, type Workshop, type WorkshopServices } from "./workshop.ts";

/** What stands between the client and the emulator: it may send, or not, and change the answer. */
export type Wire = (
  call: Readonly<{ url: URL; method: string }>,
  send: () => Promise<Response>,
) => Promise<Response>;

/** Other services than the trial's own, for one call of a stage. */
export type Instead = Partial<WorkshopServices>;

export type Trial = Awaited<ReturnType<typeof startTrial>>;

/** Of the clock that the trial has: what is asked for each half second of a virtual hour costs seconds of work. */
const POLL_INTERVAL_MS = { virtual: 10_000, fast: 500 };
const STUCK_AFTER_MS = 24 * 3_600_000;
const ROOM: SubmitOptions["window"] = { maxActiveJobs: 90, maxEnqueuedTokens: 500_000 };

type TrialOptions = Readonly<{
  apiKey?: string;
  /** The client's way to the emulator, given the emulator's address. */
  through?: (url: string) => Promise<string>;
}>;

/** A trial whose client goes through a proxy that may give other answers. */
export async function startProxiedTrial(
  workshop: Workshop,
  rows: readonly (string | null)[],
  options: EmulatorOptions & TrialOptions = {},
): Promise<Readonly<{ trial: Trial; proxy: RewritingProxy }>> {
  const proxies: RewritingProxy[] = [];
  const through = async (url: string) => {
    const proxy = await startRewritingProxy(url);
    onTestFinished(() => proxy.close());
    proxies.push(proxy);
    return proxy.url;
  };
  const trial = await startTrial(workshop, rows, { ...options, through });
  const [proxy] = proxies;
  if (proxy === undefined) throw new Error("the trial has no proxy");
  return { trial, proxy };
}

/** `rows` are their texts; ids count from 1. With `frozen`, time is the test's, for the emulator and the stages alike. */
export async function startTrial(
  workshop: Workshop,
  rows: readonly (string | null)[],
  options: EmulatorOptions & TrialOptions = {},
) {
  await workshop.seed([]);
  await addRows(workshop, rows);
  const { apiKey = API_KEY, through, ...rest } = options;
  const emulator = await startEmulator({ batchSeconds: 0, tier: "off", ...rest });
  onTestFinished(() => emulator.close());
  const clock = options.frozen === true ? virtualClock(emulator) : fastClock;
  const pollIntervalMs = POLL_INTERVAL_MS[options.frozen === true ? "virtual" : "fast"];
  const baseUrl = (await through?.(emulator.url)) ?? emulator.url;
  const wire: { now: Wire } = { now: (_call, send) => send() };
  const clientOf = (key: string): Gemini => {
    const client = connectGemini({
      apiKey: key,
      baseUrl,
      clock,
      fetch: (input, init) => wire.now(callOf(input, init), () => fetch(input, init)),
    });
    return retryingGemini(client, clock);
  };
  const gemini = clientOf(apiKey);
  const { folder, target, database } = workshop;
  const services = <T>(instead: Instead, work: (all: WorkshopServices) => Promise<T>) =>
    workshop.withServices((own) => work({ ...own, gemini, clock, ...instead }));
  const exportOptions = (changes: Partial<ExportOptions> = {}): ExportOptions => ({
    target,
    bounds: workshop.bounds,
    limit: undefined,
    onTooLong: "skip",
    ...changes,
  });
  const runOptions = (changes: Partial<RunOptions> = {}): RunOptions => ({
    export: exportOptions(),
    window: ROOM,
    prices: pricesOf({}),
    reconcileGraceMs: 50,
    quotaWaitMs: 1_000,
    pollIntervalMs,
    stuckAfterMs: STUCK_AFTER_MS,
    maxAttempts: 3,
    timeoutMs: undefined,
    ...changes,
  });

  const trial = {
    emulator,
    clock,
    folder,
    target,
    clientOf,
    gemini,
    runOptions,
    exportOptions,
    services,
    /** From now on every request of the client goes this way. */
    setWire: (next: Wire) => {
      wire.now = next;
    },

    /** From now on results come with these rows' lines replaced: by none, one or several. */
    setResults: (linesOfRow: Readonly<Record<number, (line: string) => readonly string[]>>) => {
      wire.now = async ({ url }, send) => {
        // the size that the emulator tells would be another file's; the service tells none
        if (/\/files\/batch-[^:]*$/.test(url.pathname)) return new Response("{}", { status: 400 });
        const answer = await send();
        if (!url.pathname.endsWith(":download") || !answer.ok) return answer;
        const lines = (await answer.text()).split("\n").filter((line) => line !== "");
        const edited = lines.flatMap((line) => linesOfRow[idOf(JSON.parse(line))]?.(line) ?? line);
        return new Response(edited.map((line) => `${line}\n`).join(""));
      };
    },

    export: (changes: Partial<ExportOptions> = {}, instead: Instead = {}) =>
      services(instead, (all) => exportAll(all, exportOptions(changes))),
    submit: (changes: Partial<SubmitOptions> = {}, instead: Instead = {}) =>
      services(instead, (all) => submit(all, { window: ROOM, reconcileGraceMs: 0, ...changes })),
    /** Every exported job, at once. */
    embed: (instead: Instead = {}) => services(instead, embedAtOnce),
    poll: (changes: Partial<PollAloneOptions> = {}, instead: Instead = {}) =>
      services(instead, (all) =>
        poll(all, {
          pollIntervalMs,
          once: false,
          timeoutMs: undefined,
          stuckAfterMs: STUCK_AFTER_MS,
          ...changes,
        }),
      ),
    import: (instead: Instead = {}) => services(instead, (all) => importEnded(all)),
    run: (changes: Partial<RunOptions> = {}, instead: Instead = {}) =>
      services(instead, (all) => run(all, runOptions(changes))),
    /** The file, or every failed file that waits. */
    resubmit: (path?: string, instead: Instead = {}) =>
      services(instead, async (all) => {
        if (path !== undefined) return resubmitFile(all, path, workshop.bounds, target);
        const jobs = all.manifest.jobs().filter(({ outstanding }) => outstanding.lines > 0);
        return resubmitJobs(all, jobs, workshop.bounds, everyLine);
      }),
    /** Everything up to the import, which is left to the test. */
    untilEnded: async (changes: Partial<ExportOptions> = {}, instead: Instead = {}) => {
      await trial.export(changes);
      await trial.submit();
      await trial.poll({}, instead);
    },

    /** Does something, and puts the manifest back as it was before; all else in the folder stays. */
    forgetting: async (work: () => Promise<unknown>) => {
      const manifest = await readFile(trial.path("manifest.ndjson"));
      await work();
      await writeFile(trial.path("manifest.ndjson"), manifest);
    },

    jobs: async () => (await readManifest(folder)).jobs(),
    job: async (id: string) => (await readManifest(folder)).job(id),
    states: async () => (await trial.jobs()).map(({ id, state }) => `${id} ${state}`),
    path: (name: string) => join(folder, name),
    files: async () => (await readdir(folder)).toSorted(),
    text: (name: string) => readFile(join(folder, name), "utf8"),
    lines: async (name: string) => linesOf(await trial.text(name)),
    /** Ids of the rows in a file of the jobs folder. */
    idsIn: async (name: string) => (await trial.lines(name)).map(idOf),
    sql: (text: string) => database.query(text, []),
    rightIds: async () => ascending(await workshop.rightIds()),
    emptyIds: async () => ascending(await workshop.emptyIds()),
    /** How often each row was paid for, by row id; rows never paid for are left out. */
    paid: async () => {
      const bill = await emulator.billing();
      const paid: Record<string, number> = {};
      for (const [key, times] of bill) paid[rowOf(key)] = (paid[rowOf(key)] ?? 0) + times;
      return paid;
    },
  };
  return trial;
}

/** Every exported job, at once, and nothing else. */
export async function embedAtOnce(services: WorkshopServices) {
  const lane = { lane: "sync", syncUpToTokens: 0 } as const;
  const world = { ...worldOf(services), lane, readLists: async () => {} };
  const embedded: string[] = [];
  await drive([embedLane(world, ({ id }) => embedded.push(id))], world);
  const left = services.manifest.jobs().filter((job) => isForSync(job, lane));
  return { embedded, left: left.map(({ id }) => id) };
}

async function addRows({ database }: Workshop, rows: readonly (string | null)[]): Promise<void> {
  await database.query(
    "INSERT INTO questions (id, question_text) SELECT place, t FROM unnest($1::text[]) WITH ORDINALITY AS given(t, place)",
    // the driver takes NULLs within an array, the type says strings
    [rows.map((text) => text ?? NO_TEXT)],
  );
  await database.query("UPDATE questions SET question_text = NULL WHERE question_text = $1", [
    NO_TEXT,
  ]);
}

const NO_TEXT = "stands for NULL";

/** `n` short texts that differ. */
export function texts(n: number): string[] {
  return Array.from({ length: n }, (_, index) => `Question number ${index + 1}?`);
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** JSON lines, parsed. */
function linesOf(text: string): unknown[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line): unknown => JSON.parse(line));
}

/** The row id of a line with a key. */
export function idOf(line: unknown): number {
  const key = typeof line === "object" && line !== null && "key" in line ? String(line.key) : "";
  return Number(rowOf(key));
}

/** A result line with an error in place of its vector. */
export function errorLine(code: number, message = "told by the test") {
  return (line: string): string[] => {
    const parsed: unknown = JSON.parse(line);
    const key = typeof parsed === "object" && parsed !== null && "key" in parsed ? parsed.key : "";
    return [JSON.stringify({ error: { code, message }, key })];
  };
}

function ascending(ids: readonly number[]): number[] {
  return ids.toSorted((a, b) => a - b);
}

function rowOf(key: string): string {
  return key.slice(0, key.lastIndexOf("@"));
}

function callOf(input: string | URL | Request, init: RequestInit | undefined) {
  const url = new URL(input instanceof Request ? input.url : input);
  return { url, method: init?.method ?? "GET" };
}

const TIMES_FASTER = 100;

/** The emulator's time is the real one; what the stages wait for takes a hundredth of it. */
const fastClock: Clock = {
  ...systemClock,
  elapsedMs: () => systemClock.elapsedMs() * TIMES_FASTER,
  sleep: (ms, signal) => systemClock.sleep(ms / TIMES_FASTER, signal),
};

/** Sleeping moves the time of stages and emulator alike, and takes none. */
function virtualClock(emulator: Emulator): Clock {
  let nowMs = Date.now();
  const startMs = nowMs;
  return {
    now: () => new Date(nowMs),
    elapsedMs: () => nowMs - startMs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      nowMs += ms;
      await emulator.advance(ms);
    },
  };
}
