// The column has an index for nearest-neighbour search, under which writing is a hundred times slower. Am I told so, does
// --rebuild-index take it out of the way, and does it stand again whatever comes between?
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Clock } from "../../src/clock.ts";
import { UserError } from "../../src/errors.ts";
import { importEnded } from "../../src/run/alone.ts";
import { IndexKeeper } from "../../src/import/index-keeper.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { run, type RunOptions } from "../../src/run/run.ts";
import type { AnnIndex, Store, StoreIndexes } from "../../src/store/port.ts";
import { startTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop, type WorkshopServices } from "../workshop.ts";

const HNSW = 'CREATE INDEX "My ann" ON questions USING hnsw (embedding vector_l2_ops) WITH (m = 6)';
const HALF =
  "CREATE INDEX half_ann ON questions USING hnsw ((embedding::halfvec(128)) halfvec_l2_ops) WHERE id > 1";
const MEND = expect.stringContaining("`vecfill import --rebuild-index`");

let workshop: Workshop;
let trial: Trial;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());
beforeEach(async () => {
  trial = await startTrial(workshop, texts(6));
  workshop.events.length = 0;
});

async function indexed(...statements: readonly string[]): Promise<void> {
  for (const sql of statements) await trial.sql(sql);
}

async function indexes(): Promise<string[]> {
  return (await theStore().read()).map(({ name }) => name);
}

function theStore(): StoreIndexes {
  if (workshop.store.indexes === undefined) throw new Error("the database has its own address");
  return workshop.store.indexes;
}

async function theIndex(): Promise<AnnIndex> {
  const [first] = await theStore().read();
  if (first === undefined) throw new Error("the test's own set-up is wrong");
  const { obstacle: _, ...index } = first;
  return index;
}

type Way = Readonly<{ rebuild?: boolean; store?: Store; signal?: AbortSignal; clock?: Clock }>;

/** As one command would: with a manifest and a keeper of its own. */
function keeping<T>(
  { rebuild = true, ...changes }: Way,
  work: (all: WorkshopServices & { indexes: IndexKeeper }) => Promise<T>,
): Promise<T> {
  return trial.services({}, (own) => {
    const store = changes.store ?? own.store;
    const all = { ...own, ...changes, store, storeOf: async () => store };
    return work({ ...all, indexes: new IndexKeeper({ ...all, rebuild }) });
  });
}

const importNow = (way: Way = {}) => keeping(way, importEnded);
const runNow = (options: Partial<RunOptions> = {}, way: Way = {}) =>
  keeping(way, (all) => run(all, trial.runOptions(options)));

const warnings = () => workshop.events.filter((event) => event.type === "warning");
const missing = async () =>
  (await readManifest(workshop.folder)).droppedIndexes().map(({ index }) => index.name);
const journal = async () =>
  (await trial.lines("manifest.ndjson"))
    .map((line) => JSON.parse(JSON.stringify(line)).type)
    .filter((type) => String(type).startsWith("index"));

/** The store, with something done at each of its writes. */
function watchedStore(onApply: () => Promise<void>): Store {
  const { store } = workshop;
  return {
    ...store,
    apply: async (rows) => {
      await onApply();
      return store.apply(rows);
    },
  };
}

/** The store, whose calls on indexes are changed. */
function storeWith(changes: Partial<StoreIndexes>): Store {
  return { ...workshop.store, indexes: { ...theStore(), ...changes } };
}

async function halfIsOfOthers() {
  return (await theStore().read()).map((each) =>
    each.name === "half_ann" ? { ...each, obstacle: "the table is somebody else's" } : each,
  );
}

/** The journal says so much of the index. */
async function recorded(...types: readonly ("indexDropping" | "indexDropped")[]): Promise<void> {
  const index = await theIndex();
  const { target } = workshop;
  await trial.services({}, async ({ manifest }) => {
    for (const type of types) {
      if (type === "indexDropping") await manifest.recordIndex({ type, target, index });
      else await manifest.recordIndex({ type, target, name: index.name });
    }
  });
}

const buildAllButMine: StoreIndexes["build"] = async (index, signal) => {
  if (index.name !== "My ann") return theStore().build(index, signal);
  throw new UserError("The disk is full.", { hint: "Make room.", exit: "fatal" });
};

describe("without the option", () => {
  test("the index stays, and it is said once what that costs and how to avoid it", async () => {
    await indexed(HNSW);
    await trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 3 } });
    expect(await importNow({ rebuild: false })).toMatchObject({
      written: 6,
      imported: ["0001", "0002"],
    });
    expect(await indexes()).toEqual(["My ann"]);
    expect(warnings()).toEqual([
      {
        type: "warning",
        message:
          "public.questions.embedding has an index for nearest-neighbour search, My ann (hnsw): writing under it is about 100 times slower, 130 to 380 rows a second, so about 1 s for 6 rows.",
        hint: expect.stringContaining("--rebuild-index"),
      },
    ]);
    expect(await journal()).toEqual([]);
  });

  test("triggers are named, with the option too", async () => {
    await indexed(
      "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
      "CREATE TRIGGER updated BEFORE UPDATE ON questions FOR EACH ROW EXECUTE FUNCTION touch()",
    );
    await trial.untilEnded();
    await importNow();
    expect(warnings()).toEqual([
      expect.objectContaining({ message: expect.stringContaining("every row that is written") }),
    ]);
  });

  test("a column without indexes is no matter for words", async () => {
    await trial.untilEnded();
    await importNow({ rebuild: false });
    expect(warnings()).toEqual([]);
  });
});

