/**
 * The events of a shared manifest, as one who writes sees them. An event is appended in one statement that compares: it
 * counts only where it is written behind the very last event that its writer has read, so that each is judged by the state it
 * follows, be it a move of a job, the room in the queue or the money that is left. Who comes second reads, and judges
 * anew. No transaction stays open, so that a writer that is stopped holds up nobody, and a pooler may lie between. Times are the
 * database's. Measured with fsync on two cores, much other work on them: 71 appends a second by one writer, 40 by eight at once;
 * ten projects that fill a billion rows need one or two.
 */
import type { SharedClock } from "../../clock.ts";
import { UserError } from "../../errors.ts";
import { type JournalEvent, parseEvent } from "../event.ts";
import type { EventLog } from "../event-log.ts";
import type { Change } from "../fold.ts";
import type { Job } from "../job.ts";
import { isNotActive } from "./elsewhere.ts";
import { DURABLY, type Row, textIn, type Tables } from "./tables.ts";

export type Sharing = Readonly<{
  tables: Tables;
  /** Of the manifest. */
  id: string;
  /** Names this process. */
  holder: string;
  /** Repeats work that fails for a while. */
  again: <T>(work: () => Promise<T>) => Promise<T>;
  /** Told the database's time with each answer: by that one are all events. */
  clock: SharedClock;
  /** Only reads: what is paused can be looked at. */
  reads?: boolean | undefined;
}>;

/**
 * A job's row may be held by a write of vectors, which may wait for a row of a user's: so it is taken first, and all others go
 * on meanwhile. The event before is asked for by its mark: in a database that was set back another one may stand there.
 */
const APPEND = `
  WITH held AS MATERIALIZED (
    SELECT FROM vecfill.job WHERE manifest = $1 AND id = ANY ($4::text[]) ORDER BY id FOR UPDATE
  ), head AS (
    UPDATE vecfill.manifest SET last_event = last_event + 1
    WHERE (SELECT count(*) FROM held) >= 0 AND id = $1 AND epoch = $2 AND state = 'active' AND last_event = $3
      AND ($3 = 0 OR EXISTS (SELECT FROM vecfill.event WHERE manifest = $1 AND number = $3 AND holder = $9))
    RETURNING last_event, clock_timestamp() AS at
  ), moved AS (
    INSERT INTO vecfill.job (manifest, id, seq, state)
    SELECT $1, given.id, given.seq, given.state
    FROM head, unnest($4::text[], $5::int[], $6::text[]) AS given(id, seq, state)
    ON CONFLICT (manifest, id) DO UPDATE SET seq = excluded.seq, state = excluded.state
  )
  INSERT INTO vecfill.event (manifest, number, at, holder, body)
  SELECT $1, last_event, at, $7, $8::json FROM head
  RETURNING ${timeText("at")} AS at,
    ${DURABLY}`;

/** What stands at the place of an append whose answer was lost, if it is ours. */
const OWN = `SELECT ${timeText("at")} AS at FROM vecfill.event WHERE manifest = $1 AND number = $2 AND holder = $3`;

const READ = `
  SELECT (SELECT ${timeText("now()")}) AS now, m.epoch::text AS epoch, m.state, e.number::text AS number, e.holder, ${timeText("e.at")} AS at, e.body::text AS body
  FROM vecfill.manifest m LEFT JOIN vecfill.event e ON e.manifest = m.id AND e.number >= $2
  WHERE m.id = $1 ORDER BY e.number LIMIT $3`;

const RESERVE = `
  UPDATE vecfill.manifest SET last_job = greatest(last_job, $2::bigint) + 1 WHERE id = $1
  RETURNING last_job::text AS job`;

const EVENTS_A_QUERY = 5_000;

/** The last event that was read or written, and its mark. */
export type EventPlace = Readonly<{ number: number; mark: string }>;

/** At first it has read nothing, and may not append before it has. */
export class SharedLog implements EventLog {
  readonly #its: Sharing;
  #last: number;
  #mark: string;
  #appends = 0;
  /** In which it was first read: another one locks everybody out who worked before. */
  #epoch: string | undefined;

