/**
 * A table on its way to a new model, as the journal tells it: the last migration of each table. Where the names of
 * columns are swapped, what the manifest knows of each goes along: its targets are renamed.
 */
import type { MigrationNames } from "../../row/migration-names.ts";
import { type Target, tableName } from "../../row/target.ts";

/** In their order; a migration is undone from anywhere. */
export const MIGRATION_STEPS = [
  ...(["planned", "added", "filled", "indexed", "checked"] as const),
  ...(["swapping", "swapped", "finished", "undone"] as const),
] as const;

export type MigrationStep = (typeof MIGRATION_STEPS)[number];

/** `Of`: how a target is told. */
type PlanOf<Of> = Readonly<{
  old: Of;
  /** As they are called before the swap, and the old ones after it. */
  names: MigrationNames;
  columnType: "vector" | "halfvec";
  /** False: the application goes over to the new column by itself. */
  swaps: boolean;
}>;

export type Checked = Readonly<{ what: string; found: string }>;

/** `check`: what one found, with the step that follows it. */
export type MigrationTold = Readonly<{
  step: MigrationStep;
  check?: readonly Checked[] | undefined;
}>;

/** `since`: when it was planned; `at`: when the step was reached; `check`: the last one. */
type Stand = MigrationTold & Readonly<{ since: string; at: string }>;

/** Targets as their columns are called now. */
export type MigrationPlan = PlanOf<Target> & Readonly<{ next: Target }>;
export type Migration = MigrationPlan & Stand;

/** Targets by their numbers. */
export type RecordedMigration = PlanOf<number> & Readonly<{ next: number }> & Stand;

type Known = Readonly<{
  targets: readonly Target[];
  /** By table. */
  migrations: ReadonlyMap<string, RecordedMigration>;
}>;

type Event = Readonly<{
  step: MigrationStep;
  at: string;
  target: number;
  plan?: PlanOf<number> | undefined;
  check?: readonly Checked[] | undefined;
}>;

export function isUnderWay({ step }: Pick<Migration, "step">): boolean {
  return step !== "finished" && step !== "undone";
}

export function migrationOf(
  { targets, migrations }: Known,
  table: Pick<Target, "schema" | "table">,
): Migration | undefined {
  const found = migrations.get(tableName(table));
  const [old, next] = [targets[found?.old ?? -1], targets[found?.next ?? -1]];
  return found && old && next && { ...found, old, next };
}

/** As it is after the event. Throws where it does not fit what came before. */
export function afterMigrationEvent(
  { targets, migrations }: Known,
  { step, at, target, plan, check }: Event,
): RecordedMigration {
  const known = targets[target];
  const before = known && migrations.get(tableName(known));
  const goesOn = before !== undefined && isUnderWay(before);
  if (known !== undefined && goesOn && step !== "planned")
    return { ...before, step, at, check: check ?? before.check };
  if (plan === undefined || targets[plan.old] === undefined || goesOn || step !== "planned") {
    throw new Error(`"migration" ${step} does not fit what came before`);
  }
  return { ...plan, next: target, step, since: at, at };
}

/** In place. */
export function commitMigration<J extends Readonly<{ id: string; target: Target }>, C>(
  state: Readonly<{
    targets: Target[];
    migrations: Map<string, RecordedMigration>;
    counts: Map<Target, C>;
    jobs: Map<string, J>;
  }>,
  after: RecordedMigration,
): void {
  const { targets, migrations, counts, jobs } = state;
  const key = tableName(targets[after.next] ?? { schema: "", table: "" });
  const names = renaming(migrations.get(key)?.step, after);
  migrations.set(key, after);
  const renamed = new Map<Target, Target>();
  for (const [number, target] of targets.entries()) {
    const embedding = names.get(target.embedding);
    if (embedding === undefined || tableName(target) !== key) continue;
    const other = { ...target, embedding };
    renamed.set(target, other);
    targets[number] = other;
    const count = counts.get(target);
    if (count !== undefined) counts.set(other, count);
  }
  for (const job of jobs.values()) {
    const target = renamed.get(job.target);
    if (target !== undefined) jobs.set(job.id, { ...job, target });
  }
}

function renaming(
  before: MigrationStep | undefined,
  { names: { old, next, kept }, step }: RecordedMigration,
): ReadonlyMap<string, string> {
  if (step === "swapped") return new Map(Object.entries({ [old]: kept, [next]: old }));
  const isBack = step === "undone" && before === "swapped";
  return new Map(isBack ? Object.entries({ [kept]: old, [old]: next }) : []);
}
