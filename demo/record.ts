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
import { filmOf, type Shot } from "./film.ts";
import { takePictures } from "./pictures.ts";
import { fillTable, withDatabase } from "./table.ts";
import { openTerminal, type Terminal } from "./terminal.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const FILM = join(ROOT, "docs", "run.svg");
const SESSIONS = join(ROOT, "docs", "sessions");
const QUESTIONS = new URL("questions.jsonl", import.meta.url);
const BATCH_SECONDS = 12;
/** With this seed two rows fail for good, neither of them in the first job. */
const FAULTS = { faults: "permanent=0.01", seed: 28 };
const SETTINGS = { maxJobRows: 60, pollInterval: 1 };
const SHOT_EVERY_MS = 500;
const SHOT_SECONDS = 0.5;
const STILL_SECONDS_MAX = 1.5;
const ALL_AT_GEMINI = /^at Gemini .* in [2-9] jobs/m;
const SEEN_BEFORE_CTRL_C = 6;
/** How long the film stands still before a command is carried out, and at its end. */
const TYPED_SECONDS = 1;
const ENDED_SECONDS = 4;

type Place = Readonly<{ folder: string; emulator: Emulator; terminal: Terminal }>;

async function main(): Promise<void> {
  await rm(SESSIONS, { recursive: true, force: true });
  await mkdir(SESSIONS, { recursive: true });
  await withPlace(FAULTS, record);
  await withPlace({}, recordFilm);
}

async function withPlace(
  faults: Parameters<typeof startEmulator>[0],
  work: (place: Place) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "vecfill-record-"));
  const url = join(folder, "database");
  await withDatabase(url, (database) => fillTable(database, QUESTIONS));
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify(SETTINGS));
  const emulator = await startEmulator({ batchSeconds: BATCH_SECONDS, tier: "1", ...faults });
  const terminal = await openTerminal(folder, {
    DATABASE_URL: `pglite:${url}`,
    GEMINI_API_KEY: "a-key",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
  });
  try {
    await work({ folder, emulator, terminal });
  } finally {
    await terminal.close();
    await emulator.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Interrupted and typed again, until the column is full. */
async function recordFilm(place: Place): Promise<void> {
  const shots = [
    ...(await interrupted(place, "vecfill run")),
    ...(await filmed(place, "vecfill run")),
  ];
  await writeFile(
    FILM,
    filmOf(shots, "vecfill run, interrupted and typed again: it goes on where it stopped"),
  );
  console.log("docs/run.svg: %d screens", shots.length);
}

async function record(place: Place): Promise<void> {
  await save("plan", [await typed(place, "vecfill plan")]);
  await save("run", await watched(place, "vecfill run --limit 60"));
  await save("interrupted", [
    ...few((await interrupted(place, "vecfill run")).filter(({ text }) => /at Gemini/.test(text))),
    ...(await watched(place, "vecfill run")),
  ]);
  await save("status", [await typed(place, "vecfill status")]);
  await save("jobs", [await typed(place, "vecfill jobs"), await typed(place, "vecfill jobs 0001")]);
  await saveFailed(place);
  await save("verify", [
    await typed(place, "vecfill verify"),
    await typed(place, "vecfill verify --sample 20"),
  ]);
}

/** The rows would fail again and again; from the resubmission on, Gemini takes them. */
async function saveFailed(place: Place): Promise<void> {
  const jobs = (await readManifest(join(place.folder, "jobs"))).jobs();
  const job = jobs.find(({ outstanding }) => outstanding.lines > 0);
  if (job === undefined) throw new Error("no row failed: choose another seed");
  await typed(place, "vecfill report");
  await takePictures(join(place.folder, "jobs", "report.html"), join(ROOT, "docs"));
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

async function watched(place: Place, line: string): Promise<string[]> {
  return few(await filmed(place, line));
}

/** Ctrl-C, once the display has said for a while that all is at Gemini. */
async function interrupted(place: Place, line: string): Promise<Shot[]> {
  let seen = 0;
  return filmed(place, line, async (text) => {
    if (ALL_AT_GEMINI.test(text)) seen += 1;
    if (seen === SEEN_BEFORE_CTRL_C) await place.terminal.press("C-c");
  });
}

/** The screen each time that it has changed while the command works, and when it has ended. */
async function filmed(
  { terminal }: Place,
  line: string,
  meanwhile: (text: string) => Promise<void> = async () => {},
): Promise<Shot[]> {
  const shots: Shot[] = [{ text: `$ ${line}`, seconds: TYPED_SECONDS }];
  await terminal.type(line);
  const ended = terminal.ended();
  for (;;) {
    const last = await Promise.race([ended, sleep(SHOT_EVERY_MS)]);
    if (last !== undefined) return [...shots, { text: last, seconds: ENDED_SECONDS }];
    const text = await terminal.screen();
    const before = shots.at(-1);
    if (before?.text === text) shots.splice(-1, 1, longer(before));
    else if (text.includes("\n")) shots.push({ text, seconds: SHOT_SECONDS });
    await meanwhile(text);
  }
}

/** A machine that has other work to do would stand still for long. */
function longer({ text, seconds }: Shot): Shot {
  return { text, seconds: Math.min(seconds + SHOT_SECONDS, STILL_SECONDS_MAX) };
}

/** The first, one of the middle, the last. */
function few([, ...shots]: readonly Shot[]): string[] {
  const chosen = new Set([0, Math.floor(shots.length / 2), shots.length - 1]);
  return shots.filter((_, at) => chosen.has(at)).map(({ text }) => text);
}

const BETWEEN = `\n${"-".repeat(80)}\n\n`;

async function save(name: string, screens: readonly string[]): Promise<void> {
  await writeFile(join(SESSIONS, `${name}.txt`), screens.map((text) => `${text}\n`).join(BETWEEN));
  console.log(`docs/sessions/${name}.txt: ${screens.length} screens`);
}

await main();
