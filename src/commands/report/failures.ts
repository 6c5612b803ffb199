/** Why rows failed, from the failed files: how many for each reason, and some of their ids. */
import { exists } from "../../disk/presence.ts";
import type { FailedLine } from "../../row/failed-line.ts";
import { readFailedLines } from "../../jobs-folder/failed-file.ts";
import type { JobFiles } from "../../manifest/file-names.ts";
import type { Job } from "../../manifest/job.ts";
import { parseKey } from "../../row/question.ts";

export type FailureGroup = Readonly<{
  class: string;
  reason: string;
  code: number | undefined;
  message: string;
  rows: number;
  /** Of some of the rows. */
  ids: readonly string[];
}>;

export type Failures = Readonly<{
  /** The largest first. */
  groups: readonly FailureGroup[];
  /** Rows that were not looked at, since there are so many. */
  unread: number;
}>;

const MAX_LINES = 100_000;
const MAX_GROUPS = 50;
const MAX_IDS = 5;
const MAX_MESSAGE_CHARS = 200;

export async function readFailures(
  jobs: readonly Job[],
  files: (job: string) => JobFiles,
): Promise<Failures> {
  const groups = new Map<string, FailureGroup & { ids: string[]; rows: number }>();
  const waiting = jobs.filter((job) => job.outstanding.lines > 0);
  let read = 0;
  for await (const line of linesOf(waiting, files)) {
    if (read >= MAX_LINES) break;
    read += 1;
    const found = groupOf(line);
    const name = JSON.stringify([found.class, found.reason, found.code, found.message]);
    const group = groups.get(name) ?? { ...found, rows: 0, ids: [] };
    group.rows += 1;
    if (group.ids.length < MAX_IDS) group.ids.push(parseKey(line.key)?.id ?? line.key);
    if (groups.size < MAX_GROUPS) groups.set(name, group);
  }
  const all = waiting.reduce((sum, job) => sum + job.outstanding.lines, 0);
  const told = [...groups.values()].toSorted((a, b) => b.rows - a.rows);
  const grouped = told.reduce((sum, group) => sum + group.rows, 0);
  return { groups: told, unread: Math.max(0, all - grouped) };
}

async function* linesOf(
  jobs: readonly Job[],
  files: (job: string) => JobFiles,
): AsyncGenerator<FailedLine> {
  for (const job of jobs) {
    const { failed } = files(job.id);
    if (await exists(failed)) yield* readFailedLines(failed);
  }
}

function groupOf({ error }: FailedLine) {
  return {
    class: error?.class ?? "by hand",
    reason: error?.reason ?? "by hand",
    code: error?.code,
    message: (error?.message ?? "").slice(0, MAX_MESSAGE_CHARS),
  };
}
