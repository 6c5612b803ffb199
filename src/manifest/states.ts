/**
 * What each state of a job means: the only place that knows it (the legal moves are in `transitions.ts`). Everybody else asks
 * what is needed, whether it is open, or which command comes next, so that a new state is one line here.
 */
import type { Job, JobState } from "./job.ts";

/** What a job that has not ended waits for. */
export type Need =
  /** A create request, or to be embedded at once. */
  | "send"
  /** The answers that the interactive API has not given yet. */
  | "embed"
  /** To be known whether the create request has made a batch: its answer was lost (`submitting`), see settle-lane.ts. */
  | "settle"
  /** Its batch to end. */
  | "poll"
  /** Its results, from Gemini. */
  | "fetch"
  /** Its vectors to be written into the column. */
  | "write";

/** The command that takes a job further. */
export type NextCommand = "submit" | "poll" | "import" | "resubmit";

/** How a job ended: with its vectors in the column, without results, given up, or taken back. */
type End = "inColumn" | "noResults" | "givenUp" | "takenBack";

type StateFacts = Readonly<{
  /** Undefined where the job has ended: its rows are on their way until then. */
  need: Need | undefined;
  end?: End;
  /** Undefined where only failed lines may be left to do something with. */
  command: NextCommand | undefined;
  /** Where its rows are. */
  place: "toSend" | "atGemini" | "back" | "ended";
  /** A batch may turn up at Gemini that the manifest does not know of. */
  mayHaveBatch: boolean;
  /** It takes room in Gemini's queue, or may. */
  queued: boolean;
  /** In the report; one that has the name of no state stands for several of them. */
  colour: string;
}>;

const HERE = { command: "submit", place: "toSend", mayHaveBatch: true } as const;
const BACK = { command: "import", place: "back", mayHaveBatch: false, queued: false } as const;
const ENDED = {
  need: undefined,
  command: undefined,
  place: "ended",
  mayHaveBatch: false,
  queued: false,
} as const;

const STATES = {
  // after a backup was put back its batch may be there, too
  exported: { ...HERE, need: "send", queued: false, colour: "exported" },
  embedding: {
    need: "embed",
    command: "submit",
    place: "atGemini",
    mayHaveBatch: false,
    queued: false,
    colour: "embedding",
  },
  submitting: { ...HERE, need: "settle", queued: true, colour: "submitting" },
  submitted: {
    need: "poll",
    command: "poll",
    place: "atGemini",
    mayHaveBatch: false,
    queued: true,
    colour: "submitted",
  },
  succeeded: { ...BACK, need: "fetch", colour: "succeeded" },
  downloaded: { ...BACK, need: "write", colour: "downloaded" },
  imported: { ...ENDED, end: "inColumn", colour: "imported" },
  failed: { ...ENDED, end: "noResults", colour: "bad" },
  expired: { ...ENDED, end: "noResults", colour: "bad" },
  cancelled: { ...ENDED, end: "givenUp", colour: "bad" },
  rolledBack: { ...ENDED, end: "takenBack", colour: "soft" },
} as const satisfies Record<JobState, StateFacts>;

type Stated = Readonly<{ state: JobState }>;

/** In the order in which a job goes through them; the last ones are ends. */
export const JOB_STATES: readonly JobState[] = Object.keys(STATES).filter(isJobState);

/** For names from outside, such as in reports. Throws where no job is ever in such a state. */
export function parseState(name: string): JobState {
  if (!isJobState(name)) throw new Error(`no job is ever in the state ${name}`);
  return name;
}

export function needs({ state }: Stated): Need | undefined {
  return STATES[state].need;
}

/** Its rows are on their way, and must not be exported again. */
export function isOpen(job: Stated): boolean {
  return needs(job) !== undefined;
}

/** It waits to be sent, or may have been. */
export function isToSend({ state }: Stated): boolean {
  return STATES[state].place === "toSend";
}

/** As a batch, or call by call. */
export function isAtGemini({ state }: Stated): boolean {
  return STATES[state].place === "atGemini";
}

/** Its results are paid for, and not in the column. */
export function isBack({ state }: Stated): boolean {
  return STATES[state].place === "back";
}

export function mayHaveBatch({ state }: Stated): boolean {
  return STATES[state].mayHaveBatch;
}

/** It counts against what may be queued at Gemini: the batch is there, or may be. */
export function isQueued({ state }: Stated): boolean {
  return STATES[state].queued;
}

/** Also while a rollback is under way. */
export function isImported(job: Stated): boolean {
  return endOf(job) === "inColumn";
}

/** Its rows are meant to hold its vectors. A rollback that was begun is a person's wish that they be empty. */
export function wasImported(job: Pick<Job, "state" | "rollback">): boolean {
  return isImported(job) && job.rollback === undefined;
}

/** It came to no vector at all. */
export function isDead(job: Stated): boolean {
  const end = endOf(job);
  return end === "noResults" || end === "givenUp";
}

export function isCancelled(job: Stated): boolean {
  return endOf(job) === "givenUp";
}

export function isRolledBack(job: Stated): boolean {
  return endOf(job) === "takenBack";
}

/** For who goes stage by stage: the stage that takes these jobs further. */
export function nextCommand(
  jobs: readonly Pick<Job, "state" | "outstanding">[],
): NextCommand | undefined {
  const commands = new Set(jobs.map(commandOf));
  return ORDER.find((command) => commands.has(command));
}

/** Failed lines of a job that has ended go on by `resubmit`, unless the same text would fail again. */
function commandOf({
  state,
  outstanding,
}: Pick<Job, "state" | "outstanding">): NextCommand | undefined {
  return STATES[state].command ?? (outstanding.retryable > 0 ? "resubmit" : undefined);
}

export function colourOf(state: JobState): string {
  return STATES[state].colour;
}

/** The nearest to the column first: its results are paid for. */
const ORDER: readonly NextCommand[] = ["import", "poll", "submit", "resubmit"];

function endOf({ state }: Stated): End | undefined {
  const facts: StateFacts = STATES[state];
  return facts.end;
}

function isJobState(name: string): name is JobState {
  return Object.hasOwn(STATES, name);
}
