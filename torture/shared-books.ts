/** The books of a shared manifest: events, job rows, the table and what the emulator was paid for must tell one story. */
import { spentOn } from "../src/cost/cost.ts";
import { pricesOf } from "../src/cost/tariff.ts";
import type { Emulator } from "../src/emulator/emulator.ts";
import { changeOf, commit, emptyState, indexOf, type ManifestState } from "../src/manifest/fold.ts";
import { sharedClock, systemClock } from "../src/clock.ts";
import type { JournalEvent } from "../src/manifest/event.ts";
import { isOpen } from "../src/manifest/states.ts";
import { readSharedEvents } from "../src/manifest/tables/open-shared.ts";
import { balanced } from "../src/row/sums.ts";
import { cell, type Database } from "../src/store/database.ts";
import { isRight } from "../test/workshop.ts";
import { TARGET } from "./table.ts";

/** A dollar a token. */
const PRICES = pricesOf({ price: 1_000_000 });
const SHOWN = 5;

type Books = Readonly<{
  database: Database;
  emulator: Pick<Emulator, "billing" | "batches">;
}>;

/** Each breach of a promise is a sentence. */
export async function judgeShared(books: Books): Promise<readonly string[]> {
  const breaches: string[] = [];
  const state = emptyState();
  for (const event of await eventsOf(books.database)) {
    try {
      commit(state, changeOf(state, event));
    } catch (error) {
      breaches.push(`an event does not follow from those before it: ${String(error)}`);
      return breaches;
    }
    if (event.type === "submitting") breaches.push(...admissionBreaches(state));
  }
  const jobs = [...state.jobs.values()];
  for (const { id, state: its, sums, requests, duplicateBatches } of jobs) {
    if (isOpen({ state: its })) breaches.push(`job ${id} is still ${its}`);
    else if (sums === undefined || !balanced(sums) || sums.requests !== requests)
      breaches.push(`the sums of job ${id} do not balance: ${JSON.stringify(sums)}`);
    if (duplicateBatches.length > 0) breaches.push(`job ${id} has more than one batch`);
  }
  return [
    ...breaches,
    ...(await rowsOfJobsBreaches(books.database, state)),
    ...(await vectorBreaches(books.database)),
    ...billBreaches(await books.emulator.billing()),
  ];
}

/** What the jobs have cost so far, by the events. */
export async function spentNow(database: Database): Promise<number> {
  return spentOn([...(await stateNow(database)).jobs.values()], PRICES).usd;
}

export async function limitsNow(database: Database): Promise<ManifestState["limits"]> {
  return (await stateNow(database)).limits;
}

async function stateNow(database: Database): Promise<ManifestState> {
  const state = emptyState();
  for (const event of await eventsOf(database)) commit(state, changeOf(state, event));
  return state;
}

async function eventsOf(database: Database): Promise<JournalEvent[]> {
  const events: JournalEvent[] = [];
  const clock = sharedClock(systemClock);
  await readSharedEvents({ tables: database, again: once, clock }, (event) => events.push(event));
  return events;
}

function once<T>(work: () => Promise<T>): Promise<T> {
  return work();
}

/** At the very intent: neither more batches nor more money than was set last. */
function admissionBreaches(state: ManifestState): string[] {
  const breaches: string[] = [];
  const active = Map.groupBy(indexOf(state).needing("settle", "poll"), ({ project }) => project);
  const { maxCost, maxActiveJobs = Infinity } = state.limits;
  for (const [project, jobs] of active)
    if (jobs.length > maxActiveJobs)
      breaches.push(`${jobs.length} jobs were sent at once to ${project}`);
  const spent = spentOn([...state.jobs.values()], PRICES).usd;
  if (typeof maxCost === "number" && spent > maxCost)
    breaches.push(`${spent} dollars were spent of ${maxCost}`);
  return breaches;
}

async function rowsOfJobsBreaches(
  database: Database,
  { jobs }: ManifestState,
): Promise<readonly string[]> {
  const rows = await database.query(
    "SELECT id || ' ' || seq || ' ' || state AS job FROM vecfill.job ORDER BY id",
  );
  const kept = rows.map((row) => cell(row, "job"));
  const folded = [...jobs.values()].map(({ id, seq, state }) => `${id} ${seq} ${state}`).toSorted();
  const other = folded.filter((each, at) => each !== kept[at]);
  return other.length === 0 && kept.length === folded.length
    ? []
    : [`the rows of jobs are not what the events come to: ${some(other)}`];
}

async function vectorBreaches(database: Database): Promise<readonly string[]> {
  const rows = await database.query(
    "SELECT id::text AS id, question_text AS text, embedding::text AS embedding FROM questions WHERE question_text <> ''",
  );
  const empty = rows.filter((row) => row["embedding"] === null).map((row) => cell(row, "id"));
  const wrong = rows
    .filter((row) => row["embedding"] !== null)
    .filter((row) => !isRight(cell(row, "text"), cell(row, "embedding"), TARGET))
    .map((row) => cell(row, "id"));
  return [
    ...(empty.length > 0 ? [`rows without a vector: ${some(empty)}`] : []),
    ...(wrong.length > 0 ? [`rows with a wrong vector: ${some(wrong)}`] : []),
  ];
}

function billBreaches(bill: ReadonlyMap<string, number>): readonly string[] {
  const twice = [...bill].filter(([, times]) => times > 1).map(([key]) => key);
  return twice.length > 0 ? [`${twice.length} lines were billed twice: ${some(twice)}`] : [];
}

function some(names: readonly string[]): string {
  return names.length <= SHOWN
    ? names.join(", ")
    : `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`;
}
