/** The journal of a jobs folder as a log of events: whoever has the lock is the only one who writes. */
import type { Lock } from "../../disk/folder-lock.ts";
import type { EventLog } from "../event-log.ts";
import { formatJobId } from "../file-names.ts";
import type { JournalWriter, Place } from "./journal.ts";

type FolderLog = Readonly<{
  journal: JournalWriter;
  /** Once all is written. */
  save: (place: Place) => Promise<void>;
  lock: Lock;
  /** Jobs of which answers were found: also where only a later manifest knew them, their numbers are taken. */
  answered: ReadonlySet<string>;
}>;

export function folderLog({ journal, save, lock, answered }: FolderLog): EventLog {
  return {
    append: async (event) => {
      await lock.stillHeld();
      await journal.append(event);
      return event.at;
    },
    readOthers: async () => [],
    reserve: async (last) => {
      let number = last + 1;
      while (answered.has(formatJobId(number))) number += 1;
      return number;
    },
    stillHeld: () => lock.stillHeld(),
    close: async () => {
      await save(await journal.close());
      await lock.release();
    },
  };
}
