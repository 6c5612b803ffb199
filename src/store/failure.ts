/**
 * Failures of a database in words for people. What drivers throw is recognised by its code: a
 * SQLSTATE, a network code of Node's, or one of ours for what `pg` says in words only.
 */
import { z } from "zod";
import { UserError, type ExitReason } from "../errors.ts";
import { tableName, type Target } from "../row/target.ts";
import { TableRefusal } from "./port.ts";
import { explainUndoneWrite } from "./undone-write.ts";

export type FailureContext = Readonly<{
  /** Where the database is; without a password. */
  label: string;
  target: Target;
  /** The condition that was part of the statement. */
  where?: string | undefined;
  /** The statement offered vectors to rows. */
  writes?: boolean;
}>;

const MAX_CAUSES = 5;

/** The code of an error or, failing that, of one of its causes. */
export function failureCode(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth += 1) {
    const code = ownCode(current);
    if (code !== undefined) return code;
    current = current.cause;
  }
  return undefined;
}

/** The statement named a table or a column that is not there. */
export function isMissing(error: unknown): boolean {
  const code = failureCode(error);
  return code === "42P01" || code === "42703";
}

/** A UserError where there is something to tell a person; else the error as it is: a bug. */
export function explainFailure(error: unknown, context: FailureContext): unknown {
  if (error instanceof UserError || !(error instanceof Error)) return error;
  const undone = explainUndoneWrite(error, context.target);
  if (undone !== undefined) return undone;
  const code = failureCode(error);
  if (code === undefined) return error;
  if (context.where !== undefined && isConditionMistake(code)) {
    return new UserError(`The condition in --where does not work: ${error.message}.`, {
      hint: "Correct --where; it stands behind WHERE in a SELECT from the target table.",
      exit: "usage",
      cause: error,
    });
  }
  const words = databaseWords(error);
  if (words !== undefined && context.writes === true && isOfTheTable(words)) {
    return tableRefusal(context.target, words, error);
  }
  const explanation =
    EXPLANATIONS[code] ??
    EXPLANATIONS[code.slice(0, SQLSTATE_CLASS_LENGTH)] ??
    (words && inTheDatabasesWords(words));
  if (explanation === undefined) return error;
  const { why, hint, exit = "fatal" } = explanation(context, error);
  return new UserError(why, { hint, exit, cause: error });
}

/** Errors of syntax or names, of data, and functions that fail on some row. */
function isConditionMistake(code: string): boolean {
  return /^(42(?!501)|22|21|0A)/.test(code);
}

/** Of Supavisor (XX000) and PgBouncer (08P01); a server says it by its own code. */
const NO_MORE_CONNECTIONS =
  /max clients|max client connections|max_(?:client_conn|user_connections|db_connections)|query_wait_timeout|no more connections allowed/i;

/** What `pg`, or a pooler, tells in words only. */
const SAYINGS: readonly (readonly [saying: RegExp, code: string])[] = [
  [/^timeout expired$|due to connection timeout$/, "CONNECT_TIMEOUT"],
  [/^Query read timeout$/, "QUERY_TIMEOUT"],
  [/^Connection terminated|is not queryable$/, "CONNECTION_LOST"],
  [/does not support SSL connections$|error establishing an SSL connection$/, "NO_TLS"],
  [/client password must be a/, "NO_PASSWORD"],
  [/command-line argument for server process/, "OPTIONS"],
  [/tenant(?: or |\/)user\b.*not found/i, "NO_TENANT"],
  [/project\b.*\bpaused/i, "PAUSED"],
  [NO_MORE_CONNECTIONS, "53300"],
];

function ownCode(error: Error): string | undefined {
  const said = SAYINGS.find(([saying]) => saying.test(error.message))?.[1];
  if (said !== undefined) return said;
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}

type Explanation = (
  context: FailureContext,
  error: Error,
) => Readonly<{ why: string; hint: string; exit?: ExitReason }>;

const SQLSTATE_CLASS_LENGTH = 2;

