/** Why rows failed, from the failed files: how many for each reason, some of their ids, and where they stand. */
import { exists } from "../disk/presence.ts";
import { UserError } from "../errors.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import type { Job } from "../manifest/job.ts";
import type { FailedLine } from "../row/failed-line.ts";
import { parseKey } from "../row/question.ts";
import type { Holding, Store } from "../store/port.ts";
import { readFailedLines } from "../jobs-folder/failed-file.ts";
import { heldLines } from "../jobs-folder/holdings.ts";

export type FailureGroup = Readonly<{
  class: string;
  reason: string;
  code: number | undefined;
  message: string;
  rows: number;
  /** Of some of the rows. */
  ids: readonly string[];
  /** The failed files that hold them. */
  files: readonly string[];
}>;

export type Failures = Readonly<{
  /** The largest first. */
  groups: readonly FailureGroup[];
  /** Rows that were not looked at: there are too many, or the file was broken by hand. */
  unread: number;
  /** Rows in the groups, and unread ones. */
  waiting: number;
  /** Rows whose lines wait for nothing: they have a vector or another text by now, or are gone. */
  settled: number;
}>;

const MAX_LINES = 100_000;
const MAX_GROUPS = 50;
const MAX_IDS = 5;
const MAX_MESSAGE_CHARS = 200;

/** Of the rows that still wait: where there is no store to be asked, those of every line. */
export async function readFailures(
  jobs: readonly Job[],
  bring: (job: Job) => Promise<JobFiles>,
  store?: Pick<Store, "compare">,
): Promise<Failures> {
  const groups = new Map<string, { -readonly [K in keyof FailureGroup]: FailureGroup[K] }>();
  const waiting = jobs.filter((job) => job.outstanding.lines > 0);
  let read = 0;
  let settled = 0;
  for await (const { line, file, holding } of linesOf(waiting, bring, store)) {
    if (read >= MAX_LINES) break;
    read += 1;
    if (holding !== "empty") {
      settled += 1;
      continue;
    }
    const found = groupOf(line);
    const name = JSON.stringify([found.class, found.reason, found.code, found.message]);
    const group = groups.get(name) ?? { ...found, rows: 0, ids: [], files: [] };
    group.rows += 1;
    if (group.ids.length < MAX_IDS) group.ids = [...group.ids, parseKey(line.key)?.id ?? line.key];
    if (group.files.at(-1) !== file) group.files = [...group.files, file];
    if (groups.size < MAX_GROUPS) groups.set(name, group);
  }
  const all = waiting.reduce((sum, job) => sum + job.outstanding.lines, 0);
  const told = [...groups.values()].toSorted((a, b) => b.rows - a.rows);
  const grouped = told.reduce((sum, group) => sum + group.rows, 0);
  const unread = Math.max(0, all - settled - grouped);
  return { groups: told, unread, waiting: grouped + unread, settled };
}

type FoundLine = Readonly<{ line: FailedLine; file: string; holding: Holding }>;

async function* linesOf(
  jobs: readonly Job[],
  bring: (job: Job) => Promise<JobFiles>,
  store: Pick<Store, "compare"> | undefined,
): AsyncGenerator<FoundLine> {
  for (const job of jobs) {
    const { failed: file } = await bring(job);
    if (!(await exists(file))) continue;
    try {
      const lines = heldLines(store, job, readFailedLines(file));
      for await (const [line, holding] of lines) yield { line, file, holding };
    } catch (error) {
      // what a person broke in it is told when it is sent; here its rows are unread
      if (!(error instanceof UserError)) throw error;
    }
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
