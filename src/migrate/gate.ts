/**
 * What a new column has to show before it takes the old one's place: that no row is left out, that vectors are of
 * unit length and are those of their texts, and that its index finds what an exact search finds. Beside it, and
 * for people to judge: how far old and new neighbours agree, and, where queries with relevant rows are given, how
 * well each column finds these.
 */
import type { Report } from "../progress.ts";
import type { Target } from "../row/target.ts";
import { waitingPages } from "../store/migration/port.ts";
import type { PickedRow, Store } from "../store/port.ts";
import { comparable, drawPlaces, unlikeRows } from "../search/sample.ts";
import { type NowServices, queryVectors } from "../search/vectors-now.ts";
import { eachWindow } from "../search/windows.ts";

/** Of a search. */
const TOP = 10;
/** Rows whose neighbours are looked for. */
const SEARCHES = 50;
/** A row that has changed in this moment is filled after the swap: one in so many may be. */
const ROWS_A_LATECOMER = 100;

export type Query = Readonly<{ query: string; relevant: readonly string[] }>;

export type GateOptions = Readonly<{
  minRecall: number;
  sample: number;
  queries: readonly Query[];
}>;

/** Of one column: of the best ten, and the part of the relevant rows among them. */
type Found = Readonly<{ ndcg: number; recall: number }>;

export type Gate = Readonly<{
  rows: number;
  lacking: number;
  /** Of these, those that the last pass should have filled: the others changed since. */
  left: number;
  /** Of these, those that have a vector in the old column, and would be found no more. */
  losing: number;
  flawed: number;
  sampled: number;
  off: number;
  /** Undefined where no index stands on the column: a search is exact. */
  recall: number | undefined;
  /** Of the ten nearest by the old column, those that are so by the new one. */
  agreement: number | undefined;
  queries: Readonly<{ count: number; old: Found; next: Found }> | undefined;
  /** What keeps the swap back, in words; none: nothing does. */
  against: readonly string[];
}>;

export type GateServices = NowServices &
  Readonly<{
    old: Store;
    next: Store;
    lacking: () => Promise<readonly string[]>;
    isIndexed: boolean;
    report: Report;
  }>;

export async function checkColumn(
  services: GateServices,
  targets: Readonly<{ old: Target; next: Target }>,
  options: GateOptions & Readonly<{ before: readonly string[] }>,
): Promise<Gate> {
  const { next, lacking } = services;
  const { total, pending } = await next.count();
  const look = await lookThrough(services, drawPlaces(options.sample, total - pending));
  const rows = comparable(look.picked, targets.next);
  const off = await unlikeRows(services, targets.next, rows);
  const ids = look.picked.slice(0, SEARCHES).map(({ id }) => id);
  const now = await lacking();
  const before = new Set(options.before);
  const left = now.filter((id) => before.has(id));
  const found = {
    rows: total - pending,
    lacking: now.length,
    left: left.length,
    losing: await countFilled(services.old, left),
    flawed: look.flawed,
    sampled: rows.length,
    off: off.length,
    ...(await neighboursOf(services, ids)),
    queries: await queriesOf(services, targets, options.queries),
  };
  return { ...found, against: against(found, options) };
}

/** How many of these rows have a vector: what Gemini refused, or is too long, mostly has none in either column. */
async function countFilled(store: Store, ids: readonly string[]): Promise<number> {
  const filled = new Set(ids);
  if (filled.size === 0) return 0;
  for await (const page of waitingPages(store)) for (const { id } of page) filled.delete(id);
  return filled.size;
}

async function lookThrough(
  { next: store, signal, report }: GateServices,
  places: readonly number[],
): Promise<Readonly<{ flawed: number; picked: readonly PickedRow[] }>> {
  const picked: PickedRow[] = [];
  let [flawed, seen, rows] = [0, 0, 0];
  const picks = () => places.map((place) => place - seen);
  await eachWindow({ store, signal }, { wanted: [], picks }, (look) => {
    flawed += look.flawed.length;
    seen += look.withEmbedding;
    picked.push(...look.picked);
    rows += look.rows;
    report({ type: "verifying", rows });
  });
  return { flawed, picked };
}

