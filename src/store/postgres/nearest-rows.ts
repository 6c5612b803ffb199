/** The rows nearest to a vector, as the application would ask for them: by the index, where there is one. */
import type { TargetDescription } from "../../row/target-description.ts";
import { quoteIdentifier, type Target } from "../../row/target.ts";
import { operatorOf, servesSearch } from "../../row/width.ts";
import { ANN_METHODS } from "../../row/write-cost.ts";
import { readCatalogue } from "../catalogue.ts";
import { cell, type Database, type Row } from "../database.ts";
import type { NearRow, Nearest } from "../port.ts";
import {
  qualifiedColumn,
  qualifiedTable,
  quoteLiteral,
  startOfText,
  type TableShape,
} from "../sql.ts";

/** pgvector's default, which an HNSW index gives at most. */
const EF_SEARCH = 40;
const COSINE = "<=>";

export async function nearestRows(
  database: Database,
  target: Target,
  shape: TableShape,
  asked: Nearest,
): Promise<NearRow[]> {
  // one may have been built since
  const indexes =
    asked.exact === true
      ? []
      : (await readCatalogue(database, target)).description.embeddingIndexes;
  return (await database.script(nearestScript(target, shape, indexes, asked))).map(nearRow);
}

/** To be sent as one: the settings hold for its last statement, which gives the rows. */
function nearestScript(
  target: Target,
  shape: TableShape,
  indexes: TargetDescription["embeddingIndexes"],
  { to, limit, exact = false }: Nearest,
): string {
  const schema = quoteIdentifier(shape.vectorSchema);
  const embedding = qualifiedColumn(target, target.embedding);
  const query =
    "row" in to
      ? vectorOfRow(target, to.row)
      : `'[${to.join(",")}]'::${schema}.vector::${schema}.${shape.embeddingType}`;
  const index = indexes.find(
    ({ method, valid, definition }) =>
      valid && ANN_METHODS.includes(method) && servesSearch(definition),
  );
  const by = (operator: string) => `${embedding} OPERATOR(${schema}.${operator}) ${query}`;
  return `
    SELECT pg_catalog.set_config('hnsw.ef_search', '${Math.max(EF_SEARCH, limit)}', true),
      pg_catalog.set_config('enable_indexscan', '${exact ? "off" : "on"}', true);
    SELECT ${qualifiedColumn(target, target.id)}::text AS id, ${startOfText(target)} AS text,
      (1 - (${by(COSINE)}))::text AS similarity
    FROM ${qualifiedTable(target)} WHERE ${embedding} IS NOT NULL AND ${query} IS NOT NULL
    ORDER BY ${by(index === undefined ? COSINE : operatorOf(index.definition))} LIMIT ${Math.trunc(limit)}`;
}

/** A row with a key of its own has one vector, or none. */
function vectorOfRow(target: Target, id: string): string {
  return `(SELECT ${quoteIdentifier(target.embedding)} FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.id)}::text = ${quoteLiteral(id)} LIMIT 1)`;
}

function nearRow(row: Row): NearRow {
  const similarity = Number(cell(row, "similarity"));
  return { id: cell(row, "id"), text: cell(row, "text"), similarity };
}
