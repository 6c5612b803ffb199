/** Whether a target can be filled, judged by what the database says of its table. */
import { UserError, usageError } from "../errors.ts";
import { MODELS } from "./models.ts";
import type { TargetDescription, WritingFacts } from "./target-description.ts";
import { columnName, tableName, type Target } from "./target.ts";

/** Throws a UserError with the mend at the first thing that stands against it. */
export function checkTarget(target: Target, description: TargetDescription): void {
  checkModel(target);
  checkKind(target, description);
  checkId(target, description);
  checkEmbedding(target, description);
  checkWriting(target, description.writing);
}

/** A view shows the rows of a table: there they have a key, and versions. */
export function noTable(
  target: Target,
  { insteadOfTable: kind, tablesBelow = [] }: TargetDescription,
): UserError {
  const names = tablesBelow.length === 0 ? "" : `: ${tablesBelow.join(", ")}`;
  return new UserError(
    `${tableName(target)} is a ${kind ?? "view or foreign table"}, no table of its own.`,
    { hint: `Give --table (and --schema) of the table below it${names}.` },
  );
}

/** Only that rows can be read in order and hold vectors, of whatever width. Throws as `checkTarget`. */
export function checkColumn(target: Target, description: TargetDescription): void {
  checkId(target, description);
  checkVectorType(target, description);
}

function checkModel(target: Target): void {
  const { minDimensions, maxDimensions } = MODELS[target.model];
  const { dimensions } = target;
  if (Number.isInteger(dimensions) && dimensions >= minDimensions && dimensions <= maxDimensions) {
    return;
  }
  throw usageError(
    `${target.model} gives no vectors of ${dimensions} dimensions.`,
    `Give --dimensions between ${minDimensions} and ${maxDimensions}, equal to the column's width.`,
  );
}

function checkId(target: Target, description: TargetDescription): void {
  const { idType, idTypeName, namedBy, idUnique } = description;
  const name = `${tableName(target)}.${target.id}`;
  if (idType === undefined && namedBy !== undefined) {
    throw new UserError(
      `This API's version (${namedBy}) names the type of the key column ${name} ${idTypeName}, and vecfill knows no key of that name.`,
      {
        hint: "Give --id, a column of type integer, uuid or text. If it is one of these, run `vecfill init --apply` with DATABASE_URL set to the database's own address: the SQL functions know the types themselves.",
      },
    );
  }
  if (idType === undefined) {
    throw new UserError(`The key column ${name} is of type ${idTypeName}, which cannot be a key.`, {
      hint: "Give --id, a column of type integer, uuid or text.",
    });
  }
  if (!idUnique) {
    throw new UserError(`The key column ${name} is not unique on its own.`, {
      hint: uniqueKeyHint(target, description),
    });
  }
}

/** Through the API alone some views can be filled, row by row; of those that cannot it is known. */
function checkKind(target: Target, description: TargetDescription): void {
  const { insteadOfTable, namedBy, unwritable } = description;
  const isView = insteadOfTable?.endsWith("view") === true && namedBy === undefined;
  if (isView || unwritable === true) throw noTable(target, description);
}

const NO_KEY_THERE: Readonly<Partial<Record<string, string>>> = {
  "partitioned table":
    "It is a partitioned table, whose keys hold what it is partitioned by. With the database's own address vecfill fills its partitions, as far as it has some that are tables; through its API give each as --table, with an --id that is unique in it.",
  "foreign table": "It is a foreign table, which has no keys here: fill it in its own database.",
};

function uniqueKeyHint(target: Target, { insteadOfTable }: TargetDescription): string {
  const hint = NO_KEY_THERE[insteadOfTable ?? ""];
  if (hint !== undefined) return hint;
  const table = tableName(target);
  return `Give another --id, or make it unique: create unique index concurrently on ${table} (${target.id}); Where it is one of several columns of a key, add a column that is one by itself, and give it as --id: alter table ${table} add column row_id bigint generated always as identity unique;`;
}

function checkEmbedding(target: Target, description: TargetDescription): void {
  checkVectorType(target, description);
  checkWidth(target, description);
}

export function noExtension(): UserError {
  return new UserError("The database does not have the extension pgvector.", {
    hint: "Run: create extension vector; (on Supabase: Database, Extensions, vector).",
  });
}

function checkVectorType(target: Target, description: TargetDescription): void {
  const { embedding, pgvectorVersion } = description;
  const name = columnName(target);
  if (pgvectorVersion === undefined) {
    throw noExtension();
  }
  if (embedding.typeName !== "vector" && embedding.typeName !== "halfvec") {
    throw new UserError(`The column ${name} is of type ${embedding.typeName}, not a vector.`, {
      hint: `Give --embedding, or add a column: alter table ${tableName(target)} add column <name> vector(${target.dimensions});`,
    });
  }
}

/** What makes every UPDATE of the column fail, or do something else, or find nothing to do. */
function checkWriting(target: Target, facts: WritingFacts): void {
  const [message, hint] = obstacleOf(target, facts) ?? [];
  if (message !== undefined && hint !== undefined) throw new UserError(message, { hint });
}

type Obstacle = readonly [message: string, mend: string];

function obstacleOf(
  target: Target,
  { generated, notNull, children, publications, rules }: WritingFacts,
): Obstacle | undefined {
  const table = tableName(target);
  const column = `The column ${table}.${target.embedding}`;
  const alter = `alter table ${table} alter column ${target.embedding}`;
  if (generated) {
    return [
      `${column} is generated: the database computes it, and nobody can write it.`,
      `Make it a plain column: ${alter} drop expression; or give --embedding.`,
    ];
  }
  if (notNull) {
    return [
      `${column} is NOT NULL: nothing is ever NULL there, so no row would ever be found to fill.`,
      `Run: ${alter} drop not null; and set to NULL the rows that are to be filled.`,
    ];
  }
  if (children.length > 0) {
    return [
      `Other tables inherit from ${table} (${children.join(", ")}): their rows show in it, and may have keys that stand twice.`,
      `Fill each child as --table, and take it out meanwhile: alter table ${children[0]} no inherit ${table};`,
    ];
  }
  if (publications.length > 0) {
    return [
      `${table} is in the publication ${publications.join(", ")} and has no replica identity: Postgres refuses every UPDATE of it.`,
      `Give it a primary key, or run: alter table ${table} replica identity full;`,
    ];
  }
  if (rules.length === 0) return undefined;
  return [
    `The rule ${rules.join(", ")} of ${table} does something else in place of an UPDATE.`,
    `Take it off meanwhile: alter table ${table} disable rule ${rules[0]};`,
  ];
}

function checkWidth(target: Target, { embedding }: TargetDescription): void {
  const name = columnName(target);
  if (embedding.dimensions !== undefined && embedding.dimensions !== target.dimensions) {
    throw new UserError(
      `The column ${name} has ${embedding.dimensions} dimensions, and ${target.dimensions} are asked for.`,
      {
        hint: `Give --dimensions ${embedding.dimensions}, or alter the column while it is empty: alter table ${tableName(target)} alter column ${target.embedding} type ${embedding.typeName}(${target.dimensions});`,
      },
    );
  }
}
