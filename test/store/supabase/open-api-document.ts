/** The part of PostgREST's OpenAPI document that says what tables there are. */
import type { Answer } from "./answer.ts";
import type { Column, Relation, SchemaCache } from "./schema-cache.ts";
import type { Query } from "./session.ts";
import { type PostgrestVersion, isFrom14 } from "./version.ts";

const PRIMARY_KEY = "Note:\nThis is a Primary Key.<pk/>";

/**
 * Tables that the role may use. Its query names the schema without quotes: one that needs them is
 * another schema, or none.
 */
export async function openApi(
  query: Query,
  schema: string,
  { relations }: SchemaCache,
  version: PostgrestVersion,
): Promise<Answer> {
  const allowed = await query(
    `SELECT c.relname::text AS name FROM pg_catalog.pg_class c
     WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
       AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')`,
    [schema],
  );
  const names = allowed.map(({ name }) => name);
  const shown = relations.filter(({ name }) => names.includes(name));
  return {
    status: 200,
    headers: {
      "content-type": "application/openapi+json; charset=utf-8",
      "content-profile": schema,
    },
    body: JSON.stringify({
      swagger: "2.0",
      info: { description: "", title: `standard ${schema} schema`, version },
      paths: Object.fromEntries(
        shown.map(({ name, writable }) => [
          `/${name}`,
          { get: {}, ...(writable ? { post: {}, delete: {}, patch: {} } : {}) },
        ]),
      ),
      definitions: Object.fromEntries(
        shown.map((relation) => [relation.name, definition(relation, version)]),
      ),
    }),
  };
}

function definition({ columns }: Relation, version: PostgrestVersion): unknown {
  const required = columns.filter((column) => column.required).map(({ name }) => name);
  return {
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(
      columns.map((column) => [column.name, property(column, version)]),
    ),
    type: "object",
  };
}

function property({ format, key, maxLength, description }: Column, version: PostgrestVersion) {
  const words = [description, key ? PRIMARY_KEY : undefined].filter((each) => each !== undefined);
  const type = jsonType(format);
  return {
    ...(words.length === 0 ? {} : { description: words.join("\n\n") }),
    format: (isFrom14(version) ? FORMATS_OF_14[format] : undefined) ?? format,
    ...(maxLength === undefined ? {} : { maxLength }),
    ...(type === undefined ? {} : { type }),
  };
}

/** Since 14.8. */
const FORMATS_OF_14: Readonly<Partial<Record<string, string>>> = {
  smallint: "int32",
  integer: "int32",
  bigint: "int64",
};

function jsonType(format: string): string | undefined {
  if (format.endsWith("[]")) return "array";
  if (/^jsonb?$/.test(format)) return undefined;
  if (/^(smallint|integer|bigint)$/.test(format)) return "integer";
  if (/^(numeric|real|double precision)$/.test(format)) return "number";
  return format === "boolean" ? "boolean" : "string";
}