const DIRECT_SUPABASE_HOST =
  "A direct Supabase host has IPv6 only: without IPv6, use the session pooler's address from the dashboard (Connect).";

const unreachable: Explanation = ({ label }, error) => ({
  why: `The database at ${label} cannot be reached: ${error.message || failureCode(error)}.`,
  hint: `Check host and port in DATABASE_URL and that the server runs. ${DIRECT_SUPABASE_HOST}`,
});

const lost: Explanation = ({ label }, error) => ({
  why: `The connection to the database at ${label} was lost: ${error.message || failureCode(error)}.`,
  hint: "Run the same command again: it goes on where it stopped.",
});

const tooSlow: Explanation = ({ label, target }) => ({
  why: `A statement on ${tableName(target)} in ${label} took longer than it may.`,
  hint: `Raise the role's statement_timeout, or help reading with: create index concurrently on ${tableName(target)} (${target.id}) where ${target.embedding} is null;`,
});

export const contended: Explanation = ({ target }, error) => ({
  why: `Other transactions hold rows of ${tableName(target)}: ${error.message}.`,
  hint: "Run the same command again when they have finished: it goes on where it stopped.",
});

const wrongCredentials: Explanation = ({ label }, error) => ({
  why: `The database at ${label} refuses the login: ${error.message}.`,
  hint: "Check user and password in DATABASE_URL; special characters in them must be percent-encoded.",
});

const untrusted: Explanation = ({ label }, error) => ({
  why: `The certificate of the database at ${label} is not trusted: ${error.message}.`,
  hint: "Add ?sslmode=require to encrypt without verifying, or name the authority's file with sslrootcert=….",
});

const full: Explanation = ({ label }, error) => ({
  why: `The database at ${label} has no room: ${error.message}.`,
  hint: "Free or add space, then run the same command again: it goes on where it stopped.",
});

/** Whatever carries an SQLSTATE is the database's, and no bug of ours. */
const inTheDatabasesWords =
  (words: DatabaseWords): Explanation =>
  ({ label, target }) => ({
    why: `The database at ${label} says: ${inItsWords(words)}.`,
    hint: `Mend what it names, then run the same command again: it goes on where it stopped. \`vecfill doctor\` looks at ${tableName(target)} and the way to it.`,
  });

/** By the codes of what became of a connection. */
export function byConnection<T>(
  told: Readonly<Record<"unreachable" | "lost" | "untrusted", T>>,
): Readonly<Record<string, T>> {
  const { unreachable: away, lost: broken, untrusted: doubtful } = told;
  const all = (codes: string, each: T) => codes.split(" ").map((code) => [code, each] as const);
  return Object.fromEntries([
    ...all("ENOTFOUND EAI_AGAIN ECONNREFUSED EHOSTUNREACH ENETUNREACH CONNECT_TIMEOUT", away),
    ...all("ETIMEDOUT ECONNRESET EPIPE CONNECTION_LOST 08 57P01 57P02", broken),
    ...all("SELF_SIGNED_CERT_IN_CHAIN DEPTH_ZERO_SELF_SIGNED_CERT CERT_HAS_EXPIRED", doubtful),
    ...all("UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT_LOCALLY", doubtful),
    ...all("ERR_TLS_CERT_ALTNAME_INVALID", doubtful),
  ]);
}