describe("with --rebuild-index", () => {
  test("the indexes are off while rows are written, and then stand as before", async () => {
    await indexed(HNSW, HALF);
    const before = await theStore().read();
    await trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 2 } });
    const seen: string[] = [];
    const store = watchedStore(async () => void seen.push(...(await indexes())));
    const summary = await importNow({ store });
    expect(summary).toMatchObject({
      written: 6,
      indexes: { built: ["My ann", "half_ann"], missing: [] },
    });
    expect(seen).toEqual([]);
    expect(await theStore().read()).toEqual(before);
    expect(await trial.rightIds()).toHaveLength(6);
    const each = ["indexDropping", "indexDropped"];
    expect(await journal()).toEqual([...each, ...each, "indexSettled", "indexSettled"]);
    expect(warnings()).toEqual([]);
  });

  test("its definition is in the journal before it is dropped", async () => {
    await indexed(HNSW);
    const { definition } = await theIndex();
    await trial.untilEnded();
    const known: unknown[] = [];
    const drop = async (name: string) => {
      const [dropped] = (await readManifest(workshop.folder)).droppedIndexes();
      known.push(dropped?.index.definition, await indexes());
      await theStore().drop(name);
    };
    await importNow({ store: storeWith({ drop }) });
    expect(known).toEqual([definition, ["My ann"]]);
  });

  test("nothing to write leaves it alone", async () => {
    await indexed(HNSW);
    await trial.export();
    await importNow();
    expect(await journal()).toEqual([]);
  });

  test("an index that could not be built again stays, and it is said why", async () => {
    await indexed(HNSW, HALF);
    await trial.untilEnded();
    const kept: string[] = [];
    const drop = async (name: string) => {
      await theStore().drop(name);
      kept.push(...(await indexes()));
    };
    await importNow({ store: storeWith({ read: halfIsOfOthers, drop }) });
    expect(kept).toEqual(["half_ann"]);
    expect(await indexes()).toEqual(["My ann", "half_ann"]);
    expect(warnings()).toEqual([
      expect.objectContaining({ message: expect.stringContaining("somebody else's") }),
    ]);
  });

  test("through an API it is refused, with the way there is", async () => {
    await trial.untilEnded();
    const store = { ...workshop.store, indexes: undefined };
    await expect(importNow({ store })).rejects.toMatchObject({
      name: "UserError",
      exit: "usage",
      hint: expect.stringContaining("DATABASE_URL"),
    });
    expect(await trial.rightIds()).toEqual([]);
  });
});

