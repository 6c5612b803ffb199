/** What PostgREST answers: bodies, statuses and headers, as recorded. */
import { isFrom14, type PostgrestVersion } from "./version.ts";

export type Answer = Readonly<{
  status: number;
  /** Undefined: the usual words for the status. */
  reason?: string;
  headers: Readonly<Record<string, string>>;
  body: string;
}>;

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };

export function refusal(
  status: number,
  { code, message, details = null, hint = null }: RefusalBody,
): Answer {
  return {
    status,
    headers: {
      ...JSON_TYPE,
      "proxy-status": `PostgREST; error=${code}`,
      ...(status === 503 ? { "retry-after": "0" } : {}),
      ...(status === 401 ? { "www-authenticate": "Bearer" } : {}),
    },
    body: JSON.stringify({ code, details, hint, message }),
  };
}

type RefusalBody = Readonly<{
  code: string;
  message: string;
  details?: string | null | undefined;
  hint?: string | null | undefined;
}>;

export type Page = Readonly<{
  rows: number;
  offset: number;
  /** Undefined where no count was asked for. */
  total: number | undefined;
  body: string;
  schema: string;
  location: string | undefined;
}>;

export function page({ rows, offset, total, body, schema, location }: Page): Answer {
  const partial = total !== undefined && rows < total;
  return {
    status: partial ? 206 : 200,
    headers: {
      ...JSON_TYPE,
      "content-range": contentRange(rows, offset, total),
      "content-profile": schema,
      ...(location === undefined ? {} : { "content-location": location }),
    },
    body,
  };
}

/** Before 14.2 PostgREST cut this body after two characters. */
export function beyondTheEnd(version: PostgrestVersion, offset: number, total: number): Answer {
  const range = { "content-range": `*/${total}` };
  if (!isFrom14(version)) return { status: 416, headers: { ...JSON_TYPE, ...range }, body: '{"' };
  const answer = refusal(416, {
    code: "PGRST103",
    message: "Requested range not satisfiable",
    details: `An offset of ${offset} was requested, but there are only ${total} rows.`,
  });
  // this refusal alone tells no proxy-status
  return { ...answer, headers: { ...JSON_TYPE, ...range } };
}

export function contentRange(rows: number, offset: number, total: number | undefined): string {
  const range = rows === 0 ? "*" : `${offset}-${offset + rows - 1}`;
  return `${range}/${total ?? "*"}`;
}

/** By SQLSTATE or its class; as PostgREST's documentation lists them. */
const STATUSES: readonly (readonly [prefix: string, status: number])[] = [
  ["42883", 404],
  ["42P01", 404],
  ["42P17", 500],
  ["23503", 409],
  ["23505", 409],
  ["25006", 405],
  ["53400", 500],
  ["57P01", 503],
  ["P0001", 400],
  ["08", 503],
  ["21", 500],
  ["09", 500],
  ["0L", 403],
  ["0P", 403],
  ["25", 500],
  ["28", 403],
  ["2D", 500],
  ["38", 500],
  ["39", 500],
  ["3B", 500],
  ["40", 500],
  ["53", 503],
  ["54", 500],
  ["55", 500],
  ["57", 500],
  ["58", 500],
  ["F0", 500],
  ["HV", 500],
  ["P0", 500],
  ["XX", 500],
];

export function statusOf(code: string, role: string): number {
  if (code.startsWith("PT")) return Number(code.slice("PT".length));
  if (code === "42501") return role === "anon" ? 401 : 403;
  return STATUSES.find(([prefix]) => code.startsWith(prefix))?.[1] ?? 400;
}
