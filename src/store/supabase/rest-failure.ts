/**
 * Failures of Supabase's API in words for people. They are recognised by their code: a SQLSTATE, a
 * code of PostgREST's own (PGRST…), a network code of Node's, or HTTP_<status> for what a gateway
 * answers in its own way.
 */
import { z } from "zod";
import { PERHAPS_UNSEEN } from "../../row/schema-cache.ts";
import { UserError, type ExitReason } from "../../errors.ts";
import { columnName, tableName, type Target } from "../../row/target.ts";
import { TableRefusal } from "../port.ts";
import {
  byConnection,
  contended,
  isOfARow,
  isOfTheTable,
  isSqlState,
  tableRefusal,
} from "../failure.ts";
import { explainUndoneWrite } from "../undone-write.ts";

/** What the API or the network refused, with its code; also for `retry.ts`. */
export class RestError extends Error {
  override readonly name = "RestError";
  readonly code: string;
  /** 0: there was no answer. */
  readonly status: number;
  /** What the API says one might do. */
  readonly advice: string;

  constructor(told: Readonly<{ code: string; message: string; status: number; advice?: string }>) {
    super(told.message);
    this.code = told.code;
    this.status = told.status;
    this.advice = told.advice ?? "";
  }
}

const TOLD = z.object({
  code: z.string().nullish(),
  message: z.string().nullish(),
  details: z.string().nullish(),
  hint: z.string().nullish(),
});

const MESSAGE_CHARACTERS = 300;

/** From what supabase-js made of a failure. */
export function restErrorOf(error: unknown, status: number): RestError {
  const told = TOLD.safeParse(error).data ?? {};
  const message = (told.message ?? "").slice(0, MESSAGE_CHARACTERS).trim();
  const code = told.code || (status === 0 ? networkCode(told.details ?? "") : `HTTP_${status}`);
  return new RestError({
    code,
    message: message === "" || status === 0 ? (SHORT[code] ?? (message || code)) : message,
    status,
    advice: told.hint ?? "",
  });
}

/** The client gives the cause of a broken request in words only, its code in brackets. */
function networkCode(details: string): string {
  if (/TimeoutError|AbortError/.test(details)) return "QUERY_TIMEOUT";
  const code = /\((?<code>[A-Z][A-Z0-9_]+)\)/.exec(details)?.groups?.["code"];
  if (code === "UND_ERR_CONNECT_TIMEOUT") return "CONNECT_TIMEOUT";
  return code === undefined || code.startsWith("UND_ERR") ? "CONNECTION_LOST" : code;
}

const SHORT: Readonly<Partial<Record<string, string>>> = {
  QUERY_TIMEOUT: "no answer in time",
  CONNECT_TIMEOUT: "no connection in time",
  CONNECTION_LOST: "the connection broke",
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "the connection was reset",
  ENOTFOUND: "the name is not known",
  EAI_AGAIN: "the name cannot be looked up now",
};

export type RestContext = Readonly<{
  /** The API's host. */
  label: string;
  target: Target;
}>;

/** A UserError where there is something to tell a person; else the error as it is: a bug. */
export function explainRestFailure(error: unknown, context: RestContext): unknown {
  if (!(error instanceof RestError)) return error;
  const undone = explainUndoneWrite(error, context.target);
  if (undone !== undefined) return undone;
  const { code, message, advice } = error;
  const words = { code, message, hint: advice };
  const isRefusal = isSqlState(code) && isOfTheTable(words);
  const explanation = explanationOf(error);
  if (isRefusal && explanation === refused) return tableRefusal(context.target, words, error);
  const { why, hint, exit = "fatal" } = explanation(context, error);
  return isRefusal
    ? new TableRefusal(why, { hint, isOfARow: isOfARow(words), cause: error })
    : new UserError(why, { hint, exit, cause: error });
}

/** Statuses that mean "too much at once": fewer rows may pass. */
export function isTooMuch(error: unknown): boolean {
  return (
    error instanceof RestError &&
    ["57014", "QUERY_TIMEOUT", "HTTP_413", "HTTP_504", "HTTP_524", "PGRST003"].includes(error.code)
  );
}

/** The statement named a table, a column or a function that is not there. */
export function isMissingName(error: unknown): boolean {
  return (
    error instanceof RestError && ["PGRST205", "PGRST204", "42P01", "42703"].includes(error.code)
  );
}

