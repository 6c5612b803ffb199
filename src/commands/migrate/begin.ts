/** A migration as settings and options have it: the one that is under way, or a new one that is agreed to. */
import type { CommandContext } from "../../cli/command.ts";
import type { MIGRATE_OPTIONS } from "../../cli/migrate-options.ts";
import { priceOf, pricesOf } from "../../cost/tariff.ts";
import { needsDatabase } from "../../words/needs-database.ts";
import type { MigrationPlan } from "../../manifest/migration/table-migration.ts";
import { checkPlan } from "../../migrate/migrate.ts";
import { migrationNames } from "../../row/migration-names.ts";
import { checkTarget } from "../../row/target-check.ts";
import { type Target, tableName } from "../../row/target.ts";
import { queueWindow } from "../../composition/stages.ts";
import { batchSeconds } from "../../quota/duration.ts";
import { type Follower, indexesOn } from "../../store/migration/port.ts";
import { LOCK_WAITS } from "../../store/port.ts";
import { ANN_METHODS } from "../../row/write-cost.ts";
import { ANN_DIMENSIONS_MAX, type VectorType, vectorType, widthCost } from "../../row/width.ts";
import { targetOf } from "../../settings/config.ts";
import type { ValuesOf } from "../../settings/options.ts";
import type { AnnIndex } from "../../store/port.ts";
import { bytes, count, counted, dollars, duration } from "../../words/figures.ts";

export type MigrateOptions = ValuesOf<typeof MIGRATE_OPTIONS>;

/** `question`: what it comes to, in words. */
export type Planned = Readonly<{ plan: MigrationPlan; question: string }>;

/** Characters a token, about, where no text is read for it. */
const CHARS_A_TOKEN = 4;
/** Where an API does not tell. */
const CHARS_A_TEXT = 200;

/** Throws a UserError where something stands against it. */
export async function planMigration(
  context: CommandContext,
  options: MigrateOptions,
): Promise<Planned> {
  const { services, settings, clock } = context;
  const asked = targetOf(settings);
  const store = await services.store(asked);
  const description = await store.describe();
  const { embedding } = description;
  const oldType = vectorType(embedding.typeName) ?? "vector";
  const old = { ...asked, dimensions: embedding.dimensions ?? asked.dimensions };
  checkTarget(old, description);
  if (store.indexes === undefined && options.sql === undefined)
    throw needsDatabase("A migration", ", or give --sql <folder>, and run the files it writes.");
  const found = await indexesOn(store);
  const indexes = found.filter(({ valid, obstacle }) => valid && obstacle === undefined);
  const names = migrationNames(old, indexes, {
    column: options.column,
    now: clock.now(),
  });
  const next = { ...asked, model: options.to, embedding: names.next };
  const columnType = options.type === "same" ? usualType(oldType, next) : options.type;
  const plan = { old, next, names, columnType, swaps: options.swap };
  const table = await services.migration(plan, options.sql);
  const ann = indexes.filter(({ method }) => ANN_METHODS.includes(method));
  const takesIndex = next.dimensions <= ANN_DIMENSIONS_MAX[columnType];
  checkPlan(plan, { columns: await table.columns(), indexes: ann, takesIndex });
  const size = await table.size();
  const followers = plan.swaps ? await table.obstacles() : [];
  return { plan, question: questionOf(context, plan, { ...size, indexes: ann, followers }) };
}

function usualType(old: VectorType, { dimensions }: Target): VectorType {
  return dimensions > ANN_DIMENSIONS_MAX[old] ? "halfvec" : old;
}

function questionOf(
  { settings }: CommandContext,
  { old, next, columnType, swaps }: Planned["plan"],
  size: Readonly<{
    rows: number;
    chars: number | undefined;
    indexes: readonly AnnIndex[];
    followers: readonly Follower[];
  }>,
): string {
  const { rows, chars, indexes, followers } = size;
  const tokens = Math.ceil((chars ?? rows * CHARS_A_TEXT) / CHARS_A_TOKEN);
  const usd = priceOf(tokens, pricesOf(settings)(next.model, "batch"));
  const { rowBytes, indexBytes = 0 } = widthCost(columnType, next.dimensions);
  const [column, index] = [rowBytes * rows, indexBytes * indexes.length * rows];
  const { maxEnqueuedTokens } = queueWindow({ ...settings, model: next.model });
  return [
    `${tableName(old)}: from ${old.model} in ${old.embedding} to ${next.model} in ${next.embedding}, ${columnType}(${next.dimensions}).`,
    `  ${counted(rows, "row")} with a text, about ${count(tokens)} tokens, about ${dollars(usd)} as batches.`,
    `  time: about ${duration(batchSeconds(tokens, maxEnqueuedTokens))} to fill, by quota; then the index is built.`,
    `  disk: about ${bytes(column)} for the column, ${bytes(index)} for ${counted(indexes.length, "index")}, and as much again in the log of the database.`,
    `  locks: the table for an instant when the column is added${swaps ? ", and when the names are swapped" : ""}, waited for ${LOCK_WAITS.alone} at a time.`,
    swaps
      ? `  From the swap on, queries must be embedded with ${next.model}.`
      : `  No swap: your code goes over to ${next.embedding} by itself.`,
    ...(followers.length === 0
      ? []
      : [
          `  In the way of the swap, drop before: ${followers.map(({ name }) => name).join("; ")}.`,
        ]),
  ].join("\n");
}
