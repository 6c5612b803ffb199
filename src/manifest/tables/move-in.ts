/**
 * A manifest that was in a folder, into the tables. All of it may be repeated, and nothing that is here is written over: a history
 * that is not the start of the folder's refuses it.
 */
import type { JournalEvent } from "../event.ts";
import type { Job } from "../job.ts";
import { columnsOf } from "./shared-log.ts";
import { DURABLY, type Tables } from "./tables.ts";

type Arriving = Readonly<{
  id: string;
  events: readonly JournalEvent[];
  jobs: readonly Job[];
  /** The highest number of a job that is not free any more. */
  lastJob: number;
}>;

const EVENTS_A_STATEMENT = 5_000;

const GIVEN = `
  SELECT at::timestamptz AS at, body, $4::bigint + number AS number
  FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS its(at, body, number)`;

const OTHERS = `
  SELECT count(*) AS others FROM given JOIN vecfill.event e ON e.manifest = $1 AND e.number = given.number
  WHERE date_trunc('milliseconds', e.at) <> date_trunc('milliseconds', given.at)`;

/** How many of that number are others here. */
const COMPARE_EVENTS = `WITH given AS (${GIVEN}), compared AS (${OTHERS}) SELECT others::text AS others FROM compared`;

/** The same; nothing is stored where there are any. */
const STORE_EVENTS = `
  WITH given AS (${GIVEN}), compared AS (${OTHERS}), told AS (
    INSERT INTO vecfill.event (manifest, number, at, holder, body)
    SELECT m.id, number, at, 'folder ' || number, body::json
    FROM vecfill.manifest m, given, compared
    WHERE m.id = $1 AND m.state = 'arriving' AND compared.others = 0
    ON CONFLICT DO NOTHING
  )
  SELECT others::text AS others FROM compared`;

const COUNT_EVENTS = "SELECT count(*)::text AS events FROM vecfill.event WHERE manifest = $1";

const STORE_JOBS = `
  WITH head AS (
    UPDATE vecfill.manifest SET last_event = $2::bigint, last_job = greatest(last_job, $3::bigint)
    WHERE id = $1 AND state = 'arriving'
      AND (SELECT count(*) FROM vecfill.event WHERE manifest = $1) = $2::bigint
    RETURNING id
  ), moved AS (
    INSERT INTO vecfill.job (manifest, id, seq, state)
    SELECT head.id, job.id, job.seq, job.state
    FROM head, unnest($4::text[], $5::int[], $6::text[]) AS job(id, seq, state)
    ON CONFLICT (manifest, id) DO UPDATE SET seq = excluded.seq, state = excluded.state
  )
  SELECT id, ${DURABLY} FROM head`;

const ACTIVATE = `
  UPDATE vecfill.manifest SET epoch = epoch + (state = 'arriving')::int, gone_to = NULL,
    state = CASE state WHEN 'arriving' THEN 'active' ELSE state END
  WHERE id = $1 AND (state IN ('active', 'paused') OR state = 'arriving' AND epoch = $2::int AND last_event = $3::bigint
    AND (SELECT count(*) FROM vecfill.event WHERE manifest = $1) = $3::bigint)
  RETURNING id, ${DURABLY}`;

type History = Pick<Arriving, "id" | "events">;

/** Whether what stands here of it is how the folder's history begins. */
export async function isStartOf(tables: Tables, { id, events }: History): Promise<boolean> {
  const [row] = await tables.query(COUNT_EVENTS, [id]);
  if (Number(row?.["events"]) > events.length) return false;
  return eachChunk(tables, COMPARE_EVENTS, { id, events });
}

/** False where another history of it stands here. */
export async function storeHistory(
  tables: Tables,
  { id, events, jobs, lastJob }: Arriving,
): Promise<boolean> {
  if (!(await eachChunk(tables, STORE_EVENTS, { id, events }))) return false;
  const given = [id, events.length, lastJob, ...columnsOf(jobs)];
  return (await tables.query(STORE_JOBS, given)).length > 0;
}

/** False at the first that has others here. */
async function eachChunk(tables: Tables, sql: string, { id, events }: History): Promise<boolean> {
  for (let start = 0; start < events.length; start += EVENTS_A_STATEMENT) {
    const some = events.slice(start, start + EVENTS_A_STATEMENT);
    const bodies = some.map(({ at: _at, ...event }) => JSON.stringify(event));
    const ats = some.map(({ at }) => at);
    const [row] = await tables.query(sql, [id, ats, bodies, start]);
    if (row?.["others"] !== "0") return false;
  }
  return true;
}

/** `events`: so many there are. */
type Arrived = Readonly<{ id: string; epoch: string; events: number }>;

/** From now on others write to it, if they did not before. False where it is not whole, has left, or arrives once more. */
export async function endArrival(tables: Tables, { id, epoch, events }: Arrived): Promise<boolean> {
  return (await tables.query(ACTIVATE, [id, epoch, events])).length > 0;
}
