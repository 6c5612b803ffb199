/**
 * The SQL functions through which Supabase's API keeps what the store promises: pages that no row
 * limit cuts, and the check of a text and the write of its vector in one statement. They are made
 * for exactly one target, whose hash is in their names: another recipe never meets them.
 *
 * Every function gives one jsonb value, since the API cuts sets of rows silently. They run with the
 * rights of the caller (security invoker) and with an empty search path, and only `service_role`
 * may execute them.
 */
import type { FunctionsSql } from "./port.ts";
import { shapeOf } from "./rows.ts";
import { createHash } from "node:crypto";
import { MAX_TEXT_CHARS } from "../row/question.ts";
import { suffixed } from "../row/migration-names.ts";
import { parseRecipe, recipeColumns } from "../row/recipe.ts";
import { columnName, quoteIdentifier, type Target } from "../row/target.ts";
import { catalogueExpression } from "./catalogue.ts";
import {
  applySql,
  classifySql,
  clearSql,
  compareSql,
  dollarQuoted,
  fingerprintExpression,
  ID_TYPES,
  lookSql,
  qualifiedColumn,
  qualifiedTable,
  quoteLiteral,
  type TableShape,
  textExpression,
  trialBody,
} from "./sql.ts";

/** Raised with every change of the functions, so that older ones are told apart. */
export const FUNCTIONS_VERSION = 7;

const FUNCTIONS = {
  describe: "",
  read: "after text, max_rows integer, scan_rows integer",
  count: "after text, scan_rows integer",
  apply: "rows jsonb",
  try_write: "dimensions integer, except_ids jsonb",
  look: "after text, scan_rows integer, dimensions integer, tolerance double precision, wanted jsonb, picks jsonb",
  compare: "rows jsonb",
  clear: "rows jsonb",
} as const;

export type FunctionName = keyof typeof FUNCTIONS;

const HASH_DIGITS = 8;

/** The same for every target with the same table, columns and recipe, whatever its model. */
function targetHash({ schema, table, id, text, embedding }: Target): string {
  const parts = JSON.stringify([schema, table, id, text, embedding]);
  return createHash("sha256").update(parts).digest("hex").slice(0, HASH_DIGITS);
}

/** As the API calls it; it stands in the table's schema. */
export function functionName(target: Target, name: FunctionName): string {
  return `vecfill_${targetHash(target)}_${name}`;
}

export type InstallOptions = Readonly<{
  /** With the one that empties the column. */
  trigger: boolean;
  /** With a column that says which text a vector was made of, and the trigger that keeps it. */
  fingerprint: boolean;
  /** An API is in front of the database: with the functions, and with rights for its roles. */
  api: boolean;
}>;

export function functionsSql(target: Target): FunctionsSql {
  return {
    hash: targetHash(target),
    install: ({ description, vectorSchema }, wanted) =>
      installStatements(target, shapeOf(description, vectorSchema), wanted),
    remove: () => removeStatements(target),
  };
}

/** Statements that may be run again at any time. */
export function installStatements(
  target: Target,
  shape: TableShape,
  { trigger, fingerprint, api }: InstallOptions,
): string[] {
  return [
    checkStatement(target, shape),
    ...(api ? functionStatements(target, shape) : []),
    ...(trigger ? triggerStatements(target, api) : []),
    ...(fingerprint ? fingerprintStatements(target, api) : []),
    ...(api ? [RELOAD] : []),
  ];
}

/** Takes out everything that `installStatements` made, of this version or an earlier one. */
export function removeStatements(target: Target): string[] {
  return [
    atOnce([dropTrigger(target, "reset"), dropFingerprints(target)]),
    ...TRIGGERS.map((name) => `drop function if exists ${qualifiedName(target, name)}()`),
    ...names().map((name) => `drop function if exists ${signature(target, name)}`),
    RELOAD,
  ];
}

/** What `describe` tells of the functions, by name and parameters. */
export type InstalledFunctions = Readonly<
  Partial<
    Record<
      string,
      Readonly<{
        /** MD5 of the body, without carriage returns, which an editor may have added. */
        body: string;
        /** With the rights of the caller, on an empty search path. */
        plain: boolean;
        mayExecute: boolean;
      }>
    >
  >
>;

