/**
 * Where nobody has published what the service does, both ways can be chosen. The first choice of
 * each is the default: what has been seen, and where nothing has, what asks more of a client.
 */
import { type GivenPart, givenParts, unknownName } from "./given-parts.ts";

export const BEHAVIOURS = {
  "bad-line": {
    choices: ["batch-failed", "line-error"],
    meaning: "a request line with an unknown field or no JSON: the whole batch fails, or that line",
  },
  "empty-text": {
    choices: ["line-error", "batch-failed"],
    meaning: "a request line with an empty text",
  },
  "task-type-2": {
    choices: ["rejected", "ignored"],
    meaning: "taskType or title sent to gemini-embedding-2",
  },
  "nested-config": {
    choices: ["rejected", "honoured"],
    meaning: "embedContentConfig inside a request line (interactive calls always honour it)",
  },
  "line-codes": {
    choices: ["rpc", "http", "unknown"],
    meaning:
      "error codes in result lines: google.rpc (3, 14), like HTTP (400, 503), or one that nobody knows",
  },
  "list-stats": {
    choices: ["stale", "fresh"],
    meaning: "batchStats in a list: as at creation, or up to date",
  },
  "cancel-ended": {
    choices: ["refused", "ignored"],
    meaning: "cancelling a batch that has ended: 400 FAILED_PRECONDITION, or 200",
  },
  "cancel-quota": {
    choices: ["released", "kept"],
    meaning: "tokens of a cancelled batch leave the queue at once, or only 48 hours after it began",
  },
  quota: {
    choices: ["level", "bucket"],
    meaning: "enqueued tokens come back when a batch ends, or drip back over minutes",
  },
  "sync-requests": {
    choices: ["texts", "calls"],
    meaning:
      "what counts as a request of the minute: each text of an interactive call, or the call",
  },
  "duplicate-name": {
    choices: ["refused-at-start", "refused-at-end", "renamed"],
    meaning: "an upload whose name is taken: 409 at start, 409 at the end, or another name",
  },
  "mime-refusal": {
    choices: ["at-start", "at-end", "as-success"],
    meaning: "a refused MIME type: 400 at start, 400 at the end, or an error inside a 200",
  },
  "input-gone": {
    choices: ["batch-failed", "runs"],
    meaning: "the input file is deleted or expires before its batch runs",
  },
  "delete-seen": {
    choices: ["at-once", "late", "late-by-creates"],
    meaning:
      "a deleted upload is gone at once; a minute later; or a minute later for creates, at once for looks",
  },
  "create-input": {
    choices: ["checked", "unchecked"],
    meaning: "a create whose input file was deleted is refused with 404, or makes a batch",
  },
  "delete-output": {
    choices: ["refused", "deleted"],
    meaning: "deleting a results file, whose id is longer than the service allows: 400, or done",
  },
  "get-output": {
    choices: ["found", "refused"],
    meaning: "looking at a results file: works, or 400 for the same reason",
  },
  "cancelled-results": {
    choices: ["none", "partial"],
    meaning: "a cancelled batch leaves no results, or those it had by then",
  },
  "get-shape": {
    choices: ["metadata", "top-level", "response-output", "dest"],
    meaning: "where a look at a batch has its members, or the name of its results file",
  },
  "list-shape": {
    choices: ["metadata", "top-level", "nameless", "unknown"],
    meaning: "where a list has the members of a batch; without their names; in no known form",
  },
  "list-end": {
    choices: ["ends", "circular"],
    meaning: "the last page of a list of batches says so, or each leads back to itself",
  },
  "create-name": {
    choices: ["batch", "operation", "another"],
    meaning:
      "the answer to a create names its batch, no batch at all, or another batch with another display name",
  },
  "state-names": {
    choices: ["batch", "job", "plain"],
    meaning: "states as BATCH_STATE_…, as JOB_STATE_…, or without a prefix",
  },
  "bad-end": {
    choices: ["error", "unexplained"],
    meaning: "a batch that fails has an error, or is done in a state nobody knows and says no more",
  },
  "all-failed": {
    choices: ["output", "no-output"],
    meaning: "a batch all of whose requests failed has a results file, or none",
  },
  "line-keys": {
    choices: ["top-level", "metadata"],
    meaning: "where a result line has its key",
  },
  "line-errors": {
    choices: ["top-level", "response"],
    meaning: "where a result line has its error: at the top, or in response beside an empty one",
  },
  "download-route": {
    choices: ["both", "documented-404", "documented-400", "sdk"],
    meaning:
      "which addresses of a download work: both; the documented one, the other 404 or 400; the SDK's",
  },
  money: {
    choices: [
      "there",
      "credits-depleted",
      "spending-cap",
      "free-tier",
      "no-billing-400",
      "no-billing-403",
    ],
    meaning: "creates pass, or are refused for want of money",
  },
  "batch-models": {
    choices: ["all", "newest", "none"],
    meaning: "which models take batches; a create for another is answered 404",
  },
} as const;

export type BehaviourName = keyof typeof BEHAVIOURS;
type Choice<Name extends BehaviourName> = (typeof BEHAVIOURS)[Name]["choices"][number];

export class Behaviour {
  readonly #chosen: ReadonlyMap<string, string>;

  /** `text` is `name=choice,name=choice`; throws a UserError for what is not in the table. */
  constructor(text: string) {
    this.#chosen = new Map(givenParts(text).map(parsePart));
  }

  is<Name extends BehaviourName>(name: Name, choice: Choice<Name>): boolean {
    return (this.#chosen.get(name) ?? BEHAVIOURS[name].choices[0]) === choice;
  }
}

/** A line for each, for --help. */
export function describeBehaviours(): (readonly [string, string])[] {
  return Object.entries(BEHAVIOURS).map(([name, { choices, meaning }]) => [
    `${name}=${choices.join("|")}`,
    meaning,
  ]);
}

function parsePart([name, choice = ""]: GivenPart): [string, string] {
  if (!isBehaviour(name)) throw unknownName("behaviour", name, Object.keys(BEHAVIOURS));
  const choices: readonly string[] = BEHAVIOURS[name].choices;
  if (!choices.includes(choice)) throw unknownName(`choice for ${name}`, choice, choices);
  return [name, choice];
}

function isBehaviour(name: string): name is BehaviourName {
  return Object.hasOwn(BEHAVIOURS, name);
}
