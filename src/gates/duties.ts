import type { Job } from "../manifest/job.ts";
import type { Lane } from "./step.ts";

/** What one of several processes on a backlog does at a time, while the others leave it alone. */
export const DUTIES = ["export", "submit", "poll", "resubmit", "import"] as const;

export type Duty = (typeof DUTIES)[number];

/** What is done at Gemini, with a key of the project that it is about. */
export const AT_GEMINI: readonly Duty[] = ["submit", "poll", "import"];

/** After so long a process that is not heard of counts as dead: others do what it did. */
export const LEASE_MS = 30_000;

/** Of this process. An import is a duty of its own for each job. */
export type Duties = Readonly<{
  /** Of a project, what is done at Gemini. */
  has(duty: Duty, project?: string): boolean;
  imports(job: Job): boolean;
}>;

/** Of one that works alone. */
export const ALL_DUTIES: Duties = { has: () => true, imports: () => true };

/** What this process cannot do as things are: others may be able to. */
export type Hindrances = Readonly<{
  blocked: Readonly<{ has(job: Job): boolean }>;
  /** Nothing more is sent. */
  outages: Readonly<{ halted: AbortSignal }>;
}>;

export type CrewWorld = Hindrances &
  Readonly<{
    stop: AbortController;
    /** Which jobs wait for a person, or are others' to go on with. */
    held: () => (job: Job) => boolean;
  }>;

/** Shares duties out. Its lane takes and keeps them; it is to be asked after those that work. */
export type Crew = Readonly<{
  duties: Duties;
  laneIn(world: CrewWorld): Lane;
}>;
