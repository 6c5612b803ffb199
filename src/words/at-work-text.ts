import type { LockHolder } from "../disk/folder-lock.ts";
import { MS_PER_SECOND } from "../clock.ts";
import { duration, minute } from "./figures.ts";

/** Who works in the jobs folder, and since when. */
export function atWorkText({ command, pid, host, since }: LockHolder, now: Date): string {
  const what = `vecfill ${command}`.trim();
  const seconds = (now.getTime() - Date.parse(since)) / MS_PER_SECOND;
  return `${what} since ${minute(since)} UTC (${duration(Math.max(1, seconds))}), process ${pid} on ${host}`;
}
