/**
 * What an SQLSTATE means for the rows of a statement: whether it may be one row that is refused, such as
 * by a CHECK or a trigger that raises, or whether the statement fails for any. And its error in the
 * database's own words. The row's content, which is in DETAIL, is never among them.
 */
import { z } from "zod";
import { TableRefusal } from "./port.ts";
import { tableName, type Target } from "../row/target.ts";

const SQLSTATE = /^(?!EPIPE)[0-9A-Z]{5}$/;

/** What the database tells of an error; a driver gives more or less of it. `where`: the functions at work. */
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
export type DatabaseWords = Readonly<z.infer<typeof WORDS>>;

/** Undefined where the error is none of the database's. */
export function databaseWords(error: Error): DatabaseWords | undefined {
  return "severity" in error ? WORDS.safeParse(error).data : undefined;
}

/** One sentence, without its full stop. */
export function inItsWords(words: DatabaseWords): string {
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
