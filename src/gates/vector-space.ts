import { type UserError, usageError } from "../errors.ts";
import type { Job } from "../manifest/job.ts";
import { columnName, type Kin, sameColumn, tableName, type Target } from "../row/target.ts";
import { isRolledBack } from "../manifest/states.ts";

/**
 * Vectors of another model, width or task do not compare with these: a column that holds or awaits
 * them from this manifest's jobs takes no others. Throws a UserError that names such a job.
 */
export function checkVectorSpace(jobs: readonly Job[], target: Target, kin?: Kin): void {
  const error = otherSpace(jobs, target, kin);
  if (error !== undefined) throw error;
}

/** The same, to be told. */
export function otherSpace(jobs: readonly Job[], target: Target, kin?: Kin): UserError | undefined {
  const other = jobOfOtherSpace(jobs, target, kin);
  if (other === undefined) return undefined;
  return usageError(
    `The column ${columnName(other.target)} has vectors of ${describe(other.target)} from job ${other.id}; ${describe(target)} does not mix with them.`,
    `Go on with --model ${other.target.model} --dimensions ${other.target.dimensions} --task-type ${other.target.taskType}, or fill a new column.`,
  );
}

/** A job whose vectors are in the target's column, or on their way to it, and do not compare; all partitions have one column. */
export function jobOfOtherSpace(jobs: readonly Job[], target: Target, kin?: Kin): Job | undefined {
  const isThere = ({ embedding, ...table }: Target) =>
    embedding === target.embedding && kin?.tables.has(tableName(table)) === true;
  return jobs.find(
    (job) =>
      (sameColumn(job.target, target) || isThere(job.target)) &&
      !sameSpace(job.target, target) &&
      fillsColumn(job),
  );
}

function sameSpace(a: Target, b: Target): boolean {
  return a.model === b.model && a.dimensions === b.dimensions && a.taskType === b.taskType;
}

/** Vectors of the job are in the column, or are still to come. */
function fillsColumn(job: Job): boolean {
  if (isRolledBack(job)) return false;
  return job.sums === undefined || job.sums.written > 0;
}

function describe({ model, dimensions, taskType }: Target): string {
  return `${model} (${dimensions} dimensions, ${taskType})`;
}
