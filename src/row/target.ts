import type { ModelName } from "./models.ts";

/** Where rows come from and vectors go. Recorded with every job, so that spaces never mix. */
export type Target = Readonly<{
  schema: string;
  table: string;
  /** Key column: integer, uuid or text. */
  id: string;
  /** A column's name, or a recipe with columns in braces: `{question_text} {options}`. */
  text: string;
  /** Column of type `vector` or `halfvec`. */
  embedding: string;
  model: ModelName;
  dimensions: number;
  taskType: string;
}>;

export type TableName = Pick<Target, "schema" | "table">;
export type IsOwn = (target: Target) => boolean;

/** Tables that were asked for as one, under that name, which is the first here; `has`: also those that are gone. */
export type Siblings = Readonly<{ name: string; targets: readonly Target[]; has: IsOwn }>;

/** Of a partition: what its rows may come from. Its whole and the other partitions, by name; `has`: also those that are gone. */
export type Kin = Readonly<{ tables: ReadonlySet<string>; has: IsOwn }>;

/** What a name stands for; by name: `kin`, those that are one with these, and `all` that have such a column. */
export type FoundLeaves = Readonly<{
  leaves: readonly Readonly<TableName & { isPartition: boolean }>[];
  kin: ReadonlySet<string>;
  all: ReadonlySet<string>;
}>;

/** `schema.table`, as people write it. */
export function tableName(target: TableName): string {
  return `${target.schema}.${target.table}`;
}

/** `schema.table.column`: of the vectors. */
export function columnName(target: Pick<Target, "schema" | "table" | "embedding">): string {
  return `${tableName(target)}.${target.embedding}`;
}

/** As SQL takes a name, whatever it is: Prisma's have capitals, and a file may hold anything. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The statement that makes a column for vectors in the target's table. */
export function addingColumn({ schema, table, dimensions }: Target, column: string): string {
  const place = [schema, table].map(quoteIdentifier).join(".");
  return `alter table ${place} add column ${quoteIdentifier(column)} vector(${dimensions})`;
}

/** True when vectors made for one target may stand in the column of the other. */
export function sameTarget(a: Target, b: Target): boolean {
  return (
    a.schema === b.schema &&
    a.table === b.table &&
    a.id === b.id &&
    a.text === b.text &&
    a.embedding === b.embedding &&
    a.model === b.model &&
    a.dimensions === b.dimensions &&
    a.taskType === b.taskType
  );
}

/** The same but for the table, which counts where `has` is true of its name. */
export function isAlike(target: Target, has: (table: string) => boolean): IsOwn {
  return askedOnce(
    ({ schema, table, ...its }) =>
      sameTarget({ ...its, schema: target.schema, table: target.table }, target) &&
      has(tableName({ schema, table })),
  );
}

/** Whether a target is one of these. */
export function isOneOf(targets: readonly Target[]): IsOwn {
  return askedOnce((target) => targets.some((each) => sameTarget(each, target)));
}

/** To be asked of many jobs, which share their targets. */
function askedOnce(ask: IsOwn): IsOwn {
  const known = new Map<Target, boolean>();
  return (target) => {
    const is = known.get(target) ?? ask(target);
    known.set(target, is);
    return is;
  };
}

export function sameColumn(a: Target, b: Target): boolean {
  return a.schema === b.schema && a.table === b.table && a.embedding === b.embedding;
}
