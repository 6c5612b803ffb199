// The model changes, and people search my table meanwhile. Does `migrate` bring the new column into the old one's
// place with all that belongs to it, also where it is killed at any step; do I get everything back as it was; and
// does it hold the swap back where the new column is not as good as it should be?
import { cp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { readQueries } from "../../src/commands/migrate/queries-file.ts";
import { judged } from "../../src/migrate/gate.ts";
import { twinOf } from "../../src/migrate/twin-index.ts";
import { type Folders, openFolders } from "../folders.ts";
import { isRight } from "../workshop.ts";
import { IN_FULL } from "../size.ts";

const TEXTS = Array.from({ length: 12 }, (_, n) => `What is known of number ${n + 1}?`);
const OLD = {
  model: "gemini-embedding-001",
  dimensions: 128,
  taskType: "RETRIEVAL_DOCUMENT",
} as const;
const NEW = { model: "gemini-embedding-2", dimensions: 128 } as const;
const DAY = new Date().toISOString().slice(0, 10).replaceAll("-", "");
const KEPT = `embedding_${DAY}`;

/** A table as it is used: filled, indexed, with a view, a comment, a grant, and a column beside. */
async function inUse(): Promise<Folders> {
  const folders = await openFolders(TEXTS);
  const { sql, vecfillInTime } = folders;
  expect(await vecfillInTime("jobs", "run")).toMatchObject({ code: 0 });
  await sql(
    "CREATE INDEX by_meaning ON questions USING hnsw (embedding vector_ip_ops) WITH (m = 12)",
  );
  await sql("CREATE INDEX waiting ON questions (id) WHERE embedding IS NULL");
  await sql("COMMENT ON COLUMN questions.embedding IS 'gemini''s'");
  await sql("DROP VIEW IF EXISTS asked");
  await sql(
    "CREATE VIEW asked WITH (security_barrier = true) AS SELECT id, embedding FROM questions",
  );
  await sql("DROP ROLE IF EXISTS reader");
  await sql("CREATE ROLE reader");
  await sql("GRANT SELECT (embedding) ON questions TO reader");
  return folders;
}

/** What a dump of the schema says. */
async function schema({ sql }: Folders): Promise<unknown> {
  return {
    columns:
      await sql(`SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) AS type, a.attacl::text AS acl,
      col_description(a.attrelid, a.attnum) AS comment FROM pg_attribute a
      WHERE a.attrelid = 'questions'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname`),
    indexes: await sql("SELECT indexdef FROM pg_indexes WHERE tablename = 'questions' ORDER BY 1"),
    view: await sql(
      "SELECT pg_get_viewdef('asked'::regclass) AS def, reloptions::text FROM pg_class WHERE relname = 'asked'",
    ),
    triggers: await sql(
      "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'questions'::regclass",
    ),
    functions: await sql("SELECT proname::text FROM pg_proc WHERE proname LIKE 'vecfill%'"),
  };
}

async function wrong(
  { sql }: Folders,
  column: string,
  model: typeof OLD | typeof NEW,
): Promise<string[]> {
  const rows = await sql(
    `SELECT id::text, question_text AS text, ${column}::text AS vector FROM questions ORDER BY questions.id`,
  );
  const prefix = model === NEW ? "title: none | text: " : "";
  return rows
    .filter(({ text, vector }) => !isRight(prefix + (text ?? ""), vector ?? "[]", model))
    .map(({ id }) => id ?? "");
}

const migrate = ({ vecfillInTime }: Folders, ...args: readonly string[]) =>
  vecfillInTime("jobs", "migrate", "--yes", ...args);

test("the new column takes the old one's place with all that belongs to it, and back again", async () => {
  const folders = await inUse();
  const { sql, vecfill } = folders;
  const before = await schema(folders);
  const oldVectors = await sql(
    "SELECT id::text, embedding::text FROM questions ORDER BY questions.id",
  );

  const dry = await migrate(folders, "--dry-run");
  expect(dry.stdout).toMatch(/12 rows with a text[^]*locks: the table for an instant/);
  expect(await schema(folders)).toEqual(before);

  const swapped = await migrate(folders);
  expect(swapped, swapped.stderr).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /swapped[^]*recall@10 of the index +100\.0%[^]*"model": "gemini-embedding-2"/,
    ),
  });
  expect(await wrong(folders, "embedding", NEW)).toEqual([]);
  expect(await wrong(folders, KEPT, OLD)).toEqual([]);
  expect(await sql("SELECT indexdef FROM pg_indexes WHERE indexname = 'by_meaning'")).toEqual([
    {
      indexdef:
        "CREATE INDEX by_meaning ON public.questions USING hnsw (embedding vector_ip_ops) WITH (m='12')",
    },
  ]);
  expect(
    await sql(
      "SELECT a.embedding = q.embedding AS same FROM asked a JOIN questions q USING (id) WHERE id = 1",
    ),
  ).toEqual([{ same: "true" }]);
  expect(await schema(folders)).toMatchObject({
    columns: [
      { attname: "embedding", acl: expect.stringMatching(/reader=r/), comment: "gemini's" },
      { attname: KEPT },
      { attname: "id" },
      { attname: "question_text" },
    ],
  });
  expect((await vecfill("jobs", "search", "number 7")).stderr).toMatch(
    /has vectors of gemini-embedding-2 .* does not mix with them/,
  );
  expect(await vecfill("jobs", "report", "--model", NEW.model)).toMatchObject({ code: 0 });
  expect(await readFile(join(folders.home, "jobs", "report.html"), "utf8")).toMatch(
    /gemini-embedding-2 in embedding: swapped[^]*recall@10 of the index<\/td>\s*<td>100\.0%/,
  );
  // the old model's vectors must not come among the new ones
  expect(await vecfill("jobs", "run")).toMatchObject({ code: EXIT_CODES.usage });
  expect(await vecfill("jobs", "verify", "--model", NEW.model, "--sample", "12")).toMatchObject({
    code: 0,
  });

  await sql("UPDATE questions SET question_text = 'Another one' WHERE id = 3");
  await sql("INSERT INTO questions (id, question_text) VALUES (99, 'New')");
  const undone = await migrate(folders, "--undo");
  expect(undone).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/all is as it was[^]*no old vector: ids 3, 99\./),
  });
  expect(await schema(folders)).toEqual(before);
  const after = await sql(
    "SELECT id::text, embedding::text FROM questions WHERE id < 99 ORDER BY questions.id",
  );
  const expected = oldVectors.map((row) => (row["id"] === "3" ? { ...row, embedding: null } : row));
  expect(after).toEqual(expected);
  expect(await vecfill("jobs", "migrate", "--status")).toMatchObject({
    stdout: expect.stringMatching(/undone/),
  });
});

