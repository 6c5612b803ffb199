/** What every store does with the rows of one call, whatever lies behind it. */
import type { IdType, TargetDescription } from "../row/target-description.ts";
import type { EmbeddedQuestion, RowOutcome } from "../row/question.ts";
import { tableName, type Target } from "../row/target.ts";
import { type Holding, TableRefusal, type WriteTrial } from "./port.ts";
import type { TableShape } from "./sql.ts";

/** More in one call is a mistake of the caller, and would be one huge statement. */
const MAX_ROWS_A_CALL = 10_000;

/** How often rows that another process keeps changing under our hands are tried. */
export const MAX_APPLY_ROUNDS = 3;

/** Rows of one call, each with its place in it. */
export type Placed = Readonly<{ place: number; row: EmbeddedQuestion }>;

/** The first success is kept; a failure is not. */
export function once<T>(work: () => Promise<T>): () => Promise<T> {
  let pending: Promise<T> | undefined;
  return async () => {
    pending ??= work();
    try {
      return await pending;
    } catch (error) {
      pending = undefined;
      throw error;
    }
  };
}

export function refuseDuplicates(rows: readonly EmbeddedQuestion[]): void {
  if (rows.length > MAX_ROWS_A_CALL) throw new Error(`${rows.length} rows in one call`);
  const ids = new Set(rows.map((row) => row.id));
  if (ids.size !== rows.length) throw new Error("an id stands twice in one call");
}

export function placed(rows: readonly EmbeddedQuestion[]): Placed[] {
  return rows.map((row, place) => ({ place, row }));
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const INTEGER = /^-?[0-9]{1,19}$/;
const INTEGER_BITS = 64;

/** An id that the column's type cannot hold has no row; to the database it would be an error. */
export const CAN_BE_ID: Readonly<Record<IdType, (id: string) => boolean>> = {
  integer: (id) => INTEGER.test(id) && BigInt.asIntN(INTEGER_BITS, BigInt(id)) === BigInt(id),
  uuid: (id) => UUID.test(id),
  // half a pair of surrogates would go out as another sign, and be another row's id
  text: (id) => !id.includes("\0") && id.isWellFormed(),
};

/** `hidden`: not to be seen, and row level security may be why. */
export function parseOutcome(word: string): RowOutcome | "open" | "hidden" {
  switch (word) {
    case "hidden":
    case "written":
    case "stale":
    case "filled":
    case "gone":
    case "open":
      return word;
    default:
      throw new Error(`the database gave the outcome ${word}`);
  }
}

export function parseHolding(word: string): Holding {
  switch (word) {
    case "same":
    case "other":
    case "empty":
    case "changed":
    case "gone":
      return word;
    default:
      throw new Error(`the database says that a row holds ${word}`);
  }
}

export function nothingIsWritten(
  target: Target,
  rows: readonly Readonly<{ row: Pick<EmbeddedQuestion, "id"> }>[],
): TableRefusal {
  const example = `${rows[0]?.row.id ?? ""}${rows.length > 1 ? ", …" : ""}`;
  return new TableRefusal(
    `Rows of ${tableName(target)} (${example}) are NULL and unchanged, yet the database writes nothing to them, and says no reason.`,
    {
      hint: "A row level security policy, a trigger or a rule stops the UPDATE without an error: use a role that may update every row, or look at the triggers.",
      isOfARow: true,
    },
  );
}

/** A row that is hidden must not be called gone: its vector would be paid for again. */
export function hiddenRow(target: Target, { row }: Placed): TableRefusal {
  return new TableRefusal(
    `Row ${row.id} of ${tableName(target)} cannot be seen any more, and row level security applies to the role: it may be hidden, so nothing is concluded.`,
    {
      hint: "Use the table's owner, or a role that it does not apply to (alter role <role> bypassrls;), then run the same command again: nothing is paid for again.",
    },
  );
}

/** `why`, in words. */
export function untried(why: string): WriteTrial {
  return { tried: 0, refusal: undefined, withoutKey: 0, untried: why };
}

/** Throws when `checkTarget` would have refused the table. */
export function shapeOf(
  { idType, embedding: { typeName } }: TargetDescription,
  vectorSchema: string | undefined,
): TableShape {
  if (
    idType === undefined ||
    vectorSchema === undefined ||
    (typeName !== "vector" && typeName !== "halfvec")
  ) {
    throw new Error("checkTarget let a table through that cannot be written");
  }
  return { idType, vectorSchema, embeddingType: typeName };
}
