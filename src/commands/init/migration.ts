/**
 * Migrations as the Supabase CLI keeps them: files that are run once each, in the order of their
 * names, which begin with the time they were made. One that may have been run is never changed;
 * whatever is to be different is a new file.
 */
import { MS_PER_SECOND } from "../../clock.ts";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../disk/durable-file.ts";
import { ifThere } from "../../disk/presence.ts";
import { UserError } from "../../errors.ts";

/** In a Supabase project, and where there is none. */
export const MIGRATIONS_FOLDERS = {
  supabase: join("supabase", "migrations"),
  plain: "vecfill-migrations",
} as const;

/** The newest migration for a target. */
export type Migration = Readonly<{ file: string; content: string }>;

/** `name`: what its files are called behind the time. Undefined: there is none. */
export async function newestMigration(
  folder: string,
  name: string,
): Promise<Migration | undefined> {
  const files = (await filesIn(folder)).filter(
    (file) => NAMED.exec(file)?.groups?.["name"] === name,
  );
  const file = files.at(-1);
  if (file === undefined) return undefined;
  return { file: join(folder, file), content: await readFile(join(folder, file), "utf8") };
}

const NAMED = /^\d+_(?<name>.+)\.sql$/;

/** Sorts behind every migration that is there. Resolves to its path. */
export async function nextFile(folder: string, name: string, now: Date): Promise<string> {
  const last = (await filesIn(folder)).at(-1);
  const behind = last !== undefined && timeOf(last) >= timestamp(now);
  const moment = behind ? secondAfter(last) : now;
  if (moment === undefined) throw numberedTooHigh(join(folder, last ?? ""));
  return join(folder, `${timestamp(moment)}_${name}.sql`);
}

function timeOf(file: string): string {
  return /^\d+/.exec(file)?.[0] ?? "";
}

/** Undefined where the file's number is no time. */
function secondAfter(file: string): Date | undefined {
  const iso = timeOf(file).replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/, "$1-$2-$3T$4:$5:$6Z");
  const moment = new Date(iso.includes("T") ? iso : Number.NaN);
  const next = new Date(moment.getTime() + MS_PER_SECOND);
  return Number.isNaN(next.getTime()) || timestamp(next) <= timeOf(file) ? undefined : next;
}

function numberedTooHigh(path: string): UserError {
  return new UserError(
    `The migration ${path} has a number that no time comes after, so a new one cannot be put behind it.`,
    {
      hint: "Rename it to the time it was made, as `supabase migration new` does: 20261123024500_name.sql. Then run the same command again.",
    },
  );
}

export async function writeMigration(path: string, content: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  await replaceFile(path, content);
}

/** `20261123024500`, in UTC. */
function timestamp(moment: Date): string {
  return moment.toISOString().replace(/\D/g, "").slice(0, "yyyymmddhhmmss".length);
}

async function filesIn(folder: string): Promise<string[]> {
  const files = await ifThere(readdir(folder));
  return (files ?? []).filter((file) => NAMED.test(file)).sort();
}
