import { hasTextKeys, type Job } from "../manifest/job.ts";
import type { FailedLine } from "../row/failed-line.ts";
import { parseKey, type QuestionKey } from "../row/question.ts";
import type { Target } from "../row/target.ts";
import type { Holding, Store } from "../store/port.ts";
import { lineChunks } from "./failed-file.ts";

type Asked = Pick<Store, "compare">;

/** What rows hold as far as their keys tell, in the order given: of no vector of ours, so any that is there is `other`. */
export function holdingsOf(
  store: Asked,
  rows: readonly QuestionKey[],
  { dimensions }: Pick<Target, "dimensions">,
): Promise<Holding[]> {
  const vector = new Float32Array(dimensions);
  return store.compare(rows.map((row) => ({ ...row, vector })));
}

/** Failed lines, each with what its row holds by now: `empty` where it waits still, or nothing tells. */
export async function* heldLines(
  store: Asked | undefined,
  job: Pick<Job, "digest" | "target">,
  lines: AsyncIterable<FailedLine>,
): AsyncGenerator<readonly [line: FailedLine, holding: Holding]> {
  for await (const chunk of lineChunks(lines)) {
    const rows = chunk.map(({ key }) => parseKey(key));
    const known = rows.filter((row) => row !== undefined);
    const isTold = store !== undefined && hasTextKeys(job) && known.length > 0;
    const holdings = isTold ? await holdingsOf(store, known, job.target) : [];
    for (const [place, line] of chunk.entries()) {
      const holding = rows[place] === undefined ? undefined : holdings.shift();
      yield [line, holding ?? "empty"];
    }
  }
}