/** By SQLSTATE, by class of SQLSTATE, or by network code. */
const EXPLANATIONS: Readonly<Partial<Record<string, Explanation>>> = {
  ...byConnection({ unreachable, lost, untrusted }),
  ENOENT: unreachable,
  EACCES: unreachable,
  "57P03": ({ label }, error) => ({
    why: `The database at ${label} takes no connections now: ${error.message}.`,
    hint: "Wait until it has started, then run the same command again.",
  }),
  "57P05": lost,
  INDEX_UNDER_WAY: ({ label, target }, error) => ({
    why: `The server at ${label} is still busy with ${tableName(target)}: ${error.message}.`,
    hint: "Run the same command again when it has ended; pg_stat_progress_create_index shows how far it is.",
    exit: "unfinished",
  }),
  "57014": tooSlow,
  QUERY_TIMEOUT: tooSlow,
  "40": contended,
  "55P03": contended,
  "25006": ({ label }) => ({
    why: `The database at ${label} is read only: it is a replica or has been set so.`,
    hint: "Give the address of the primary server in DATABASE_URL.",
  }),
  "28": wrongCredentials,
  NO_PASSWORD: wrongCredentials,
  NO_TENANT: ({ label }) => ({
    why: `The pooler at ${label} knows no such project or user.`,
    hint: "On Supabase's pooler the user is postgres.<project ref>; copy the address from the dashboard (Connect).",
  }),
  PAUSED: ({ label }) => ({
    why: `The project behind ${label} is paused.`,
    hint: "Wake it up in Supabase's dashboard (Restore project), then run the same command again.",
  }),
  NO_TLS: ({ label }) => ({
    why: `The database at ${label} does not offer TLS. sslmode in DATABASE_URL asks for it or, where it says nothing, a host that is not local.`,
    hint: "If the network between is yours alone, have sslmode=disable there; sslmode=prefer uses TLS where there is some.",
  }),
  OPTIONS: ({ label }, error) => ({
    why: `The database at ${label} does not take what options= in DATABASE_URL says: ${error.message}.`,
    hint: "Take options= out of the address, or write settings as this server takes them: options=-c%20statement_timeout%3D0. A project's name belongs there with Neon alone.",
  }),
  "3D000": ({ label }, error) => ({
    why: `There is no such database at ${label}: ${error.message}.`,
    hint: "Check the name behind the last / in DATABASE_URL.",
  }),
  "42501": ({ target }, error) => ({
    why: `The database role lacks a right: ${error.message}.`,
    hint: `Grant it, as the table's owner: grant select, update on ${tableName(target)} to <role>; (and usage on its schema).`,
  }),
  "42704": ({ target }, error) => ({
    why: `A type or object is missing: ${error.message}.`,
    hint: `Run: create extension if not exists vector; then look at ${tableName(target)} with vecfill doctor.`,
  }),
  "53100": full,
  "53200": full,
  "53300": ({ label }, error) => ({
    why: `The database at ${label} has no connection left: ${error.message}.`,
    hint: "Close other clients, use the pooler's address, or raise max_connections.",
  }),
};

const SQLSTATE = /^(?!EPIPE)[0-9A-Z]{5}$/;

/**
 * What the database tells of an error; a driver gives more or less of it. The row's content, in DETAIL, is never
 * told. `where`: the functions at work.
 */
const WORDS = z.object({
  severity: z.string().optional(),
  code: z.string().regex(SQLSTATE),
  message: z.string(),
  constraint: z.string().optional(),
  where: z.string().optional(),
  hint: z.string().optional(),
  /** The server's, which failed: told apart by it whatever language the message is in. */
  routine: z.string().optional(),
});
type DatabaseWords = Readonly<z.infer<typeof WORDS>>;

/** Undefined where the error is none of the database's. */
function databaseWords(error: Error): DatabaseWords | undefined {
  return "severity" in error ? WORDS.safeParse(error).data : undefined;
}

/** One sentence, without its full stop. */
function inItsWords(words: DatabaseWords): string {
  const { code, constraint, hint = "" } = words;
  const message = shortMessage(words);
  const marks = [
    ...(constraint === undefined || message.includes(constraint)
      ? []
      : [`constraint ${constraint}`]),
    ...functionsOf(words).map((name) => `in ${name}`),
    `SQLSTATE ${code}`,
  ];
  return `${message} (${marks.join(", ")})${hint === "" ? "" : `; its hint: ${oneLine(hint)}`}`;
}

