/**
 * Supabase's API through supabase-js. The only importer of it. Every request has a time limit, and
 * the client's own repeating of reads is off: `retry.ts` is the one place that repeats.
 */
import { createClient } from "@supabase/supabase-js";
import { RestError, restErrorOf } from "./rest-failure.ts";

/** The server stops a statement after 8 seconds; a slow line needs time for a page as well. */
const CALL_TIMEOUT_MS = 30_000;

export type ApiAddress = Readonly<{ url: string; key: string }>;

/** A condition on a column, as PostgREST writes it: `["id", "gt", "10"]`. */
export type Filter = readonly [column: string, operator: string, value: string];

export type Api = Readonly<{
  /** Where it is, for messages. */
  label: string;
  /** A SQL function's jsonb value. */
  call(
    schema: string,
    name: string,
    parameters: Readonly<Record<string, unknown>>,
  ): Promise<unknown>;
  /** Rows, at most as many as the server gives at once, which may be fewer than `limit`. */
  select(query: SelectQuery): Promise<unknown>;
  /** How many rows match. */
  count(query: Pick<SelectQuery, "schema" | "table" | "columns" | "filters">): Promise<number>;
  /** Sets columns of the rows that match, and tells how many did. */
  update(
    query: Pick<SelectQuery, "schema" | "table" | "filters">,
    values: Readonly<Record<string, unknown>>,
  ): Promise<number>;
  /** What the API says of the tables of a schema. */
  openApi(schema: string): Promise<unknown>;
}>;

type SelectQuery = Readonly<{
  schema: string;
  table: string;
  /** As in PostgREST's `select`. */
  columns: string;
  filters: readonly Filter[];
  order: string | undefined;
  limit: number;
}>;

/** No request is made yet. All of its functions reject with a RestError. */
export function connectSupabase({ url, key }: ApiAddress): Api {
  const client = createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    db: { retry: false },
    global: { fetch: inTime },
  });
  return {
    label: new URL(url).host,
    async call(schema, name, parameters) {
      return dataOf(await client.schema(schema).rpc(name, parameters));
    },
    async select({ schema, table, columns, filters, order, limit }) {
      const rows = client.schema(schema).from(encodeURIComponent(table)).select(columns);
      const query = filtered(rows, filters).limit(limit);
      if (order !== undefined) query.order(order, { ascending: true });
      return dataOf(await query);
    },
    async count({ schema, table, columns, filters }) {
      const rows = client
        .schema(schema)
        .from(encodeURIComponent(table))
        // not by HEAD: its failures look like successes
        .select(columns, { count: "exact" });
      return countOf(await filtered(rows, filters).limit(1));
    },
    async update({ schema, table, filters }, values) {
      const rows = client
        .schema(schema)
        .from(encodeURIComponent(table))
        .update(values, { count: "exact" });
      return countOf(await filtered(rows, filters));
    },
    async openApi(schema) {
      return dataOf(await client.schema(schema).getOpenApiSpec());
    },
  };
}

/** The limit holds until the last byte of the answer. A redirect would take the key to another address. */
const inTime: typeof fetch = (input, init) =>
  fetch(input, { ...init, redirect: "manual", signal: AbortSignal.timeout(CALL_TIMEOUT_MS) });

type Filterable<Q> = { filter(column: string, operator: string, value: string): Q };

function filtered<Q extends Filterable<Q>>(query: Q, filters: readonly Filter[]): Q {
  return filters.reduce(
    (narrowed, [column, operator, value]) => narrowed.filter(column, operator, value),
    query,
  );
}

type Answer = Readonly<{ data: unknown; error: unknown; count: number | null; status: number }>;

function dataOf({ data, error, status }: Answer): unknown {
  if (error !== null) throw restErrorOf(error, status);
  return data;
}

/** What looks like a success without a count is a failure that supabase-js did not notice. */
function countOf({ error, count, status }: Answer): number {
  if (error !== null) throw restErrorOf(error, status);
  if (count === null) {
    throw new RestError({ code: `HTTP_${status}`, message: "the API told no count", status });
  }
  return count;
}
