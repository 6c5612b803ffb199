/**
 * A table that others change: what a step needs is written into a file for them to run, and the step is done once the
 * database shows it. So it works through an API, too; what only the database itself knows is asked by the files.
 */
import { UserError } from "../../errors.ts";
import { isEmptyText } from "../../row/recipe.ts";
import type { Target } from "../../row/target.ts";
import { type AnnIndex, type Examination, type Store, TableRefusal } from "../port.ts";
import { shapeOf } from "../rows.ts";
import { installStatements } from "../supabase-functions.ts";
import { indexesOn, type MigrationStore, waitingPages } from "./port.ts";
import { addScript, finishScript, type MigrationTable, swapScript, undoScript } from "./scripts.ts";

type PastedGround = Readonly<{
  examine: (target: Target) => Promise<Examination>;
  store: (target: Target) => Promise<Store>;
  /** Resolves to the file, as it is named to people. */
  writeFile: (name: string, content: string) => Promise<string>;
}>;

export function createPastedStore(
  { examine, store, writeFile }: PastedGround,
  plan: MigrationTable & Readonly<{ swaps: boolean }>,
): MigrationStore {
  const { old, next, names, columnType, swaps } = plan;
  const has = (embedding: string) => isExamined(examine({ ...old, embedding }));
  const paste = async (name: string, statements: readonly string[]) => {
    const sql = statements.map((statement) => `${statement};\n`).join("\n");
    throw new UserError(`The next step is yours: run ${await writeFile(name, sql)}.`, {
      hint: "Paste it into the SQL editor, or run it with psql; then run the same command again.",
      exit: "unfinished",
    });
  };
  /** Through which an API fills the column, of this type. */
  const functions = async (embedding: string, type: string) => {
    const { supabase, description, vectorSchema } = await examine(old);
    if (!supabase) return [];
    const its = { ...description, embedding: { ...description.embedding, typeName: type } };
    const wanted = { trigger: false, fingerprint: false, api: true };
    return installStatements({ ...next, embedding }, shapeOf(its, vectorSchema), wanted);
  };
  return {
    columns: async () => {
      const asked = [names.next, names.kept];
      const found = await Promise.all(asked.map(has));
      return asked.filter((_, at) => found[at]);
    },
    size: async () => ({ rows: (await (await store(old)).count()).total, chars: undefined }),
    lacking: async (limit) => idsLacking(await store(next), limit, next.text),
    obstacles: async () => [],
    withoutOld: async () => [],
    add: async () => {
      if (await has(names.next)) return;
      await paste("1-add.sql", [addScript(plan), ...(await functions(names.next, columnType))]);
    },
    build: async (indexes) => {
      const standing = await indexesOn(await store(next));
      const left = indexes.filter(
        ({ name }) => !standing.some((each) => each.valid && each.name === name),
      );
      if (left.length > 0) await paste("2-index.sql", left.map(inTheBackground));
    },
    swap: async () => {
      if (await has(names.kept)) return;
      await paste("3-swap.sql", [swapScript(plan), ...(await functions(names.old, columnType))]);
    },
    undo: async () => {
      const isSwapped = await has(names.kept);
      if (!isSwapped && !(await has(names.next))) return;
      const kept = isSwapped ? names.kept : names.old;
      const { embedding } = (await examine({ ...old, embedding: kept })).description;
      await paste("undo.sql", [
        undoScript(plan),
        ...(await functions(names.old, embedding.typeName)),
      ]);
    },
    finish: async () => {
      if (await has(swaps ? names.kept : names.old))
        await paste("finish.sql", [finishScript(plan)]);
    },
  };
}

function inTheBackground({ definition }: AnnIndex): string {
  return definition.replace(/^CREATE INDEX /, "create index concurrently if not exists ");
}

async function isExamined(examining: Promise<Examination>): Promise<boolean> {
  try {
    await examining;
    return true;
  } catch (error) {
    if (error instanceof TableRefusal) return false;
    throw error;
  }
}

/** Rows without a text are never filled. */
async function idsLacking(its: Store, limit: number, recipe: string): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const page of waitingPages(its)) {
    ids.push(...page.filter(({ text }) => !isEmptyText(text, recipe)).map(({ id }) => id));
    if (ids.length >= limit) break;
  }
  return ids;
}
