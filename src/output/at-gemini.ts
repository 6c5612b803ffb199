import { counted, duration } from "../words/figures.ts";
import type { Standing } from "./standing.ts";

/** One line on what is waited for, for where lines are never taken back. */
export function atGeminiText({ atGemini, nextLookSeconds }: Standing): string {
  const { jobs, rows, oldest, oldestSeconds } = atGemini;
  const look = nextLookSeconds === undefined ? "" : `; next look in ${duration(nextLookSeconds)}`;
  return `at Gemini: ${counted(rows, "row")} in ${counted(jobs, "job")}, the oldest, ${oldest ?? "-"}, for ${duration(oldestSeconds)}${look}`;
}
