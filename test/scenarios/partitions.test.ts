// My table is partitioned: is each partition filled, by the name of the whole or by a pattern, and is no row paid for twice?
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { startEmulator } from "../../src/emulator/emulator.ts";
import type { EmulatorOptions } from "../../src/emulator/faults/emulator-options.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { openVecfill } from "../../src/vecfill.ts";
import { runHere } from "../command-line.ts";
import { type Folders, openFolders, SHAPE } from "../folders.ts";
import { IN_FULL } from "../size.ts";
import { createNativeDatabase, ON_NATIVE } from "../store/postgres/native-database.ts";
import { isRight } from "../workshop.ts";

const ROWS = 4;
const LEAVES = { parts_2024: 2024, parts_2025: 2025, "old.parts": 1950 };
const PARTS = ["run", "--yes", "--json", "--table", "parts"];

/** Ids stand in each partition anew; one of the partitions has partitions of its own, one of these in another schema. */
async function partitioned(rows = ROWS, options?: EmulatorOptions): Promise<Folders> {
  const folders = await openFolders(["one"], options);
  const { sql } = folders;
  await sql("DROP SCHEMA IF EXISTS old, vecfill CASCADE");
  await sql("DROP TABLE IF EXISTS parts CASCADE");
  await sql("CREATE SCHEMA old");
  await sql(
    "CREATE TABLE parts (id bigint NOT NULL, year int NOT NULL, question_text text, embedding vector(128)) PARTITION BY LIST (year)",
  );
  await sql("CREATE TABLE parts_2024 PARTITION OF parts FOR VALUES IN (2024)");
  await sql("CREATE TABLE parts_rest PARTITION OF parts DEFAULT PARTITION BY RANGE (year)");
  await sql("CREATE TABLE parts_2025 PARTITION OF parts_rest FOR VALUES FROM (2025) TO (2026)");
  await sql("CREATE TABLE old.parts PARTITION OF parts_rest FOR VALUES FROM (1900) TO (2000)");
  for (const [leaf, year] of Object.entries(LEAVES)) {
    await sql(`CREATE UNIQUE INDEX ON ${leaf} (id)`);
    await sql(
      `INSERT INTO parts SELECT n, ${year}, 'of ${year}: ' || n FROM generate_series(1, ${rows}) n`,
    );
  }
  return folders;
}

async function emptyRows({ sql }: Folders, table = "parts"): Promise<string | null | undefined> {
  const [row] = await sql(`SELECT count(*) AS n FROM ${table} WHERE embedding IS NULL`);
  return row?.["n"];
}

const jobsOf = async ({ home }: Folders) => (await readManifest(join(home, "jobs"))).jobs();

async function timesPaid({ emulator }: Folders): Promise<number[]> {
  return [...(await emulator.billing()).values()];
}

