/** The engine on pg-boss, in a schema of the target's database. The only importer of it. */
import { PgBoss } from "pg-boss";
import { z } from "zod";
import { MS_PER_SECOND } from "../clock.ts";
import { UserError } from "../errors.ts";
import { DUTIES, LEASE_MS } from "../gates/duties.ts";
import { DEFAULT_PROJECT } from "../row/project.ts";
import type { Engine, Lease, Task } from "./engine.ts";

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

type Queued = Readonly<{
  /** Another time than usual; pg-boss takes no less than ten seconds. */
  leaseMs?: number;
  /** Whose tasks are given or taken here, beside those that are nobody's. */
  projects?: readonly string[];
}>;

/** Installs it where it is not yet. */
export async function openBoss(
  executeSql: Statements,
  { leaseMs = LEASE_MS, projects = [] }: Queued = {},
): Promise<Engine> {
  // a worker never migrates: others may be at work with what is there
  const boss = newBoss(executeSql, false);
  if (!(await boss.isInstalled())) await install(executeSql);
  await boss.start().catch((error: unknown) => {
    throw otherVersion(error);
  });
  const queues = [undefined, ...projects].flatMap((project) =>
    DUTIES.map((duty) => queueNamed({ duty, project })),
  );
  for (const queue of new Set(queues)) await boss.createQueue(queue, queueOf(leaseMs));
  return engineOn(boss);
}

/** Where there is one project alone, no queue has its name. */
function queueNamed({ duty, project = DEFAULT_PROJECT }: Omit<Task, "key">): string {
  return project === DEFAULT_PROJECT ? duty : `${duty}.${project}`;
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
      for (const task of tasks) {
        const { key } = task;
        await boss.send(queueNamed(task), { key }, { singletonKey: key });
      }
    },
    take: async (task, most) => {
      const found = await boss.fetch<{ key: string }>(queueNamed(task), { batchSize: most });
      return found.map(({ id, retryCount, data: { key } }) => ({ ...task, key, id, retryCount }));
    },
    renew: async (leases) => {
      const answers = await eachQueue(leases, (queue, own) => boss.touch(queue, own));
      const held = new Set(answers.flatMap((answer) => TOUCHED.parse(answer).settled));
      return leases.filter(({ id }) => held.has(id));
    },
    // by the attempt that was handed out, never by the id alone: that would settle a later holder's
    giveBack: async (leases) => {
      await eachQueue(leases, (queue, own) => boss.complete(queue, own));
    },
    sweep: () => boss.supervise(),
    close: () => boss.stop({ graceful: false, close: false }),
  };
}

async function eachQueue(
  leases: readonly Lease[],
  call: (queue: string, own: Lease[]) => Promise<unknown>,
): Promise<unknown[]> {
  const answers: unknown[] = [];
  for (const [queue, own] of Map.groupBy(leases, queueNamed)) answers.push(await call(queue, own));
  return answers;
}