/**
 * Of the nearest of these rows: the part of an exact search's that the index finds, and the part of the old
 * column's that are so by the new one. A row is its own neighbour by any model.
 */
async function neighboursOf(
  { old, next, isIndexed, report }: GateServices,
  ids: readonly string[],
): Promise<Readonly<{ recall: number | undefined; agreement: number | undefined }>> {
  // an API searches nothing
  if (next.nearest === undefined) return { recall: undefined, agreement: undefined };
  const [recalls, agreements]: [number[], number[]] = [[], []];
  for (const [place, row] of ids.entries()) {
    report({ type: "searching", searches: place, of: ids.length });
    const exact = await nearest(next, { row }, true, TOP + 1);
    if (isIndexed) recalls.push(overlap(exact.slice(0, TOP), await nearest(next, { row }, false)));
    const before = withoutItself(await nearest(old, { row }, true, TOP + 1), row);
    if (before.length > 0) agreements.push(overlap(before, withoutItself(exact, row)));
  }
  return { recall: meanOf(recalls), agreement: meanOf(agreements) };
}

function withoutItself(found: readonly string[], row: string): readonly string[] {
  return found.filter((id) => id !== row).slice(0, TOP);
}

async function queriesOf(
  services: GateServices,
  targets: Readonly<{ old: Target; next: Target }>,
  queries: readonly Query[],
): Promise<Gate["queries"]> {
  if (queries.length === 0 || services.next.nearest === undefined) return undefined;
  const found = async (store: Store, target: Target): Promise<Found> => {
    const texts = queries.map(({ query }) => query);
    const vectors = await queryVectors(services, target, texts);
    const each: Found[] = [];
    for (const [place, to] of vectors.entries()) {
      const ids = await nearest(store, to, false);
      each.push(judged(ids, new Set(queries[place]?.relevant)));
    }
    return {
      ndcg: mean(each.map(({ ndcg }) => ndcg)),
      recall: mean(each.map(({ recall }) => recall)),
    };
  };
  return {
    count: queries.length,
    old: await found(services.old, targets.old),
    next: await found(services.next, targets.next),
  };
}

/** A relevant row counts the less the later it comes; 1 where all stand first. */
export function judged(ids: readonly string[], relevant: ReadonlySet<string>): Found {
  const best = Math.min(TOP, relevant.size);
  const hits = [...ids.keys()].filter((place) => relevant.has(ids[place] ?? ""));
  if (best === 0) return { ndcg: 0, recall: 0 };
  return { ndcg: gainOf(hits) / gainOf([...Array(best).keys()]), recall: hits.length / best };
}

function gainOf(places: readonly number[]): number {
  return places.reduce((all, place) => all + 1 / Math.log2(place + 2), 0);
}

async function nearest(
  store: Store,
  to: Float32Array | Readonly<{ row: string }>,
  exact: boolean,
  limit = TOP,
): Promise<string[]> {
  if (store.nearest === undefined) throw new Error("a migration went on where nothing is searched");
  return (await store.nearest({ to, limit, exact })).map(({ id }) => id);
}

function overlap(expected: readonly string[], found: readonly string[]): number {
  const there = new Set(found);
  return expected.filter((id) => there.has(id)).length / Math.max(1, expected.length);
}

function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : mean(values);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function against(gate: Omit<Gate, "against">, { minRecall }: GateOptions): string[] {
  const { rows, lacking, losing, flawed, off, recall } = gate;
  const isLacking = lacking > rows / ROWS_A_LATECOMER;
  return [
    ...(isLacking ? ["rows have a text and no vector"] : []),
    ...(losing > 0 ? ["rows have a vector in the old column and none in the new one"] : []),
    ...(flawed > 0 ? ["vectors have a wrong width or length"] : []),
    ...(off > 0 ? ["vectors are not those of their texts"] : []),
    ...(recall !== undefined && recall < minRecall
      ? ["the index misses too much (--min-recall)"]
      : []),
  ];
}