describe("the whole stands for its leaves", () => {
  test.each([[[]], [["--manifest", "postgres"]]])(
    "each has jobs and sums of its own (%s)",
    async (more) => {
      const folders = await partitioned();
      const ended = await folders.vecfillInTime("jobs", ...PARTS, ...more);
      expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
      expect(JSON.parse(ended.stdout)).toMatchObject({
        written: 12,
        remaining: 0,
        targets: [
          { target: "old.parts", written: ROWS, remaining: 0 },
          { target: "parts_2024", written: ROWS, remaining: 0 },
          { target: "parts_2025", written: ROWS, remaining: 0 },
        ],
      });
      expect(await emptyRows(folders)).toBe("0");
      expect(Math.max(...(await timesPaid(folders)))).toBe(1);
    },
  );

  test("also where it is a target of the config file, beside another; a new leaf is found by the next run", async () => {
    const folders = await partitioned();
    const { sql, vecfillInTime, vecfill, home } = folders;
    const targets = [{ name: "q" }, { name: "p", table: "parts_*" }];
    await writeFile(join(home, "vecfill.config.json"), JSON.stringify({ targets }));
    const all = ["--yes", "--json", "--target", "all"];
    const ended = await vecfillInTime("jobs", "run", ...all);
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(ended.stdout).targets).toMatchObject([
      { target: "q", written: 1 },
      // the partitions of one that the pattern matches are among them, once
      { target: "p.old.parts", written: ROWS },
      { target: "p.parts_2024", written: ROWS },
      { target: "p.parts_2025", written: ROWS },
    ]);
    await sql("CREATE TABLE parts_2030 PARTITION OF parts FOR VALUES IN (2030)");
    await sql("CREATE UNIQUE INDEX ON parts_2030 (id)");
    await sql("INSERT INTO parts VALUES (1, 2030, 'of 2030: 1')");
    expect((await vecfillInTime("jobs", "run", ...all)).code).toBe(EXIT_CODES.done);
    expect(await emptyRows(folders)).toBe("0");
    const status = await vecfill("jobs", "status", "--target", "p");
    expect(status.stdout).toMatch(/^p\.parts_2030:$/m);
    expect(status.stdout).toMatch(/^4 of 4 together: 13 total, 13 with embedding\.$/m);
  });

  test("plan, export and run have one limit for all of them, and each command tells their sum", async () => {
    const folders = await partitioned();
    const { vecfill, vecfillInTime } = folders;
    const some = ["--table", "parts", "--limit", "6"];
    const plan = JSON.parse((await vecfill("jobs", "plan", "--json", ...some)).stdout);
    expect(plan.targets.map(({ rows }: { rows: number }) => rows)).toEqual([4, 2, 0]);
    const exported = await vecfill("jobs", "export", ...some);
    expect(exported.stdout).toMatch(/^3 of 3 together: 6 exported, \d+ tokens\.$/m);
    // those under way count
    await vecfillInTime("jobs", "run", "--yes", ...some);
    expect(await emptyRows(folders)).toBe("6");
    await vecfillInTime("jobs", "run", "--yes", "--table", "parts", "--limit", "5");
    expect(await emptyRows(folders)).toBe("1");
    const planned = await vecfill("jobs", "plan", "--table", "parts");
    expect(planned.stdout).toMatch(/^3 of 3 together: 1 rows, \d+ tokens, about \$0\.0+\d\.$/m);
  });

  test("one budget", async () => {
    const folders = await partitioned();
    const budget = ["--max-cost", "20", "--price", "1000000"];
    const { code, stdout } = await folders.vecfillInTime("jobs", ...PARTS, ...budget);
    expect(code).toBe(EXIT_CODES.costLimit);
    expect(Number(JSON.parse(stdout).cost.usd)).toBeLessThanOrEqual(20);
  });

  test(
    "of a large one the first job alone goes through first, and no other leaf has one",
    IN_FULL,
    async () => {
      const folders = await partitioned(2_000);
      const ended = await folders.vecfillInTime(
        "jobs",
        ...PARTS,
        ..."--canary --max-job-rows 2000".split(" "),
      );
      expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
      const jobs = await jobsOf(folders);
      expect(jobs.map(({ requests }) => requests).toSorted((a, b) => a - b)).toEqual([
        100, 1_900, 2_000, 2_000,
      ]);
      const [first, ...others] = jobs;
      for (const { submittedAt = "" } of others)
        expect(submittedAt >= `${first?.updatedAt}`).toBe(true);
    },
  );
});

test("a partition in another space than its siblings takes nothing", async () => {
  const folders = await partitioned();
  const { sql, vecfill, vecfillInTime } = folders;
  await sql("DELETE FROM parts WHERE year <> 2025");
  await vecfillInTime("jobs", ...PARTS);
  await sql("INSERT INTO parts VALUES (1, 1950, 'of 1950: 1')");
  const other = ["--table", "parts", "--model", "gemini-embedding-2"];
  const { code, stderr } = await vecfill("jobs", "export", ...other);
  expect([code, stderr]).toEqual([
    EXIT_CODES.usage,
    expect.stringMatching(/The column public\.parts_2025\.embedding has vectors of/),
  ]);
  expect(await jobsOf(folders)).toHaveLength(2);
});

/** As the database moves a row whose key of partitions is changed. */
const MOVE = "UPDATE parts SET year = 2025 WHERE year = 2024 AND id = 1";

