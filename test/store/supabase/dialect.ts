/** PostgREST's query language, as far as supabase-js is made to speak it here, into SQL. */
import { quoteIdentifier as quoted } from "../../../src/row/target.ts";
import { quoteLiteral as literal } from "../../../src/store/sql.ts";

export type Request = Readonly<{
  method: string;
  /** Below /rest/v1/. */
  path: string;
  query: URLSearchParams;
  /** The query as it came. */
  rawQuery: string;
  prefer: string;
  schema: string;
  body: string;
}>;

export type Table = Readonly<{ schema: string; name: string }>;

/** `alias:column::cast`, each name plain or in double quotes. */
const FIELD =
  /^(?:(?<alias>"(?:[^"\\]|\\.)*"|[\w ]+):(?!:))?(?<column>"(?:[^"\\]|\\.)*"|[\w ]+|\*)(?:::(?<cast>\w+))?$/;

export function selectList({ name }: Table, select: string): string {
  const fields = splitOutsideQuotes(select).map((field) => {
    const { alias, column = "", cast } = FIELD.exec(field)?.groups ?? {};
    if (column === "") throw new Error(`the test double cannot select ${field}`);
    if (column === "*") return `${quoted(name)}.*`;
    const value = `${quoted(name)}.${quoted(unquoted(column))}`;
    const as = quoted(unquoted(alias ?? column));
    return `${cast === undefined ? value : `CAST(${value} AS ${cast})`} AS ${as}`;
  });
  return fields.join(", ");
}

const NOT_FILTERS = ["select", "order", "limit", "offset", "columns", "on_conflict"];

export function whereClause(table: Table, query: URLSearchParams): string {
  const conditions = [...query]
    .filter(([name]) => !NOT_FILTERS.includes(name))
    .map(([name, value]) => condition(`${quoted(table.name)}.${quoted(unquoted(name))}`, value));
  return conditions.length === 0 ? "true" : conditions.join(" AND ");
}

const OPERATORS: Readonly<Record<string, string>> = {
  eq: "=",
  gt: ">",
  gte: ">=",
  lt: "<",
  lte: "<=",
};

function condition(column: string, value: string): string {
  const {
    not,
    operator = "",
    operand = "",
  } = /^(?<not>not\.)?(?<operator>\w+)\.(?<operand>.*)$/s.exec(value)?.groups ?? {};
  const negated = not === undefined ? "" : "NOT ";
  if (operator === "is" && operand === "null") return `${negated}${column} IS NULL`;
  if (operator === "in") {
    const values = splitOutsideQuotes(operand.slice(1, -1)).map(unquoted).map(untilNul);
    // nothing but the empty text is taken for nothing
    if (values.length === 1 && values[0] === "") return `${negated}${column} = ANY ('{}')`;
    const array = `{${values.map((each) => `"${each.replace(/["\\]/g, "\\$&")}"`).join(",")}}`;
    return `${negated}${column} = ANY (${literal(array)})`;
  }
  const sql = OPERATORS[operator];
  if (sql === undefined) throw new Error(`the test double knows no operator ${operator}`);
  return `${negated}${column} ${sql} ${literal(untilNul(operand))}`;
}

/** As C ends a text. */
function untilNul(text: string): string {
  return text.split("\0")[0] ?? "";
}

export function orderClause(table: Table, query: URLSearchParams): string {
  const order = query.get("order");
  if (order === null) return "";
  const { column = "", direction = "asc" } =
    /^(?<column>"(?:[^"\\]|\\.)*"|[^.]+)(?:\.(?<direction>asc|desc))?$/.exec(order)?.groups ?? {};
  return `ORDER BY ${quoted(table.name)}.${quoted(unquoted(column))} ${direction}`;
}

function splitOutsideQuotes(text: string): string[] {
  if (text === "") return [];
  return [...text.matchAll(/(?:"(?:[^"\\]|\\.)*"|[^",])+/g)].map(([part]) => part);
}

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replace(/\\(.)/g, "$1") : name;
}
