/** Functions, found by their name and the names of their parameters, and called. */
import { nearest } from "../../../src/errors.ts";
import { quoteIdentifier as quoted } from "../../../src/row/target.ts";
import { type Answer, page, refusal } from "./answer.ts";
import type { Request } from "./dialect.ts";
import { parseBody, Refused } from "./refused.ts";
import type { Procedure, SchemaCache } from "./schema-cache.ts";
import type { Query } from "./session.ts";
import { isFrom14, type PostgrestVersion } from "./version.ts";

/** `given`: the parameters to hand over; `whole`: the body is the only one. */
export type Call = Readonly<{ procedure: Procedure; given: readonly string[]; whole: boolean }>;

export function findFunction(
  { procedures }: SchemaCache,
  request: Request,
  name: string,
  version: PostgrestVersion,
): Call {
  const isGet = request.method === "GET";
  const body = isGet || request.body === "" ? "{}" : request.body;
  const given = Object.keys(parseBody(body)).sort();
  const same = procedures.filter((each) => each.name === name);
  const [found, ...others] = same.filter((each) => takes(each, given));
  if (found !== undefined && others.length > 0) throw ambiguous(request.schema, [...others, found]);
  if (found !== undefined) return { procedure: found, given, whole: false };
  const single = same.find(({ types }) => types.length === 1 && /^jsonb?$/.test(types[0] ?? ""));
  // before 14 a parameter with a name was taken for one without; the call then had none
  if (single !== undefined && (single.names[0] === "" || !isFrom14(version))) {
    return { procedure: single, given: [], whole: single.names[0] === "" };
  }
  const hint = hintOf(procedures, same, name, given);
  throw unknown(request.schema, name, given, { hint, isGet });
}

function takes({ names, defaults }: Procedure, given: readonly string[]): boolean {
  const required = names.slice(0, names.length - defaults);
  return (
    !names.includes("") &&
    given.every((each) => names.includes(each)) &&
    required.every((each) => given.includes(each))
  );
}

function ambiguous(schema: string, procedures: readonly Procedure[]): Refused {
  const signatures = procedures.map(
    ({ name, names, types }) =>
      `${schema}.${name}(${names.map((each, index) => `${each} => ${types[index]}`).join(", ")})`,
  );
  return new Refused(
    refusal(300, {
      code: "PGRST203",
      message: `Could not choose the best candidate function between: ${signatures.toSorted().join(", ")}`,
      hint: "Try renaming the parameters or the function itself in the database so function overloading can be resolved",
    }),
  );
}

/** The nearest function or, of one of that name, its parameters where they have something in common. */
function hintOf(
  procedures: readonly Procedure[],
  same: readonly Procedure[],
  name: string,
  given: readonly string[],
): string | undefined {
  if (given.length === 0) return undefined;
  if (same.length === 0) {
    return nearest(
      name,
      procedures.map((each) => each.name),
    );
  }
  const lists = same.map(({ names }) => [...names].sort().join(", "));
  const near = lists.find((list) => shareLetters(list, given.join(", ")));
  return near === undefined ? undefined : `${name}(${near})`;
}

/** Two letters in a row, beginning and end counted. */
function shareLetters(one: string, other: string): boolean {
  return pairs(one).some((pair) => pairs(other).includes(pair));
}

function pairs(text: string): string[] {
  return Array.from(`-${text}`, (letter, index) => letter + (`-${text}-`[index + 1] ?? ""));
}

function unknown(
  schema: string,
  name: string,
  given: readonly string[],
  { hint, isGet }: Readonly<{ hint: string | undefined; isGet: boolean }>,
): Refused {
  const full = `${schema}.${name}`;
  const word = given.length === 1 ? "parameter" : "parameters";
  const which = given.length === 0 ? "without parameters" : `with ${word} ${given.join(", ")}`;
  const body = isGet ? "" : " or with a single unnamed json/jsonb parameter";
  return new Refused(
    refusal(404, {
      code: "PGRST202",
      message: `Could not find the function ${full}${given.length === 0 ? " without parameters" : `(${given.join(", ")})`} in the schema cache`,
      details: `Searched for the function ${full} ${which}${body}, but no matches were found in the schema cache.`,
      hint: hint === undefined ? null : `Perhaps you meant to call the function ${schema}.${hint}`,
    }),
  );
}

export async function callFunction(
  query: Query,
  request: Request,
  { procedure, given, whole }: Call,
  maxRows: number,
): Promise<Answer> {
  const { name, names, types, set, nothing, volatile, statementTimeout } = procedure;
  if (statementTimeout !== undefined) {
    await query("SELECT set_config('statement_timeout', $1, true)", [statementTimeout]);
  }
  if (!volatile || request.method === "GET") await query("SET TRANSACTION READ ONLY");
  const typed = given.map((each) => `${quoted(each)} ${types[names.indexOf(each)]}`);
  const parameters = given.map((each) => `${quoted(each)} := _args.${quoted(each)}`).join(", ");
  const source =
    given.length === 0 ? "" : `json_to_record($1) AS _args(${typed.join(", ")}), LATERAL `;
  const call = `${quoted(request.schema)}.${quoted(name)}(${whole ? `$1::${types[0]}` : parameters})`;
  const [found] = await query(
    `SELECT count(*)::int AS rows, ${set ? "coalesce(json_agg(value), '[]')" : `(array_agg(${nothing ? "NULL::json" : "to_json(value)"}))[1]`}::text AS body
     FROM (SELECT value FROM ${source}${call} AS value LIMIT ${maxRows}) called`,
    given.length === 0 && !whole ? [] : [request.body],
  );
  const rows = Number(found?.["rows"]);
  const answer = page({
    rows,
    offset: 0,
    total: undefined,
    body: String(found?.["body"]),
    schema: request.schema,
    location: undefined,
  });
  return nothing ? { ...answer, status: 204, body: "" } : answer;
}