describe("a row that goes to another partition", () => {
  test.each([
    ["while it is under way", ["export", "submit"]],
    ["after it was exported", ["export"]],
  ])("%s is written there, and paid for once", async (_when, before) => {
    const folders = await partitioned();
    const { sql, vecfill, vecfillInTime } = folders;
    await sql("DELETE FROM parts WHERE year <> 2024");
    for (const stage of before)
      await vecfill("jobs", stage, ...(stage === "export" ? ["--table", "parts"] : []));
    await sql(MOVE);
    const ended = await vecfillInTime("jobs", ...PARTS);
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(ended.stdout)).toMatchObject({ written: 3, gone: 1, restored: 1 });
    expect(await timesPaid(folders)).toEqual([1, 1, 1, 1]);
    expect(await emptyRows(folders)).toBe("0");
    const [row] = await sql(
      "SELECT question_text AS text, embedding::text AS vector FROM parts_2025",
    );
    expect(isRight(row?.["text"] ?? "", row?.["vector"] ?? "", SHAPE)).toBe(true);
  });

  test("after its new partition was passed is found in the same run", async () => {
    const folders = await partitioned();
    const { sql, vecfillInTime } = folders;
    await sql("DELETE FROM parts_2025 WHERE id = 1");
    // the first import is of `old.parts`, when all are exported
    await sql(
      `CREATE FUNCTION moving() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN ${MOVE}; RETURN NULL; END'`,
    );
    await sql("CREATE TRIGGER moving AFTER UPDATE ON old.parts EXECUTE FUNCTION moving()");
    const ended = await vecfillInTime("jobs", ...PARTS, "--max-job-rows", "4");
    await sql("DROP FUNCTION moving CASCADE");
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(ended.stdout)).toMatchObject({ written: 10, gone: 1, restored: 1 });
    expect(await emptyRows(folders)).toBe("0");
    expect(Math.max(...(await timesPaid(folders)))).toBe(1);
  });

  test("is counted as gone by an import alone, and found by the next run", async () => {
    const folders = await partitioned();
    const { sql, vecfill, endBatches, vecfillInTime } = folders;
    await vecfill("jobs", "export", "--table", "parts");
    await vecfill("jobs", "submit");
    await endBatches();
    await vecfill("jobs", "poll");
    await sql("UPDATE parts SET id = 9, year = 2025 WHERE year = 2024 AND id = 1");
    await sql("DELETE FROM parts_2025 WHERE id = 1");
    await sql("UPDATE parts SET id = 1 WHERE id = 9");
    await vecfill("jobs", "import");
    expect(await emptyRows(folders)).toBe("1");
    const plan = await vecfill("jobs", "plan", "--table", "parts");
    expect(plan.stdout).toMatch(/^3 of 3 together: 0 rows/m);
    const lost = await vecfill("jobs", "verify", "--json", "--table", "parts");
    expect(JSON.parse(lost.stdout).targets).toMatchObject([{}, {}, { emptiedSince: 1 }]);
    await vecfillInTime("jobs", ...PARTS);
    expect(await emptyRows(folders)).toBe("0");
    expect(Math.max(...(await timesPaid(folders)))).toBe(1);
  });

  test("also where the new one is named by itself, and the batch was recovered", async () => {
    const folders = await partitioned();
    const { home, sql, vecfill, vecfillInTime } = folders;
    await sql("DELETE FROM parts WHERE year <> 2024");
    await vecfill("jobs", "export", "--table", "parts");
    await vecfill("jobs", "submit");
    await rm(join(home, "jobs"), { recursive: true });
    await vecfill("jobs", "recover", "--table", "parts", "--yes");
    await sql(MOVE);
    const run = ["run", "--yes", "--json", "--table", "parts_2025"];
    const ended = await vecfillInTime("jobs", ...run);
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(ended.stdout)).toMatchObject({ gone: 1, restored: 1, remaining: 0 });
    expect(await timesPaid(folders)).toEqual([1, 1, 1, 1]);
  });

  test("is told from one that has its id and its text there", async () => {
    const folders = await partitioned();
    const { sql, vecfill, vecfillInTime } = folders;
    await sql("UPDATE parts SET question_text = 'the same'");
    await vecfill("jobs", "export", "--table", "parts_2024");
    const ended = await vecfillInTime("jobs", ...PARTS);
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(ended.stdout)).toMatchObject({ written: 12, gone: 0, remaining: 0 });
    expect(await emptyRows(folders)).toBe("0");
  });
});

