/** Who works on a shared manifest: for people who ask, and nothing rests on it. Times are the database's. */
import { z } from "zod";
import { MS_PER_SECOND } from "../../clock.ts";
import type { Tables } from "./tables.ts";

export type Worker = z.infer<typeof WORKER>;

/** `seconds`: since it was heard of; `isLate`: for so long that others have what it did. */
const WORKER = z.object({
  host: z.string(),
  pid: z.coerce.number(),
  command: z.string(),
  duties: z.string().transform((text) => text.split(",").filter((duty) => duty !== "")),
  since: z.string(),
  seconds: z.coerce.number(),
  isLate: z.literal(["true", "false"]).transform((text) => text === "true"),
});

/** Whoever is not heard of for so long after its lease has gone. */
const GONE_AFTER_SECONDS = 15;
/** Many are killed, and never say that they leave. */
const KEPT = "1 day";

const NOTE = `
  WITH gone AS (DELETE FROM vecfill.worker WHERE seen_at < clock_timestamp() - interval '${KEPT}')
  INSERT INTO vecfill.worker (id, host, pid, command, lease, duties)
  VALUES ($1, $2, $3::int, $4, make_interval(secs => $5), $6::text[])
  ON CONFLICT (id) DO UPDATE SET duties = excluded.duties, seen_at = clock_timestamp()`;

const READ = `
  SELECT host, pid::text AS pid, command, array_to_string(duties, ',') AS duties,
    to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS since,
    extract(epoch FROM clock_timestamp() - seen_at)::int::text AS seconds,
    (seen_at + lease < clock_timestamp())::text AS "isLate"
  FROM vecfill.worker
  WHERE seen_at + lease > clock_timestamp() - interval '${GONE_AFTER_SECONDS} seconds' ORDER BY since`;

export type Me = Readonly<{
  id: string;
  host: string;
  pid: number;
  command: string;
  leaseMs: number;
}>;

export async function noteWorker(
  tables: Tables,
  { id, host, pid, command, leaseMs }: Me,
  duties: readonly string[],
): Promise<void> {
  await tables.query(NOTE, [id, host, pid, command, leaseMs / MS_PER_SECOND, duties]);
}

export async function forgetWorker(tables: Tables, id: string): Promise<void> {
  await tables.query("DELETE FROM vecfill.worker WHERE id = $1", [id]);
}

export async function readWorkers(tables: Tables): Promise<readonly Worker[]> {
  const [there] = await tables.query("SELECT to_regclass('vecfill.worker')::text AS found");
  if (there?.["found"] === null) return [];
  return z.array(WORKER).parse(await tables.query(READ));
}
