/**
 * The table in our words. Every call may be repeated: reading changes nothing, and `apply` and
 * `clear` compare before they write, so that a lost answer is found out by asking again.
 */
import { z } from "zod";
import { UserError } from "../errors.ts";
import { tableName, type Target } from "../row/target.ts";
import type { TargetDescription } from "../row/target-description.ts";
import type {
  ChangedTexts,
  EmbeddedQuestion,
  PendingQuestion,
  RowOutcome,
} from "../row/question.ts";

/** The table does not take what it is given. What was refused is paid for and can be written later. */
export class TableRefusal extends UserError {
  /** It may be one row of the call alone: the others can be written without it. */
  readonly isOfARow: boolean;
  /** There is no such table. */
  readonly isGone: boolean;

  constructor(
    message: string,
    {
      hint,
      isOfARow = false,
      isGone = false,
      cause,
    }: { hint: string; isOfARow?: boolean; isGone?: boolean; cause?: unknown },
  ) {
    super(message, { hint, exit: "fatal", cause });
    this.isOfARow = isOfARow;
    this.isGone = isGone;
  }
}

/** What became of a row that was offered a vector. */
export type RowEnd = RowOutcome | TableRefusal;

/** What became of a few rows that were offered a vector, which was taken back. */
export type WriteTrial = Readonly<{
  /** 0: no row waits. */
  tried: number;
  /** What the table has against the first, where it refused all; undefined where it took one. */
  refusal: TableRefusal | undefined;
  /** Rows that wait for a vector and have no key: they can never be filled. */
  withoutKey: number;
  /** Why nothing could be tried, in words; undefined where it could. */
  untried: string | undefined;
}>;

/** What the database says of the connection itself. */
export type Session = Readonly<{
  role: string;
  mayRead: boolean;
  /** The embedding column. */
  mayWrite: boolean;
  /** A standby, or set so for the role or the database: nothing can be written, whatever the rights. */
  readOnly: boolean;
  /** Row level security applies to this role on the table: rows may be hidden without an error. */
  rowSecurity: boolean;
  /** 0: none. */
  statementTimeoutMs: number;
  databaseTime: Date;
}>;

/** Throws where the role may not write at all, whatever the row. */
export function requireWritable(target: Target, { role, ...session }: Session): void {
  const table = tableName(target);
  if (!session.mayRead || !session.mayWrite) {
    const what = session.mayRead ? `write ${target.embedding} of` : "read";
    throw new TableRefusal(`The role ${role} may not ${what} ${table}.`, {
      hint: `Run, as the table's owner: grant select, update on ${table} to ${role};`,
    });
  }
  if (!session.readOnly) return;
  throw new TableRefusal(
    "The database is read only: it is a standby, or default_transaction_read_only is on.",
    {
      hint: `Give the address of the primary server, or: alter role ${role} set default_transaction_read_only = off;`,
    },
  );
}

/** A look at the table, and at the way to it, without judging either. */
export type Examination = Readonly<{
  /** Where it is. */
  label: string;
  description: TargetDescription;
  /** Undefined where the API alone is asked: it does not tell. */
  session: Session | undefined;
  /** Where pgvector is installed; undefined: nowhere, or not told. */
  vectorSchema: string | undefined;
  /** The database is a Supabase project's: it has the roles that the API takes on. */
  supabase: boolean;
  /** The SQL functions behind an API. */
  functions: FunctionsState;
}>;

/** `unfit`: they are there, but cannot be used; `why` in words. */
export type FunctionsState =
  | Readonly<{ state: "missing" | "current" }>
  | Readonly<{ state: "unfit"; why: string }>;

export type PendingPage = Readonly<{
  /** Id of the last row of the page before; undefined for the first page. */
  after: string | undefined;
  limit: number;
}>;

/** What is written is of a job that several may go on with: `seq` is its last move that is known here; a pause ends the `epoch`. */
export type Hold = Readonly<{ manifest: string; epoch: string; job: string; seq: number }>;

/** `kept`: the row holds another vector, none, or is gone, so nothing was cleared. */
export type ClearOutcome = "cleared" | "kept";

/**
 * What a row holds beside a given vector: exactly that one, another, or none, its text being the one of the
 * fingerprint (`empty`) or not (`changed`); or there is no such row.
 */
export type Holding = "same" | "other" | "empty" | "changed" | "gone";

/** An ANN index on the embedding, with all that is needed to build it again. */
export type AnnIndex = Readonly<{
  name: string;
  method: string;
  /** `CREATE INDEX …`, every name in it qualified, so that it means the same to any session. */
  definition: string;
  /** Undefined: the database's own. */
  tablespace: string | undefined;
  comment: string | undefined;
  valid: boolean;
}>;

/** For how long a table is waited for, at a time. `alone`: all who come after it wait, too; `quiet`: only vacuum does. */
export const LOCK_WAITS = { quiet: "5 s", alone: "150 ms" } as const;

/** `obstacle`: why it has to be left alone, in words; undefined where it can be dropped and built. */
export type StandingIndex = AnnIndex & Readonly<{ obstacle: string | undefined }>;

export type IndexProgress = Readonly<{
  /** In the database's words. */
  phase: string;
  /** From 0 to 100; undefined where this phase has no measure. */
  percent: number | undefined;
}>;

/** `standing`: it was there already; `replaced`: another index of that name is, and was left alone. */
export type BuildOutcome = "built" | "standing" | "replaced";