export function tableRefusal(target: Target, words: DatabaseWords, cause: unknown): TableRefusal {
  return new TableRefusal(
    `The table ${tableName(target)} refuses the vector: ${inItsWords(words)}.`,
    {
      hint: `${mendOf(target, words)} Then run the same command again: nothing is paid for again.`,
      isOfARow: isOfARow(words),
      cause,
    },
  );
}

/** Not the server's, nor of rights: one row's, a trigger's, or such that no row can be updated. */
export function isOfTheTable(words: DatabaseWords): boolean {
  if (isOfARow(words) || OF_ANY_ROW.includes(words.code)) return true;
  return functionsOf(words).length > 0 && !OF_THE_SERVER.test(words.code);
}

/** What cannot be updated at all: no table, no identity to publish by, a generated column. */
const OF_ANY_ROW: readonly string[] = ["42809", "55000", "428C9"];

/** Connections, contention, resources, a server that stops: whatever was at work then. */
const OF_THE_SERVER = /^(?:08|25|40|53|55P03|57|58|XX)/;

/**
 * Of the standard's classes those that speak of values, constraints and raised errors; and all that the
 * standard and Postgres leave free, which only a person's own trigger raises.
 */
const OF_A_ROW = /^(?:09|2[1237]|4[4-9A-Z]|(?!53|55|57|58|72|XX)[5-9I-Z])/;

/** It may be one row that is refused, such as by a CHECK or a trigger that raises; else it fails for any. */
export function isOfARow(words: DatabaseWords): boolean {
  return OF_A_ROW.test(words.code) || isPolicy(words);
}

/** Insufficient privilege is also what a policy's WITH CHECK says of one row. */
function isPolicy({ code, routine, message }: DatabaseWords): boolean {
  return code === "42501" && (routine === "ExecWithCheckOptions" || POLICY.test(message));
}

const POLICY = /violates row-level security policy/;

function mendOf(target: Target, words: DatabaseWords): string {
  const table = tableName(target);
  const { code, constraint, message } = words;
  const [innermost] = functionsOf(words);
  if (innermost !== undefined) {
    return `The function ${innermost} is a trigger's, or called by one: mend it, or take the trigger off meanwhile, with: alter table ${table} disable trigger <name>; (\`vecfill doctor\` names the triggers).`;
  }
  if (code.startsWith("54")) {
    const index = /index "(?<name>[^"]+)"/.exec(message)?.groups?.["name"] ?? "<name>";
    return `An index on ${target.embedding} does not take a vector of ${target.dimensions} numbers: drop index ${target.schema}.${index};`;
  }
  if (constraint !== undefined || code.startsWith("23")) {
    return `Mend the rows that break it, or take it off: alter table ${table} drop constraint ${constraint ?? "<name>"};`;
  }
  return isPolicy(words)
    ? "Use a role that row level security does not apply to, or mend the policy."
    : "Look at its columns, constraints, triggers and rules: `\\d` in psql shows them.";
}

/** Of CONTEXT's lines, the innermost first. Statements in it may hold a row's content. */
function functionsOf({ where = "" }: DatabaseWords): string[] {
  const found = where.matchAll(
    /^(?:PL\/\w+|SQL) function (?<name>(?:"[^"]+"|[\w.$])+(?:\([^)]*\))?)/gm,
  );
  const names = [...found].map(({ groups = {} }) => groups["name"] ?? "");
  return [...new Set(names)].filter((name) => !OURS.test(name));
}

/** The functions of `vecfill init`, and the body of a trial, in which the statement stands. */
const OURS = /(?:^|\.)vecfill_[0-9a-f]{8}_|^inline_code_block$/;

const MAX_MESSAGE_CHARACTERS = 300;

function shortMessage({ message }: DatabaseWords): string {
  const line = oneLine(message).replace(/\.$/, "");
  return line.length <= MAX_MESSAGE_CHARACTERS ? line : `${line.slice(0, MAX_MESSAGE_CHARACTERS)}…`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

/** Codes of PostgREST, of the network and of gateways have other forms. */
export function isSqlState(code: string): boolean {
  return SQLSTATE.test(code);
}
