/** The part of PostgREST's OpenAPI document that says what tables there are. */
import { quoteIdentifier as quoted } from "../../src/store/sql.ts";
import type { Answer } from "./answer.ts";
import type { Query } from "./session.ts";

const PRIMARY_KEY = "Note:\nThis is a Primary Key.<pk/>";

/** Tables that the role may use. Types print with their schema, as on an empty search path. */
export async function openApi(query: Query, schema: string): Promise<Answer> {
  await query("SELECT set_config('search_path', '', true)");
  const columns = await query(
    `SELECT c.relname::text AS relation, a.attname::text AS name, a.attnotnull AS required,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
         ELSE format_type(a.atttypid, a.atttypmod) END AS format,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
         AND a.attnum = ANY (i.indkey)) AS key
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
     WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f')
       AND a.attnum > 0 AND NOT a.attisdropped
       AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
     ORDER BY c.relname, a.attnum`,
    [quoted(schema)],
  );
  const definitions: Record<string, { properties: Record<string, unknown>; type: string }> = {};
  for (const { relation, name, format, key } of columns) {
    const definition = (definitions[String(relation)] ??= { properties: {}, type: "object" });
    const property = key === true ? { description: PRIMARY_KEY, format } : { format };
    definition.properties[String(name)] = property;
  }
  return {
    status: 200,
    headers: { "content-type": "application/openapi+json; charset=utf-8" },
    body: JSON.stringify({
      swagger: "2.0",
      info: { description: "", title: `standard ${schema} schema`, version: "13.0.8" },
      paths: {},
      definitions,
    }),
  };
}
