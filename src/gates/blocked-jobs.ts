import type { JobBlocked, UserError } from "../errors.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { TableRefusal } from "../store/port.ts";

export type BlockedJobs = ReturnType<typeof blockedJobs>;

/**
 * Jobs that cannot go on as things are; the others go on without them, and then the first of these is told. `unfit`: of
 * tables that take no vector; `isVital`: without it nothing goes on.
 */
export function blockedJobs(
  manifest: Pick<ManifestView, "job">,
  unfit: readonly Target[] = [],
  isVital: (job: Job) => boolean = () => false,
) {
  const errors = new Map<string, JobBlocked>();
  const fallen: { target: Target; error: UserError }[] = [];
  return {
    has: ({ id }: Job) => errors.has(id),
    add: (error: JobBlocked) => {
      if (isVital(manifest.job(error.job))) throw error;
      errors.set(error.job, error);
    },
    /** Its table takes no vectors: nothing more is paid for, and what is paid for already waits on disk. */
    refuses: (target: Target) => {
      const blocked = [...errors].filter(([, { cause }]) => cause instanceof TableRefusal);
      const refused = blocked.map(([id]) => manifest.job(id).target);
      const away = [...refused, ...unfit, ...fallen.map((each) => each.target)];
      return away.some((each) => sameTarget(each, target));
    },
    /** Nothing more is sent for the target; the others go on. */
    giveUp: (target: Target, error: UserError) => fallen.push({ target, error }),
    /** What stands against the target, the first of it. */
    errorOf: (target: Target): UserError | undefined =>
      fallen.find((each) => sameTarget(each.target, target))?.error ??
      [...errors].find(([id]) => sameTarget(manifest.job(id).target, target))?.[1],
    throwFirst: () => {
      for (const error of errors.values()) throw error;
    },
  };
}
