/**
 * How the garbage collector is to work where rows pass in great numbers. What lives on here is little;
 * chunks of files and of vectors, which lie outside of the heap and are needed for a moment, are nearly
 * all of what comes and goes. Figures are in docs/performance.md.
 */
import { setFlagsFromString } from "node:v8";

const TUNING = [
  // The part where new objects are made stays as small as it starts out, 1 MB. By default it grows to
  // 32 MB, twice over, and what new objects hold outside of the heap stays as long as they do.
  "--semi-space-growth-factor=1",
  // A full round comes once twice as much has been added as had lived on after the last one. By default
  // it may be half as much, which a few chunks are.
  "--heap-growing-percent=200",
];

/** For the whole process, before its work begins. */
export function tuneCollector(): void {
  for (const flag of TUNING) setFlagsFromString(flag);
}
