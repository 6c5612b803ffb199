/** A work; or for how many milliseconds there is none, unless something changes: infinite where nothing but that brings some. */
export type Step = (() => Promise<unknown>) | number;

export const IDLE = Infinity;

export type Lane = Readonly<{
  /** Looks, and does nothing. `isQuiet`: no lane works, and none that is asked before this one waits for a time. */
  next(isQuiet: boolean): Step;
}>;
