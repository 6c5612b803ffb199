import { needsFolder } from "../../words/needs-folder.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { MIGRATE_OPTIONS } from "../../cli/migrate-options.ts";
import { usageError } from "../../errors.ts";
import { isUnderWay, type Migration } from "../../manifest/migration/table-migration.ts";
import { advance } from "../../migrate/migrate.ts";
import { columnName, type Target, tableName } from "../../row/target.ts";
import { type Flags, flagValues, targetOf } from "../../settings/config.ts";
import { runFromSettings } from "../../composition/stages.ts";
import { aligned, textOf } from "../../words/text-lines.ts";
import { type MigrateOptions, planMigration } from "./begin.ts";
import { readQueries } from "./queries-file.ts";

export async function showMigrate(
  context: CommandContext,
  _words: readonly string[],
  flags: Flags,
): Promise<CommandResult> {
  const options = flagValues(MIGRATE_OPTIONS, flags);
  if (context.settings.manifestIn === "postgres")
    throw needsFolder("vecfill migrate", "Migrate on one machine, with a jobs folder of its own.");
  const { status, finish, undo } = options;
  if ([status, finish, undo].filter(Boolean).length > 1)
    throw usageError("--status, --finish and --undo exclude each other.", "Give one of them.");
  if (status) return showStatus(context);
  // a partition has the columns of its table, and none of its own
  const leaves = (await context.services.leaves()).flat();
  if (leaves.some(({ siblings, kin }) => siblings !== undefined || kin !== undefined))
    throw usageError(
      "`vecfill migrate` takes one table, and no partitions.",
      "By hand: alter table <table> add column <name> vector(<width>); then `vecfill run --embedding <name> --model <model>`, and rename the columns when it is full.",
    );
  if (finish) return endMigration(context, "finished", options);
  return undo ? endMigration(context, "undone", options) : goOn(context, options);
}

async function showStatus({ services, settings }: CommandContext): Promise<CommandResult> {
  const target = targetOf(settings);
  const migration = (await services.view()).migration(target);
  if (migration === undefined) return { json: { step: null }, text: none(target) };
  return { json: { ...migration }, text: textOf(stateLines(migration)) };
}

async function goOn(context: CommandContext, options: MigrateOptions): Promise<CommandResult> {
  const { settings, services, signal, report, clock, confirm } = context;
  const queries = await readQueries(options.queries);
  const known = (await services.view()).migration(targetOf(settings));
  const goesOn = known !== undefined && isUnderWay(known);
  const planned = goesOn ? undefined : await planMigration(context, options);
  if (settings.dryRun) {
    const text = planned?.question ?? textOf(known ? stateLines(known) : []);
    return { json: { dryRun: true, plan: planned?.plan ?? null }, text };
  }
  // the key is asked for before anything is changed
  const gemini = await services.gemini();
  if (planned !== undefined && !(await confirm(`${planned.question}\nGo on?`))) throw saidNo();
  const manifest = await services.manifest();
  const migration =
    planned === undefined
      ? manifest.migration(targetOf(settings))
      : await manifest.recordMigration(planned.plan, { step: "planned" });
  if (migration === undefined) throw new Error("the migration is gone");
  const { minRecall, checkRows: sample } = options;
  const advanced = await advance(
    {
      manifest,
      gemini,
      signal,
      report,
      clock,
      table: await services.migration(migration, options.sql),
      store: (target) => services.store(target),
      fill: (next, late) => fill(context, next, late),
    },
    migration,
    { minRecall, sample, queries },
  );
  return resultOf(context, advanced);
}

function saidNo() {
  return usageError("Nothing was changed: you said no.", "`vecfill migrate --dry-run` plans only.");
}

/**
 * The pipeline of `run` over the new column; what it leaves waits for the next time. Late rows go at once, at the
 * full price: others change while a batch is waited for.
 */
async function fill(context: CommandContext, next: Target, late: boolean): Promise<boolean> {
  const { embedding, model, dimensions } = next;
  const lane = late ? "auto" : context.settings.lane;
  const settings = { ...context.settings, embedding, model, dimensions, lane, limit: undefined };
  const { pending, timedOut, costStop } = await runFromSettings({
    ...context,
    settings,
    targets: [settings],
  });
  return pending.length === 0 && !timedOut && costStop === undefined;
}

