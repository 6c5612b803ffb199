/**
 * The books after a run that was disturbed and then repeated until it succeeded: the table, the
 * manifest, the files in the jobs folder and what the emulator was paid for must tell one story.
 * Every breach of a promise is a sentence; none is what a test asks for.
 */
import { readManifest } from "../../../src/jobs-folder/open.ts";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Emulator } from "../../../src/emulator/emulator.ts";
import { emulatedVector } from "../../../src/emulator/vectors/embedding.ts";
import { readFailedLines } from "../../../src/jobs-folder/failed-file.ts";
import type { Job } from "../../../src/manifest/job.ts";
import { type ManifestView } from "../../../src/manifest/manifest.ts";
import { isOpen } from "../../../src/manifest/states.ts";
import { readLines } from "../../../src/disk/jsonl.ts";
import { parseRequestLine, type RequestLine } from "../../../src/row/request-line.ts";
import { parseResultLine } from "../../../src/row/result-line/result-line.ts";
import { cell, type Database } from "../../../src/store/database.ts";
import { fingerprintExpression, textExpression } from "../../../src/store/sql.ts";
import { balanced } from "../../../src/row/sums.ts";
import { quoteIdentifier, type Target } from "../../../src/row/target.ts";
import { checkVector } from "../../../src/row/vector.ts";

export type Books = Readonly<{
  database: Database;
  target: Target;
  folder: string;
  /** One that served this folder and no other. */
  emulator: Pick<Emulator, "billing" | "batches"> & Partial<Pick<Emulator, "paidTexts">>;
  /** How often each text was paid for in the sync lane and its answer lost, where that is known. */
  lostAtOnce?: LostTimes;
  /** Ids of rows whose vector somebody else wrote. */
  filledByOthers?: ReadonlySet<string>;
}>;

type LostTimes = Pick<ReadonlyMap<string, number>, "get">;

/** What the books say, for figures. */
export type Audit = Readonly<{
  breaches: readonly string[];
  rows: number;
  right: number;
  waiting: number;
  jobs: number;
  batches: number;
}>;

export async function audit(books: Books): Promise<Audit> {
  const manifest = await readManifest(books.folder);
  const batches = books.emulator.batches();
  const waiting = await readWaiting(manifest);
  const rows = await readRows(books);
  const breaches = [
    ...manifest.warnings.map((warning) => `the manifest warns: ${warning}`),
    ...manifest.jobs().flatMap(jobBreaches),
    ...batchBreaches(manifest, batches),
    ...(await billBreaches(manifest, await wholeBill(books, manifest), books.lostAtOnce)),
    ...waiting.breaches,
    ...rowBreaches(rows, waiting.keys),
    ...(await folderBreaches(books.folder, manifest)),
  ];
  return {
    breaches,
    rows: rows.length,
    right: rows.filter((row) => row.state === "right").length,
    waiting: waiting.keys.size,
    jobs: manifest.jobs().length,
    batches: batches.length,
  };
}

function jobBreaches(job: Job): string[] {
  const { id, state, sums, requests, duplicateBatches } = job;
  if (isOpen({ state })) return [`job ${id} is still ${state}`];
  const breaches: string[] = [];
  if (sums === undefined) breaches.push(`job ${id} is ${state} and has no sums`);
  else if (!balanced(sums) || sums.requests !== requests) {
    breaches.push(`the sums of job ${id} do not balance: ${JSON.stringify(sums)}`);
  }
  if (duplicateBatches.length > 0) breaches.push(`job ${id} has more than one batch`);
  return breaches;
}

/** A job has one batch at most, the one it knows; and there is no batch without a job. */
function batchBreaches(manifest: ManifestView, batches: ReturnType<Emulator["batches"]>): string[] {
  const known = new Map(manifest.jobs().map((job) => [job.batch, job]));
  const stray = batches
    .filter(({ name }) => known.get(name) === undefined)
    .map(({ name, displayName }) => `${name} (${displayName}) is the batch of no job`);
  const names = new Set(batches.map(({ name }) => name));
  const invented = manifest
    .jobs()
    .filter(({ batch }) => batch !== undefined && !names.has(batch))
    .map(({ id, batch }) => `${batch} of job ${id} was never created`);
  return [...stray, ...invented];
}

/** How often a key may have been paid for, by what the results of its jobs say. */
type Range = { attempts: number; least: number; most: number };