test("an undo that died before it was recorded is done again, and lists the same rows", async () => {
  const folders = await inUse();
  const { sql, home } = folders;
  expect(await migrate(folders)).toMatchObject({ code: 0 });
  await sql("UPDATE questions SET question_text = 'Another one' WHERE id = 3");
  await cp(join(home, "jobs"), join(home, "before"), { recursive: true });
  expect(await migrate(folders, "--undo")).toMatchObject({ code: 0 });
  await rm(join(home, "jobs"), { recursive: true });
  await rename(join(home, "before"), join(home, "jobs"));
  expect(await migrate(folders, "--undo")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/all is as it was[^]*no old vector: ids 3\./),
  });
  expect(await wrong(folders, "embedding", OLD)).toEqual(["3"]);
});

test("a text that changes meanwhile has no vector of the old one, and is filled", async () => {
  const folders = await inUse();
  const { sql, vecfill } = folders;
  expect(await vecfill("jobs", "migrate", "--yes", "--timeout", "0")).toMatchObject({
    code: EXIT_CODES.unfinished,
  });
  await sql(
    "UPDATE questions SET embedding_new = (SELECT embedding FROM questions WHERE id = 2) WHERE id = 1",
  );
  await sql("UPDATE questions SET question_text = 'Changed' WHERE id = 1");
  expect(await sql("SELECT embedding_new::text FROM questions WHERE id = 1")).toEqual([
    { embedding_new: null },
  ]);
  expect(await migrate(folders)).toMatchObject({ code: 0 });
  expect(await wrong(folders, "embedding", NEW)).toEqual([]);
});

