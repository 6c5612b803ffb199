/** The engine on pg-boss, in a schema of the target's database. The only importer of it. */
import { PgBoss } from "pg-boss";
import { z } from "zod";
import { MS_PER_SECOND } from "../clock.ts";
import { UserError } from "../errors.ts";
import { DUTIES, type Duty, LEASE_MS } from "../gates/duties.ts";
import type { Engine, Lease } from "./engine.ts";

const SCHEMA = "vecfill_boss";
const SWEEP_SECONDS = 5;
/** Then it goes to whoever asks next. */
const LONGEST_HOLD_SECONDS = 6 * 3_600;
const KEEP_SECONDS = 600;
/** As many as the database counts: a task that never comes through is offered again anyway. */
const MANY_TRIES = 1_000_000;

/** Its types do not tell. */
const TOUCHED = z.object({ settled: z.array(z.string()) });

/** Statements of a library's own, with cells as the driver reads them. */
export type Statements = (sql: string, values?: unknown[]) => Promise<{ rows: unknown[] }>;

/** Installs it where it is not yet. `leaseMs`: another time than usual; pg-boss takes no less than ten seconds. */
export async function openBoss(
  executeSql: Statements,
  { leaseMs = LEASE_MS }: Readonly<{ leaseMs?: number }> = {},
): Promise<Engine> {
  // a worker never migrates: others may be at work with what is there
  const boss = newBoss(executeSql, false);
  if (!(await boss.isInstalled())) await install(executeSql);
  await boss.start().catch((error: unknown) => {
    throw otherVersion(error);
  });
  for (const duty of DUTIES) await boss.createQueue(duty, queueOf(leaseMs));
  return engineOn(boss);
}

function newBoss(executeSql: Statements, migrate: boolean): PgBoss {
  const boss = new PgBoss({
    db: { executeSql },
    schema: SCHEMA,
    migrate,
    supervise: false,
    schedule: false,
    registerInstance: false,
    monitorVacuum: false,
    reindex: false,
    openTelemetry: { enabled: false },
    monitorIntervalSeconds: SWEEP_SECONDS,
  });
  // each failure comes with the call that met it, too
  boss.on("error", () => {});
  return boss;
}

/** Several may do so at once. */
async function install(executeSql: Statements): Promise<void> {
  const boss = newBoss(executeSql, true);
  await boss.start();
  await boss.stop({ graceful: false });
}

function queueOf(leaseMs: number) {
  return {
    policy: "exclusive",
    heartbeatSeconds: Math.ceil(leaseMs / MS_PER_SECOND),
    expireInSeconds: LONGEST_HOLD_SECONDS,
    retryLimit: MANY_TRIES,
    deleteAfterSeconds: KEEP_SECONDS,
  };
}

function otherVersion(cause: unknown): UserError {
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  return new UserError(`Tasks are handed out by another version of vecfill there${why}.`, {
    hint: `Use the same version on every machine. Or stop all workers, and drop it: drop schema ${SCHEMA} cascade; what is in it is made again.`,
    cause,
  });
}

function engineOn(boss: PgBoss): Engine {
  return {
    offer: async (tasks) => {
      for (const { duty, key } of tasks) await boss.send(duty, { key }, { singletonKey: key });
    },
    take: async (duty, most) => {
      const found = await boss.fetch<{ key: string }>(duty, { batchSize: most });
      return found.map(({ id, retryCount, data: { key } }) => ({ duty, key, id, retryCount }));
    },
    renew: async (leases) => {
      const answers = await eachDuty(leases, (duty, own) => boss.touch(duty, own));
      const held = new Set(answers.flatMap((answer) => TOUCHED.parse(answer).settled));
      return leases.filter(({ id }) => held.has(id));
    },
    // by the attempt that was handed out, never by the id alone: that would settle a later holder's
    giveBack: async (leases) => {
      await eachDuty(leases, (duty, own) => boss.complete(duty, own));
    },
    sweep: () => boss.supervise(),
    close: () => boss.stop({ graceful: false, close: false }),
  };
}

async function eachDuty(
  leases: readonly Lease[],
  call: (duty: Duty, own: Lease[]) => Promise<unknown>,
): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const duty of DUTIES) {
    const own = leases.filter((lease) => lease.duty === duty);
    if (own.length > 0) answers.push(await call(duty, own));
  }
  return answers;
}
