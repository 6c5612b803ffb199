import type { EmbeddedQuestion, RowOutcome } from "../row/question.ts";
import { type RowEnd, TableRefusal } from "../store/port.ts";

/**
 * Where the table refuses a row, what was written with it is halved down to it, so that it costs no
 * other row. `end` is called for each row by its place, as soon as it is known.
 */
export async function writeAround(
  rows: readonly EmbeddedQuestion[],
  write: (rows: readonly EmbeddedQuestion[]) => Promise<readonly RowOutcome[]>,
  end: (place: number, end: RowEnd) => void,
): Promise<void> {
  if (rows.length === 0) return;
  try {
    const outcomes = await write(rows);
    if (outcomes.length !== rows.length) throw new Error("the store told not one outcome a row");
    for (const [place, outcome] of outcomes.entries()) end(place, outcome);
  } catch (error) {
    if (!(error instanceof TableRefusal) || !error.isOfARow) throw error;
    if (rows.length === 1) return end(0, error);
    const half = Math.ceil(rows.length / 2);
    await writeAround(rows.slice(0, half), write, end);
    await writeAround(rows.slice(half), write, (place, each) => end(half + place, each));
  }
}
