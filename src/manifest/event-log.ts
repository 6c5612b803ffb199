/**
 * Where events are kept, in one order for all who write: the manifest is a fold over them. A jobs folder has one writer
 * at a time. Several may share another log: then an event is written only behind all others, and whoever was not
 * the first reads what came before and judges anew. What must hold at any moment:
 * - an event is judged by the state after the one before it, whoever wrote that;
 * - work on a job that has moved since it was taken in hand records nothing, and drops what it has (`HoldLost`);
 * - a number is given to one job only.
 */
import { HoldLost } from "../errors.ts";
import type { JournalEvent } from "./event.ts";
import type { Change } from "./fold.ts";
import type { Job } from "./job.ts";

export type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export type EventLog = {
  /**
   * Says when it was written, once it is durable: at the event's time, or at the log's own, since writers' clocks differ.
   * `change` is what it makes of the state. Undefined where others' events came first, which are to be read before. Throws where nothing more may be written.
   */
  append(event: JournalEvent, change: Change): Promise<string | undefined>;
  /** What others have written since, oldest first. */
  readOthers(): Promise<readonly JournalEvent[]>;
  /** The number of a job that nobody else has or will get; it is after `last`. */
  reserve(last: number): Promise<number>;
  /** Throws where nothing more may be written. */
  stillHeld(): Promise<void>;
  close(): Promise<void>;
};

/** Throws where the job is no longer as it was taken in hand. */
export function checkHold(now: Job | undefined, inHand: Job): void {
  if (now?.seq !== inHand.seq) throw new HoldLost(`Job ${inHand.id}`);
}
