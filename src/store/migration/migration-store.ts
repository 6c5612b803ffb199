/** What a migration asks of the table; what changes it stands in `scripts.ts`. */
import { z } from "zod";
import type { Target } from "../../row/target.ts";
import { tableQuery } from "../catalogue.ts";
import { cell, type Database } from "../database.ts";
import { explainFailure } from "../failure.ts";
import { andCondition, hasText, qualifiedColumn, qualifiedTable, textExpression } from "../sql.ts";
import { FACTS, factsSql } from "./facts.ts";
import type { MigrationStore } from "./port.ts";
import { addScript, finishScript, type MigrationTable, swapScript, undoScript } from "./scripts.ts";

export type MigrationGround = Readonly<{
  database: Database;
  /** Repeats what passes. */
  again: <T>(work: () => Promise<T>) => Promise<T>;
  /** A further condition: other rows are never filled. */
  where?: string | undefined;
}>;

/** Its errors for people are UserErrors. */
export function createMigrationStore(
  { database, again, where }: MigrationGround,
  plan: MigrationTable,
): MigrationStore {
  const { old, next, names } = plan;
  const query = (sql: string, condition?: string) =>
    again(() =>
      database.query(sql).catch((error: unknown) => {
        throw explainFailure(error, { label: database.label, target: old, where: condition });
      }),
    );
  const one = async (sql: string): Promise<unknown> => {
    const [row] = await query(`SELECT (${sql})::text AS found`, where);
    return JSON.parse(row === undefined ? "null" : cell(row, "found"));
  };
  const change = async (script: string) => {
    await query(script);
  };
  const columns = async () => NAMES.parse(await one(columnsSql(old)));
  const lacking = async (target: Target, limit: number) =>
    NAMES.parse(await one(idsLackingSql(target, where, limit)));
  return {
    columns,
    size: async () => SIZE.parse(await one(sizeSql(old, where))),
    lacking: (limit) => lacking(next, limit),
    obstacles: async () => {
      const { followers } = FACTS.parse(await one(factsSql(old, names)));
      return followers.filter(({ view }) => view === null);
    },
    withoutOld: async (limit) => {
      const embedding = (await columns()).includes(names.kept) ? names.kept : names.old;
      return lacking({ ...old, embedding }, limit);
    },
    add: () => change(addScript(plan)),
    swap: () => change(swapScript(plan)),
    undo: () => change(undoScript(plan)),
    finish: () => change(finishScript(plan)),
  };
}

const NAMES = z.array(z.string());
const SIZE = z.object({ rows: z.number(), chars: z.number() });

function columnsSql(target: Target): string {
  return `WITH ${tableQuery(target)}
    SELECT coalesce(jsonb_agg(a.attname), '[]') FROM vecfill_table, pg_catalog.pg_attribute a
    WHERE a.attrelid = vecfill_table.oid AND a.attnum > 0 AND NOT a.attisdropped`;
}

function sizeSql(target: Target, where: string | undefined): string {
  return `SELECT jsonb_build_object('rows', count(*), 'chars', coalesce(sum(length(${textExpression(target)})), 0))
    FROM ${qualifiedTable(target)} WHERE ${hasText(target)}${andCondition(where)}`;
}

function idsLackingSql(target: Target, where: string | undefined, limit: number): string {
  const id = qualifiedColumn(target, target.id);
  return `SELECT coalesce(jsonb_agg(f.id), '[]') FROM (
    SELECT ${id}::text AS id FROM ${qualifiedTable(target)}
    WHERE ${qualifiedColumn(target, target.embedding)} IS NULL AND ${hasText(target)}${andCondition(where)}
    ORDER BY ${id} LIMIT ${limit}) f`;
}
