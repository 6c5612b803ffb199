/** When a migration is killed: at each step that the journal tells, and at what can be seen in the database between. */
import { setTimeout as delay } from "node:timers/promises";
import type { Database } from "../src/store/database.ts";
import type { CommandEnd, Strike } from "./command.ts";

const LOOK_EVERY_MS = 2;

const COLUMNS =
  "SELECT FROM pg_attribute WHERE attrelid = 'questions'::regclass AND NOT attisdropped AND attname";
const BUILDS = "SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()";

const IN_DATABASE: Readonly<Partial<Record<string, string>>> = {
  "the column is there": `EXISTS (${COLUMNS} = 'embedding_new')`,
  "the index is being built": `EXISTS (${BUILDS} AND phase LIKE 'building%')`,
  "vectors are looked at": isAsking("%vecfill_window%"),
  "neighbours are compared": isAsking("%enable_indexscan%"),
  "the table is being changed": isAsking("do $vecfill%"),
  "the names are changed": `EXISTS (${COLUMNS} ~ '^embedding_[0-9]{8}$')`,
  "the names are changed back": `NOT EXISTS (${COLUMNS} ~ '^embedding_')`,
};

/** By vecfill. */
function isAsking(pattern: string): string {
  return `EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
    AND application_name = 'vecfill' AND state = 'active' AND query LIKE '${pattern}')`;
}

/** In their order; each in a process of its own. */
export const KILLS: readonly string[] = [
  "journal migration planned",
  "the column is there",
  "journal migration added",
  "journal submitting",
  "journal downloaded",
  "journal migration filled",
  "the index is being built",
  "journal migration indexed",
  "vectors are looked at",
  "neighbours are compared",
  "journal migration checked",
  "journal migration swapping",
  "the table is being changed",
  "the names are changed",
  "journal migration swapped",
];
export const KILLS_OF_UNDO: readonly string[] = [
  "the table is being changed",
  "the names are changed back",
];

export type Killed = Readonly<{
  struck: readonly string[];
  missed: readonly string[];
  ended: CommandEnd;
}>;

type Watched = Readonly<{
  database: Database;
  vecfill: (strikes: readonly Strike[]) => Promise<CommandEnd>;
  onStage: (stage: string) => void;
}>;

/** Runs it once for each kill, and once more to its end. */
export async function killedAt(
  { database, vecfill, onStage }: Watched,
  kills: readonly string[],
): Promise<Killed> {
  const struck: string[] = [];
  for (const moment of kills) {
    onStage(`to be killed at: ${moment}`);
    const { code } = await vecfill([strikeAt(database, moment)]);
    if (code === null) struck.push(moment);
  }
  onStage("to its end");
  const missed = kills.filter((moment) => !struck.includes(moment));
  return { struck, missed, ended: await vecfill([]) };
}

/** `act`: instead of the kill. */
export function strikeAt(database: Database, moment: string, act?: () => Promise<unknown>): Strike {
  const condition = IN_DATABASE[moment];
  if (condition === undefined) {
    return { aim: { moment, nth: 1, delayMs: 0 }, strike: (kill) => kill() };
  }
  const strike = (kill: () => void) => {
    const acting = async () => {
      await becoming(database, condition);
      await (act === undefined ? kill() : act());
    };
    // the database is closed when the moment never comes
    acting().catch(() => undefined);
  };
  return { aim: { moment: "start", nth: 1, delayMs: 0 }, strike };
}

async function becoming(database: Database, condition: string): Promise<void> {
  for (;;) {
    const [row] = await database.query(`SELECT (${condition})::text AS met`);
    if (row?.["met"] === "true") return;
    await delay(LOOK_EVERY_MS);
  }
}
