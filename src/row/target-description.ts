/** What the database says of a target's table. */
export type IdType = "integer" | "uuid" | "text";

export type TargetDescription = Readonly<{
  /** Undefined when the column's type is none of the three. */
  idType: IdType | undefined;
  /** The database's own name of the id column's type. */
  idTypeName: string;
  /** Who has other names for types than the database: an API, with its version. */
  namedBy?: string;
  /** A primary key or a plain unique index over this one column: paging and matching rely on it. */
  idUnique: boolean;
  /** What it is, where it is no plain table. */
  insteadOfTable?: "view" | "materialized view" | "partitioned table" | "foreign table";
  /** It is known that no row of it can be changed, as of a view of several tables. */
  unwritable?: true;
  /** Columns of the text that are no text, `options (jsonb)`: they are embedded as the database prints them. */
  printedTexts?: readonly string[];
  /** Of a view: the tables that its rows may be of. */
  tablesBelow?: readonly string[];
  /** What an UPDATE of the embedding meets, as far as a trial of one row does not show it, and as far as it is told. */
  writing: WritingFacts;
  embedding: Readonly<{
    /** `vector`, `halfvec`, or what it is instead, as the database prints it. */
    typeName: string;
    /** Undefined where the column declares no width. */
    dimensions: number | undefined;
  }>;
  /** Indexes that cover the embedding column: an ANN index makes writes about 100 times slower. */
  embeddingIndexes: readonly Readonly<{
    name: string;
    method: string;
    definition: string;
    /** False: no query uses it, but writes may; a build failed, or is still at it. */
    valid: boolean;
  }>[];
  /** Triggers that fire on UPDATE of a row. */
  updateTriggers: readonly Readonly<{ name: string; definition: string }>[];
  serverVersion: string;
  /** Undefined when the extension is not installed. */
  pgvectorVersion: string | undefined;
}>;

export type WritingFacts = Readonly<{
  /** The embedding is computed by the database. */
  generated: boolean;
  /** The embedding is NOT NULL: no row ever waits for a vector. */
  notNull: boolean;
  /** Tables that inherit from this one: their rows are seen through it, each with a key of its own. */
  children: readonly string[];
  /** Publications of a table whose rows they cannot tell apart: they make every UPDATE fail. */
  publications: readonly string[];
  /** Rules that do something else in place of an UPDATE. */
  rules: readonly string[];
}>;

export const NOTHING_IN_THE_WAY: WritingFacts = {
  generated: false,
  notNull: false,
  children: [],
  publications: [],
  rules: [],
};

/** By the names that the database has for types. */
export const KEY_TYPES: Readonly<Partial<Record<string, IdType>>> = {
  smallint: "integer",
  integer: "integer",
  bigint: "integer",
  uuid: "uuid",
  text: "text",
  "character varying": "text",
};

/** A table that may be filled, by what its columns can be to a target. */
export type FoundTable = Readonly<{
  schema: string;
  table: string;
  keys: readonly string[];
  texts: readonly string[];
  vectors: readonly Readonly<{ name: string; type: string; width: number | undefined }>[];
}>;

/** `hasVectors`: pgvector is installed; `isProject`: the database is a Supabase project's. */
export type FoundTables = Readonly<{
  hasVectors: boolean;
  isProject: boolean;
  tables: readonly FoundTable[];
}>;
