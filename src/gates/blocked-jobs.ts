import type { JobBlocked } from "../errors.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { TableRefusal } from "../store/port.ts";

/** Jobs that cannot go on as things are; the others go on without them, and then the first of these is told. */
export class BlockedJobs {
  readonly #manifest: Pick<ManifestView, "job">;
  readonly #unfit: readonly Target[];
  readonly #isVital: (job: Job) => boolean;
  readonly #errors = new Map<string, JobBlocked>();

  /** `unfit`: of tables that take no vector; `isVital`: without it nothing goes on. */
  constructor(
    manifest: Pick<ManifestView, "job">,
    unfit: readonly Target[] = [],
    isVital: (job: Job) => boolean = () => false,
  ) {
    this.#manifest = manifest;
    this.#unfit = unfit;
    this.#isVital = isVital;
  }

  has({ id }: Job): boolean {
    return this.#errors.has(id);
  }

  add(error: JobBlocked): void {
    if (this.#isVital(this.#manifest.job(error.job))) throw error;
    this.#errors.set(error.job, error);
  }

  /** Its table takes no vectors: nothing more is paid for, and what is paid for already waits on disk. */
  refuses(target: Target): boolean {
    const blocked = [...this.#errors].filter(([, { cause }]) => cause instanceof TableRefusal);
    const unfit = blocked.map(([id]) => this.#manifest.job(id).target);
    return [...unfit, ...this.#unfit].some((each) => sameTarget(each, target));
  }

  throwFirst(): void {
    for (const error of this.#errors.values()) throw error;
  }
}