/** There is no such function with such parameters, or the API has not seen it yet. */
export function isMissingFunction(error: unknown): boolean {
  return error instanceof RestError && ["PGRST202", "42883"].includes(error.code);
}

type Explanation = (
  context: RestContext,
  error: RestError,
) => Readonly<{ why: string; hint: string; exit?: ExitReason }>;

function explanationOf(error: RestError): Explanation {
  const { code, status } = error;
  if (code === "42501" && status === UNAUTHORIZED) return notForThisKey;
  if (code === "22023" && status === UNAUTHORIZED) return wrongKey;
  return (
    EXPLANATIONS[code] ??
    EXPLANATIONS[code.slice(0, SQLSTATE_CLASS_LENGTH)] ??
    (status >= SERVER_ERROR ? gateway : refused)
  );
}

const UNAUTHORIZED = 401;
const SERVER_ERROR = 500;
const SQLSTATE_CLASS_LENGTH = 2;
const AGAIN = "Run the same command again: it goes on where it stopped.";
const WHERE_KEYS_ARE = "copy it from the dashboard (Project Settings, API Keys)";

const wrongKey: Explanation = ({ label }, error) => ({
  why: `The key is refused by ${label}: ${error.message}.`,
  hint: `Set SUPABASE_SECRET_KEY to this project's secret key: ${WHERE_KEYS_ARE}.`,
});

const expiredKey: Explanation = ({ label }) => ({
  why: `The key has expired, says ${label}.`,
  hint: `Set SUPABASE_SECRET_KEY to a key that is valid: ${WHERE_KEYS_ARE}. If it should still be valid, check this machine's clock.`,
});

const redirected: Explanation = ({ label }, { status }) => ({
  why: `${label} answers with a redirect (HTTP ${status}), which is not followed: it would take the key to another address.`,
  hint: "Set SUPABASE_URL to the project's own address, with https:// in front.",
});

const notForThisKey: Explanation = ({ label, target }, error) => ({
  why: `The key of ${label} may not do this: ${error.message}. It is no secret key.`,
  hint: `Set SUPABASE_SECRET_KEY to the secret key: ${WHERE_KEYS_ARE}. A publishable or anon key cannot fill ${tableName(target)}.`,
});

const missingTable: Explanation = ({ label, target }, error) => ({
  why: `${label} knows no table ${tableName(target)}: ${error.message}.`,
  hint: `${error.advice === "" ? "Check --schema and --table." : `${error.advice}: give --table.`} ${PERHAPS_UNSEEN}`,
});

const missingColumn: Explanation = ({ target }, error) => ({
  why: `Table ${tableName(target)} lacks a column: ${error.message}.`,
  hint: `Check --id, --text and --embedding. ${PERHAPS_UNSEEN}`,
});

const missingFunction: Explanation = ({ label }, error) => ({
  why: `${label} does not know the SQL function: ${error.message}.`,
  hint: `Run \`vecfill init\` for this target and apply its migration. ${PERHAPS_UNSEEN}`,
});

const WRONG_WIDTH = "22000";

const wrongValue: Explanation = ({ target }, error) => ({
  why: `The column ${columnName(target)} does not take the vectors: ${error.message}.`,
  hint: `Run \`vecfill doctor\`: it compares the column's type and width with the model and --dimensions.${error.code === WRONG_WIDTH ? ` ${PERHAPS_UNSEEN}` : ""}`,
});

const unreachable: Explanation = ({ label }, error) => ({
  why: `Supabase's API at ${label} cannot be reached: ${error.message}.`,
  hint: "Check SUPABASE_URL and the network; a project that was paused is woken up in the dashboard.",
});

const lost: Explanation = ({ label }, error) => ({
  why: `The connection to ${label} was lost: ${error.message}.`,
  hint: AGAIN,
});

const untrusted: Explanation = ({ label }, error) => ({
  why: `The certificate of ${label} is not trusted: ${error.message}.`,
  hint: "Name the authority's file in NODE_EXTRA_CA_CERTS.",
});

const tooSlow: Explanation = ({ label, target }) => ({
  why: `A statement on ${tableName(target)} took longer than ${label} lets it.`,
  hint: `Take an index on ${target.embedding} off while it is filled, or raise the limit: alter role service_role set statement_timeout = '25s'; then notify pgrst, 'reload config';`,
});

const noAnswer: Explanation = ({ label }) => ({
  why: `${label} did not answer in time.`,
  hint: `Look at the load of the database in the dashboard. ${AGAIN}`,
});

