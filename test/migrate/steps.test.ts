// The migration dies, before or after any of its calls took effect, and is started again: is the table the same
// in the end, and is no row paid for twice? And is the swap held back where somebody spoils the new column?
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MigrationPlan } from "../../src/manifest/migration/table-migration.ts";
import { advance, checkPlan, type MigrateServices } from "../../src/migrate/migrate.ts";
import { migrationNames } from "../../src/row/migration-names.ts";
import { run } from "../../src/run/run.ts";
import type { Target } from "../../src/row/target.ts";
import { createPastedStore } from "../../src/store/migration/pasted-store.ts";
import { createMigrationStore } from "../../src/store/migration/migration-store.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { type Examination, type Store, TableRefusal } from "../../src/store/port.ts";
import { IN_FULL, sized } from "../size.ts";
import { startTrial, texts, type Trial } from "../trial.ts";
import { isRight, openWorkshop, type Workshop, type WorkshopServices } from "../workshop.ts";

let workshop: Workshop;
beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const NOW = new Date("2026-11-29T10:00:00.000Z");
const KEPT = "embedding_20261129";
const NAMES = { old: "embedding", next: "embedding_new", kept: KEPT, indexes: [] };
const QUERIES = [{ query: "Question number 1?", relevant: ["1"] }];
const OPTIONS = { minRecall: 0.95, sample: 100, queries: QUERIES };

const unused = () => Promise.reject(new Error("not asked"));

class Died extends Error {}

/** Calls, one after the other, of which one dies. */
type Fault = { nth: number; when: "before" | "after"; calls: number };

function mortal<A extends readonly unknown[], T>(fault: Fault, work: (...args: A) => Promise<T>) {
  return async (...args: A): Promise<T> => {
    fault.calls += 1;
    const isHit = fault.calls === fault.nth;
    if (isHit && fault.when === "before") throw new Died();
    const result = await work(...args);
    if (isHit) throw new Died();
    return result;
  };
}

/** A filled table with an index, and what the migration is to be. */
async function inUse(
  rows: number,
  index = "",
): Promise<Readonly<{ trial: Trial; plan: MigrationPlan }>> {
  const trial = await startTrial(workshop, texts(rows));
  await trial.run({ export: trial.exportOptions({ bounds: BOUNDS }) });
  await trial.sql(
    `CREATE INDEX by_meaning ON questions USING hnsw (embedding vector_cosine_ops) ${index}`,
  );
  const old = workshop.target;
  const indexes = (await storeOf(old).indexes?.read()) ?? [];
  const names = migrationNames(old, indexes, { column: "", now: NOW });
  const next: Target = { ...old, model: "gemini-embedding-2", embedding: names.next };
  return { trial, plan: { old, next, names, columnType: "vector", swaps: true } };
}

const BOUNDS = { maxRows: 1_000, maxTokens: 100_000, maxBytes: 10_000_000 };

function storeOf(target: Target) {
  return createSqlStore(workshop.database, target, { where: undefined });
}

/** An index that finds nine of the ten nearest. */
function storeThatMisses(target: Target): Store {
  const { nearest = unused, ...store } = storeOf(target);
  return { ...store, nearest: async (asked) => (await nearest(asked)).slice(asked.exact ? 0 : 1) };
}

/** One process: it goes on with what the manifest knows, and may die. `spoil`: once the column is filled. */
async function goOn(
  { trial, plan }: Awaited<ReturnType<typeof inUse>>,
  fault: Fault = { nth: 0, when: "before", calls: 0 },
  spoil: () => Promise<unknown> = async () => {},
  store: (target: Target) => Store = storeOf,
) {
  return trial.services({}, async (all) => {
    const { manifest } = all;
    const recordMigration = mortal(fault, (...args: Parameters<typeof manifest.recordMigration>) =>
      manifest.recordMigration(...args),
    );
    const known = manifest.migration(plan.old);
    const migration = known ?? (await recordMigration(plan, { step: "planned" }));
    const table = createMigrationStore(
      { database: workshop.database, again: (work) => work() },
      migration,
    );
    const services: MigrateServices = {
      ...all,
      manifest: { ...manifest, recordMigration },
      table: { ...table, add: mortal(fault, table.add), swap: mortal(fault, table.swap) },
      store: async (target) => store(target),
      fill: mortal(fault, async (next: Target, _late: boolean) => {
        await fill(trial, all, next);
        await spoil();
        return true;
      }),
    };
    return advance(services, migration, OPTIONS);
  });
}

