/**
 * The column as the database sees it, window by window, so that no statement takes long however
 * large the table is. Of each vector and its text a hash comes back, twelve bytes in memory a row:
 * what stands under more than one text is found in one pass, and only what looks like it is asked
 * for again.
 */
import { KeyTable } from "../../row/key-table.ts";
import type { Report } from "../../progress.ts";
import {
  type PickedRow,
  type Store,
  TEXT_HASH_DIGITS,
  VECTOR_HASH_DIGITS,
} from "../../store/port.ts";
import { eachWindow } from "../../search/windows.ts";
import { Findings } from "./findings.ts";

export type ColumnServices = Readonly<{ store: Store; report: Report; signal: AbortSignal }>;

export type ColumnSummary = Readonly<{
  total: number;
  withEmbedding: number;
  wrongDimensions: number;
  notUnitLength: number;
  notFinite: number;
  /** Vectors that stand under texts which differ in more than spaces. */
  identicalVectors: number;
  picked: readonly PickedRow[];
}>;

/** Vectors that are looked at twice; one mistake may give every row the same. */
const MAX_REPEATED = 1_000;

/** `picks`: places, in ascending order, among the rows with a vector. */
export async function verifyColumn(
  services: ColumnServices,
  picks: readonly number[],
  findings: Findings,
): Promise<ColumnSummary> {
  const counts = { dimensions: 0, length: 0, notFinite: 0 };
  const repeats = new Repeats();
  const picked: PickedRow[] = [];
  let [total, withEmbedding] = [0, 0];
  const ask = { wanted: [], picks: () => picks.map((place) => place - withEmbedding) };
  await eachWindow(services, ask, (look) => {
    for (const { id, flaw, detail } of look.flawed) {
      counts[flaw] += 1;
      findings.add({ id, problem: flaw, detail });
    }
    repeats.add(look.hashes);
    picked.push(...look.picked);
    total += look.rows;
    withEmbedding += look.withEmbedding;
    services.report({ type: "verifying", rows: total });
  });
  const identicalVectors = await nameRepeats(services, repeats.hashes, findings);
  return {
    total,
    withEmbedding,
    wrongDimensions: counts.dimensions,
    notUnitLength: counts.length,
    notFinite: counts.notFinite,
    identicalVectors,
    picked,
  };
}

/** Hashes of vectors seen under more than one text. */
class Repeats {
  readonly #texts = new KeyTable();
  readonly hashes = new Set<string>();

  /** As `Look` has them. */
  add(hashes: string): void {
    const length = VECTOR_HASH_DIGITS + TEXT_HASH_DIGITS;
    for (let start = 0; start < hashes.length; start += length) {
      const vector = hashes.slice(start, start + VECTOR_HASH_DIGITS);
      const text = Number.parseInt(hashes.slice(start + VECTOR_HASH_DIGITS, start + length), 16);
      if (!this.#texts.add(vector, text) && this.#texts.get(vector) !== text) {
        this.hashes.add(vector);
      }
    }
  }
}

/** Looks at the rows of these vectors, and leaves out those whose texts differ in spaces only. */
async function nameRepeats(
  services: ColumnServices,
  hashes: ReadonlySet<string>,
  findings: Findings,
): Promise<number> {
  if (hashes.size === 0) return 0;
  const wanted = [...hashes].slice(0, MAX_REPEATED);
  const rows = new Map<string, { texts: Set<string>; ids: string[] }>();
  await eachWindow(services, { wanted, picks: () => [] }, ({ found }) => {
    for (const { id, hash, words } of found) {
      const group = rows.get(hash) ?? { texts: new Set(), ids: [] };
      group.texts.add(words);
      group.ids.push(id);
      rows.set(hash, group);
    }
  });
  const groups = [...rows].filter(([, { texts }]) => texts.size > 1);
  for (const [hash, { ids }] of groups) {
    for (const id of ids) findings.add({ id, problem: "identical", detail: `vector ${hash}` });
  }
  return groups.length + hashes.size - wanted.length;
}