/** `step`: what it ends with. */
async function endMigration(
  context: CommandContext,
  step: "finished" | "undone",
  { sql }: MigrateOptions,
): Promise<CommandResult> {
  const { services, settings, confirm } = context;
  const target = targetOf(settings);
  const found = (await services.view()).migration(target);
  if (found === undefined || !isUnderWay(found))
    throw usageError(none(target), "`vecfill migrate` begins one.");
  const isReady = found.step === "swapped" || (found.step === "checked" && !found.swaps);
  if (step === "finished" && !isReady)
    throw usageError("The migration is not at its end yet.", "`vecfill migrate` goes on with it.");
  const table = await services.migration(found, sql);
  const isSwapped = ["swapping", "swapped"].includes(found.step);
  const withoutOld = async () =>
    step === "undone" && isSwapped ? table.withoutOld(IDS_SHOWN + 1) : [];
  const before = await withoutOld();
  const dropped = step === "finished" ? found.old.embedding : found.next.embedding;
  const question = `${step === "finished" ? "Drop" : "Put all back as it was, and drop"} ${columnName({ ...target, embedding: dropped })}?${editedText(before)}`;
  if (settings.dryRun) return { json: { dryRun: true, edited: before }, text: question };
  if (!(await confirm(question))) throw saidNo();
  const manifest = await services.manifest();
  await (step === "finished" ? table.finish() : table.undo());
  const migration = await manifest.recordMigration(found, { step });
  // others went on while this waited for the answer, and for the table
  const edited = await withoutOld();
  return {
    json: { ...migration, edited },
    text: textOf([...stateLines(migration), editedText(edited).trim()]),
  };
}

const IDS_SHOWN = 100;

function editedText(ids: readonly string[]): string {
  if (ids.length === 0) return "";
  const more = ids.length > IDS_SHOWN ? " and more" : "";
  return `\nRows that were changed or came meanwhile, and have no old vector: ids ${ids.slice(0, IDS_SHOWN).join(", ")}${more}.`;
}

function resultOf(
  { next }: CommandContext,
  { migration, gate, isFilling }: Awaited<ReturnType<typeof advance>>,
): CommandResult {
  const isStopped = gate !== undefined && gate.against.length > 0;
  return {
    json: { ...migration, gate: gate ?? null },
    text: textOf([...stateLines(migration), isStopped ? AGAIN : ""]),
    next: isFilling ? next("migrate") : undefined,
    exit: isStopped ? "rowsFailed" : isFilling ? "unfinished" : "done",
  };
}

function none(target: Target): string {
  return `No migration of ${tableName(target)} is under way.`;
}

const STANDS: Readonly<Record<Migration["step"], string>> = {
  planned: "planned; the new column is not there yet",
  added: "the new column is there, and is being filled",
  filled: "filled; the index is next",
  indexed: "indexed; the check is next",
  checked: "checked; the swap is next",
  swapping: "about to be swapped",
  swapped: "swapped",
  finished: "finished",
  undone: "undone; all is as it was",
};

function stateLines(migration: Migration): string[] {
  const { old, next, step, swaps, at } = migration;
  const stands = step === "checked" && !swaps ? "checked, and not to be swapped" : STANDS[step];
  return [
    `${tableName(next)}: ${old.model} in ${old.embedding}, ${next.model} in ${next.embedding}: ${stands} (${at}).`,
    ...checkLines(migration),
    ...(step === "swapped" ? afterSwap(migration) : []),
    ...(step === "checked" && !swaps ? withoutSwap(migration) : []),
  ];
}

function afterSwap({ old, next }: Migration): string[] {
  return [
    `From now on queries must be embedded with ${next.model}: with the old model nothing fails, and the neighbours are wrong.`,
    `In vecfill.config.json: "model": "${next.model}", "dimensions": ${next.dimensions}`,
    `\`vecfill run --model ${next.model}\` fills what came or changed in the last moment, and from now on.`,
    `\`vecfill migrate --undo\` puts ${old.embedding} back; \`vecfill migrate --finish\` drops it.`,
  ];
}

function withoutSwap({ old, next }: Migration): string[] {
  return [
    `Search in ${next.embedding}, with queries embedded by ${next.model}; the old column is as it was.`,
    `\`vecfill migrate --finish\` drops ${old.embedding} once nobody reads it.`,
  ];
}

function checkLines({ check = [] }: Migration): string[] {
  return aligned(check.map(({ what, found }) => [what, found])).map((line) => `  ${line}`);
}

const AGAIN =
  "The swap is held back. `vecfill verify --sample 100` for the new column names rows that are off: set these to NULL. An index that misses too much is dropped, and built by hand under its name with a larger m and ef_construction; or give a smaller --min-recall. Then run the same command again: it fills, and checks anew.";
