/**
 * A table's way to a new model: a new column, filled, indexed and checked beside the old one, and then in its
 * place. Each step is recorded when it is done, and may be repeated: whatever comes between, the same command
 * goes on from the last one that is known.
 */
import type { Clock } from "../clock.ts";
import { UserError, usageError } from "../errors.ts";
import type {
  Checked,
  Migration,
  MigrationPlan,
  MigrationStep,
} from "../manifest/migration/table-migration.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";
import type { Report } from "../progress.ts";
import { columnName, sameColumn, tableName, type Target } from "../row/target.ts";
import { type Follower, indexesOn, type MigrationStore } from "../store/migration/port.ts";
import type { AnnIndex, Store, StoreIndexes } from "../store/port.ts";
import { watchedBuild } from "../gates/watched-build.ts";
import { checkColumn, type Gate, type GateOptions } from "./gate.ts";
import { gateFigures } from "./gate-figures.ts";
import { twinOf } from "./twin-index.ts";
import type { NowServices } from "../search/vectors-now.ts";

export type MigrateServices = NowServices &
  Readonly<{
    manifest: Manifest;
    table: MigrationStore;
    store: (target: Target) => Promise<Store>;
    /**
     * The usual pipeline over the new column; `late`: the few rows that came meanwhile. False: it is not done, and
     * says why itself.
     */
    fill: (next: Target, late: boolean) => Promise<boolean>;
    report: Report;
    clock: Clock;
  }>;

export type Advanced = Readonly<{
  migration: Migration;
  /** Of the last check; undefined where none was made. */
  gate: Gate | undefined;
  /** The pipeline has left: run again later. */
  isFilling: boolean;
}>;

/** Rows come and change while one fills, and while an index is built. */
const CATCH_UPS_MAX = 5;
/** Ids that are looked at: with more, the column is not nearly full. */
const LACKING_MAX = 100_000;

/** On to the swap, or, without one, to the end of the check; as far as it goes today. */
export async function advance(
  services: MigrateServices,
  started: Migration,
  options: GateOptions,
): Promise<Advanced> {
  let migration = started;
  let gate: Gate | undefined;
  const to = async (step: MigrationStep, found?: readonly Checked[]) => {
    migration = await services.manifest.recordMigration(migration, { step, check: found });
  };
  const told = (isFilling: boolean): Advanced => ({ migration, gate, isFilling });
  if (migration.step === "planned") {
    await services.table.add();
    await to("added");
  }
  if (migration.step === "added") {
    const isFilled = await services.fill(migration.next, false);
    if (!isFilled || !(await catchUp(services, migration))) return told(true);
    await to("filled");
  }
  if (migration.step === "filled") {
    await buildTwins(services, migration);
    await to("indexed");
  }
  if (migration.step === "indexed") {
    const before = await catchUp(services, migration);
    if (before === undefined) return told(true);
    gate = await check(services, migration, { ...options, before });
    // what is missing is filled before it is checked again
    await to(gate.against.length > 0 ? "added" : "checked", gateFigures(gate));
  }
  if (migration.step === "checked" && migration.swaps) {
    await checkSwap(services, migration);
    await to("swapping");
  }
  if (migration.step === "swapping") {
    await services.table.swap();
    await to("swapped");
  }
  // what changed in the last moment
  if (migration.step === "swapped") await services.fill(migration.next, true);
  return told(false);
}

/** Passes, as long as each leaves less. Ids of rows that lacked their vectors before the last; undefined: it is not done. */
async function catchUp(
  { table, fill }: MigrateServices,
  { next }: Migration,
): Promise<readonly string[] | undefined> {
  let before: readonly string[] = [];
  for (let pass = 0; pass < CATCH_UPS_MAX; pass += 1) {
    const lacking = await table.lacking(LACKING_MAX);
    if (lacking.length === 0 || (pass > 0 && lacking.length >= before.length)) break;
    if (!(await fill(next, true))) return undefined;
    before = lacking;
  }
  return before;
}

async function buildTwins(services: MigrateServices, migration: Migration): Promise<void> {
  const { table, report, clock, signal } = services;
  const { old, next, names, columnType } = migration;
  const twins = (await indexesOn(await services.store(old))).flatMap(
    ({ obstacle: _obstacle, ...index }) => {
      const named = names.indexes.find((each) => each.old === index.name);
      const columns = { old: names.old, next: names.next, type: columnType };
      return named === undefined ? [] : [twinOf(index, named, columns)];
    },
  );
  if (table.build !== undefined) return table.build(twins);
  const watching = { indexes: indexesOf(await services.store(next)), report, clock };
  for (const twin of twins) {
    // one of that name that somebody has built there in another way is as good
    const { how, seconds } = await watchedBuild(watching, twin, signal);
    report({
      type: "indexBuilt",
      index: twin.name,
      seconds: how === "built" ? seconds : undefined,
    });
  }
}

function indexesOf({ indexes }: Store): StoreIndexes {
  if (indexes === undefined) throw new Error("a migration went on where no index can be built");
  return indexes;
}

async function check(
  services: MigrateServices,
  { old, next, names }: Migration,
  options: GateOptions & Readonly<{ before: readonly string[] }>,
): Promise<Gate> {
  const { table, store } = services;
  const isIndexed = names.indexes.length > 0;
  const stores = { old: await store(old), next: await store(next) };
  const asked = { ...services, ...stores, isIndexed, lacking: () => table.lacking(LACKING_MAX) };
  return checkColumn(asked, { old, next }, options);
}

/** What is still under way would look for its column in vain, and what follows the old one would go with it. */
async function checkSwap(
  { manifest, table }: MigrateServices,
  { old, next }: Migration,
): Promise<void> {
  const open = manifest
    .jobs()
    .find((job) => isOpen(job) && [old, next].some((each) => sameColumn(job.target, each)));
  if (open !== undefined) {
    throw new UserError(`Job ${open.id} is on its way to a column whose name is about to change.`, {
      hint: "`vecfill run` brings it in, or `vecfill cancel` gives it up; then run the same command again.",
      exit: "unfinished",
    });
  }
  const others = await table.obstacles();
  if (others.length > 0) throw follows(old, others);
}

function follows(old: Target, others: readonly Follower[]): UserError {
  const listed = others.map(({ name, definition }) =>
    definition ? `${name}: ${definition}` : name,
  );
  return new UserError(
    `These follow the column ${columnName(old)} and would go along when it is renamed:\n  ${listed.join("\n  ")}`,
    {
      hint: "Drop them, run the same command again, and make them anew: they then have the new column. Or switch in your code: `vecfill migrate --no-swap`.",
    },
  );
}

/** Before anything is recorded: what can be seen to stand in the way. */
export function checkPlan(
  { old, next, names }: MigrationPlan,
  known: Readonly<{
    columns: readonly string[];
    indexes: readonly AnnIndex[];
    takesIndex: boolean;
  }>,
): void {
  const { columns, indexes, takesIndex } = known;
  const there = [names.next, names.kept].find((name) => columns.includes(name));
  if (there !== undefined) {
    throw usageError(
      `${tableName(old)} has a column ${there} already.`,
      there === names.next
        ? "Give --column another name; or, if nobody needs it, drop that column."
        : "The old column gets this name: rename that one, or drop it if nobody needs it.",
    );
  }
  if (indexes.length > 0 && !takesIndex) {
    throw usageError(
      `No index takes ${next.dimensions} dimensions of this type, and ${old.embedding} has one (${indexes[0]?.name}).`,
      "Give --type halfvec, or a smaller --dimensions.",
    );
  }
}