test(
  "without a swap the old column stays until it is dropped; the type and the name are mine",
  IN_FULL,
  async () => {
    const folders = await inUse();
    const { sql } = folders;
    const args = ["--no-swap", "--type", "halfvec", "--column", "meaning", "--where", "id <> 7"];
    expect(await migrate(folders, ...args)).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/checked, and not to be swapped[^]*Search in meaning/),
    });
    expect(
      await sql("SELECT indexdef FROM pg_indexes WHERE indexname = 'by_meaning_new'"),
    ).toMatchObject([{ indexdef: expect.stringMatching(/\(meaning halfvec_ip_ops\)/) }]);
    // what the condition leaves out is not missing
    expect(await sql("SELECT id::text FROM questions WHERE meaning IS NULL")).toEqual([
      { id: "7" },
    ]);
    await sql("DROP VIEW asked");
    expect(await migrate(folders, "--finish")).toMatchObject({ code: 0 });
    expect(
      await sql(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'questions'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1",
      ),
    ).toEqual([{ attname: "id" }, { attname: "meaning" }, { attname: "question_text" }]);
    expect(
      await sql("SELECT tgname FROM pg_trigger WHERE tgrelid = 'questions'::regclass"),
    ).toEqual([]);
  },
);

test("what follows the old column and cannot be made again holds the swap back, by name", async () => {
  const folders = await inUse();
  const { sql, vecfill } = folders;
  await sql("ALTER TABLE questions ADD CONSTRAINT long CHECK (vector_dims(embedding) > 3)");
  await sql("CREATE POLICY seen ON questions FOR SELECT TO reader USING (embedding IS NOT NULL)");
  await sql(
    "CREATE MATERIALIZED VIEW copied AS SELECT id FROM questions WHERE embedding IS NOT NULL",
  );
  await sql(
    "ALTER TABLE questions ADD width int GENERATED ALWAYS AS (vector_dims(embedding)) STORED",
  );
  const dry = await migrate(folders, "--dimensions", "256", "--dry-run");
  expect(dry.stdout).toMatch(/In the way of the swap, drop before: .*policy seen/);
  // a view that shows vectors of another width cannot be replaced
  const held = await migrate(folders, "--dimensions", "256");
  expect(held.code).toBe(EXIT_CODES.fatal);
  for (const words of [
    /constraint long on table public\.questions: CHECK/,
    /policy seen on table public\.questions: create policy seen on .*for select to reader using \(\(embedding IS NOT NULL\)\)/,
    /materialized view public\.copied: create materialized view public\.copied as/,
    /width of table public\.questions: alter table public\.questions add column width integer generated always as/,
    /view public\.asked: create or replace view public\.asked/,
  ]) {
    expect(held.stderr.replaceAll(/\s+/g, " ")).toMatch(words);
  }
  expect(await wrong(folders, "embedding", OLD)).toEqual([]);
  await sql("DROP VIEW asked");
  await sql("DROP MATERIALIZED VIEW copied");
  await sql("DROP POLICY seen ON questions");
  await sql("ALTER TABLE questions DROP COLUMN width, DROP CONSTRAINT long");
  expect(await vecfill("jobs", "migrate", "--status")).toMatchObject({
    stdout: expect.stringMatching(/the swap is next/),
  });
  expect(await migrate(folders)).toMatchObject({ code: 0 });
  expect(await migrate(folders, "--finish")).toMatchObject({ code: 0 });
  const columns =
    "SELECT count(*)::text AS n FROM pg_attribute WHERE attrelid = 'questions'::regclass AND attname LIKE 'embedding%' AND NOT attisdropped";
  expect(await sql(columns)).toEqual([{ n: "1" }]);
  expect(await vecfill("jobs", "run", "--model", NEW.model, "--dimensions", "256")).toMatchObject({
    code: 0,
  });
});