const full: Explanation = ({ label }, error) => ({
  why: `The database behind ${label} has no room: ${error.message}.`,
  hint: `Add disk space in the dashboard (Database, Settings). ${AGAIN}`,
});

const busy: Explanation = ({ label }, error) => ({
  why: `The database behind ${label} takes no more connections: ${error.message}.`,
  hint: `Close other clients or choose a larger compute size. ${AGAIN}`,
});

const readOnly: Explanation = ({ label }) => ({
  why: `The database behind ${label} is read-only; Supabase sets a project so when its disk is nearly full.`,
  hint: "Add disk space or delete data (dashboard: Database, Settings), then run the same command again.",
});

const forbidden: Explanation = ({ target }, error) => ({
  why: `The key's role lacks a right: ${error.message}.`,
  hint: `Run in the SQL editor: ${grantFor(error.message, target, "service_role")}`,
});

/** What gives the right that a message says is missing. */
function grantFor(message: string, target: Target, role: string): string {
  const { kind, name } = /for (?<kind>schema|function) (?<name>.+)$/.exec(message)?.groups ?? {};
  if (kind === "schema") return `grant usage on schema ${name} to ${role};`;
  if (kind === "function") return "the migration of `vecfill init`, once more.";
  return `grant select, update on ${tableName(target)} to ${role};`;
}

const undescribed: Explanation = ({ label, target }, error) => ({
  why: `The API at ${label} cannot describe schema ${target.schema}: ${error.message}. PostgREST does not quote the name there, and it needs quotes; reading, writing and functions work in it.`,
  hint: "Run `vecfill init --apply` with DATABASE_URL set to the database's own address: with the SQL functions no description is needed.",
});

const gateway: Explanation = ({ label }, error) => ({
  why: `${label} failed: ${error.message} (${error.code}).`,
  hint: `Wait a moment. ${AGAIN}`,
});

const refused: Explanation = ({ label }, error) => ({
  why: `${label} refuses the request: ${error.message} (${error.code}).`,
  hint: "Run `vecfill doctor`: it checks the key, the table and the functions.",
});

/** By code, or by class of SQLSTATE. */
const EXPLANATIONS: Readonly<Partial<Record<string, Explanation>>> = {
  ...byConnection({ unreachable, lost, untrusted }),
  PGRST301: wrongKey,
  PGRST302: wrongKey,
  PGRST303: expiredKey,
  HTTP_301: redirected,
  HTTP_302: redirected,
  HTTP_303: redirected,
  HTTP_307: redirected,
  HTTP_308: redirected,
  HTTP_401: wrongKey,
  HTTP_403: wrongKey,
  PGRST205: missingTable,
  "42P01": missingTable,
  PGRST204: missingColumn,
  "42703": missingColumn,
  PGRST202: missingFunction,
  "42883": missingFunction,
  PGRST106: ({ label, target }, error) => ({
    why: `Schema ${target.schema} is not exposed by the API of ${label}. ${error.advice}.`,
    hint: `Expose it (dashboard: Project Settings, Data API, Exposed schemas), or set DATABASE_URL to the database's own address.`,
  }),
  PGRST102: refused,
  "3F000": undescribed,
  "42602": undescribed,
  "22": wrongValue,
  "42501": forbidden,
  "57014": tooSlow,
  "55": contended,
  "40": contended,
  "25006": readOnly,
  "53100": full,
  "53200": busy,
  "53300": busy,
  PGRST003: busy,
  "57P03": lost,
  PGRST000: gateway,
  PGRST001: gateway,
  PGRST002: gateway,
  HTTP_540: unreachable,
  QUERY_TIMEOUT: noAnswer,
  HTTP_504: noAnswer,
  HTTP_524: noAnswer,
  HTTP_413: ({ label }) => ({
    why: `${label} refuses a request as too large, down to a single row.`,
    hint: "Set DATABASE_URL to the database's own address.",
  }),
  HTTP_429: ({ label }) => ({
    why: `${label} has had too many requests.`,
    hint: `Wait a minute. ${AGAIN}`,
  }),
  HTTP_402: ({ label }) => ({
    why: `${label} is restricted: the project is over its quota or not paid for.`,
    hint: "Look at the dashboard's billing page.",
  }),
  PGRST126: ({ label }) => ({
    why: `${label} does not describe its tables (the OpenAPI document is switched off).`,
    hint: "Run `vecfill init` with DATABASE_URL set, and apply its migration: with the SQL functions the description is not needed.",
  }),
};
