/**
 * A table on its way to a new model, as the journal tells it: the last migration of each table. Where the names of
 * columns are swapped, what the manifest knows of each goes along: its targets are renamed.
 */
import type { MigrationNames } from "../store/migration/port.ts";
import { type Target, tableName } from "../row/target.ts";
import type { MigrationEvent, MigrationStep } from "./event.ts";
import type { Job, TokenCount } from "./job.ts";

export type Migration = Readonly<{
  /** As their columns are called now. */
  old: Target;
  next: Target;
  /** As they are called before the swap, and the old one after it. */
  names: MigrationNames;
  columnType: "vector" | "halfvec";
  /** False: the application goes over to the new column by itself. */
  swaps: boolean;
  step: MigrationStep;
  /** When it was planned, and when the step was reached. */
  since: string;
  at: string;
}>;

export type MigrationPlan = Omit<Migration, "step" | "since" | "at">;

/** Targets by their numbers. */
export type RecordedMigration = Omit<Migration, "old" | "next"> &
  Readonly<{ old: number; next: number }>;

type MigrationState = Readonly<{
  targets: Target[];
  counts: Map<Target, TokenCount>;
  jobs: Map<string, Job>;
  /** By table. */
  migrations: Map<string, RecordedMigration>;
}>;

export function isUnderWay({ step }: Pick<Migration, "step">): boolean {
  return step !== "finished" && step !== "undone";
}

export function migrationOf(
  { targets, migrations }: MigrationState,
  table: Pick<Target, "schema" | "table">,
): Migration | undefined {
  const found = migrations.get(tableName(table));
  if (found === undefined) return undefined;
  const [old, next] = [targets[found.old], targets[found.next]];
  if (old === undefined || next === undefined) throw new Error("a migration lost its targets");
  return { ...found, old, next };
}

/** As it is after the event. Throws where it does not fit what came before. */
export function afterMigrationEvent(
  { targets, migrations }: MigrationState,
  { step, at, target, plan }: MigrationEvent,
): RecordedMigration {
  const known = targets[target];
  const before = known && migrations.get(tableName(known));
  const goesOn = before !== undefined && isUnderWay(before);
  if (known === undefined || (step === "planned") === goesOn) {
    throw new Error(`"migration" ${step} does not fit what came before`);
  }
  if (goesOn) return { ...before, step, at };
  if (plan === undefined || targets[plan.old] === undefined) throw new Error("it has no plan");
  return { ...plan, next: target, step, since: at, at };
}

/** In place. */
export function commitMigration(state: MigrationState, after: RecordedMigration): void {
  const target = state.targets[after.next];
  if (target === undefined) return;
  const key = tableName(target);
  const renamed = renaming(state.migrations.get(key), after);
  state.migrations.set(key, after);
  for (const [number, before] of state.targets.entries()) {
    const embedding = renamed.get(before.embedding);
    if (embedding === undefined || tableName(before) !== key) continue;
    replaceTarget(state, number, before, { ...before, embedding });
  }
}

function renaming(
  before: RecordedMigration | undefined,
  { names: { old, next, kept }, step }: RecordedMigration,
): ReadonlyMap<string, string> {
  if (step === "swapped") {
    return new Map([
      [old, kept],
      [next, old],
    ]);
  }
  const isBack = step === "undone" && before?.step === "swapped";
  const back: [string, string][] = [
    [kept, old],
    [old, next],
  ];
  return new Map(isBack ? back : []);
}

function replaceTarget(
  { targets, counts, jobs }: MigrationState,
  number: number,
  before: Target,
  after: Target,
): void {
  targets[number] = after;
  const count = counts.get(before);
  if (count !== undefined) counts.set(after, count);
  for (const job of jobs.values()) {
    if (job.target === before) jobs.set(job.id, { ...job, target: after });
  }
}