/** As people do who paste each file that they are told of; resolves to the end, and the files' names. */
async function pasting(folders: Folders, ...args: readonly string[]) {
  const [folder, names]: [string, string[]] = [join(folders.home, "sql"), []];
  for (;;) {
    const ended = await migrate(folders, "--sql", folder, ...args);
    const name = /yours: run .*\/([\w.-]+)\.$/m.exec(ended.stderr)?.[1];
    if (ended.code !== EXIT_CODES.unfinished || name === undefined) return { ended, names };
    expect(names).not.toContain(name);
    names.push(name);
    const content = await readFile(join(folder, name), "utf8");
    for (const statement of content.split(/;\n(?:\n|$)/).filter(Boolean)) {
      await folders.sql(statement);
    }
  }
}

test("files that I run myself, in order, do the same, and undo it", IN_FULL, async () => {
  const folders = await inUse();
  const before = await schema(folders);
  const { ended, names } = await pasting(folders);
  expect(ended, ended.stderr).toMatchObject({ code: 0, stdout: expect.stringMatching(/swapped/) });
  expect(names).toEqual(["1-add.sql", "2-index.sql", "3-swap.sql"]);
  const pasted = await schema(folders);
  expect(await wrong(folders, "embedding", NEW)).toEqual([]);
  expect(await pasting(folders, "--undo")).toMatchObject({
    ended: { code: 0 },
    names: ["undo.sql"],
  });
  expect(await schema(folders)).toEqual(before);
  expect(await wrong(folders, "embedding", OLD)).toEqual([]);
  expect(await migrate(folders)).toMatchObject({ code: 0 });
  expect(await schema(folders)).toEqual(pasted);
  expect(await pasting(folders, "--finish")).toMatchObject({
    ended: { code: 0 },
    names: ["finish.sql"],
  });
  expect(await wrong(folders, "embedding", NEW)).toEqual([]);
});

test.each([
  ["--finish", /No migration of public.questions is under way/],
  ["--undo", /No migration/],
])("%s without one is told", async (flag, words) => {
  const folders = await openFolders(TEXTS);
  expect(await migrate(folders, flag)).toMatchObject({
    code: EXIT_CODES.usage,
    stderr: expect.stringMatching(words),
  });
});

test("a file of queries is read line by line, and a wrong line is named", async () => {
  const { home } = await openFolders(TEXTS);
  const path = join(home, "queries.jsonl");
  await writeFile(path, '{"query": "planets", "relevant": [17, "23"]}\n\n');
  expect(await readQueries(path)).toEqual([{ query: "planets", relevant: ["17", "23"] }]);
  expect(await readQueries(undefined)).toEqual([]);
  for (const line of ["planets", '{"query": "planets", "relevant": []}']) {
    await writeFile(path, `\n${line}`);
    await expect(readQueries(path)).rejects.toThrow("queries.jsonl, line 2, is no query");
  }
});

test("queries with relevant rows are judged as nDCG and recall have it", () => {
  expect(judged(["1", "2", "3"], new Set(["1"]))).toEqual({ ndcg: 1, recall: 1 });
  expect(judged(["2", "1"], new Set(["1"])).ndcg).toBeCloseTo(1 / Math.log2(3));
  expect(judged(["2", "3"], new Set(["1", "2"]))).toMatchObject({ recall: 0.5 });
});

test.each([
  [
    "CREATE INDEX i ON public.t USING hnsw (embedding public.vector_cosine_ops) WHERE (embedding IS NOT NULL)",
    "CREATE INDEX i_new ON public.t USING hnsw (embedding_new public.halfvec_cosine_ops) WHERE (embedding_new IS NOT NULL)",
  ],
  [
    'CREATE INDEX i ON public."embedding" USING ivfflat ("embedding")',
    'CREATE INDEX i_new ON public."embedding" USING ivfflat (embedding_new)',
  ],
  [
    "CREATE INDEX i ON public.t USING hnsw (embedding public.halfvec_ip_ops)",
    "CREATE INDEX i_new ON public.t USING hnsw (embedding_new public.vector_ip_ops)",
    "vector",
  ],
])("the twin of %s", (definition, twin, type = "halfvec") => {
  const index = {
    name: "i",
    method: "hnsw",
    definition,
    tablespace: undefined,
    comment: undefined,
    valid: true,
  };
  const names = { old: "i", next: "i_new", kept: "i_old" };
  const columns = { old: "embedding", next: "embedding_new", type };
  expect(twinOf(index, names, columns)).toMatchObject({ name: "i_new", definition: twin });
});
