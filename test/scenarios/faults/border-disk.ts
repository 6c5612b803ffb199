import { afterAll, beforeAll } from "vitest";
import { borderFiles } from "./outside.ts";

let lift = () => {};

/** From the first test of a file to its last, what is under test crosses the border with its calls to the disk. */
export function borderDisk(): void {
  beforeAll(() => {
    lift = borderFiles();
  });
  afterAll(() => lift());
}