async function fill(trial: Trial, all: WorkshopServices, next: Target): Promise<void> {
  const its = { ...all, store: storeOf(next), storeOf: async (target: Target) => storeOf(target) };
  await run(
    its,
    trial.runOptions({ export: trial.exportOptions({ target: next, bounds: BOUNDS }) }),
  );
}

async function rightIn(trial: Trial, column: string, isNew: boolean): Promise<number> {
  const rows = await trial.sql(
    `SELECT question_text AS text, ${column}::text AS vector FROM questions`,
  );
  const { model, taskType, dimensions } = workshop.target;
  const shape = isNew
    ? ({ model: "gemini-embedding-2", dimensions } as const)
    : { model, dimensions, taskType };
  const prefix = isNew ? "title: none | text: " : "";
  return rows.filter(({ text, vector }) => isRight(prefix + text, vector ?? "[]", shape)).length;
}

describe("killed at any call, and started again", () => {
  // planned, add, added, fill, filled, indexed, checked, swapping, swap, swapped
  const CALLS = 10;
  const every = Array.from({ length: CALLS }, (_, n) => n + 1).flatMap((nth) =>
    (["before", "after"] as const).map((when): [number, "before" | "after"] => [nth, when]),
  );

  const faults = sized({
    quick: [4, 9].flatMap((nth) => every.slice(nth * 2 - 1, nth * 2)),
    full: every,
  });

  test.each(faults)("at call %i, %s it took effect", async (nth, when) => {
    const given = await inUse(6);
    const { trial } = given;
    const fault: Fault = { nth, when, calls: 0 };
    await expect(goOn(given, fault)).rejects.toThrow(Died);
    const { migration } = await goOn(given);
    expect(migration.step).toBe("swapped");
    expect(await rightIn(trial, "embedding", true)).toBe(6);
    expect(await rightIn(trial, KEPT, false)).toBe(6);
    expect(
      await trial.sql(
        "SELECT indexname::text FROM pg_indexes WHERE indexname LIKE 'by%' ORDER BY 1",
      ),
    ).toEqual([{ indexname: "by_meaning" }, { indexname: "by_meaning_20261129" }]);
    // once by each model
    expect(new Set(Object.values(await trial.paid()))).toEqual(new Set([2]));
    expect((await trial.jobs()).map(({ target }) => target.embedding)).toEqual([KEPT, "embedding"]);
    expect(fault.calls).toBe(nth);
  });
});

test("the last pass is made by the next process where the first dies before it", async () => {
  const given = await inUse(6);
  const { trial } = given;
  // the record of the swap
  const fault: Fault = { nth: 10, when: "after", calls: 0 };
  await expect(goOn(given, fault)).rejects.toThrow(Died);
  await trial.sql("UPDATE questions SET embedding = NULL WHERE id = 3");
  expect((await goOn(given)).migration.step).toBe("swapped");
  expect(await rightIn(trial, "embedding", true)).toBe(6);
});