/** What is wrong with functions, in words; nothing where each is as this version makes it. */
export function functionFaults(
  target: Target,
  shape: TableShape,
  installed: InstalledFunctions,
): string[] {
  return definitions(target, shape).flatMap(({ name, body }) => {
    const found = installed[`${functionName(target, name)}(${FUNCTIONS[name]})`];
    if (found === undefined) return [`${name} is not there`];
    if (!found.mayExecute) return [`${name} may not be executed`];
    return found.plain && found.body === bodyHash(body) ? [] : [`${name} was changed`];
  });
}

/** One statement that does all of them or none. */
export function inOneStatement(statements: readonly string[]): string {
  const body = `begin\n${statements.map((statement) => `${statement};`).join("\n")}\nend`;
  return `do ${dollarQuoted(body)}`;
}

/** The API learns of functions when it is told to look. */
const RELOAD = "notify pgrst, 'reload schema'";
const TRIGGERS = ["reset", "fingerprint"] as const;

function names(): FunctionName[] {
  return ["describe", "read", "count", "apply", "try_write", "look", "compare", "clear"];
}

function qualifiedName(target: Target, name: string): string {
  return `${quoteIdentifier(target.schema)}.vecfill_${targetHash(target)}_${name}`;
}

function signature(target: Target, name: FunctionName): string {
  return `${qualifiedName(target, name)}(${FUNCTIONS[name]})`;
}

/** Fails where the table is not as the functions take it to be: their bodies are not checked. */
function checkStatement(target: Target, shape: TableShape): string {
  const vector = `${quoteIdentifier(shape.vectorSchema)}.${shape.embeddingType}`;
  return `do ${dollarQuoted(`begin
  perform ${qualifiedColumn(target, target.id)}::${ID_TYPES[shape.idType]},
    ${fingerprintExpression(target)}, ${qualifiedColumn(target, target.embedding)}::${vector}
  from ${qualifiedTable(target)} limit 0;
end`)}`;
}

type Definition = Readonly<{ name: FunctionName; language: string; body: string }>;

function definitions(target: Target, shape: TableShape): readonly Definition[] {
  return [
    { name: "describe", language: "sql stable", body: describeBody(target, shape) },
    { name: "read", language: "plpgsql stable", body: readBody(target, shape) },
    { name: "count", language: "plpgsql stable", body: countBody(target, shape) },
    { name: "apply", language: "plpgsql volatile", body: applyBody(target, shape) },
    { name: "try_write", language: "plpgsql volatile", body: tryWriteBody(target, shape) },
    { name: "look", language: "plpgsql stable", body: lookBody(target, shape) },
    { name: "compare", language: "plpgsql stable", body: compareBody(target, shape) },
    { name: "clear", language: "plpgsql volatile", body: clearBody(target, shape) },
  ];
}

function functionStatements(target: Target, shape: TableShape): string[] {
  return [
    ...definitions(target, shape).map((definition) => createFunction(target, definition)),
    ...names().flatMap((name) => rightsStatements(target, name)),
  ];
}

function createFunction(target: Target, { name, language, body }: Definition): string {
  return `create or replace function ${signature(target, name)} returns jsonb
language ${language} security invoker set search_path = ''
as ${dollarQuoted(body)}`;
}

function bodyHash(body: string): string {
  return createHash("md5").update(body.replaceAll("\r", "")).digest("hex");
}

function rightsStatements(target: Target, name: FunctionName): string[] {
  const what = `vecfill ${FUNCTIONS_VERSION}: ${columnName(target)} from ${target.text}`;
  return [
    `comment on function ${signature(target, name)} is ${quoteLiteral(what)}`,
    `revoke all on function ${signature(target, name)} from public, anon, authenticated`,
    `grant execute on function ${signature(target, name)} to service_role`,
  ];
}

function describeBody(target: Target, shape: TableShape): string {
  return `
  select jsonb_build_object(
    'version', ${FUNCTIONS_VERSION},
    'shape', ${quoteLiteral(JSON.stringify(shape))}::jsonb,
    'functions', (${installedExpression(target)}),
    'facts', (${catalogueExpression(target)}));`;
}

/** As `InstalledFunctions`. */
function installedExpression(target: Target): string {
  const all = names().map((name) => quoteLiteral(functionName(target, name)));
  return `
  select coalesce(jsonb_object_agg(
    p.proname::text || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
    jsonb_build_object('body', md5(replace(p.prosrc, chr(13), '')),
      'plain', not p.prosecdef and p.proconfig is not distinct from array['search_path=""'],
      'mayExecute', pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))), '{}')
  from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
  where n.nspname = ${quoteLiteral(target.schema)} and p.proname in (${all.join(", ")})`;
}

