/** A table that may be filled, by what its columns can be to a target. */
export type FoundTable = Readonly<{
  schema: string;
  table: string;
  keys: readonly string[];
  texts: readonly string[];
  vectors: readonly Readonly<{ name: string; type: string; width: number | undefined }>[];
}>;

/** `hasVectors`: pgvector is installed. */
export type FoundTables = Readonly<{ hasVectors: boolean; tables: readonly FoundTable[] }>;