test("steps by hand are written into files, each as long as the database does not show it", async () => {
  await startTrial(workshop, texts(1));
  const old = workshop.target;
  const names = { ...NAMES, next: "new", kept: "kept" };
  const next = { ...old, embedding: "new" };
  const plan = { old, next, names, columnType: "vector", swaps: true } as const;
  const columns = new Set(["embedding"]);
  const description = await storeOf(old).describe();
  const files: Record<string, string> = {};
  const ground = {
    examine: async ({ embedding }: Target): Promise<Examination> => {
      if (!columns.has(embedding)) throw new TableRefusal("no such column", { hint: "" });
      const about = { label: "x", session: undefined, vectorSchema: "public", supabase: false };
      return { ...about, description, functions: { state: "missing" } };
    },
    store: async () => storeOf(old),
    writeFile: async (name: string, content: string) => {
      files[name] = content;
      return name;
    },
  };
  const pasted = createPastedStore(ground, plan);
  await pasted.undo();
  await pasted.finish();
  expect([await pasted.columns(), await pasted.size(), files]).toEqual([[], { rows: 1 }, {}]);
  await expect(pasted.add()).rejects.toThrow("yours: run 1-add.sql.");
  columns.add("new");
  await pasted.add();
  expect(await pasted.columns()).toEqual(["new"]);
  const twin = { name: "twin", method: "hnsw", definition: "CREATE INDEX twin ON t" };
  const indexes = [{ ...twin, tablespace: undefined, comment: undefined, valid: true }];
  await expect(pasted.build?.(indexes)).rejects.toThrow("yours: run 2-index.sql.");
  await expect(pasted.undo()).rejects.toThrow("yours: run undo.sql.");
  await expect(pasted.swap()).rejects.toThrow("yours: run 3-swap.sql.");
  columns.add("kept");
  await pasted.swap();
  await expect(pasted.finish()).rejects.toThrow("yours: run finish.sql.");
  expect(files).toMatchObject({
    "1-add.sql": expect.stringContaining("add column if not exists"),
    "2-index.sql": "create index concurrently if not exists twin ON t;\n",
    "3-swap.sql": expect.stringContaining("rename"),
    "finish.sql": expect.stringContaining("kept"),
  });
});

test("what can be seen to stand in the way is told before anything is recorded", () => {
  const { target: old } = workshop;
  const next = { ...old, dimensions: 3072, embedding: NAMES.next };
  const plan = { old, next, names: NAMES, columnType: "vector", swaps: true } as const;
  const about = { method: "hnsw", definition: "", tablespace: undefined, comment: undefined };
  const indexes = [{ name: "by_meaning", valid: true, ...about }];
  const free = { columns: ["other"], indexes, takesIndex: true };
  checkPlan(plan, free);
  checkPlan(plan, { columns: [], indexes: [], takesIndex: false });
  const check = (changes: Partial<typeof free>) => () => checkPlan(plan, { ...free, ...changes });
  expect(check({ columns: [NAMES.next] })).toThrow("has a column embedding_new already");
  expect(check({ columns: [KEPT] })).toThrow(`has a column ${KEPT} already`);
  expect(check({ takesIndex: false })).toThrow(/No index takes 3072 dimensions .*\(by_meaning\)/);
});

test("a row of which each column of the recipe is empty lacks nothing, also where others change the table", async () => {
  const trial = await startTrial(workshop, texts(3));
  await trial.sql("UPDATE questions SET question_text = NULL WHERE id < 3");
  const recipe: Target = { ...workshop.target, text: "{question_text}: {question_text}" };
  const plan = {
    old: recipe,
    next: recipe,
    names: NAMES,
    columnType: "vector",
    swaps: true,
  } as const;
  const ground = { examine: unused, writeFile: unused, store: async () => storeOf(recipe) };
  expect(await createPastedStore(ground, plan).lacking(10)).toEqual(["3"]);
  expect(await trial.emptyIds()).toEqual([1, 2, 3]);
});

