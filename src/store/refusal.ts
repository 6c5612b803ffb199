/**
 * What an SQLSTATE means for the rows of a statement: whether it may be one row that is refused, such as
 * by a CHECK or a trigger that raises, or whether the statement fails for any. And its error in the
 * database's own words. The row's content, which is in DETAIL, is never among them.
 */
import { type Refusal, TableRefusal } from "./port.ts";
import { tableName, type Target } from "../row/target.ts";

/** What the database tells of an error; a driver gives more or less of it. */
export type DatabaseWords = Readonly<{
  /** SQLSTATE. */
  code: string;
  message: string;
  constraint?: string | undefined;
  /** CONTEXT: the functions that were at work. */
  where?: string | undefined;
  /** The database's own. */
  hint?: string | undefined;
  /** The server's routine that failed: told apart by it whatever language the message is in. */
  routine?: string | undefined;
}>;

/** Undefined where the error is none of the database's. */
export function databaseWords(error: Error): DatabaseWords | undefined {
  if (!("severity" in error) || !("code" in error) || !isSqlState(error.code)) return undefined;
  const text = (name: string): string | undefined => {
    const value: unknown = Reflect.get(error, name);
    return typeof value === "string" ? value : undefined;
  };
  return {
    code: error.code,
    message: error.message,
    constraint: text("constraint"),
    where: text("where"),
    hint: text("hint"),
    routine: text("routine"),
  };
}

/** One sentence, without its full stop. */
export function inItsWords(words: DatabaseWords): string {
  const { code, constraint, hint } = words;
  const message = shortMessage(words);
  const functions = functionsOf(words);
  const named = constraint === undefined || message.includes(constraint) ? "" : constraint;
  const marks = [
    named === "" ? "" : `constraint ${named}`,
    functions.length === 0 ? "" : `in ${functions.join(", in ")}`,
    `SQLSTATE ${code}`,
  ].filter((mark) => mark !== "");
  const advice = hint === undefined || hint === "" ? "" : `; its hint: ${oneLine(hint)}`;
  return `${message} (${marks.join(", ")})${advice}`;
}

export function tableRefusal(target: Target, words: DatabaseWords, cause: unknown): TableRefusal {
  return new TableRefusal(
    `The table ${tableName(target)} refuses the vector: ${inItsWords(words)}.`,
    {
      hint: `${mendOf(target, words)} Then run the same command again: nothing is paid for again.`,
      refusal: refusalOf(words),
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
 * standard leaves free, which only a person's own trigger raises.
 */
const CLASSES_OF_ROWS: readonly string[] = ["09", "21", "22", "23", "27", "44", "54", "P0"];
const FREE_CLASS = /^(?:[5-9I-Z]|4[5-9A-Z])/;
const POSTGRES_CLASSES: readonly string[] = ["53", "55", "57", "58", "72", "XX", "F0", "HV", "P0"];

function isOfARow(words: DatabaseWords): boolean {
  const group = words.code.slice(0, 2);
  if (CLASSES_OF_ROWS.includes(group) || isPolicy(words)) return true;
  return FREE_CLASS.test(words.code) && !POSTGRES_CLASSES.includes(group);
}

/** Insufficient privilege is also what a policy's WITH CHECK says of one row. */
function isPolicy({ code, routine, message }: DatabaseWords): boolean {
  return code === "42501" && (routine === "ExecWithCheckOptions" || POLICY.test(message));
}

const POLICY = /violates row-level security policy/;

function refusalOf(words: DatabaseWords): Refusal {
  const { code, constraint } = words;
  const [innermost] = functionsOf(words);
  return { code, by: constraint ?? innermost, message: inItsWords(words) };
}

function mendOf(target: Target, words: DatabaseWords): string {
  const table = tableName(target);
  const { code, constraint, message } = words;
  const [innermost] = functionsOf(words);
  if (innermost !== undefined) {
    return `The function ${innermost} is a trigger's, or called by one: mend it, or take the trigger off meanwhile, with: alter table ${table} disable trigger <name>; (\`vecfill doctor\` names the triggers).`;
  }
  const index = /index "(?<name>[^"]+)"/.exec(message)?.groups?.["name"];
  if (code.startsWith("54")) {
    return `An index on ${target.embedding} does not take a vector of ${target.dimensions} numbers: drop index ${target.schema}.${index ?? "<name>"};`;
  }
  if (constraint !== undefined || code.startsWith("23")) {
    return `Mend the rows that break it, or take it off: alter table ${table} drop constraint ${constraint ?? "<name>"};`;
  }
  if (isPolicy(words))
    return "Use a role that row level security does not apply to, or mend the policy.";
  return "Look at its columns, constraints, triggers and rules: `\\d` in psql shows them.";
}

/** Of CONTEXT's lines, the innermost first. Statements in it may hold a row's content. */
function functionsOf({ where = "" }: DatabaseWords): string[] {
  const found = where.matchAll(/^(?:PL\/\w+|SQL) function "?(?<name>[\w.$]+(?:\([^)]*\))?)"?/gm);
  const names = [...found].map(({ groups = {} }) => groups["name"] ?? "");
  return [...new Set(names)].filter((name) => !OURS.test(name));
}

/** The functions of `vecfill init`, in which the statement stands. */
const OURS = /(?:^|\.)vecfill_[0-9a-f]{8}_/;

const MAX_MESSAGE_CHARACTERS = 300;

function shortMessage({ message }: DatabaseWords): string {
  const line = oneLine(message).replace(/\.$/, "");
  return line.length <= MAX_MESSAGE_CHARACTERS ? line : `${line.slice(0, MAX_MESSAGE_CHARACTERS)}…`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}

/** Codes of PostgREST, of the network and of gateways have other forms. */
export function isSqlState(code: unknown): code is string {
  return typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && code !== "EPIPE";
}
