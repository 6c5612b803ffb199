/** The journal of a jobs folder as a log of events: whoever has the lock is the only one who writes. */
import type { Clock } from "../../clock.ts";
import type { Lock } from "../../disk/folder-lock.ts";
import type { EventLog } from "../event-log.ts";
import { formatJobId } from "../file-names.ts";
import type { JournalWriter, Place } from "./journal.ts";

type FolderLog = Readonly<{
  journal: JournalWriter;
  /** Once all is written. */
  save: (place: Place) => Promise<void>;
  lock: Lock;
  clock: Clock;
  /** Jobs of which answers were found: also where only a later manifest knew them, their numbers are taken. */
  answered: ReadonlySet<string>;
}>;

export function folderLog({ journal, save, lock, clock, answered }: FolderLog): EventLog {
  return {
    append: async (event) => {
      await lock.stillHeld();
      const at = clock.now().toISOString();
      await journal.append({ ...event, at });
      return at;
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
