/** Several processes may share one manifest: who is the first, and what becomes of the work of the others? */
import { systemClock } from "../../src/clock.ts";
import type { JournalEvent } from "../../src/manifest/event.ts";
import type { EventLog } from "../../src/manifest/event-log.ts";
import { emptyState } from "../../src/manifest/fold.ts";
import { viewOf, writing } from "../../src/manifest/manifest.ts";
import { eventLogContract } from "./event-log-contract.ts";

eventLogContract("a list in memory", async () => {
  const events: JournalEvent[] = [];
  let lastJob = 0;
  const logFor = (): EventLog => {
    let read = 0;
    return {
      append: async (event) => {
        if (read < events.length) return undefined;
        const at = systemClock.now().toISOString();
        events.push({ ...event, at });
        read = events.length;
        return at;
      },
      readOthers: async () => {
        const others = events.slice(read);
        read = events.length;
        return others;
      },
      reserve: async () => (lastJob += 1),
      stillHeld: async () => {},
      close: async () => {},
    };
  };
  return {
    writer: async () => {
      const state = emptyState();
      const its = writing({ state, log: logFor(), clock: systemClock });
      await its.refresh();
      return { ...viewOf("jobs", state), ...its };
    },
    takeDown: async () => {},
  };
});
