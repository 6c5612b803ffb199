/**
 * The manifest of the tables goes to a folder, in two steps, so that one folder at most goes on with it: nobody writes here
 * any more, then it has left. Only who began the first may end the second, which its epoch tells.
 */
import { DURABLY, type Tables } from "./tables.ts";

/** Behind the very last event that was read, and when the statements are through that write vectors. Others may begin anew, and so may `resume`. */
const LEAVE = `
  WITH seen AS MATERIALIZED (SELECT FROM vecfill.manifest WHERE id = $1 FOR UPDATE)
  UPDATE vecfill.manifest SET state = 'leaving', epoch = epoch + 1, gone_to = $3
  WHERE (SELECT count(*) FROM seen) > 0 AND id = $1 AND last_event = $2::bigint AND state IN ('active', 'paused', 'leaving')
  RETURNING epoch::text AS epoch, ${DURABLY}`;

const END = `
  UPDATE vecfill.manifest SET state = 'left'
  WHERE id = $1 AND epoch = $2::int AND state IN ('leaving', 'left') RETURNING id, ${DURABLY}`;

type Leaving = Readonly<{
  id: string;
  /** So many were read. */
  events: number;
  /** In words, where to. */
  goneTo: string;
}>;

/** Its epoch from then on; undefined where others came first, whose events are to be read before. */
export async function beginLeaving(
  tables: Tables,
  { id, events, goneTo }: Leaving,
): Promise<string | undefined> {
  const [row] = await tables.query(LEAVE, [id, events, goneTo]);
  return row?.["epoch"] ?? undefined;
}

/** False where it was called back, or goes to another folder by now. */
export async function endLeaving(tables: Tables, id: string, epoch: string): Promise<boolean> {
  return (await tables.query(END, [id, epoch])).length > 0;
}
