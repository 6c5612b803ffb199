/**
 * Records what vecfill looks like, for the documents: sessions of a real terminal (tmux, 80 columns)
 * as text in docs/sessions, and the report as pictures, from one real run against the emulator.
 * The terminal gets no variable of this machine but PATH, so that no name or key gets in.
 */
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Emulator, startEmulator } from "../src/emulator/emulator.ts";
import { readManifest } from "../src/jobs-folder/open.ts";
import { takePictures } from "./pictures.ts";
import { fillTable, withDatabase } from "./table.ts";
import { openTerminal, type Terminal } from "./terminal.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SESSIONS = join(ROOT, "docs", "sessions");
const QUESTIONS = new URL("questions.jsonl", import.meta.url);
const BATCH_SECONDS = 8;
/** With this seed two rows fail for good, neither of them in the first job. */
const FAULTS = { faults: "permanent=0.01", seed: 1 };
const SETTINGS = { maxJobRows: 60, pollInterval: 1 };
const FRAME_EVERY_MS = 3_000;
const LOOK_EVERY_MS = 100;

type Place = Readonly<{ folder: string; emulator: Emulator; terminal: Terminal }>;

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "vecfill-record-"));
  const url = join(folder, "database");
  await withDatabase(url, (database) => fillTable(database, QUESTIONS));
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify(SETTINGS));
  const emulator = await startEmulator({ batchSeconds: BATCH_SECONDS, tier: "1", ...FAULTS });
  const terminal = await openTerminal(folder, {
    DATABASE_URL: `pglite:${url}`,
    GEMINI_API_KEY: "a-key",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
  });
  try {
    await rm(SESSIONS, { recursive: true, force: true });
    await mkdir(SESSIONS, { recursive: true });
    await record({ folder, emulator, terminal });
  } finally {
    await terminal.close();
    await emulator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function record(place: Place): Promise<void> {
  await save("plan", [await typed(place, "vecfill plan")]);
  await save("run", await watched(place, "vecfill run --limit 60"));
  await save("interrupted", [
    ...(await interrupted(place, "vecfill run")),
    ...(await watched(place, "vecfill run")),
  ]);
  await save("jobs", [await typed(place, "vecfill jobs"), await typed(place, "vecfill jobs 0001")]);
  await saveFailed(place);
  await save("verify", [
    await typed(place, "vecfill verify"),
    await typed(place, "vecfill verify --sample 20"),
  ]);
  await typed(place, "vecfill report");
  await takePictures(join(place.folder, "jobs", "report.html"), join(ROOT, "docs"));
}

/** The rows would fail again and again; from the resubmission on, Gemini takes them. */
async function saveFailed(place: Place): Promise<void> {
  const jobs = (await readManifest(join(place.folder, "jobs"))).jobs();
  const job = jobs.find(({ outstanding }) => outstanding.lines > 0);
  if (job === undefined) throw new Error("no row failed: choose another seed");
  const reasons = await typed(place, `cat jobs/${job.id}.failed.csv`);
  place.emulator.setFaults("");
  const resubmitted = await typed(place, "vecfill resubmit");
  await save("failed", [reasons, resubmitted, await typed(place, "vecfill run")]);
}

/** The screen when the command has ended, with its exit code if that is not 0. */
async function typed({ terminal }: Place, line: string): Promise<string> {
  await terminal.type(line);
  return terminal.ended();
}

/** The screen every few seconds while the command works, and when it has ended. */
async function watched(place: Place, line: string): Promise<string[]> {
  const { terminal } = place;
  const frames: string[] = [];
  await terminal.type(line);
  const ended = terminal.ended();
  while ((await Promise.race([ended, sleep(FRAME_EVERY_MS)])) === undefined) {
    const frame = await terminal.screen();
    if (frame !== frames.at(-1) && frame.includes("\n")) frames.push(frame);
  }
  return [...few(frames), await ended];
}

/** Ctrl-C, once a batch is at Gemini. */
async function interrupted(place: Place, line: string): Promise<string[]> {
  const { terminal, folder } = place;
  await terminal.type(line);
  for (;;) {
    const jobs = (await readManifest(join(folder, "jobs"))).jobs();
    if (jobs.filter(({ state }) => state === "submitted").length > 1) break;
    await sleep(LOOK_EVERY_MS);
  }
  await sleep(FRAME_EVERY_MS);
  const frame = await terminal.screen();
  await terminal.press("C-c");
  return [frame, await terminal.ended()];
}

/** The first, one of the middle, the last. */
function few(frames: readonly string[]): string[] {
  const chosen = new Set([0, Math.floor(frames.length / 2), frames.length - 1]);
  return frames.filter((_, at) => chosen.has(at));
}

const BETWEEN = `\n${"-".repeat(80)}\n\n`;

async function save(name: string, screens: readonly string[]): Promise<void> {
  await writeFile(join(SESSIONS, `${name}.txt`), screens.map((text) => `${text}\n`).join(BETWEEN));
  console.log(`docs/sessions/${name}.txt: ${screens.length} screens`);
}

await main();
