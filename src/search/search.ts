/** The rows whose vectors are nearest to a text's. */
import { usageError } from "../errors.ts";
import { needsDatabase } from "../words/needs-database.ts";
import type { NearRow, Store } from "../store/port.ts";
import type { Target } from "../row/target.ts";
import { type NowServices, queryVectors } from "./vectors-now.ts";

const VECTOR_ALONE =
  ". The query's vector alone, for a search of your own: `vecfill search <query> --print-vector`.";

export async function searchRows(
  services: NowServices & Readonly<{ store: Store }>,
  target: Target,
  { text, top }: Readonly<{ text: string; top: number }>,
): Promise<readonly NearRow[]> {
  const { nearest } = services.store;
  if (nearest === undefined) throw needsDatabase("Searching", VECTOR_ALONE);
  return nearest({ to: await queryVector(services, target, text), limit: top });
}

export async function queryVector(
  services: NowServices,
  target: Target,
  text: string,
): Promise<Float32Array> {
  if (text.trim() === "") {
    throw usageError("There is no text to search for.", 'Give one: `vecfill search "a text"`.');
  }
  const [vector] = await queryVectors(services, target, [text]);
  if (vector === undefined) throw new Error("there is no vector of the query");
  return vector;
}
