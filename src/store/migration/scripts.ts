/**
 * What changes the table, each a statement by itself: sent, or pasted by people where the database has no address.
 * It needs the table for an instant, and must not stand in front of everybody else's queries while it waits: hence
 * a short lock_timeout. Each may be run again.
 */
import { quoteIdentifier as quoted, type Target } from "../../row/target.ts";
import type { MigrationNames, Renamed } from "../../row/migration-names.ts";
import { dollarQuoted, qualifiedTable, quoteLiteral as literal } from "../sql.ts";
import { removeStatements, triggerStatements } from "../supabase-functions.ts";
import { factsSql } from "./facts.ts";
import { LOCK_WAITS } from "../port.ts";

export type MigrationTable = Readonly<{
  /** Of the old column and of the new one, before any swap. */
  old: Target;
  next: Target;
  names: MigrationNames;
  columnType: "vector" | "halfvec";
}>;

/** The new column, and a trigger that empties it where the text changes. */
export function addScript({ old, next, names, columnType }: MigrationTable): string {
  const add = `${alter(old)} add column if not exists %I %I.${columnType}(${next.dimensions})`;
  return script(old, "null", [
    `execute (select pg_catalog.format(${literal(add)}, ${literal(names.next)}, n.nspname) from pg_catalog.pg_extension e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector')`,
    ...triggerStatements({ ...next, embedding: names.next }, false),
  ]);
}

export function swapScript(plan: MigrationTable): string {
  const { old, next, names } = plan;
  const moved = swapped(old, names, (each) => [each.old, each.kept, each.next]);
  return script(old, lockViews(plan), [
    `if not ${isThere(old, names.kept)} then
  vecfill_facts := (${factsSql(old, names)});
  select string_agg(pg_catalog.concat_ws(': ', f ->> 'name', f ->> 'definition'), '; ') into vecfill_each ${OTHERS};
  if vecfill_each is not null then
    raise exception 'These follow the column and would go along when it is renamed: %', vecfill_each
      using hint = 'Drop them, run this again, and make them anew.';
  end if;
  ${moved.join(";\n  ")};
  ${again("select jsonb_array_elements_text(vecfill_facts -> 'belongings')")};
  ${again(`select f ->> 'definition' ${VIEWS}`)};
end if`,
    ...triggersOff(plan),
    ...triggerStatements({ ...next, embedding: names.kept }, false),
  ]);
}

/** All as it was: names, and no new column. */
export function undoScript(plan: MigrationTable): string {
  const { old, names } = plan;
  const back = swapped(old, names, (each) => [each.old, each.next, each.kept]);
  return script(old, lockViews(plan), [
    `if ${isThere(old, names.kept)} then
  vecfill_facts := (${factsSql(old, names)});
  ${back.join(";\n  ")};
  ${again(`select f ->> 'definition' ${VIEWS}`)};
end if`,
    ...triggersOff(plan),
    `${alter(old)} drop column if exists ${quoted(names.next)}`,
  ]);
}

/** The column that nobody needs any more, and its trigger. */
export function finishScript(plan: MigrationTable): string {
  const { old, names } = plan;
  const dropping = (name: string) => `${alter(old)} drop column if exists ${quoted(name)}`;
  return script(old, "null", [
    `if not ${isThere(old, names.kept)} and ${isThere(old, names.next)} then ${dropping(names.old)}; else ${dropping(names.kept)}; end if`,
    ...triggersOff(plan),
  ]);
}

const FOLLOWERS = "from jsonb_array_elements(vecfill_facts -> 'followers') f where f ->> 'view'";
const VIEWS = `${FOLLOWERS} is not null`;
const OTHERS = `${FOLLOWERS} is null`;

/** Who reads a view locks it before its table: in another order each would wait for the other. */
function lockViews({ old, names }: MigrationTable): string {
  const lock = `select 'lock table ' || (f ->> 'view') || ' in access exclusive mode' ${VIEWS}`;
  return `vecfill_facts := (${factsSql(old, names)});\n${again(lock)}`;
}

function again(statements: string): string {
  return `for vecfill_each in ${statements} loop execute vecfill_each; end loop`;
}

/** Vacuum is kept out first: it gives way after a second only, with all waiting behind us. `views`: what locks them. */
function script(table: Target, views: string, statements: readonly string[]): string {
  const lock = `lock table ${qualifiedTable(table)} in`;
  const atMost = "perform pg_catalog.set_config('lock_timeout',";
  return `do ${dollarQuoted(`declare
  vecfill_path constant text := pg_catalog.current_setting('search_path');
  vecfill_facts jsonb;
  vecfill_each text;
begin
  ${atMost} ${literal(LOCK_WAITS.quiet)}, true);
  ${lock} share update exclusive mode;
  ${atMost} ${literal(LOCK_WAITS.alone)}, true);
  ${views};
  ${lock} access exclusive mode;
${statements.map((statement) => `${statement};`).join("\n")}
  perform pg_catalog.set_config('search_path', vecfill_path, true);
end`)}`;
}

function triggersOff({ next, names }: MigrationTable): string[] {
  return [names.next, names.kept].flatMap((embedding) => removeStatements({ ...next, embedding }));
}

function isThere(target: Target, column: string): string {
  return `exists (select from pg_catalog.pg_attribute a where a.attrelid = ${literal(qualifiedTable(target))}::regclass
    and a.attname = ${literal(column)} and not a.attisdropped)`;
}

/** The first name becomes the second, and the third the first: of the columns and of each index. */
function swapped(
  target: Target,
  names: MigrationNames,
  order: (each: Renamed) => readonly [string, string, string],
): string[] {
  const [column, away, instead] = order(names);
  const rename = (from: string, to: string) =>
    `${alter(target)} rename column ${quoted(from)} to ${quoted(to)}`;
  const index = (from: string, to: string) =>
    `alter index ${quoted(target.schema)}.${quoted(from)} rename to ${quoted(to)}`;
  return [
    rename(column, away),
    rename(instead, column),
    ...names.indexes
      .map(order)
      .flatMap(([its, itsAway, other]) => [index(its, itsAway), index(other, its)]),
  ];
}

function alter(target: Target): string {
  return `alter table ${qualifiedTable(target)}`;
}