  /** `from`: what follows it is read. */
  constructor(its: Sharing, from: EventPlace = { number: 0, mark: "" }) {
    this.#its = its;
    ({ number: this.#last, mark: this.#mark } = from);
  }

  get place(): EventPlace {
    return { number: this.#last, mark: this.#mark };
  }

  /** In which what is written from here counts. */
  get epoch(): string {
    if (this.#epoch === undefined) throw new Error("nothing was read of the shared manifest");
    return this.#epoch;
  }

  async append(
    { at: _ours, ...event }: JournalEvent,
    { jobs = [] }: Change,
  ): Promise<string | undefined> {
    const { tables, id, holder, again, clock } = this.#its;
    const since = clock.own.now();
    // of this very event: one before it may have been written, too, and its answer lost
    const mark = `${holder} ${(this.#appends += 1)}`;
    const before = [id, this.epoch, this.#last];
    const given = [...before, ...columnsOf(jobs), mark, JSON.stringify(event), this.#mark];
    const [row] = await again(async () => {
      const rows = await tables.query(APPEND, given);
      return rows.length > 0 ? rows : tables.query(OWN, [id, this.#last + 1, mark]);
    });
    if (row === undefined) return undefined;
    this.#follow({ number: this.#last + 1, mark });
    const at = textIn(row, "at");
    clock.heard(at, since);
    return at;
  }

  /** All of them or none: what cannot be read is not passed over. */
  async readOthers(): Promise<readonly JournalEvent[]> {
    const events: JournalEvent[] = [];
    let at = this.place;
    for await (const page of this.#pages()) {
      events.push(...page.events);
      ({ at } = page);
    }
    this.#follow(at);
    return events;
  }

  /** A long history is not held as a whole; who meets an error is to read no more. */
  async readEach(onEvent: (event: JournalEvent) => void): Promise<void> {
    for await (const { events, at } of this.#pages()) {
      for (const event of events) onEvent(event);
      this.#follow(at);
    }
  }

  async *#pages() {
    let at = this.place;
    for (;;) {
      const rows = await this.#read(at.number, at.mark, EVENTS_A_QUERY);
      const mark = rows.at(-1)?.["holder"] ?? at.mark;
      at = { number: at.number + rows.length, mark };
      yield { events: rows.map(eventOf), at };
      if (rows.length < EVENTS_A_QUERY) return;
    }
  }

  #follow({ number, mark }: EventPlace): void {
    this.#mark = mark;
    this.#last = number;
  }

  async reserve(last: number): Promise<number> {
    const { tables, id, again } = this.#its;
    const [row] = await again(() => tables.query(RESERVE, [id, last]));
    if (row === undefined) throw new Error("the shared manifest is gone");
    return Number(textIn(row, "job"));
  }

  async stillHeld(): Promise<void> {
    await this.#read(this.#last, this.#mark, 0);
  }

  async close(): Promise<void> {}

  /** Events that follow the one of that number and mark. Throws where nothing may be written any more. */
  async #read(last: number, mark: string, limit: number) {
    const { tables, id, again, clock, reads = false } = this.#its;
    const from = Math.max(last, 1);
    const since = clock.own.now();
    const rows = await again(() => tables.query(READ, [id, from, limit + 1]));
    const { now, epoch, state } = rows[0] ?? {};
    if (typeof now === "string") clock.heard(now, since);
    this.#epoch ??= epoch ?? undefined;
    if (!reads && (epoch !== this.#epoch || state !== "active")) throw isNotActive(state);
    const events = rows.filter(({ number }) => number !== null);
    if (last === 0) return events.slice(0, limit);
    if (events[0]?.["holder"] !== mark) throw setBack();
    return events.slice(1);
  }
}

/** Ids, seqs and states, as statements take them. */
export function columnsOf(jobs: readonly Job[]): string[][] {
  return [
    jobs.map(({ id }) => id),
    jobs.map(({ seq }) => `${seq}`),
    jobs.map(({ state }) => state),
  ];
}

function timeText(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

/** As a line of a journal has it. */
function eventOf(row: Row): JournalEvent {
  try {
    return parseEvent(`{"at":"${textIn(row, "at")}",${textIn(row, "body").slice(1)}`);
  } catch (error) {
    throw isNewer(textIn(row, "number"), error);
  }
}

/** Nobody else writes events, and what is written is not changed. */
function isNewer(number: string, error: unknown): UserError {
  const why = error instanceof Error ? error.message : String(error);
  return new UserError(
    `Event ${number} of the shared manifest was written by a newer vecfill; this one does not know it (${why}).`,
    {
      hint: "Use the newest here, too: `npm install --global vecfill@latest`. Nothing was changed.",
      cause: error,
    },
  );
}

function setBack(): UserError {
  return new UserError(
    "The shared manifest is not the one that was read: its database was set back, to a copy or a standby without the last events.",
    {
      hint: "Stop all that work on it. What they have sent is at Gemini: the next run looks there before it sends anything.",
      exit: "locked",
    },
  );
}
