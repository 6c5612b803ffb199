/** What people are told whose shared manifest is not to be gone on with in this database. */
import { UserError, usageError } from "../../errors.ts";

/** Which manifest, and where it is on its way to, or has gone. */
export type Place = Readonly<{ id: string; state: string; goneTo: string | null }>;

const STATES: Readonly<Record<string, string | undefined>> = {
  paused: "is paused",
  arriving: "is on its way from a jobs folder",
  leaving: "is on its way to a jobs folder",
  left: "has moved to a jobs folder",
};

/** For who was at work. `state`: now; undefined where it is not there. */
export function isNotActive(state: string | null | undefined): UserError {
  const how =
    state === "active"
      ? "was paused, moved or resumed meanwhile"
      : (STATES[state ?? ""] ?? "is gone");
  return new UserError(`The shared manifest ${how}: nothing more is written here.`, {
    hint: "Run the same command again: it goes on once that is active, or says where it is.",
    exit: "locked",
  });
}

/** For who opens it. */
export function refuseElsewhere(head: Place): void {
  if (head.state in HINTS) throw isElsewhere(head);
}

export function isElsewhere({ id, state, goneTo }: Place): UserError {
  const where = goneTo === null || state === "arriving" ? "" : `, ${goneTo}`;
  return usageError(
    `The shared manifest ${id} ${STATES[state] ?? "is not here"}${where}.`,
    HINTS[state] ?? "Look again: `vecfill jobs`.",
  );
}

const HINTS: Readonly<Record<string, string | undefined>> = {
  arriving:
    "There, `vecfill manifest move --to postgres` once more goes on with the move. Until that is done the folder counts: leave --manifest postgres out.",
  leaving:
    "There, `vecfill manifest move --to folder` once more goes on with the move. Or `vecfill manifest resume`: then it stays here.",
  left: "Go on there: without --manifest postgres and VECFILL_MANIFEST, and --jobs-dir names the folder. If that one does not say so, `vecfill manifest move --to folder` there ends the move. If it is lost, what `vecfill manifest export` prints is the manifest.ndjson that it began with. What stands here is not needed any more: drop schema vecfill cascade makes room for another.",
};

export function isCopy(): UserError {
  return new UserError(
    "The shared manifest was made in another database: this one is a copy of it, restored or cloned, or a standby that has taken over. If both went on, the same rows would be paid for twice, so it is paused here.",
    {
      hint: "If your server failed over or was restored and the old one is off: `vecfill manifest resume`, then start the workers. If the other one is there still, stop all that work on it before. In a copy that only tries something: drop schema vecfill cascade, and it has a manifest of its own.",
      exit: "locked",
    },
  );
}