test(
  "what was under way for the whole, where its key allows that, is not sent again for a leaf",
  IN_FULL,
  async () => {
    const folders = await partitioned();
    const { sql, vecfill, vecfillInTime } = folders;
    await sql("DROP TABLE parts CASCADE");
    await sql(
      "CREATE TABLE parts (id bigint PRIMARY KEY, question_text text, embedding vector(128))",
    );
    await sql("INSERT INTO parts SELECT n, 'number ' || n FROM generate_series(1, 5) n");
    await vecfill("jobs", "export", "--table", "parts");
    await sql("ALTER TABLE parts RENAME TO parts_low");
    await sql("CREATE TABLE parts (LIKE parts_low INCLUDING ALL) PARTITION BY RANGE (id)");
    await sql("ALTER TABLE parts ATTACH PARTITION parts_low FOR VALUES FROM (1) TO (100)");
    const ended = await vecfillInTime("jobs", ...PARTS);
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(await timesPaid(folders)).toEqual([1, 1, 1, 1, 1]);
    expect(await emptyRows(folders)).toBe("0");
  },
);

test("rows that failed in a table wait there, too, once it is a partition", IN_FULL, async () => {
  const folders = await partitioned(0, { faults: "permanent=0.5" });
  const { sql, vecfill, vecfillInTime } = folders;
  await sql("DROP TABLE parts CASCADE");
  await sql(
    "CREATE TABLE parts (id bigint PRIMARY KEY, question_text text, embedding vector(128))",
  );
  await sql("INSERT INTO parts SELECT n, 'number ' || n FROM generate_series(1, 8) n");
  await vecfillInTime("jobs", ...PARTS);
  const failed = await emptyRows(folders);
  await sql("ALTER TABLE parts RENAME TO parts_low");
  await sql("CREATE TABLE parts (LIKE parts_low INCLUDING ALL) PARTITION BY RANGE (id)");
  await sql("ALTER TABLE parts ATTACH PARTITION parts_low FOR VALUES FROM (1) TO (100)");
  const exported = await vecfill("jobs", "export", "--json", "--table", "parts");
  expect(JSON.parse(exported.stdout)).toMatchObject({
    exported: 0,
    skipped: { failedBefore: Number(failed) },
  });
});

test("a script sends again what failed, by the name of the whole", async () => {
  const { env, home, vecfillInTime } = await partitioned(1, { faults: "permanent=1" });
  const targets = [{ name: "q" }, { name: "p", table: "parts" }];
  await writeFile(join(home, "vecfill.config.json"), JSON.stringify({ targets }));
  await vecfillInTime("jobs", "run", "--yes", "--target", "p");
  const settings = { target: "p", jobsDir: join(home, "jobs") };
  const scripted = await openVecfill({ settings, env, folder: home, report: () => {} });
  const made = await scripted.resubmit();
  await scripted.close();
  expect(made.map(({ target }) => target.table)).toEqual(["parts", "parts_2024", "parts_2025"]);
});

describe("rows with the same id and the same text", () => {
  test("in five partitions are all filled, one after the other", async () => {
    const folders = await partitioned(0);
    const { sql, vecfillInTime } = folders;
    for (const year of [2030, 2031]) {
      await sql(`CREATE TABLE parts_${year} PARTITION OF parts FOR VALUES IN (${year})`);
      await sql(`CREATE UNIQUE INDEX ON parts_${year} (id)`);
    }
    await sql(
      "INSERT INTO parts SELECT 1, year, 'the same' FROM unnest(ARRAY[1950, 2024, 2025, 2030, 2031]) year",
    );
    const ended = await vecfillInTime("jobs", ...PARTS);
    expect(ended.code, ended.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(ended.stdout)).toMatchObject({ written: 5, remaining: 0 });
  });

  test("in tables that are no partitions are nobody's but their own", async () => {
    const folders = await partitioned(0);
    const { sql, vecfill } = folders;
    for (const name of ["same_1", "same_2"]) {
      await sql(`DROP TABLE IF EXISTS ${name}`);
      await sql(`CREATE TABLE ${name} (LIKE questions INCLUDING ALL)`);
      await sql(`INSERT INTO ${name} VALUES (1, 'the same')`);
    }
    const { stdout } = await vecfill("jobs", "export", "--json", "--table", "same_*");
    expect(JSON.parse(stdout).targets).toMatchObject([{ exported: 1 }, { exported: 1 }]);
    await sql("DROP TABLE same_1, same_2");
  });
});