async function billBreaches(
  manifest: ManifestView,
  bill: ReadonlyMap<string, number>,
  lostAtOnce: LostTimes = new Map(),
): Promise<string[]> {
  const ranges = new Map<string, Range>();
  const attempts = new Set<string>();
  const breaches: string[] = [];
  for (const job of manifest.jobs()) {
    const answered = job.resultsFile === undefined ? undefined : await readAnswers(manifest, job);
    for await (const requests of readSent(manifest, job)) {
      for (const { key, request } of requests) {
        const attempt = `attempt ${job.attempt} of ${key}`;
        const isSent = job.batch !== undefined || job.lane === "sync";
        if (isSent && attempts.has(attempt)) breaches.push(`${attempt} left twice`);
        if (isSent) attempts.add(attempt);
        const range = ranges.get(key) ?? { attempts: 0, least: 0, most: 0 };
        if (answered !== undefined) addAnswer(range, answered.get(key));
        if (job.lane === "sync") range.most += lostAtOnce.get(request.content.parts[0].text) ?? 0;
        ranges.set(key, range);
      }
    }
  }
  for (const [key, times] of bill) {
    if (ranges.get(key) === undefined) breaches.push(`${key} was paid for and is in no job`);
    else if (times > (ranges.get(key)?.most ?? 0)) breaches.push(paid(key, times, ranges.get(key)));
  }
  for (const [key, range] of ranges) {
    const times = bill.get(key) ?? 0;
    if (times < range.least) breaches.push(paid(key, times, range));
  }
  return breaches;
}

/** Batches by key; texts that were embedded at once under the keys of the jobs that asked for them. */
async function wholeBill(
  { emulator }: Books,
  manifest: ManifestView,
): Promise<ReadonlyMap<string, number>> {
  const bill = new Map(await emulator.billing());
  const atOnce = emulator.paidTexts?.() ?? new Map<string, number>();
  const keysByText = new Map<string, Set<string>>();
  for (const job of manifest.jobs().filter(({ lane }) => lane === "sync")) {
    for await (const requests of readSent(manifest, job)) {
      for (const { key, request } of requests) {
        const { text } = request.content.parts[0];
        keysByText.set(text, (keysByText.get(text) ?? new Set()).add(key));
      }
    }
  }
  // rows of several jobs may have the same text: which of them was charged more often nobody can tell
  for (const [text, keys] of keysByText) {
    const names = [...keys];
    for (let paidFor = 0; paidFor < (atOnce.get(text) ?? 0); paidFor++) {
      const key = names[paidFor % names.length] ?? "";
      bill.set(key, (bill.get(key) ?? 0) + 1);
    }
  }
  return bill;
}

/** What was asked for: a copy is paid for with another row, and never by itself. */
async function* readSent(manifest: ManifestView, job: Job): AsyncGenerator<RequestLine[]> {
  for await (const lines of readLines(manifest.files(job.id).requests)) {
    yield lines.flatMap(({ bytes }) =>
      bytes === undefined || bytes.length === 0 ? [] : [parseRequestLine(bytes)],
    );
  }
}

function paid(key: string, times: number, range: Range | undefined): string {
  return `${key} was paid for ${times} times, not ${range?.least} to ${range?.most}`;
}

type Answer = "vector" | "error";

/** A line with a vector was paid for, one with an error was not; without a line nobody can tell. */
function addAnswer(range: Range, answer: Answer | undefined): void {
  if (answer === "error") return;
  range.most += 1;
  if (answer === "vector") range.least += 1;
}

async function readAnswers(manifest: ManifestView, job: Job): Promise<Map<string, Answer>> {
  const answers = new Map<string, Answer>();
  for await (const lines of readLines(manifest.files(job.id).results)) {
    for (const { bytes } of lines) {
      const line = bytes === undefined ? undefined : parseResultLine(bytes);
      if (line?.key === undefined || line.kind === "malformed") continue;
      answers.set(line.key, line.kind);
    }
  }
  return answers;
}

/** Keys of the rows that wait in failed files: each in one of them, as many as the journal says. */
async function readWaiting(
  manifest: ManifestView,
): Promise<{ keys: Set<string>; breaches: string[] }> {
  const keys = new Set<string>();
  const breaches: string[] = [];
  for (const job of manifest.jobs()) {
    if (job.outstanding.lines === 0) continue;
    let lines = 0;
    for await (const { key } of readFailedLines(manifest.files(job.id).failed)) {
      lines += 1;
      if (keys.has(key)) breaches.push(`${key} waits in two failed files`);
      keys.add(key);
    }
    if (lines !== job.outstanding.lines) {
      breaches.push(`${lines} rows wait for job ${job.id}, not ${job.outstanding.lines}`);
    }
  }
  return { keys, breaches };
}

type RowState = "right" | "wrong" | "empty" | "nothing to embed" | "of others" | "overwritten";
type AuditedRow = Readonly<{ id: string; key: string; state: RowState }>;

/** A row without a vector must wait in a failed file, under its text as it is now. */
function rowBreaches(rows: readonly AuditedRow[], waiting: ReadonlySet<string>): string[] {
  const wrong = rows.filter((row) => row.state === "wrong").map(({ id }) => id);
  const overwritten = rows.filter((row) => row.state === "overwritten").map(({ id }) => id);
  const lost = rows
    .filter((row) => row.state === "empty" && !waiting.has(row.key))
    .map(({ id }) => id);
  const both = rows
    .filter((row) => row.state === "right" && waiting.has(row.key))
    .map(({ id }) => id);
  return [
    ...(wrong.length > 0 ? [`rows with a wrong vector: ${some(wrong)}`] : []),
    ...(overwritten.length > 0
      ? [`rows whose vector was somebody else's: ${some(overwritten)}`]
      : []),
    ...(lost.length > 0 ? [`rows without a vector that no file knows of: ${some(lost)}`] : []),
    ...(both.length > 0 ? [`rows with a vector that wait as failed: ${some(both)}`] : []),
  ];
}