/** The ANN indexes on the embedding. To drop one that is gone, or build one that stands, is nothing. */
export type StoreIndexes = Readonly<{
  /** `every`: also those that are no ANN indexes, such as one of the rows without a vector. */
  read(every?: boolean): Promise<StandingIndex[]>;
  /** Waits for a moment only, so that nothing piles up behind it; a busy table rejects it. */
  drop(name: string): Promise<void>;
  /**
   * As long as it takes. What a build that failed left under that name is dropped first. When the
   * signal is aborted the build is cancelled, leaves nothing, and rejects with the signal's reason.
   */
  build(index: AnnIndex, signal: AbortSignal): Promise<BuildOutcome>;
  /** Of a build that is under way on this table; undefined: there is none. */
  progress(): Promise<IndexProgress | undefined>;
}>;

export const VECTOR_HASH_DIGITS = 16;
export const TEXT_HASH_DIGITS = 8;

export type LookOptions = Readonly<{
  /** Id of the last row of the window before; undefined for the first window. */
  after: string | undefined;
  /** Hashes of vectors whose rows are to be named. */
  wanted: readonly string[];
  /** Places, from 0, among this window's rows with a vector; those beyond its end are left out. */
  picks: readonly number[];
}>;

const LOOK = z.object({
  rows: z.number(),
  withEmbedding: z.number(),
  /** `detail`: the width, or the length. */
  flawed: z.array(
    z.object({
      id: z.string(),
      flaw: z.enum(["dimensions", "length", "notFinite"]),
      detail: z.string(),
    }),
  ),
  /** Of each row with a vector, in order: hex digits of the vector's hash and of its text's. */
  hashes: z.string(),
  /** Rows with a wanted vector; `words` is equal for texts that differ in spaces only. */
  found: z.array(z.object({ id: z.string(), hash: z.string(), words: z.string() })),
  picked: z.array(z.object({ id: z.string(), text: z.string(), vector: z.array(z.number()) })),
  /** Id of the last row; undefined where there is none any more. */
  until: z
    .string()
    .nullable()
    .transform((id) => id ?? undefined),
});

/** A window of rows in id order; the store decides how many. */
export type Look = Readonly<z.infer<typeof LOOK>>;
export type PickedRow = Look["picked"][number];
/** What can be wrong with a vector by itself. */
export type VectorFlaw = Look["flawed"][number]["flaw"];

/** From what `lookSql` gave. */
export function parseLook(given: unknown): Look {
  return LOOK.parse(given);
}

/** A row that has a text and no vector; `since` is what its column of that name says. */
export type PendingSince = Readonly<{ id: string; since: string; seconds: number }>;

/** Rows by the distance of their vectors from this one, or from a row's own. `exact`: by no index. */
export type Nearest = Readonly<{
  to: Float32Array | Readonly<{ row: string }>;
  limit: number;
  exact?: boolean;
}>;

/** `similarity`: the cosine. */
export type NearRow = Readonly<{ id: string; text: string; similarity: number }>;

export type Store = {
  /** Undefined where only an API is to be had, through which no index can be built. */
  readonly indexes: StoreIndexes | undefined;
  /** The nearest first; rows without a vector are left out. Undefined where only an API is to be had. */
  readonly nearest?: ((asked: Nearest) => Promise<NearRow[]>) | undefined;
  /**
   * The row that has waited longest by a column of dates or times; undefined where none waits. Itself
   * undefined where only an API is to be had.
   */
  readonly oldestPending?: ((column: string) => Promise<PendingSince | undefined>) | undefined;
  /** Undefined where no trigger tells; itself undefined where only an API is to be had. */
  readonly changedTexts?: (() => Promise<ChangedTexts | undefined>) | undefined;
  /** Throws a UserError that names the mend when table or columns are not there. */
  describe(): Promise<TargetDescription>;
  /** Rows whose embedding is NULL, in id order; fewer than `limit` only at the end. */
  readPending(page: PendingPage): Promise<PendingQuestion[]>;
  /**
   * Writes each vector whose row still has that fingerprint and a NULL column. Each row is checked and written in one
   * statement; what stays open is offered again. Says for every row, in the order given, what became of it. A row that already holds exactly
   * this vector counts as written. Ids within a call are distinct. Throws HoldLost, and this call wrote nothing more, where the job has
   * moved since.
   */
  apply(rows: readonly EmbeddedQuestion[], hold?: Hold): Promise<RowOutcome[]>;
  /**
   * Offers up to five pending rows a vector, each by itself and in the statement of `apply`, until one
   * takes it, and takes it back; triggers fire. Throws a UserError where any row would be refused.
   * `except`: ids of rows that are known to be.
   */
  tryWrite(except: readonly string[]): Promise<WriteTrial>;
  /** `pending`: rows whose embedding is NULL. `--where` is honoured in both. */
  count(): Promise<Readonly<{ total: number; pending: number }>>;
  /** The next rows as they are, also of a column that does not fit the target. `--where` is not asked. */
  look(options: LookOptions): Promise<Look>;
  /** What each row holds, in the order given; changes nothing. Ids within a call are distinct. */
  compare(rows: readonly EmbeddedQuestion[]): Promise<Holding[]>;
  /** Sets to NULL each row that holds exactly the given vector; throws as `apply` does. */
  clear(rows: readonly EmbeddedQuestion[], hold?: Hold): Promise<ClearOutcome[]>;
  close(): Promise<void>;
};

/** What an address of a database names. */
export type AddressedHost = Readonly<{
  host: string;
  port: string;
  /** This machine, or a socket in its file system. */
  isLocal: boolean;
}>;

/** The SQL through which an API reads and fills one target. */
export type FunctionsSql = Readonly<{
  /** A hash of the target: part of every name. */
  hash: string;
  /** `api`: the functions themselves; without, the triggers alone. */
  install(
    seen: Examination,
    wanted: Readonly<{ trigger: boolean; fingerprint: boolean; api: boolean }>,
  ): readonly string[];
  remove(): readonly string[];
}>;
