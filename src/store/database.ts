/**
 * A database that takes SQL. Two of them exist, a server through `pg` and the embedded PGlite; all
 * statements stand in `sql.ts` and are the same for both. Nothing is kept between two queries (no
 * prepared statement, no setting), so that a pooler in transaction mode may lie in between.
 */

/** A parameter in the binary form of its type. */
export type BinaryParameter = Readonly<{ typeOid: number; bytes: Buffer }>;

export type Parameter = string | number | null | readonly string[] | BinaryParameter;

/** Every cell as the database prints it. */
export type Row = Readonly<Record<string, string | null>>;

export type Database = {
  /** Where it is, for messages; never with a password. */
  readonly label: string;
  /** One statement. Rejects with the driver's own error. */
  query(sql: string, parameters?: readonly Parameter[]): Promise<Row[]>;
  close(): Promise<void>;
};

/** A cell that the statement promises to be there and not NULL. */
export function cell(row: Row, name: string): string {
  const value = row[name];
  if (typeof value === "string") return value;
  throw new Error(`the query gave no ${name}`);
}

export function isBinary(parameter: Parameter): parameter is BinaryParameter {
  return parameter !== null && typeof parameter === "object" && "bytes" in parameter;
}
