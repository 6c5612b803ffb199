/** What a journal is called that does not count: its manifest has moved to the database, or has not come from there yet. */
import { join } from "node:path";

/** The journal of a manifest that has moved to the database, from which the move is ended; then it is for people. */
export function movedJournalPath(folder: string): string {
  return join(folder, "manifest.moved.ndjson");
}

/** The journal of one that comes from the database, until it has left there; `id` and `epoch` tell which leaving it is of. */
export function arrivingJournalPath(folder: string, id: string, epoch: string): string {
  return join(folder, `manifest.arriving-${id}-${epoch}.ndjson`);
}

/** Within the folder; of the manifest with that id, where one is named. */
export function isArrivingJournal(name: string, id = "[a-z0-9]+"): boolean {
  return new RegExp(`^manifest\\.arriving-${id}-\\d+\\.ndjson$`).test(name);
}
