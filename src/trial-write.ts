/**
 * The table is asked whether it takes a vector before anything is sent for its rows: a few of them are
 * offered one, and it is taken back. What a row has against it by itself costs that row at its import;
 * where all are refused it is the table, and a person has to do something before money is spent.
 */
import type { StageContext } from "./command.ts";
import { targetOf } from "./config.ts";
import { UserError } from "./errors.ts";
import { refusedIds } from "./job/failed-file.ts";
import type { ManifestView } from "./job/manifest.ts";
import { counted } from "./output/figures.ts";
import type { Store, TableRefusal } from "./store/port.ts";
import { sameTarget, tableName, type Target } from "./target.ts";
import { checkTarget } from "./target-check.ts";

export type Tried = Readonly<{
  /** Rows that were offered a vector. */
  rows: number;
  /** What the table has against any row; undefined where it took one, or none waits. */
  refusal: TableRefusal | undefined;
  warnings: readonly Readonly<{ message: string; hint: string }>[];
  /** Why nothing was tried, in words. */
  untried: string | undefined;
}>;

type Options = Readonly<{
  /** Jobs that were exported before can be sent from where there is no database. */
  mayLackDatabase?: boolean;
}>;

/** Throws the table's refusal, or whatever else stands against writing. */
export async function tryTables(
  context: StageContext,
  manifest: ManifestView,
  targets: readonly Target[],
  { mayLackDatabase = false }: Options = {},
): Promise<void> {
  const { services, settings, report } = context;
  for (const target of distinct(targets)) {
    // the condition is one on the rows of the table that is named
    if (settings.where !== undefined && !sameTarget(target, targetOf(settings))) continue;
    const store = await openStore(() => services.store(target), mayLackDatabase);
    if (store === undefined) {
      report({ type: "warning", ...notTried(target, "no database is named here") });
      continue;
    }
    const { refusal, warnings, untried } = await tryTable(store, target, manifest);
    if (untried !== undefined) report({ type: "warning", ...notTried(target, untried) });
    for (const warning of warnings) report({ type: "warning", ...warning });
    if (refusal !== undefined) throw refusal;
  }
}

/** Throws a UserError where no vector can be written, whatever the row. */
export async function tryTable(
  store: Store,
  target: Target,
  manifest: ManifestView,
): Promise<Tried> {
  checkTarget(target, await store.describe());
  const except = await refusedIds(manifest, target);
  const { tried, refusals, withoutKey, untried } = await store.tryWrite(except);
  return {
    rows: tried,
    refusal: tried > 0 && refusals.length === tried ? refusals[0] : undefined,
    warnings: withoutKey > 0 ? [keyless(target, withoutKey)] : [],
    untried,
  };
}

function distinct(targets: readonly Target[]): Target[] {
  return targets.filter(
    (target, place) => targets.findIndex((each) => sameTarget(each, target)) === place,
  );
}

async function openStore(
  open: () => Promise<Store>,
  mayLackDatabase: boolean,
): Promise<Store | undefined> {
  try {
    return await open();
  } catch (error) {
    if (mayLackDatabase && error instanceof UserError && error.exit === "usage") return undefined;
    throw error;
  }
}

function notTried(target: Target, why: string) {
  return {
    message: `Whether ${tableName(target)} takes a vector was not tried: ${why}.`,
    hint: "`vecfill doctor` tells what can be known of the table and the way to it.",
  };
}

function keyless(target: Target, rows: number) {
  const { id } = target;
  return {
    message: `${counted(rows, "row")} of ${tableName(target)} ${rows === 1 ? "has" : "have"} no key (${id} is NULL) and cannot be filled.`,
    hint: `Give them keys, then: alter table ${tableName(target)} alter column ${id} set not null;`,
  };
}
