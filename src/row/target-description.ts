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
  /** What it is, where it is no plain table: on these no unique index over one column can be made. */
  insteadOfTable?: "view" | "partitioned table";
  /** It is known that no row of it can be changed, as of a view of several tables. */
  unwritable?: true;
  /** Of a view: the tables that its rows may be of. */
  tablesBelow?: readonly string[];
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
