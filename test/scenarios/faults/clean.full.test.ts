// Cleaning up dies, or loses an answer, at any of its calls to Gemini and the disk. Is whatever is
// missing then known to be cleaned, and does a repetition come to the same end?
import { cp, rm } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { clean } from "../../../src/commands/clean/clean.ts";
import { planCleaning } from "../../../src/commands/clean/what-may-go.ts";
import { failureOf } from "../../../src/output/failure.ts";
import { connectGemini } from "../../../src/gemini/client.ts";
import { GeminiError } from "../../../src/gemini/port.ts";
import { retryingGemini } from "../../../src/gemini/retry.ts";
import { startTrial, type Trial } from "../../trial.ts";
import { API_KEY, hastyClock, openWorkshop, type Workshop } from "../../workshop.ts";
import { Border, borderFetch, type Fault, underTest } from "./outside.ts";
import { borderDisk } from "./border-disk.ts";

borderDisk();

const MAX_CALLS = 200;
let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** Two jobs imported, one of them with copies; their uploads are still at Gemini. */
async function imported(): Promise<Trial> {
  const trial = await startTrial(workshop, ["one", "one", "two", "three", "four"]);
  const bounds = { ...workshop.bounds, maxRows: 3 };
  const gemini = { ...trial.gemini, deleteFile: unreachable };
  await trial.untilEnded({ bounds }, { gemini });
  await trial.import();
  return trial;
}

async function unreachable(): Promise<never> {
  throw new GeminiError("unreachable", "no connection");
}

async function cleanAll({ emulator, services }: Trial): Promise<void> {
  const client = connectGemini({ apiKey: API_KEY, baseUrl: emulator.url, fetch: borderFetch });
  const gemini = retryingGemini(client, hastyClock);
  await services({}, async (all) => {
    const plan = await planCleaning(all.manifest, { keepResults: false, now: new Date() });
    await clean({ ...all, gemini: async () => gemini }, plan);
  });
}

/** Names of the calls that went wrong in the first of two cleanings. */
async function disturbed(trial: Trial, fault: Fault): Promise<readonly string[]> {
  const border = new Border([fault]);
  await underTest.run(border, async () => {
    await cleanAll(trial).catch((error: unknown) => {
      if (!border.isDead && failureOf(error).bug) throw error;
    });
  });
  await border.quiet();
  for (const name of (await trial.files()).filter((each) => each.startsWith("manifest.lock"))) {
    await rm(trial.path(name), { force: true });
  }
  expect([fault, await missingUnrecorded(trial)]).toEqual([fault, []]);
  await cleanAll(trial);
  const jobs = await trial.jobs();
  const kept = [...jobs.map(({ id }) => `${id}.rows.jsonl`), "manifest.ndjson"];
  expect([fault, await trial.files()]).toEqual([fault, kept]);
  for (const { cleaned, remoteFile } of jobs) {
    expect([fault, cleaned.toSorted()]).toEqual([fault, ["requests", "results", "upload"]]);
    expect([fault, await statusOf(trial, remoteFile?.name)]).toEqual([fault, GONE]);
  }
  expect(await trial.rightIds()).toEqual([1, 2, 3, 4, 5]);
  return border.hits;
}

/** That would be damage. */
async function missingUnrecorded(trial: Trial): Promise<string[]> {
  const files = await trial.files();
  return (await trial.jobs()).flatMap(({ id, cleaned, copies }) => {
    const isThere = (part: string) => files.includes(`${id}.${part}.jsonl`);
    const hasRequests = isThere("requests") && (copies === undefined || isThere("copies"));
    const missing = [hasRequests ? "" : "requests", isThere("results") ? "" : "results"] as const;
    return missing.filter((part) => part !== "" && !cleaned.includes(part));
  });
}

/** So the service answers about a file that is not there, or not ours. */
const GONE = 403;

async function statusOf({ emulator }: Trial, file = ""): Promise<number> {
  const headers = { "x-goog-api-key": API_KEY };
  return (await fetch(`${emulator.url}/v1beta/${file}`, { headers })).status;
}

const HOWS = ["error", "kill"] as const;

test.each(["before", "after"] as const)(
  "every call to Gemini, %s it took effect, as an error and as a death",
  { timeout: 300_000 },
  async (when) => {
    const hits: string[] = [];
    for (const how of HOWS) {
      for (let nth = 1; nth < MAX_CALLS; nth++) {
        const struck = await disturbed(await imported(), { nth, when, how, kind: "gemini" });
        if (struck.length === 0) break;
        hits.push(...struck);
      }
    }
    expect(hits.filter((hit) => hit.startsWith("gemini DELETE"))).toHaveLength(hits.length);
    expect(hits.length).toBeGreaterThan(3);
  },
);

test(
  "every call to the disk, before, halfway and after it took effect, as an error and as a death",
  { timeout: 300_000 },
  async () => {
    const trial = await imported();
    const saved = `${trial.folder}.saved`;
    await cp(trial.folder, saved, { recursive: true });
    const hits: string[] = [];
    for (const when of ["before", "middle", "after"] as const) {
      for (const how of HOWS) {
        for (let nth = 1; nth < MAX_CALLS; nth++) {
          await rm(trial.folder, { recursive: true });
          await cp(saved, trial.folder, { recursive: true });
          const struck = await disturbed(trial, { nth, when, how, kind: "file" });
          if (struck.length === 0) break;
          hits.push(...struck);
        }
      }
    }
    await rm(saved, { recursive: true });
    expect(hits.filter((hit) => hit === "file rm").length).toBeGreaterThan(20);
  },
);
