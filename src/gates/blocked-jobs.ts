import type { JobBlocked } from "../errors.ts";
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
      return [...refused, ...unfit].some((each) => sameTarget(each, target));
    },
    throwFirst: () => {
      for (const error of errors.values()) throw error;
    },
  };
}