/**
 * A window of `scan_rows` rows behind the cursor, and of those the first `max_rows` without a
 * vector. However few they are, a call looks at a bounded number of rows. `until` is the last row
 * of the window; null: there is none behind the cursor.
 */
function readBody(target: Target, shape: TableShape): string {
  const id = qualifiedColumn(target, target.id);
  const window = (condition: string): string => `
    select w.id into vecfill_until from (
      select ${id} as id from ${qualifiedTable(target)}
      where ${id} ${condition} order by ${id} limit $3
    ) as w order by w.id desc limit 1;
    select coalesce(jsonb_agg(jsonb_build_object('id', page.id::text, 'text', page.text,
      'fingerprint', page.fingerprint) order by page.id), '[]') into vecfill_rows
    from (
      select ${id} as id, left(${textExpression(target)}, ${MAX_TEXT_CHARS + 1}) as text,
        ${fingerprintExpression(target)} as fingerprint
      from ${qualifiedTable(target)}
      where ${qualifiedColumn(target, target.embedding)} is null
        and ${id} ${condition} and ${id} <= vecfill_until
      order by ${id} limit $2
    ) as page;`;
  return windowBody(shape, [`vecfill_until ${ID_TYPES[shape.idType]}`, "vecfill_rows jsonb"], {
    window,
    end: "return jsonb_build_object('rows', vecfill_rows, 'until', vecfill_until::text)",
  });
}

function plpgsql(variables: readonly string[], statements: string): string {
  const declared = variables.map((variable) => `  ${variable};\n`).join("");
  return `\n#variable_conflict use_column\ndeclare\n${declared}begin${statements}\nend`;
}

/** Over a window of the rows behind the cursor, or of the first rows. */
function windowBody(
  { idType }: TableShape,
  variables: readonly string[],
  { window, end }: Readonly<{ window: (condition: string) => string; end?: string }>,
): string {
  const after = `vecfill_after constant ${ID_TYPES[idType]} := $1::${ID_TYPES[idType]}`;
  const body = `
  if vecfill_after is null then${window("is not null")}
  else${window("> vecfill_after")}
  end if;`;
  return plpgsql([after, ...variables], end === undefined ? body : `${body}\n  ${end};`);
}

/** Counts a window of `scan_rows` rows behind the cursor. */
function countBody(target: Target, shape: TableShape): string {
  const id = qualifiedColumn(target, target.id);
  const window = (condition: string): string => `
    with vecfill_window as materialized (
      select ${id} as id, ${qualifiedColumn(target, target.embedding)} is null as pending
      from ${qualifiedTable(target)} where ${id} ${condition} order by ${id} limit $2
    )
    select jsonb_build_object('total', count(*), 'pending', count(*) filter (where w.pending),
      'until', (select x.id::text from vecfill_window as x order by x.id desc limit 1))
    into vecfill_counts from vecfill_window as w;`;
  return windowBody(shape, ["vecfill_counts jsonb"], { window, end: "return vecfill_counts" });
}

/** An array of outcomes in the order of the rows, `open` where nothing stands against writing. */
function applyBody(target: Target, shape: TableShape): string {
  const body = `
  with updated as (${applySql(target, shape, "$1")}
  ) select array_agg(updated.place) into vecfill_written from updated;
  select coalesce(jsonb_agg(
    case when others.place = any (vecfill_written) then 'written' else others.outcome end
    order by others.place::bigint), '[]') into vecfill_outcomes
  from (${classifySql(target, shape, "$1")}
  ) as others;
  return vecfill_outcomes;`;
  return plpgsql(["vecfill_written text[]", "vecfill_outcomes jsonb"], body);
}

function tryWriteBody(target: Target, shape: TableShape): string {
  return trialBody(target, shape, {
    dimensions: "$1",
    except: "array(select jsonb_array_elements_text($2))",
    where: undefined,
    tell: (told) => `return ${told};`,
  });
}

/** A window of the column as it is. */
function lookBody(target: Target, shape: TableShape): string {
  const parameters = { limit: "$2", dimensions: "$3", tolerance: "$4", wanted: "$5", picks: "$6" };
  const window = (condition: string): string =>
    ` return (${lookSql(target, shape, condition, parameters)});`;
  return windowBody(shape, [], { window });
}

/** An array of what the rows hold, in their order. */
function compareBody(target: Target, shape: TableShape): string {
  const body = `
  select coalesce(jsonb_agg(compared.holding order by compared.place::bigint), '[]')
  into vecfill_holdings
  from (${compareSql(target, shape, "$1")}
  ) as compared;
  return vecfill_holdings;`;
  return plpgsql(["vecfill_holdings jsonb"], body);
}