describe("the check", () => {
  const FOUND = { ndcg: 1, recall: 1 };
  test("lets a good column through", async () => {
    const given = await inUse(20);
    const { migration, gate } = await goOn(given);
    expect(migration.step).toBe("swapped");
    expect(gate).toMatchObject({ rows: 20, lacking: 0, flawed: 0, off: 0, recall: 1, against: [] });
    expect(gate?.agreement).toBeGreaterThan(0);
    expect(gate?.queries).toEqual({ count: 1, old: FOUND, next: FOUND });
    expect(migration.check).toContainEqual({
      what: "nDCG@10, 1 query",
      found: "1.000 before, 1.000 now",
    });
  });

  test.each<[string, string, RegExp]>([
    [
      "a twentieth of the vectors stand with other rows",
      `UPDATE questions SET embedding_new = (SELECT o.embedding_new FROM questions o WHERE o.id = questions.id % 40 + 1)
       WHERE id % 20 = 0`,
      /not those of their texts/,
    ],
    ...sized<[string, string, RegExp][]>({
      quick: [],
      full: [
        [
          "a tenth of the rows is empty",
          "UPDATE questions SET embedding_new = NULL WHERE id % 10 = 0",
          /no vector/,
        ],
        [
          "vectors are too long",
          "UPDATE questions SET embedding_new = embedding_new + embedding_new WHERE id = 7",
          /width or length/,
        ],
      ],
    }),
  ])("holds the swap back where %s", async (_, sql, words) => {
    const given = await inUse(40);
    const { trial } = given;
    const { migration, gate } = await goOn(given, undefined, () => trial.sql(sql));
    expect(gate?.against.join()).toMatch(words);
    expect(migration).toMatchObject({ step: "added", next: { embedding: "embedding_new" } });
    expect(await rightIn(trial, "embedding", false)).toBe(40);
  });

  test.each([
    ["holds the swap back where one row", "", "added"],
    ...sized<[string, string, string][]>({
      quick: [],
      full: [
        [
          "takes no notice of one row that had none in the old one either",
          ", embedding = NULL",
          "swapped",
        ],
      ],
    }),
  ])("%s would lose its vector", async (_, old, step) => {
    const given = await inUse(120);
    const emptied = `UPDATE questions SET embedding_new = NULL${old} WHERE id = 7`;
    // once it is swapped there is no such column
    const spoil = () => given.trial.sql(emptied).catch(() => {});
    const { gate, migration } = await goOn(given, undefined, spoil);
    expect(gate).toMatchObject({ lacking: 1, left: 1, losing: step === "added" ? 1 : 0 });
    expect(migration.step).toBe(step);
  });

  test("holds the swap back where the index misses one of ten", async () => {
    const given = await inUse(12);
    const { gate, migration } = await goOn(given, undefined, undefined, storeThatMisses);
    expect(gate?.recall).toBeCloseTo(0.9);
    expect(gate?.against).toEqual(["the index misses too much (--min-recall)"]);
    expect(migration.step).toBe("added");
  });

  test("holds the swap back where a poor index misses too much", IN_FULL, async () => {
    const given = await inUse(250, "WITH (m = 2, ef_construction = 4)");
    const { gate, migration } = await goOn(given);
    expect(gate?.recall).toBeLessThan(0.95);
    expect(gate?.against).toEqual(["the index misses too much (--min-recall)"]);
    expect(migration.step).toBe("added");
  });
});

test("no name is swapped while a job is on its way to the old column", async () => {
  const trial = await startTrial(workshop, texts(1));
  await trial.export();
  const old = workshop.target;
  const next: Target = { ...old, model: "gemini-embedding-2", embedding: NAMES.next };
  const plan = { old, next, names: NAMES, columnType: "vector", swaps: true } as const;
  const checked = { ...plan, step: "checked", since: "", at: "" } as const;
  await trial.services({}, async (all) => {
    const table = createMigrationStore(
      { database: workshop.database, again: (work) => work() },
      checked,
    );
    const services = { ...all, table, store: unused, fill: unused };
    await expect(advance(services, checked, OPTIONS)).rejects.toMatchObject({
      message: expect.stringMatching(/^Job 0001 is on its way/),
    });
  });
});
