/**
 * Where nobody has published what the service does, both ways can be chosen. The first choice of
 * each is the default: what has been seen, and where nothing has, what asks more of a client.
 */
import { type GivenPart, givenParts, unknownName } from "./given-parts.ts";

const between = <const C extends readonly string[]>(choices: C, meaning: string) => ({
  choices,
  meaning,
});

export const BEHAVIOURS = {
  "bad-line": between(
    ["batch-failed", "line-error"],
    "a request line with an unknown field or no JSON: the whole batch fails, or that line",
  ),
  "empty-text": between(["line-error", "batch-failed"], "a request line with an empty text"),
  "task-type-2": between(["rejected", "ignored"], "taskType or title sent to gemini-embedding-2"),
  "nested-config": between(
    ["rejected", "honoured"],
    "embedContentConfig inside a request line (interactive calls always honour it)",
  ),
  "line-codes": between(
    ["rpc", "http", "unknown"],
    "error codes in result lines: google.rpc (3, 14), like HTTP (400, 503), or one that nobody knows",
  ),
  "list-stats": between(["stale", "fresh"], "batchStats in a list: as at creation, or up to date"),
  "cancel-ended": between(
    ["refused", "ignored"],
    "cancelling a batch that has ended: 400 FAILED_PRECONDITION, or 200",
  ),
  "cancel-quota": between(
    ["released", "kept"],
    "tokens of a cancelled batch leave the queue at once, or only 48 hours after it began",
  ),
  quota: between(
    ["level", "bucket"],
    "enqueued tokens come back when a batch ends, or drip back over minutes",
  ),
  "sync-requests": between(
    ["texts", "calls"],
    "what counts as a request of the minute: each text of an interactive call, or the call",
  ),
  "duplicate-name": between(
    ["refused-at-start", "refused-at-end", "renamed"],
    "an upload whose name is taken: 409 at start, 409 at the end, or another name",
  ),
  "mime-refusal": between(
    ["at-start", "at-end", "as-success"],
    "a refused MIME type: 400 at start, 400 at the end, or an error inside a 200",
  ),
  "input-gone": between(
    ["batch-failed", "runs"],
    "the input file is deleted or expires before its batch runs",
  ),
  "delete-seen": between(
    ["at-once", "late", "late-by-creates"],
    "a deleted upload is gone at once; a minute later; or a minute later for creates, at once for looks",
  ),
  "create-input": between(
    ["checked", "unchecked"],
    "a create whose input file was deleted is refused with 404, or makes a batch",
  ),
  "delete-output": between(
    ["refused", "deleted"],
    "deleting a results file, whose id is longer than the service allows: 400, or done",
  ),
  "get-output": between(
    ["found", "refused"],
    "looking at a results file: works, or 400 for the same reason",
  ),
  "cancelled-results": between(
    ["none", "partial"],
    "a cancelled batch leaves no results, or those it had by then",
  ),
  "get-shape": between(
    ["metadata", "top-level", "response-output", "dest"],
    "where a look at a batch has its members, or the name of its results file",
  ),
  "list-shape": between(
    ["metadata", "top-level", "nameless", "unknown"],
    "where a list has the members of a batch; without their names; in no known form",
  ),
  "list-end": between(
    ["ends", "circular"],
    "the last page of a list of batches says so, or each leads back to itself",
  ),
  "create-name": between(
    ["batch", "operation", "another"],
    "the answer to a create names its batch, no batch at all, or another batch with another display name",
  ),
  "state-names": between(
    ["batch", "job", "plain"],
    "states as BATCH_STATE_…, as JOB_STATE_…, or without a prefix",
  ),
  "bad-end": between(
    ["error", "unexplained"],
    "a batch that fails has an error, or is done in a state nobody knows and says no more",
  ),
  "all-failed": between(
    ["output", "no-output"],
    "a batch all of whose requests failed has a results file, or none",
  ),
  "line-keys": between(["top-level", "metadata"], "where a result line has its key"),
  "line-errors": between(
    ["top-level", "response"],
    "where a result line has its error: at the top, or in response beside an empty one",
  ),
  "download-route": between(
    ["both", "documented-404", "documented-400", "sdk"],
    "which addresses of a download work: both; the documented one, the other 404 or 400; the SDK's",
  ),
  money: between(
    ["there", "credits-depleted", "spending-cap", "free-tier", "no-billing-400", "no-billing-403"],
    "creates pass, or are refused for want of money",
  ),
  "batch-models": between(
    ["all", "newest", "none"],
    "which models take batches; a create for another is answered 404",
  ),
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
