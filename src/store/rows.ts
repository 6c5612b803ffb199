/** What every store does with the rows of one call, whatever lies behind it. */
import { z } from "zod";
import type { IdType, TargetDescription } from "../row/target-description.ts";
import type { EmbeddedQuestion, RowOutcome } from "../row/question.ts";
import { tableName, type Target } from "../row/target.ts";
import { type ClearOutcome, type Holding, type Store, TableRefusal } from "./port.ts";
import type { TableShape } from "./sql.ts";

/** More in one call is a mistake of the caller, and would be one huge statement. */
const MAX_ROWS_A_CALL = 10_000;

/** How often rows that another process keeps changing under our hands are tried. */
export const MAX_APPLY_ROUNDS = 3;

/** Rows of one call, each with its place in it. */
export type Placed = Readonly<{ place: number; row: EmbeddedQuestion }>;

type Say<Answer> = (row: Placed, answer: Answer) => void;

/** What lies behind a store: it says of rows what became of them. A row of which nothing is said is gone. */
export type RowWork = Readonly<{
  /** An id that the column's type cannot hold has no row; to the database it would be an error. */
  canBeId: (id: string) => boolean;
  /** `open`: as it was, for no reason that shows. `hidden`: not to be seen, and row level security may be why. */
  apply(rows: readonly Placed[], say: Say<RowOutcome | "open" | "hidden">): Promise<void>;
  compare(rows: readonly Placed[], say: Say<Holding>): Promise<void>;
  clear(rows: readonly Placed[], say: Say<ClearOutcome>): Promise<void>;
}>;

/** The part of a store that takes rows and says in the same order what became of them. */
export function rowCalls(
  target: Target,
  ready: () => Promise<RowWork>,
): Pick<Store, "apply" | "compare" | "clear"> {
  const answersTo = async <Answer>(
    rows: readonly EmbeddedQuestion[],
    otherwise: Answer,
    ask: (work: RowWork, possible: readonly Placed[], say: Say<Answer>) => Promise<void>,
  ): Promise<Answer[]> => {
    refuseDuplicates(rows);
    const answers = rows.map(() => otherwise);
    if (rows.length === 0) return answers;
    const work = await ready();
    const placed = rows.map((row, place) => ({ place, row }));
    const possible = placed.filter(({ row }) => work.canBeId(row.id));
    const say: Say<Answer> = ({ place }, answer) => (answers[place] = answer);
    if (possible.length > 0) await ask(work, possible, say);
    return answers;
  };
  return {
    apply: (rows) =>
      answersTo<RowOutcome>(rows, "gone", (work, possible, say) =>
        applyInRounds(target, work, possible, say),
      ),
    compare: (rows) =>
      answersTo<Holding>(rows, "gone", (work, possible, say) => work.compare(possible, say)),
    clear: (rows) =>
      answersTo<ClearOutcome>(rows, "kept", (work, possible, say) => work.clear(possible, say)),
  };
}

async function applyInRounds(
  target: Target,
  work: RowWork,
  rows: readonly Placed[],
  say: Say<RowOutcome>,
): Promise<void> {
  let open = rows;
  for (let round = 0; open.length > 0; round += 1) {
    if (round === MAX_APPLY_ROUNDS) throw nothingIsWritten(target, open);
    const again: Placed[] = [];
    await work.apply(open, (row, outcome) => {
      if (outcome === "hidden") throw hiddenRow(target, row);
      if (outcome === "open") again.push(row);
      else say(row, outcome);
    });
    open = again;
  }
}

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

function refuseDuplicates(rows: readonly EmbeddedQuestion[]): void {
  if (rows.length > MAX_ROWS_A_CALL) throw new Error(`${rows.length} rows in one call`);
  const ids = new Set(rows.map((row) => row.id));
  if (ids.size !== rows.length) throw new Error("an id stands twice in one call");
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const INTEGER = /^-?[0-9]{1,19}$/;
const INTEGER_BITS = 64;

/** By the type of the column. */
export const CAN_BE_ID: Readonly<Record<IdType, (id: string) => boolean>> = {
  integer: (id) => INTEGER.test(id) && BigInt.asIntN(INTEGER_BITS, BigInt(id)) === BigInt(id),
  uuid: (id) => UUID.test(id),
  // half a pair of surrogates would go out as another character, and be another row's id
  text: (id) => !id.includes("\0") && id.isWellFormed(),
};

/**
 * How far from 1 a length may be. What vecfill writes is within 1e-7 of it in a column of type vector;
 * other tools print six digits, which adds up to 1e-5. A halfvec keeps 11 bits of each number, which
 * moves the length by 5e-4 at the most.
 */
export const LENGTH_TOLERANCE: Readonly<Record<TableShape["embeddingType"], number>> = {
  vector: 1e-4,
  halfvec: 1e-3,
};

/** As the statements and functions say them. */
export const OUTCOME = z.enum(["hidden", "written", "stale", "filled", "gone", "open"]);
export const HOLDING = z.enum(["same", "other", "empty", "changed", "gone"]);

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
function hiddenRow(target: Target, { row }: Placed): TableRefusal {
  return new TableRefusal(
    `Row ${row.id} of ${tableName(target)} cannot be seen any more, and row level security applies to the role: it may be hidden, so nothing is concluded.`,
    {
      hint: "Use the table's owner, or a role that it does not apply to (alter role <role> bypassrls;), then run the same command again: nothing is paid for again.",
    },
  );
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
