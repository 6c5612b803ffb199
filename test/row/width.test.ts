// I choose a width. Are the bytes that I am told those that Postgres takes, does the page say what the program
// says, and am I told of an index that none of my queries can use?
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ANN_DIMENSIONS_MAX,
  operatorOf,
  publishedQuality,
  servesSearch,
  vectorType,
  widthCost,
} from "../../src/row/width.ts";
import type { Database } from "../../src/store/database.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { bytes, count } from "../../src/words/figures.ts";
import { openFolders } from "../folders.ts";
import { tableAfter } from "../page.ts";
import { sized } from "../size.ts";

const PAGE = await readFile(
  fileURLToPath(new URL("../../docs/widths.md", import.meta.url)),
  "utf8",
);

describe("the page", () => {
  test.each(tableAfter(PAGE, "<!-- widths -->"))("says of %s what the program does", (...cells) => {
    const [column = "", row, index, million, quality] = cells;
    const [, name = "", width = ""] = /^`(\w+)\((\d+)\)`$/.exec(column) ?? [];
    const type = vectorType(name) ?? "vector";
    const { rowBytes, indexBytes } = widthCost(type, Number(width));
    expect({ row, index, million, quality }).toEqual({
      row: `${count(rowBytes)} B`,
      index: indexBytes === undefined ? "none" : `${count(indexBytes)} B`,
      million: bytes((rowBytes + (indexBytes ?? 0)) * 1_000_000),
      quality: String(publishedQuality("gemini-embedding-001", Number(width)) ?? "not published"),
    });
  });

  test("has every width that is advised", () => {
    expect(tableAfter(PAGE, "<!-- widths -->")).toHaveLength(6);
  });
});

const PAGE_BYTES = 8_192;

describe("Postgres", () => {
  let database: Database;
  beforeAll(async () => {
    database = await openDatabase({ url: "pglite:memory" });
    await database.query("CREATE EXTENSION vector");
  });
  afterAll(() => database.close());

  test.each([
    ["vector", 256],
    ["vector", 768],
    ["halfvec", 1536],
  ] as const)("takes as many bytes for %s(%i)", async (type, width) => {
    const rows = sized({ quick: 60, full: 120 });
    await database.query(`CREATE TABLE t AS SELECT n AS id, (SELECT array_agg(sin(n * i))
      FROM generate_series(1, ${width}) i)::vector::${type}(${width}) AS v FROM generate_series(1, ${rows}) n`);
    await database.query(
      `CREATE INDEX i ON t USING hnsw (v ${type}_cosine_ops) WITH (ef_construction = 32)`,
    );
    const [found] = await database.query(
      "SELECT pg_column_size(v::text::vector)::text AS any, max(pg_column_size(v))::text AS row, pg_relation_size('i')::text AS index FROM t GROUP BY v LIMIT 1",
    );
    const cost = widthCost(type, width);
    await database.query("DROP TABLE t");
    expect(Math.abs(Number(found?.["row"]) - cost.rowBytes)).toBeLessThanOrEqual(8);
    // the first page is nobody's; the higher levels of the graph, drawn by lot, may take one more
    const perRow = (Number(found?.["index"]) - PAGE_BYTES) / rows;
    expect(perRow / (cost.indexBytes ?? 0)).toBeGreaterThan(0.9);
    expect(perRow / (cost.indexBytes ?? 0)).toBeLessThan(1.15);
  });

  test.each(["vector", "halfvec"] as const)(
    "indexes %s to that width, and no further",
    async (type) => {
      const most = ANN_DIMENSIONS_MAX[type];
      const build = async (width: number) => {
        await database.query("DROP TABLE IF EXISTS t");
        await database.query(`CREATE TABLE t (v ${type}(${width}))`);
        await database.query(`CREATE INDEX ON t USING hnsw (v ${type}_cosine_ops)`);
      };
      await build(most);
      await expect(build(most + 1)).rejects.toThrow(/cannot have more than/);
      await database.query("DROP TABLE t");
    },
  );
});

describe("an index", () => {
  test.each([
    ["CREATE INDEX i ON t USING hnsw (v public.vector_cosine_ops)", "<=>", true],
    ["CREATE INDEX i ON t USING hnsw (v vector_ip_ops) WITH (m='16')", "<#>", true],
    // the default class of IVFFlat is not printed
    ["CREATE INDEX i ON t USING ivfflat (v)", "<->", true],
    ["CREATE INDEX i ON t USING hnsw (v vector_l1_ops)", "<+>", false],
  ])("%s serves %s", (definition, operator, serves) => {
    expect([operatorOf(definition), servesSearch(definition)]).toEqual([operator, serves]);
  });

  test("that no query uses is named by doctor, and a column that none can stand on", async () => {
    const { vecfill, sql } = await openFolders(["One"]);
    await sql("CREATE INDEX by_l1 ON questions USING hnsw (embedding vector_l1_ops)");
    const { stdout } = await vecfill("jobs", "doctor");
    expect(stdout).toMatch(/by_l1 \(hnsw\) on embedding is for <\+>: no search/);
    expect(stdout).toMatch(/vector\(128\): 520 B a row, HNSW index/);
    await sql("DROP INDEX by_l1");
    await sql("ALTER TABLE questions ALTER embedding TYPE vector(3072)");
    const wide = await vecfill("jobs", "doctor", "--dimensions", "3072");
    expect(wide.stdout).toMatch(/vector\(3072\) takes no index.*2,000/);
    const planned = await vecfill("jobs", "plan", "--dimensions", "3072");
    expect(planned.stdout).toMatch(/takes no index[^]*halfvec\(3072\)/);
  });
});
