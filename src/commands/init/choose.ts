/** Which table and columns are meant, by what there is in the database and what was said already. */
import { nearFirst, usageError } from "../../errors.ts";
import { addingColumn, tableName, type Target } from "../../row/target.ts";
import type { FoundTable, FoundTables } from "../../row/target-description.ts";

export type Choosing = Readonly<{
  /** As it is without being chosen. */
  target: Target;
  /** Members of the target that somebody has set. */
  set: ReadonlySet<keyof Target>;
  /** Undefined: there is nobody to ask. */
  choose: ((question: string, choices: readonly string[]) => Promise<number>) | undefined;
}>;

/** `lacks`: statements that make what the target has not yet. */
export type Chosen = Readonly<{ target: Target; lacks: readonly string[] }>;

export async function chooseTarget(found: FoundTables, choosing: Choosing): Promise<Chosen> {
  const { target, set } = choosing;
  const table = set.has("table") ? tableNamed(found, target) : await chosenTable(found, choosing);
  if (table === undefined) return { target, lacks: [] };
  requireColumns(table, set);
  const columns = await chosenColumns(table, choosing);
  const lacks = [
    ...(found.hasVectors ? [] : ["create extension if not exists vector"]),
    ...(table.vectors.some(({ name }) => name === columns.embedding)
      ? []
      : [addingColumn(columns, columns.embedding)]),
  ];
  return { target: columns, lacks };
}

function requireColumns(table: FoundTable, set: Choosing["set"]): void {
  const name = tableName(table);
  if (table.keys.length === 0 && !set.has("id")) {
    throw usageError(
      `${name} has no key of one column that is an integer, a uuid or text.`,
      "Give its rows a primary key, or name a unique column that is never NULL with --id.",
    );
  }
  if (table.texts.length > 0 || set.has("text")) return;
  throw usageError(
    `${name} has no column with text.`,
    "Name what is to be embedded with --text: a column, or a recipe such as '{name}: {price}'.",
  );
}

/** Undefined where it is not there: who looks at it next says so. */
function tableNamed({ tables }: FoundTables, target: Target): FoundTable | undefined {
  return tables.find((each) => tableName(each) === tableName(target));
}

async function chosenTable(
  { tables }: FoundTables,
  { target, choose }: Choosing,
): Promise<FoundTable | undefined> {
  const fillable = tables.filter(({ keys, texts }) => keys.length > 0 && texts.length > 0);
  const ready = fillable.filter(({ vectors }) => vectors.length > 0);
  const offered = [...ready, ...fillable.filter((each) => !ready.includes(each))];
  const [only, ...others] = ready.length > 0 ? ready : offered;
  if (choose !== undefined && offered.length > 1) {
    return offered[await choose("Which table is to be filled?", offered.map(tableText))];
  }
  const usual = ready.find((each) => tableName(each) === tableName(target));
  if (usual !== undefined || others.length === 0) return usual ?? only;
  const names = offered.map(tableName);
  throw usageError(
    `There are ${offered.length} tables that could be filled, and nobody to ask which.`,
    `Give --table: ${nearFirst(tableName(target), names)}.`,
  );
}

function tableText(table: FoundTable): string {
  const vectors = table.vectors.map(({ name, type }) => `${name} ${type}`);
  return `${tableName(table)}: text in ${table.texts.join(", ")}; ${vectors.join(", ") || "no vector column yet"}`;
}

async function chosenColumns(
  table: FoundTable,
  { target, set, choose }: Choosing,
): Promise<Target> {
  const { schema, table: name, texts, vectors } = table;
  /** What was said, else what is usual, else the first there is. */
  const pick = (member: "id" | "text" | "embedding", there: readonly string[]) => {
    const usual = target[member];
    return set.has(member) || there.includes(usual) ? usual : (there[0] ?? usual);
  };
  const text =
    choose !== undefined && !set.has("text") && texts.length > 1
      ? texts[await choose("Which column holds the text?", texts)]
      : pick("text", texts);
  const embedding = pick(
    "embedding",
    vectors.map((each) => each.name),
  );
  const width = vectors.find((each) => each.name === embedding)?.width;
  const dimensions = set.has("dimensions") ? target.dimensions : (width ?? target.dimensions);
  const names = { schema, table: name, id: pick("id", table.keys), text: text ?? target.text };
  return { ...target, ...names, embedding, dimensions };
}
