/** A piece of work; or for how many milliseconds there is none, unless something changes: infinite where only a change brings some. */
export type Step = (() => Promise<unknown>) | number;

export const IDLE = Infinity;

export type Lane = Readonly<{
  /** Answers, and does nothing itself. `isQuiet`: no lane works, and none that is asked before this one waits for a time. */
  next(isQuiet: boolean, nobodyWorks: boolean): Step;
}>;