/** An array of places, counted from 1, that were cleared. */
function clearBody(target: Target, shape: TableShape): string {
  const body = `
  with cleared as (${clearSql(target, shape, "$1")}
  ) select coalesce(jsonb_agg(cleared.place::bigint), '[]') into vecfill_cleared from cleared;
  return vecfill_cleared;`;
  return plpgsql(["vecfill_cleared jsonb"], body);
}

/**
 * A row whose text changes loses its vector, unless the same statement gives it another one. It
 * listens to the text's columns only, so that writing vectors does not fire it.
 */
export function triggerStatements(target: Target, api: boolean): string[] {
  const embedding = quoteIdentifier(target.embedding);
  const columns = recipeColumns(parseRecipe(target.text)).map(quoteIdentifier).join(", ");
  // byte by byte, as the fingerprint is: columns of different collations leave none to compare by
  const text = (row: "new" | "old") => `(${textExpression(target, row)}) collate pg_catalog."C"`;
  const body = `
  if ${text("new")} is distinct from ${text("old")}
    and new.${embedding}::text is not distinct from old.${embedding}::text
  then
    new.${embedding} := null;
  end if;`;
  return createTrigger(target, "reset", { api, event: `update of ${columns}`, body });
}

/** A row without a vector has none, nor one whose vector is older than the column. */
function fingerprintStatements(target: Target, api: boolean): string[] {
  const embedding = quoteIdentifier(target.embedding);
  const column = quoteIdentifier(fingerprintColumn(target));
  // what writes every column gives a vector that is as it was
  const body = `
  if tg_op = 'INSERT' or new.${embedding}::text is distinct from old.${embedding}::text then
    new.${column} := case when new.${embedding} is not null then ${fingerprintExpression(target, "new")} end;
  end if;`;
  const add = `if not ${hasTrigger(target, "fingerprint")} then alter table ${qualifiedTable(target)} add column ${column} text; end if`;
  const event = `insert or update of ${embedding}`;
  return [atOnce([add]), ...createTrigger(target, "fingerprint", { api, event, body })];
}

/** The column, too: where the trigger stands, it is ours. */
function dropFingerprints(target: Target): string {
  const drop = `${dropTrigger(target, "fingerprint")};
  alter table ${qualifiedTable(target)} drop column if exists ${quoteIdentifier(fingerprintColumn(target))}`;
  return `if ${hasTrigger(target, "fingerprint")} then ${drop}; end if`;
}

type TriggerKind = (typeof TRIGGERS)[number];

export function triggerName(target: Target, kind: TriggerKind): string {
  return `vecfill_${targetHash(target)}_${kind}`;
}

/** Of the text that a row's vector was made of. */
export function fingerprintColumn({ embedding }: Target): string {
  return suffixed(embedding, "_fingerprint");
}

function createTrigger(
  target: Target,
  kind: TriggerKind,
  { api, event, body }: Readonly<{ api: boolean; event: string; body: string }>,
): string[] {
  const makes = `${qualifiedName(target, kind)}()`;
  return [
    `create or replace function ${makes} returns trigger
language plpgsql security invoker set search_path = ''
as ${dollarQuoted(`\nbegin${body}\n  return new;\nend`)}`,
    `revoke all on function ${makes} from public${api ? ", anon, authenticated" : ""}`,
    atOnce([
      dropTrigger(target, kind),
      `create trigger ${triggerName(target, kind)} before ${event} on ${qualifiedTable(target)}
for each row execute function ${makes}`,
    ]),
  ];
}

function hasTrigger(target: Target, kind: TriggerKind): string {
  return `exists (select from pg_catalog.pg_trigger t where t.tgname = ${quoteLiteral(triggerName(target, kind))}
    and t.tgrelid = pg_catalog.to_regclass(${quoteLiteral(qualifiedTable(target))}))`;
}

const LOCK_TIMEOUT = "5s";

/** A change of the table that has to wait for others keeps all who come after it waiting: so not for long. */
function atOnce(statements: readonly string[]): string {
  const lockTimeout = `perform pg_catalog.set_config('lock_timeout', '${LOCK_TIMEOUT}', true)`;
  return inOneStatement([lockTimeout, ...statements]);
}

/** Where the table is gone, its trigger is gone as well. */
function dropTrigger(target: Target, kind: TriggerKind): string {
  return `drop trigger if exists ${triggerName(target, kind)} on ${qualifiedTable(target)}`;
}
