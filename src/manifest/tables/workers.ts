/** Who works on a shared manifest: for people who ask, and nothing rests on it. Times are the database's. */
import { z } from "zod";
import type { Tables } from "./tables.ts";

export type Worker = z.infer<typeof WORKER>;

/** `seconds`: since it was heard of. */
const WORKER = z.object({
  host: z.string(),
  pid: z.coerce.number(),
  command: z.string(),
  duties: z.string().transform((text) => text.split(",").filter((duty) => duty !== "")),
  since: z.string(),
  seconds: z.coerce.number(),
});

/** Whoever is not heard of for so long has gone. */
const GONE_SECONDS = 90;

const NOTE = `
  INSERT INTO vecfill.worker (id, host, pid, command, duties) VALUES ($1, $2, $3::int, $4, $5::text[])
  ON CONFLICT (id) DO UPDATE SET duties = excluded.duties, seen_at = clock_timestamp()`;

const READ = `
  SELECT host, pid::text AS pid, command, array_to_string(duties, ',') AS duties,
    to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since,
    extract(epoch FROM clock_timestamp() - seen_at)::int::text AS seconds
  FROM vecfill.worker WHERE seen_at > clock_timestamp() - interval '${GONE_SECONDS} seconds' ORDER BY since`;

export type Me = Readonly<{ id: string; host: string; pid: number; command: string }>;

export async function noteWorker(
  tables: Tables,
  { id, host, pid, command }: Me,
  duties: readonly string[],
): Promise<void> {
  await tables.query(NOTE, [id, host, pid, command, duties]);
}

export async function forgetWorker(tables: Tables, id: string): Promise<void> {
  await tables.query("DELETE FROM vecfill.worker WHERE id = $1", [id]);
}

export async function readWorkers(tables: Tables): Promise<readonly Worker[]> {
  const [there] = await tables.query("SELECT to_regclass('vecfill.worker')::text AS found");
  if (there?.["found"] === null) return [];
  return z.array(WORKER).parse(await tables.query(READ));
}
