import { eachProject } from "../gates/keys.ts";
import { KeyCheck } from "../gates/markers.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";
import type { Job } from "../manifest/job.ts";
import { adoptFound, type Found } from "./adopt.ts";
import { type Sending, submitJob, type SubmitOutcome } from "./submit-job.ts";

/** What those of several projects share. */
type Together = Readonly<{ all: Creates[]; sending: Set<string> }>;

/** Of each project, with the services for it. */
export function createsOf<S extends StageServices>(services: S, mostLost: number) {
  const together: Together = { all: [], sending: new Set() };
  const projects = eachProject(services).map((own) => {
    const creates = new Creates(own, mostLost, together);
    together.all.push(creates);
    return { ...own, creates };
  });
  return { projects, readLists: () => readLists(together) };
}

/** Of all projects, since a manifest restored from a backup does not know to which of them its last batches were sent. */
async function readLists({ all }: Together): Promise<void> {
  await Promise.all(all.map((each) => each.adoptOnce()));
}

/** The create requests of one process to one project: what was read before them, and how many stay without an answer. */
export class Creates {
  readonly #services: StageServices;
  readonly #mostLost: number;
  readonly #together: Together;
  readonly #keyCheck: KeyCheck;
  /** Jobs whose batch was found. */
  readonly adopted: string[] = [];
  /** Answers lost in a row, as far as is known: a batch that is found begins the count anew. */
  lost = 0;
  #listRead: Promise<void> | undefined;

  /** After more than `mostLost` no job is sent. */
  constructor(services: StageServices, mostLost: number, together: Together) {
    this.#services = services;
    this.#mostLost = mostLost;
    this.#together = together;
    this.#keyCheck = new KeyCheck(services);
  }

  get hasLostTooMany(): boolean {
    return this.lost > this.#mostLost;
  }

  /** Its create is under way. */
  readonly isBeingSent = ({ id }: Job): boolean => this.#together.sending.has(id);

  /** Once more for a job that was sent before: a batch of it may have shown meanwhile. */
  async lookBefore({ submissions }: Job): Promise<void> {
    await this.#keyCheck.check();
    await readLists(this.#together);
    if (submissions > 0) await Promise.all(this.#together.all.map((each) => each.adoptListed()));
  }

  /**
   * Reads the list, and takes over the batches of our jobs that are in it. Once in any case: a manifest restored from a backup does not know of its last batches. Again where
   * there are some that no job has: a job that is exported now may be theirs.
   */
  adoptOnce(): Promise<void> {
    this.#listRead ??= this.#read().catch((error: unknown) => {
      this.#listRead = undefined;
      throw error;
    });
    return this.#listRead;
  }

  async adoptListed(): Promise<Found> {
    const found = await adoptFound(this.#services, this.isBeingSent);
    if (found.adopted.length > 0) this.lost = 0;
    this.adopted.push(...found.adopted);
    return found;
  }

  async send(job: Job, sending: Sending): Promise<SubmitOutcome> {
    this.#together.sending.add(job.id);
    try {
      const outcome = await submitJob(this.#services, job, sending);
      this.lost = outcome.kind === "uncertain" ? this.lost + 1 : 0;
      return outcome;
    } finally {
      this.#together.sending.delete(job.id);
    }
  }

  async #read(): Promise<void> {
    const { manifest } = this.#services;
    for (;;) {
      const jobs = manifest.jobs().length;
      if ((await this.adoptListed()).unknown.length === 0) return;
      // one that was exported meanwhile may be theirs, and must not be sent before that is known
      if (manifest.jobs().length === jobs) break;
    }
    this.#listRead = undefined;
  }
}