async function readRows({ database, target, filledByOthers }: Books): Promise<AuditedRow[]> {
  const id = `${quoteIdentifier(target.id)}::text`;
  const rows = await database.query(
    `SELECT ${id} AS id, ${textExpression(target)} AS text, ${fingerprintExpression(target)} AS fingerprint,
       ${quoteIdentifier(target.embedding)}::text AS embedding
     FROM ${quoteIdentifier(target.schema)}.${quoteIdentifier(target.table)} ORDER BY ${quoteIdentifier(target.id)}`,
  );
  return rows.map((row) => {
    const found = { id: cell(row, "id"), text: cell(row, "text") };
    const key = `${found.id}@${cell(row, "fingerprint")}`;
    const embedding = row["embedding"] ?? undefined;
    const state = stateOf(found.text, embedding, target);
    const isForeign = filledByOthers?.has(found.id) === true;
    return { id: found.id, key, state: isForeign ? foreignState(state) : state };
  });
}

/** What somebody else wrote is no vector of the emulator's, and must still be there. */
function foreignState(state: RowState): RowState {
  return state === "wrong" ? "of others" : "overwritten";
}

/** A last-place difference of float32. */
const TOLERANCE = 1e-6;

/** The emulator's vector depends on the exact text alone, so every row can be checked. */
function stateOf(text: string, embedding: string | undefined, target: Target): RowState {
  if (embedding === undefined) return text === "" ? "nothing to embed" : "empty";
  const { model, dimensions, taskType } = target;
  const expected = checkVector(emulatedVector(text, { model, dimensions, taskType }), dimensions);
  const found: unknown = JSON.parse(embedding);
  if (!expected.ok || !Array.isArray(found)) return "wrong";
  const isRight = expected.vector.every(
    (value, index) => Math.abs(value - Number(found[index])) < TOLERANCE,
  );
  return isRight ? "right" : "wrong";
}

const FILE_MODE = 0o600;
const PERMISSIONS = 0o777;

/** What jobs/README.md lists, of jobs that are there, and nothing else; readable by nobody else. */
async function folderBreaches(folder: string, manifest: ManifestView): Promise<string[]> {
  const expected = new Set(["manifest.ndjson", "too-long.jsonl"]);
  const optional = new Set(["too-long.jsonl"]);
  for (const { id, copies, resultsFile, outstanding } of manifest.jobs()) {
    expected.add(`${id}.requests.jsonl`);
    if (copies !== undefined) expected.add(`${id}.copies.jsonl`);
    if (resultsFile !== undefined) expected.add(`${id}.results.jsonl`);
    for (const nth of [1, 2]) optional.add(`${id}.results.jsonl.doubtful-${nth}`);
    if (outstanding.lines > 0) expected.add(`${id}.failed.jsonl`).add(`${id}.failed.csv`);
  }
  const found = await readdir(folder);
  const lastJob = Math.max(0, ...manifest.jobs().map(({ id }) => Number(id)));
  const breaches: string[] = [];
  for (const name of found) {
    if (expected.has(name) || optional.has(name) || isReserved(name, lastJob)) continue;
    if (!(await madeWay(folder, name))) breaches.push(`${name} is left over`);
  }
  for (const name of expected) {
    if (!found.includes(name) && !optional.has(name)) breaches.push(`${name} is not there`);
  }
  for (const name of found) {
    const { mode } = await stat(join(folder, name));
    if ((mode & PERMISSIONS) !== FILE_MODE) breaches.push(`${name} has mode ${mode.toString(8)}`);
  }
  return breaches;
}

/** A file of a job that died before it was recorded; the next job of that number replaces it. */
function isReserved(name: string, lastJob: number): boolean {
  const job = /^(?<job>\d{4,})\.(?:requests|copies)\.jsonl$/.exec(name)?.groups?.["job"];
  return job !== undefined && Number(job) > lastJob;
}

/** What a job that died before it was recorded would have asked, and another one of its number did not. */
async function madeWay(folder: string, name: string): Promise<boolean> {
  const [, present] = /^(\d{4,}\.(?:requests|copies)\.jsonl)\.unknown(?:-\d+)?$/.exec(name) ?? [];
  if (present === undefined) return false;
  const [aside, now] = await Promise.all(
    [name, present].map((each) => readFile(join(folder, each), "utf8").catch(() => undefined)),
  );
  return aside !== now;
}

const SHOWN = 5;

function some(ids: readonly string[]): string {
  return ids.length <= SHOWN
    ? ids.join(", ")
    : `${ids.slice(0, SHOWN).join(", ")} and ${ids.length - SHOWN} more`;
}
