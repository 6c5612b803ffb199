/**
 * What the API's own description (OpenAPI, as PostgREST writes it) says of a table. It knows
 * columns, types and the primary key; of indexes, triggers and versions it says nothing.
 */
import { z } from "zod";
import { parseRecipe, recipeColumns } from "../../row/recipe.ts";
import type { Target } from "../../row/target.ts";
import { TableRefusal } from "../port.ts";
import { noSuchColumn, noSuchTable } from "../catalogue.ts";
import { PERHAPS_UNSEEN } from "../../row/schema-cache.ts";
import {
  type IdType,
  KEY_TYPES,
  type TargetDescription,
  NOTHING_IN_THE_WAY,
} from "../../row/target-description.ts";

const COLUMN = z.object({
  /** As the database prints the type, or as JSON Schema has it: `bigint` became `int64` in 14.8. */
  format: z.string().default(""),
  type: z.unknown().optional(),
  description: z.string().default(""),
});
const DOCUMENT = z.object({
  info: z.object({ version: z.string().default("") }).default({ version: "" }),
  definitions: z
    .record(
      z.string(),
      z.object({
        /** Columns that are never NULL; a view has none. */
        required: z.array(z.string()).default([]),
        properties: z.record(z.string(), COLUMN).default({}),
      }),
    )
    .default({}),
  paths: z.record(z.string(), z.looseObject({})).default({}),
});

type Document = z.infer<typeof DOCUMENT>;
type Column = Readonly<z.infer<typeof COLUMN>>;

export type ApiDescription = Readonly<{
  description: TargetDescription;
  /** The schema that the vector type stands in, where it is told. */
  vectorSchema: string | undefined;
  /** The column's type by its name. */
  typeOf(column: string): string;
}>;

/** Throws a UserError when table or columns are not there. `label`: where the API is. */
export function describeByOpenApi(target: Target, given: unknown, label: string): ApiDescription {
  const document = DOCUMENT.parse(given);
  const { definitions, info } = document;
  const { properties: columns, required = [] } = definitions[target.table] ?? {};
  if (columns === undefined) {
    const tables = Object.keys(definitions).map((name) => `${target.schema}.${name}`);
    throw perhapsUnseen(noSuchTable(target, tables, label));
  }
  const named = columnFinder(target, columns);
  for (const name of recipeColumns(parseRecipe(target.text))) named(name, "--text");
  const id = named(target.id, "--id");
  const { typeName, dimensions, schema } = vectorType(named(target.embedding, "--embedding"));
  const keys = Object.values(columns).filter(isInPrimaryKey);
  return {
    description: {
      idType: idTypeOf(id),
      idTypeName: id.format,
      namedBy: `PostgREST ${info.version}`,
      idUnique: keys.length === 1 && isInPrimaryKey(id),
      ...viewFacts(target, document),
      embedding: { typeName, dimensions },
      writing: { ...NOTHING_IN_THE_WAY, notNull: required.includes(target.embedding) },
      embeddingIndexes: [],
      updateTriggers: [],
      serverVersion: `unknown, behind PostgREST ${info.version}`,
      pgvectorVersion: "unknown",
    },
    vectorSchema: schema,
    typeOf: (column) => columns[column]?.format ?? "",
  };
}

/** What the API describes is what it has read of the schema, some time ago. */
function perhapsUnseen({ message, hint }: TableRefusal): TableRefusal {
  return new TableRefusal(message, { hint: `${hint} ${PERHAPS_UNSEEN}` });
}

/** A table's key is never NULL; of a view's columns that cannot be said. */
function viewFacts(
  target: Target,
  { definitions, paths }: Document,
): Pick<TargetDescription, "insteadOfTable" | "unwritable" | "tablesBelow"> {
  const { properties = {}, required = [] } = definitions[target.table] ?? {};
  const path = paths[`/${target.table}`];
  const unwritable = path !== undefined && !("patch" in path) ? { unwritable: true as const } : {};
  const isView = Object.entries(properties).some(
    ([name, column]) => isInPrimaryKey(column) && !required.includes(name),
  );
  if (!isView) return unwritable;
  const columns = [target.id, target.embedding, ...recipeColumns(parseRecipe(target.text))];
  const tablesBelow = Object.entries(definitions)
    .filter(([, { required: needed }]) => needed.includes(target.id))
    .filter(([, table]) =>
      columns.every((name) => isSame(properties[name], table.properties[name])),
    )
    .map(([name]) => `${target.schema}.${name}`);
  return { ...unwritable, insteadOfTable: "view", tablesBelow };
}

function isSame(one: Column | undefined, other: Column | undefined): boolean {
  return one?.format === other?.format;
}

/** By its name or, where the API has another one for it, by what it is. */
function idTypeOf({ format, type }: Column): IdType | undefined {
  return KEY_TYPES[format.replace(/\(.*$/, "")] ?? (type === "integer" ? "integer" : undefined);
}

function isInPrimaryKey({ description }: Column): boolean {
  return description.includes("<pk/>");
}

const VECTOR =
  /^(?:(?<schema>[^"]+|"(?:[^"]|"")+")\.)?(?<type>vector|halfvec)(?:\((?<width>\d+)\))?$/;

function vectorType({ format }: Column): {
  typeName: string;
  dimensions: number | undefined;
  schema: string | undefined;
} {
  const { type, width, schema } = VECTOR.exec(format)?.groups ?? {};
  return {
    typeName: type ?? format,
    dimensions: width === undefined ? undefined : Number(width),
    schema: schema?.startsWith('"') ? schema.slice(1, -1).replaceAll('""', '"') : schema,
  };
}

function columnFinder(target: Target, columns: Readonly<Record<string, Column>>) {
  const there = new Map(Object.entries(columns).map(([name, { format }]) => [name, format]));
  return (name: string, option: string): Column => {
    const column = Object.hasOwn(columns, name) ? columns[name] : undefined;
    if (column === undefined) throw perhapsUnseen(noSuchColumn(target, name, option, there));
    return column;
  };
}
