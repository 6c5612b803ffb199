/**
 * The events of a shared manifest, as one who writes sees them. An event is appended in one statement that compares: it
 * counts only where it is written behind the very last event that its writer has read, so that each is judged by the state it
 * follows, be it a move of a job, the room in the queue or the money that is left. Who comes second reads, and judges
 * anew. No transaction stays open, so that a writer that is stopped holds up nobody, and a pooler may lie between. Times are the
 * database's. Measured with fsync on two cores, much other work on them: 71 appends a second by one writer, 40 by eight at once;
 * ten projects that fill a billion rows need one or two.
 */
import { UserError } from "../../errors.ts";
import { type JournalEvent, parseEvent } from "../event.ts";
import type { EventLog } from "../event-log.ts";
import type { Change } from "../fold.ts";
import { textIn, type Tables } from "./tables.ts";

export type Sharing = Readonly<{
  tables: Tables;
  /** Of the manifest. */
  id: string;
  /** Names this process to itself: it knows by it what it has written when the answer was lost. */
  holder: string;
  /** Repeats work that fails for a while. */
  again: <T>(work: () => Promise<T>) => Promise<T>;
  /** Only reads: what is paused can be looked at. */
  reads?: boolean | undefined;
}>;

const APPEND = `
  WITH head AS (
    UPDATE vecfill.manifest SET last_event = last_event + 1
    WHERE id = $1 AND epoch = $2 AND state = 'active' AND last_event = $3
    RETURNING last_event, clock_timestamp() AS at
  ), moved AS (
    INSERT INTO vecfill.job (manifest, id, seq, state)
    SELECT $1, given.id, given.seq, given.state
    FROM head, unnest($4::text[], $5::int[], $6::text[]) AS given(id, seq, state)
    ON CONFLICT (manifest, id) DO UPDATE SET seq = excluded.seq, state = excluded.state
  )
  INSERT INTO vecfill.event (manifest, number, at, holder, body)
  SELECT $1, last_event, at, $7, $8::json FROM head
  RETURNING ${timeText("at")} AS at`;

/** What stands at the place of an append whose answer was lost, if it is ours. */
const OWN = `SELECT ${timeText("at")} AS at FROM vecfill.event WHERE manifest = $1 AND number = $2 AND holder = $3`;

const READ = `
  SELECT m.epoch::text AS epoch, m.state, e.number::text AS number, ${timeText("e.at")} AS at, e.body::text AS body
  FROM vecfill.manifest m LEFT JOIN vecfill.event e ON e.manifest = m.id AND e.number > $2
  WHERE m.id = $1 ORDER BY e.number LIMIT $3`;

const RESERVE = `
  UPDATE vecfill.manifest SET last_job = greatest(last_job, $2::bigint) + 1 WHERE id = $1
  RETURNING last_job::text AS job`;

const EVENTS_A_QUERY = 5_000;

/** At first it has read nothing, and may not append before it has. */
export class SharedLog implements EventLog {
  readonly #its: Sharing;
  /** The number of the last event that was read or written here. */
  #last = 0;
  /** In which it was first read: another one locks everybody out who worked before. */
  #epoch: string | undefined;

  constructor(its: Sharing) {
    this.#its = its;
  }

  async append(
    { at: _ours, ...event }: JournalEvent,
    { jobs = [] }: Change,
  ): Promise<string | undefined> {
    const { tables, id, holder, again } = this.#its;
    if (this.#epoch === undefined) throw new Error("nothing was read of the shared manifest");
    const before = [id, this.#epoch, this.#last];
    const moves = [jobs.map((job) => job.id), jobs.map(({ seq }) => `${seq}`)];
    const states = jobs.map(({ state }) => state);
    const given = [...before, ...moves, states, holder, JSON.stringify(event)];
    const [row] = await again(async () => {
      const rows = await tables.query(APPEND, given);
      return rows.length > 0 ? rows : tables.query(OWN, [id, this.#last + 1, holder]);
    });
    if (row === undefined) return undefined;
    this.#last += 1;
    return textIn(row, "at");
  }

  async readOthers(): Promise<readonly JournalEvent[]> {
    const events: JournalEvent[] = [];
    for (;;) {
      const rows = await this.#read(EVENTS_A_QUERY);
      this.#last += rows.length;
      events.push(...rows.map((row) => eventOf(textIn(row, "at"), textIn(row, "body"))));
      if (rows.length < EVENTS_A_QUERY) return events;
    }
  }

  async reserve(last: number): Promise<number> {
    const { tables, id, again } = this.#its;
    const [row] = await again(() => tables.query(RESERVE, [id, last]));
    if (row === undefined) throw new Error("the shared manifest is gone");
    return Number(textIn(row, "job"));
  }

  async stillHeld(): Promise<void> {
    await this.#read(1);
  }

  async close(): Promise<void> {}

  /** Events that follow. Throws where nothing may be written any more. */
  async #read(limit: number) {
    const { tables, id, again, reads = false } = this.#its;
    const rows = await again(() => tables.query(READ, [id, this.#last, limit]));
    const { epoch, state } = rows[0] ?? {};
    this.#epoch ??= epoch ?? undefined;
    if (!reads && (epoch !== this.#epoch || state !== "active")) throw notActive(state);
    return rows.filter(({ number }) => number !== null);
  }
}

function timeText(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

/** As a line of a journal has it. */
function eventOf(at: string, body: string): JournalEvent {
  return parseEvent(`{"at":"${at}",${body.slice(1)}`);
}

function notActive(state: string | null | undefined): UserError {
  const how = state === "active" ? "was paused and gone on with" : `is ${state ?? "gone"}`;
  return new UserError(`The shared manifest ${how}: nothing more is written here.`, {
    hint: "Run the same command again once it is active.",
    exit: "locked",
  });
}
