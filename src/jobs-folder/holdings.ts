import type { QuestionKey } from "../row/question.ts";
import type { Target } from "../row/target.ts";
import type { Holding, Store } from "../store/port.ts";

/** What rows hold as far as their keys tell, in the order given: of no vector of ours, so any that is there is `other`. */
export function holdingsOf(
  store: Pick<Store, "compare">,
  rows: readonly QuestionKey[],
  { dimensions }: Target,
): Promise<Holding[]> {
  const vector = new Float32Array(dimensions);
  return store.compare(rows.map((row) => ({ ...row, vector })));
}
