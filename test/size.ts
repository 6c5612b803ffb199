/**
 * How much of it a test tries: `npm test` takes every behaviour once, at small size; `npm run test:full` takes
 * every call, every size, and properties at length. One body serves both.
 */
export const isFull = process.env["VECFILL_TEST_SIZE"] === "full";

export function sized<T>({ quick, full }: Readonly<{ quick: T; full: T }>): T {
  return isFull ? full : quick;
}
