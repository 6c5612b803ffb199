/**
 * Hands tasks out to several processes, each to one at a time: whoever has one says so again before its time is over, or
 * another gets it. It may be wrong, and it may lose all that it has: a task is a hint to look at something, and what may be
 * done about it the manifest alone decides. So a task that is handed out twice costs work, and one that is lost is made again.
 */
import type { Duty } from "../gates/duties.ts";

/** `key`: what it is about, which nobody else has at the time; `project`: whose key whoever takes it has to have. */
export type Task = Readonly<{ duty: Duty; project?: string | undefined; key: string }>;

/** A task in hand, by the attempt that was handed out: a later holder's is another one. */
export type Lease = Task & Readonly<{ id: string; retryCount: number }>;

export type Engine = Readonly<{
  /** Those that wait or are in hand already stay as they are. */
  offer(tasks: readonly Task[]): Promise<void>;
  take(task: Omit<Task, "key">, most: number): Promise<readonly Lease[]>;
  /** Those that are in hand still. */
  renew(leases: readonly Lease[]): Promise<readonly Lease[]>;
  /** They are done; whoever finds more to do offers them anew. */
  giveBack(leases: readonly Lease[]): Promise<void>;
  /** Hands out again what nobody has renewed in time. */
  sweep(): Promise<void>;
  close(): Promise<void>;
}>;
