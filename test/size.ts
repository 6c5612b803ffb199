/**
 * How much of it a test tries, and which ones are left out. `npm test` takes a behaviour once, at small size, but for
 * what takes a real kill or minutes; `npm run test:full` takes every call, every size, and properties at length. One
 * body serves both where it can.
 */
declare module "vitest" {
  interface TaskMeta {
    /** Why it is skipped; the last lines of a run count the tests by it. */
    skippedFor?: string;
  }
}

const isFull = process.env["VECFILL_TEST_SIZE"] === "full";

export function sized<T>({ quick, full }: Readonly<{ quick: T; full: T }>): T {
  return isFull ? full : quick;
}

/** Options of a test or a suite that takes what is not everywhere. */
export function onlyWhere(isThere: boolean, skippedFor: string) {
  return isThere ? {} : { skip: true, meta: { skippedFor } };
}

export const IN_FULL = onlyWhere(isFull, "belong to the full run (npm run test:full)");
