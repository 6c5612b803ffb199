import { counted } from "./figures.ts";

/** How many rows are not sent; nothing where there are none. */
export function copiesLines(copies: number): string[] {
  if (copies === 0) return [];
  return [
    `Not sent: ${counted(copies, "row")}. Another row of the job has the same text, and its vector is for all of them.`,
  ];
}
