/** A database that takes SQL, a server or the embedded one: nothing is kept between queries, so that a pooler may lie in between. */

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
  /** Statements that go as one, with all of them or none. The rows of the last. */
  script(sql: string): Promise<Row[]>;
  /** Work on a connection of its own, without a limit on time, which is closed after it. */
  session<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** For a library's own statements: cells as the driver reads them. A server's only. */
  native?: (sql: string, values?: unknown[]) => Promise<{ rows: unknown[] }>;
  close(): Promise<void>;
};

/** One connection for several statements; what they set ends with it. */
export type Session = Readonly<{
  /** True where nothing lies between it and a server session: what it sets is its own. */
  isDirect: boolean;
  /** All of them or none; sent as one, so that a connection that breaks under them undoes nothing. */
  transaction(statements: readonly string[]): Promise<void>;
  /** One statement outside of any transaction. */
  statement(sql: string): Promise<void>;
}>;

/** A cell that the statement promises to be there and not NULL. */
export function cell(row: Row, name: string): string {
  const value = row[name];
  if (typeof value === "string") return value;
  throw new Error(`the query gave no ${name}`);
}

export function isBinary(parameter: Parameter): parameter is BinaryParameter {
  return parameter !== null && typeof parameter === "object" && "bytes" in parameter;
}