describe("a partition that is gone", () => {
  test("in the middle of a run leaves the others their sums", async () => {
    const folders = await partitioned();
    const { sql, vecfillInTime } = folders;
    await sql(
      "CREATE FUNCTION dropping() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DROP TABLE IF EXISTS parts_2024; RETURN NULL; END'",
    );
    await sql("CREATE TRIGGER dropping AFTER UPDATE ON old.parts EXECUTE FUNCTION dropping()");
    const ended = await vecfillInTime("jobs", ...PARTS, "--max-job-rows", "4");
    await sql("DROP FUNCTION dropping CASCADE");
    expect(ended.code).toBe(EXIT_CODES.fatal);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      written: 8,
      remaining: null,
      targets: [{ remaining: 0 }, { error: expect.stringMatching(/no table/) }, { remaining: 0 }],
    });
  });

  test("while its batches are under way: rows that are put into another one wait for a person's word, and cost nothing more", async () => {
    const folders = await partitioned();
    const { sql, vecfill, vecfillInTime } = folders;
    await sql("DELETE FROM parts WHERE year <> 2024");
    await vecfill("jobs", "export", "--table", "parts", "--max-job-rows", "4");
    await vecfill("jobs", "submit");
    await sql("CREATE TABLE kept AS SELECT * FROM parts_2024");
    await sql("DROP TABLE parts_2024");
    await sql("INSERT INTO parts SELECT id, 2025, question_text FROM kept WHERE id < 4");
    await sql("DROP TABLE kept");
    const refused = await vecfillInTime("jobs", ...PARTS);
    expect([refused.code, refused.stderr]).toEqual([
      EXIT_CODES.fatal,
      expect.stringMatching(
        /no table.+\nhint: .+If it was dropped: `vecfill cancel 0001 --give-up/,
      ),
    ]);
    const ended = await vecfill("jobs", "cancel", "1", "--give-up");
    expect(ended.stdout).toBe(
      "Ended: 0001; its table is gone, and with it its rows. A run writes those that stand in another partition by now, at no cost.\n",
    );
    const run = await vecfillInTime("jobs", ...PARTS);
    expect(run.code, run.stderr).toBe(EXIT_CODES.done);
    expect(JSON.parse(run.stdout)).toMatchObject({ requests: 0, restored: 3, remaining: 0 });
    expect(await timesPaid(folders)).toEqual([1, 1, 1, 1]);
  });

  test("counts towards the budget still", IN_FULL, async () => {
    const folders = await partitioned();
    const { sql, vecfillInTime } = folders;
    await sql("DELETE FROM parts WHERE year = 1950");
    const run = [...PARTS, "--max-cost", "40", "--price", "1000000"];
    const first = await vecfillInTime("jobs", ...run);
    await sql("DROP TABLE parts_2024");
    await sql("INSERT INTO parts SELECT n, 1950, 'of 1950: ' || n FROM generate_series(1, 4) n");
    const second = await vecfillInTime("jobs", ...run);
    const usd = [first, second].map(({ stdout }) => Number(JSON.parse(stdout).cost.usd));
    expect((usd[0] ?? 0) + (usd[1] ?? 0)).toBeLessThanOrEqual(40);
  });
});

describe("a pattern", () => {
  test("takes names as they are, whatever they hold, and leaves out what is no table", async () => {
    const folders = await partitioned();
    const { sql, vecfillInTime, vecfill } = folders;
    await sql(`CREATE TABLE "parts_2%'""/x" (LIKE parts_2024 INCLUDING ALL)`);
    await sql(`INSERT INTO "parts_2%'""/x" VALUES (1, 1, 'odd')`);
    await sql("CREATE VIEW parts_2_view AS SELECT * FROM parts");
    await sql("CREATE TABLE parts52 (LIKE parts_2024 INCLUDING ALL)");
    try {
      const run = await vecfillInTime("jobs", "run", "--yes", "--table", "parts_2*");
      expect(run.code, run.stderr).toBe(EXIT_CODES.done);
      expect(run.stdout).not.toMatch(/parts52|view/);
      expect(await emptyRows(folders, `"parts_2%'""/x"`)).toBe("0");
      const { code, stdout, stderr } = await vecfill("jobs", "report", "--table", "parts_2*");
      expect([code, stdout], stderr).toEqual([
        0,
        expect.stringMatching(/report\.parts_2%25\S+html/),
      ]);
    } finally {
      await sql(`DROP TABLE "parts_2%'""/x", parts52 CASCADE`);
    }
  });

  test.each([
    ["run --yes --table part_*", /There is no table public\.part_\*.+\nhint: .*public\.parts/],
    ["migrate --to gemini-embedding-2 --table parts", /takes one table, and no partitions/],
    ["export --table none.*", /There is no table none\.\*/],
    ["search ring --table parts_*", /takes no pattern of tables/],
  ])("%s", async (typed, words) => {
    const { vecfill } = await partitioned();
    const { code, stderr } = await vecfill("jobs", ...typed.split(" "));
    expect(stderr).toMatch(words);
    expect(code).not.toBe(EXIT_CODES.done);
  });

  test("needs the database itself", async () => {
    const env = { SUPABASE_URL: "https://example.supabase.co", SUPABASE_SECRET_KEY: "sb_secret_x" };
    const { code, stderr } = await runHere(["status", "--table", "parts_*"], { env });
    expect([code, stderr]).toEqual([
      EXIT_CODES.usage,
      expect.stringMatching(
        /needs the database itself.+\nhint: .+or give each of them by its name/,
      ),
    ]);
  });
});

test("a search is over all of them, the nearest first", async () => {
  const { vecfill, vecfillInTime } = await partitioned();
  await vecfillInTime("jobs", ...PARTS);
  const found = ["search", "of 2025: 3", "--table", "parts", "--top", "5", "--json"];
  const { rows } = JSON.parse((await vecfill("jobs", ...found)).stdout);
  expect(rows).toHaveLength(5);
  expect(rows[0].text).toBe("of 2025: 3");
  expect(new Set(rows.map(({ id }: { id: string }) => id)).size).toBeLessThan(5);
});

describe("on a server", ON_NATIVE, () => {
  const LEAF_ROWS = 40;
  const LEAF_COUNT = 6;

  test("two workers fill all of it while rows go from one partition to another, and each is paid for once", async () => {
    const emulator = await startEmulator({ batchSeconds: 0.5, tier: "off" });
    const { url, database, drop } = await createNativeDatabase();
    onTestFinished(async () => {
      await emulator.close();
      await drop();
    });
    await database.query(
      "CREATE TABLE parts (id bigint, part int, question_text text, embedding vector(128)) PARTITION BY LIST (part)",
    );
    for (let part = 0; part < LEAF_COUNT; part += 1) {
      await database.query(`CREATE TABLE parts_${part} PARTITION OF parts FOR VALUES IN (${part})`);
      await database.query(`CREATE UNIQUE INDEX ON parts_${part} (id)`);
    }
    await database.query(
      `INSERT INTO parts SELECT n, n % ${LEAF_COUNT}, 'number ' || n FROM generate_series(1, ${LEAF_COUNT * LEAF_ROWS}) n`,
    );
    const env = {
      DATABASE_URL: url,
      GEMINI_API_KEY: "a-key-for-tests",
      GOOGLE_GEMINI_BASE_URL: emulator.url,
      VECFILL_MANIFEST: "postgres",
      VECFILL_POLL_INTERVAL: "0.05",
    };
    const fill = "--yes --table parts --dimensions 128 --max-job-rows 20".split(" ");
    const workers = Promise.all(
      [1, 2].map(() => runHere(["worker", "--drain", ...fill, "--lease", "10"], { env })),
    );
    const over = new AbortController();
    const moving = (async () => {
      while (!over.signal.aborted) {
        await database.query(
          `UPDATE parts SET part = (part + 1) % ${LEAF_COUNT} WHERE (id, part) IN (SELECT id, part FROM parts WHERE embedding IS NULL ORDER BY random() LIMIT 3)`,
        );
      }
    })();
    for (const { code, stderr } of await workers.finally(() => over.abort()))
      expect(code, stderr).toBe(EXIT_CODES.done);
    await moving;
    // what came in the last moment to a partition that had been passed
    const last = await runHere(["run", ...fill, "--json"], { env });
    expect([last.code, JSON.parse(last.stdout)]).toMatchObject([0, { remaining: 0 }]);
    const bill = [...(await emulator.billing()).values()];
    expect([bill.length, Math.max(...bill)]).toEqual([LEAF_COUNT * LEAF_ROWS, 1]);
    const rows = await database.query(
      "SELECT question_text AS text, embedding::text AS vector FROM parts",
    );
    expect(rows.filter(({ text, vector }) => !isRight(text ?? "", vector ?? "", SHAPE))).toEqual(
      [],
    );
  }, 120_000);
});