describe("what a crash or a failure left is finished by the same command", () => {
  beforeEach(() => indexed(HNSW));

  test.each([
    ["recorded, not dropped", ["indexDropping"], false],
    ["dropped, not recorded as dropped", ["indexDropping"], true],
    ["recorded as dropped", ["indexDropping", "indexDropped"], true],
    ["built, not recorded as built", ["indexDropping", "indexDropped"], false],
  ] as const)("%s, and nothing left to import", async (_, types, isDropped) => {
    const before = await theStore().read();
    await recorded(...types);
    if (isDropped) await theStore().drop("My ann");
    expect((await importNow()).indexes.missing).toEqual([]);
    expect(await theStore().read()).toEqual(before);
    expect(await missing()).toEqual([]);
    workshop.events.length = 0;
    await importNow();
    expect(workshop.events).toEqual([]);
  });

  test.each([
    ["recorded, not dropped", false],
    ["dropped, not recorded as dropped", true],
  ] as const)("%s, and rows left to import", async (_, isDropped) => {
    const before = await theStore().read();
    await trial.untilEnded();
    await recorded("indexDropping");
    if (isDropped) await theStore().drop("My ann");
    const seen: string[] = [];
    await importNow({ store: watchedStore(async () => void seen.push(...(await indexes()))) });
    expect(seen).toEqual([]);
    expect(await theStore().read()).toEqual(before);
    expect(await missing()).toEqual([]);
  });

  test("one that was built by hand meanwhile, as another one, is left and forgotten", async () => {
    await recorded("indexDropping", "indexDropped");
    await theStore().drop("My ann");
    await trial.sql('CREATE INDEX "My ann" ON questions USING hnsw (embedding vector_ip_ops)');
    await importNow();
    expect((await theIndex()).definition).toContain("vector_ip_ops");
    expect(await missing()).toEqual([]);
    expect(warnings()).toEqual([
      expect.objectContaining({ hint: expect.stringContaining("vector_l2_ops") }),
    ]);
  });

  test("a build that fails is told with the command, and keeps no other from being built", async () => {
    await indexed(HALF);
    await trial.untilEnded();
    const store = storeWith({ build: buildAllButMine });
    await expect(importNow({ store })).rejects.toThrow("disk is full");
    expect(await indexes()).toEqual(["half_ann"]);
    expect(await trial.rightIds()).toHaveLength(6);
    expect(warnings().at(-1)).toMatchObject({
      message: expect.stringContaining("My ann (hnsw) on public.questions.embedding, dropped 20"),
      hint: MEND,
    });
    await importNow();
    expect(await indexes()).toEqual(["My ann", "half_ann"]);
    expect(await missing()).toEqual([]);
  });

  test("Ctrl-C while rows are written says what is missing, and the command", async () => {
    await trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 2 } });
    const controller = new AbortController();
    const store = watchedStore(async () => controller.abort());
    const summary = await importNow({ store, signal: controller.signal });
    expect(summary.indexes).toEqual({ built: [], missing: ["My ann"] });
    expect(await indexes()).toEqual([]);
    expect(warnings()).toEqual([expect.objectContaining({ hint: MEND })]);
    await importNow();
    expect(await indexes()).toEqual(["My ann"]);
  });

  test("Ctrl-C while it is built says so too", async () => {
    await trial.untilEnded();
    const controller = new AbortController();
    const build: StoreIndexes["build"] = async (index, signal) => {
      controller.abort(new Error("Ctrl-C"));
      return theStore().build(index, signal);
    };
    const store = storeWith({ build });
    const interrupted = importNow({ store, signal: controller.signal });
    await expect(interrupted).rejects.toThrow("Ctrl-C");
    expect(warnings()).toEqual([expect.objectContaining({ hint: MEND })]);
    expect(await missing()).toEqual(["My ann"]);
  });

  test("without the option, what is missing is told, and not touched", async () => {
    await recorded("indexDropping", "indexDropped");
    await theStore().drop("My ann");
    await trial.untilEnded();
    await importNow({ rebuild: false });
    expect(await indexes()).toEqual([]);
    expect(warnings()).toEqual([expect.objectContaining({ hint: MEND })]);
  });
});

/** No other wait of a run is as long as this. */
const TIMEOUT_MS = 123_456;

function quotaIsFull(): Response {
  const error = { code: 429, message: "full", status: "RESOURCE_EXHAUSTED" };
  return Response.json({ error }, { status: 429 });
}

describe("run --rebuild-index", () => {
  beforeEach(() => indexed(HNSW));

  test("drops it at the first import and builds it when all rows are in", async () => {
    const before = await theStore().read();
    const export_ = trial.exportOptions({ bounds: { ...workshop.bounds, maxRows: 2 } });
    const summary = await runNow({ export: export_ });
    expect(summary).toMatchObject({ written: 6, indexes: { built: ["My ann"], missing: [] } });
    expect(await theStore().read()).toEqual(before);
    expect(await journal()).toEqual(["indexDropping", "indexDropped", "indexSettled"]);
  });

  test("leaves it off while jobs are on their way, says so, and the next one builds it", async () => {
    await trial.untilEnded({ limit: 2 });
    workshop.events.length = 0;
    trial.setWire(async ({ url }, send) =>
      url.pathname.endsWith(":asyncBatchEmbedContent") ? quotaIsFull() : send(),
    );
    const written = Promise.withResolvers<void>();
    const store = watchedStore(async () => written.resolve());
    const clock: Clock = {
      ...trial.clock,
      sleep: (ms, signal) => (ms === TIMEOUT_MS ? written.promise : trial.clock.sleep(ms, signal)),
    };
    const cutShort = await runNow({ timeoutMs: TIMEOUT_MS }, { store, clock });
    expect(cutShort).toMatchObject({ timedOut: true, indexes: { built: [], missing: ["My ann"] } });
    expect(await indexes()).toEqual([]);
    expect(warnings().at(-1)).toMatchObject({ hint: MEND });
    trial.setWire((_call, send) => send());
    expect(await runNow()).toMatchObject({ indexes: { built: ["My ann"], missing: [] } });
    expect(await indexes()).toEqual(["My ann"]);
    expect(await trial.rightIds()).toHaveLength(6);
  });

  test("builds what an earlier one left although nothing is left to do", async () => {
    await runNow({}, { rebuild: false });
    const { target } = workshop;
    const index = await theIndex();
    await trial.services({}, ({ manifest }) =>
      manifest.recordIndex({ type: "indexDropping", target, index }),
    );
    await theStore().drop(index.name);
    expect(await runNow()).toMatchObject({ requests: 0, indexes: { built: ["My ann"] } });
  });
});
