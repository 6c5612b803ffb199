/**
 * What does a stage rely on when it reads questions from a store and hands it vectors? Every store
 * has to pass this suite, on every database it can stand on.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExitReason } from "../../src/errors.ts";
import {
  MAX_TEXT_CHARS,
  type EmbeddedQuestion,
  type PendingQuestion,
} from "../../src/row/question.ts";
import { quoteLiteral as literal } from "../../src/store/sql.ts";
import type { Row } from "../../src/store/database.ts";
import type { Look, LookOptions, Store, StoreIndexes } from "../../src/store/port.ts";
import { quoteIdentifier as quoted, type Target } from "../../src/row/target.ts";
import { fingerprint, fingerprintSql, MD5_TWINS, olderFingerprint } from "../fingerprints.ts";
import { onlyWhere } from "../size.ts";

export const DIMENSIONS = 128;

/** One database for the whole suite; each test makes a table of its own in it. */
export type Ground = Readonly<{
  sql(statement: string): Promise<Row[]>;
  /** The test closes it. */
  open(target: Target, where?: string): Promise<Store>;
  /** Where pgvector is, for tables that tests create. */
  vectorSchema: string;
  takeDown(): Promise<void>;
}>;

export const QUESTIONS: Target = {
  schema: "public",
  table: "questions",
  id: "id",
  text: "question_text",
  embedding: "embedding",
  model: "gemini-embedding-001",
  dimensions: DIMENSIONS,
  taskType: "RETRIEVAL_DOCUMENT",
};

/** Different seeds give vectors that differ in every half-precision bit pattern, too. */
export function vectorOf(seed: number): Float32Array {
  const raw = Float32Array.from({ length: DIMENSIONS }, (_, index) =>
    Math.sin(seed * 97.3 + index),
  );
  const length = Math.hypot(...raw);
  return raw.map((value) => value / length);
}

export function embedded(question: PendingQuestion, seed: number): EmbeddedQuestion {
  return { id: question.id, fingerprint: question.fingerprint, vector: vectorOf(seed) };
}

/** What a store says that it cannot do, and refuses. */
export type Lacks = Readonly<{
  /** `--where` */
  conditions?: true;
  /** A text made of several columns, and column names with quotes in them. */
  recipes?: true;
  /** Indexes, triggers, versions, and unique keys that are not the primary key. */
  catalogue?: true;
  /** Dropping and building indexes. */
  indexes?: true;
  /** Seeing what a trigger makes of a write, and taking the write back. */
  triggers?: true;
}>;

/** Options of a test or suite of a promise that not every kind of store makes. */
const unless = (lacks: boolean | undefined) =>
  onlyWhere(lacks !== true, "are of promises that their kind of store does not make");

const NO_CONDITIONS = [
  "question_text = 'a",
  "no_such_column = 1",
  "id = 'x'",
  "1 / 0 = 1",
  // these leave our parentheses
  "true) OR (1=1",
  "true) OR (",
  "id = 2) OR (true -- mine",
  "id = 2)\nOR (true",
  "true) /* x */ OR (true",
  "question_text = 'x') OR ('' = ''",
  "true); UPDATE questions SET question_text = ''; SELECT (true",
  // and these are more than a condition
  "true /*",
  "true /* /* */",
  "question_text = $$a",
  String.raw`question_text = E'\'`,
  "true ORDER BY 1",
  "true LIMIT 0",
  "true FOR UPDATE",
  "true UNION SELECT '1'",
  "true, true",
  "true; UPDATE questions SET question_text = ''",
  "",
];

export function storeContract(
  database: string,
  prepare: () => Promise<Ground>,
  lacks: Lacks = {},
): void {
  describe(`a store on ${database}`, () => {
    let ground: Ground;
    let tables = 0;

    beforeAll(async () => {
      ground = await prepare();
    });
    afterAll(async () => {
      await ground.takeDown();
    });

    /** A table of `columns`, and the target that names it. */
    async function table(columns: string, changes: Partial<Target> = {}): Promise<Target> {
      tables += 1;
      const target = { ...QUESTIONS, table: `questions_${tables}`, ...changes };
      await ground.sql(`CREATE TABLE ${qualified(target)} (${columns})`);
      return target;
    }

    async function questions(texts: readonly (string | null)[]): Promise<Target> {
      const target = await table(
        `id bigint PRIMARY KEY, question_text text, embedding ${vectorType()}`,
      );
      await insert(
        target,
        texts.map((text, index) => [String(index + 1), text]),
      );
      return target;
    }

    /** Rows of id and text, into the first two columns. */
    async function insert(
      target: Target,
      rows: readonly (readonly (string | null)[])[],
    ): Promise<void> {
      const values = rows.map((row) => `(${row.map(sqlValue).join(", ")})`);
      await ground.sql(`INSERT INTO ${qualified(target)} VALUES ${values.join(", ")}`);
    }

    function vectorType(type = "vector"): string {
      return `${quoted(ground.vectorSchema)}.${type}(${DIMENSIONS})`;
    }

    async function using<T>(
      target: Target,
      work: (store: Store) => Promise<T>,
      where?: string,
    ): Promise<T> {
      const store = await ground.open(target, where);
      try {
        return await work(store);
      } finally {
        await store.close();
      }
    }

    /** The column as numbers, by id as text. */
    async function column(target: Target): Promise<Map<string, number[] | undefined>> {
      const rows = await ground.sql(
        `SELECT ${quoted(target.id)}::text AS id, ${quoted(target.embedding)}::text AS v FROM ${qualified(target)}`,
      );
      return new Map(rows.map(({ id, v }) => [id ?? "", v == null ? undefined : JSON.parse(v)]));
    }

    async function setVector(target: Target, id: number, vector: Float32Array): Promise<void> {
      await ground.sql(
        `UPDATE ${qualified(target)} SET embedding = '[${vector.join(",")}]' WHERE id = ${id}`,
      );
    }

    /** Every window, as one. */
    async function lookAll(
      target: Target,
      { wanted = [], picks = [] }: Partial<LookOptions> = {},
    ): Promise<Omit<Look, "until">> {
      return using(target, async (store) => {
        const all = { rows: 0, withEmbedding: 0, hashes: "" };
        const [flawed, found, picked] = [
          new Array<Look["flawed"][number]>(),
          new Array<Look["found"][number]>(),
          new Array<Look["picked"][number]>(),
        ];
        let after: string | undefined;
        do {
          const look = await store.look({
            after,
            wanted,
            picks: picks.map((place) => place - all.withEmbedding).filter((place) => place >= 0),
          });
          all.rows += look.rows;
          all.withEmbedding += look.withEmbedding;
          all.hashes += look.hashes;
          flawed.push(...look.flawed);
          found.push(...look.found);
          picked.push(...look.picked);
          after = look.until;
        } while (after !== undefined);
        return { ...all, flawed, found, picked };
      });
    }

    async function pendingTexts(target: Target): Promise<string[]> {
      return using(target, async (store) => (await readAll(store, 100)).map(({ text }) => text));
    }

    /** Rows with vectors, and indexes on them: `of` begins with the method. */
    async function indexed(of: readonly (readonly [name: string, of: string])[]): Promise<Target> {
      const target = await questions(["a", "b", "c"]);
      await ground.sql(`UPDATE ${qualified(target)} SET embedding = ${sqlVector(1)}`);
      for (const [name, rest] of of) {
        await ground.sql(`CREATE INDEX ${quoted(name)} ON ${qualified(target)} USING ${rest}`);
      }
      return target;
    }

    async function withIndexes<T>(
      target: Target,
      work: (indexes: StoreIndexes) => Promise<T>,
    ): Promise<T> {
      return using(target, (store) => work(given(store.indexes)));
    }

    /** An operator class of pgvector's. */
    function ops(name: string): string {
      return `${quoted(ground.vectorSchema)}.${name}`;
    }

    function cosine(): string {
      return `hnsw (embedding ${ops("vector_cosine_ops")})`;
    }

    const TAKEN = { refusal: undefined, withoutKey: 0, untried: undefined };

    const tryWrite = (target: Target, except: readonly string[] = []) =>
      using(target, (store) => store.tryWrite(except));

    /** `when` it fires, and what it does then; a name for each, since they stay. */
    async function tryTrigger(target: Target, when: string, body: string): Promise<void> {
      const name = quoted(`tried ${target.table}`);
      const deferred = when.startsWith("CONSTRAINT") ? "DEFERRABLE INITIALLY DEFERRED" : "";
      await ground.sql(
        `CREATE FUNCTION public.${name}() RETURNS trigger LANGUAGE plpgsql AS ${literal(`BEGIN ${body} RETURN NEW; END`)}`,
      );
      await ground.sql(
        `CREATE ${when} ON ${qualified(target)} ${deferred} FOR EACH ROW EXECUTE FUNCTION public.${name}()`,
      );
    }

    describe("reading", () => {
      it("cuts a text that no model takes, and gives the fingerprint of the whole", async () => {
        const target = await questions(["short"]);
        const whole = `repeat('long ', ${MAX_TEXT_CHARS})`;
        await ground.sql(`UPDATE ${qualified(target)} SET question_text = ${whole}`);
        const [expected] = await ground.sql(`SELECT ${fingerprintSql(whole)} AS fingerprint`);
        const [row] = await using(target, (store) => readAll(store, 10));
        expect(row?.text.length).toBe(MAX_TEXT_CHARS + 1);
        expect(row?.fingerprint).toBe(expected?.["fingerprint"]);
      });

      it("reads integers in their own order, not as text", async () => {
        const target = await questions(
          Array.from({ length: 25 }, (_, index) => `question ${index}`),
        );
        const ids = await using(target, async (store) =>
          (await readAll(store, 4)).map(({ id }) => id),
        );
        expect(ids).toEqual(Array.from({ length: 25 }, (_, index) => String(index + 1)));
      });

      it.each([
        ["smallint", ["-5", "2", "10", "32767"]],
        ["integer", ["-2147483648", "2", "10", "2147483647"]],
        ["bigint", ["-9223372036854775808", "2", "10", "9007199254740993", "9223372036854775807"]],
        ["uuid", ["00000000-0000-4000-8000-000000000001", "c0ffee00-0000-4000-8000-0000000000ff"]],
        [
          "text",
          [
            "",
            "a",
            "B",
            "a@b.example",
            "it's",
            'say "hi"',
            "{1,2}",
            "c:\\d",
            "é",
            "題",
            "🦉",
            " x ",
          ],
        ],
        ["varchar(40)", ["A-1", "a-1", "a,b"]],
      ])("pages through %s ids, writes by them and finds them again", async (type, ids) => {
        const target = await table(
          `id ${type} PRIMARY KEY, question_text text, embedding ${vectorType()}`,
        );
        await insert(
          target,
          ids.map((id) => [id, `text of ${id}`]),
        );
        await using(target, async (store) => {
          const read = await readAll(store, 1);
          expect(read.map(({ id }) => id).sort()).toEqual([...ids].sort());
          expect(read.every(({ id, text }) => text === `text of ${id}`)).toBe(true);
          const rows = read.map(embedded);
          expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
          const values = await column(target);
          for (const { id, vector } of rows) expectVector(values.get(id), vector);
          expect(await store.apply(rows)).toEqual(rows.map(() => "written"));
          expect(await store.clear(rows)).toEqual(rows.map(() => "cleared"));
        });
      });

      it("loses and doubles no text id, whatever the database sorts by", async () => {
        const ids = [
          "a",
          "B",
          "c",
          "Ä",
          "ä",
          "z",
          "Z",
          "_",
          "-",
          "a b",
          "a-b",
          "ab",
          "1",
          "10",
          "9",
        ];
        const target = await table(
          `id text PRIMARY KEY, question_text text, embedding ${vectorType()}`,
        );
        await insert(
          target,
          ids.map((id) => [id, "text"]),
        );
        for (const limit of [1, 2, 7, 15]) {
          const read = await using(target, (store) => readAll(store, limit));
          expect(read.map(({ id }) => id).sort()).toEqual([...ids].sort());
        }
      });

      it("leaves out what has a vector and what was deleted behind the cursor", async () => {
        const target = await questions(["a", "b", "c", "d"]);
        await using(target, async (store) => {
          const [first, second] = await store.readPending({ after: undefined, limit: 2 });
          await ground.sql(`DELETE FROM ${qualified(target)} WHERE id = ${second?.id}`);
          await store.apply([embedded(given(first), 1)]);
          const rest = await store.readPending({ after: second?.id, limit: 10 });
          expect(rest.map(({ text }) => text)).toEqual(["c", "d"]);
          expect(await store.readPending({ after: "4", limit: 10 })).toEqual([]);
        });
      });

      it("hands texts over unchanged, with the fingerprint of their bytes", async () => {
        const texts = [
          "",
          " ",
          "\u2028\u2029",
          "tab\tline\nreturn\r\n",
          "🦉 — Größe 漢字 \u0000".slice(0, -2),
          "back\\slash 'quote' \"double\" $1 $$",
          "\u0001\u001f\ufeff",
          "x".repeat(100_000),
        ];
        const target = await questions(texts);
        const read = await using(target, (store) => readAll(store, 3));
        expect(read.map(({ text }) => text)).toEqual(texts);
        expect(read.map((row) => row.fingerprint)).toEqual(texts.map(fingerprint));
      });

      it(
        "builds the text by the recipe: NULL parts are empty, literals stand as they are",
        unless(lacks.recipes),
        async () => {
          const target = await table(
            `id int PRIMARY KEY, question_text text, "Answer Options" jsonb, points numeric, embedding ${vectorType()}`,
            { text: "Q: {question_text}\\n'{Answer Options}' {{{points}}}" },
          );
          await insert(target, [
            ["1", "who?", '["me", "you"]', "1.50"],
            ["2", null, null, null],
          ]);
          const texts = await pendingTexts(target);
          expect(texts).toEqual([`Q: who?\\n'["me", "you"]' {1.50}`, "Q: \\n'' {}"]);
          await using(target, async (store) => {
            const rows = (await readAll(store, 10)).map(embedded);
            await ground.sql(`UPDATE ${qualified(target)} SET points = 2 WHERE id = 2`);
            expect(await store.apply(rows)).toEqual(["written", "stale"]);
          });
        },
      );

      it("takes names that need quoting", unless(lacks.recipes), async () => {
        await ground.sql(`CREATE SCHEMA "My ""Schema"""`);
        const target = await table(
          `"select" uuid PRIMARY KEY, "Question's Text" text, "my ""vector""" ${vectorType()}`,
          {
            schema: 'My "Schema"',
            table: "Order; drop",
            id: "select",
            text: "Question's Text",
            embedding: 'my "vector"',
          },
        );
        const id = "00000000-0000-4000-8000-000000000001";
        await insert(target, [[id, "why?"]]);
        await using(target, async (store) => {
          const [question] = await readAll(store, 10);
          expect(question).toMatchObject({ id, text: "why?" });
          expect(await store.apply([embedded(given(question), 1)])).toEqual(["written"]);
          expect(await store.count()).toEqual({ total: 1, pending: 0 });
          expect(await store.clear([embedded(given(question), 1)])).toEqual(["cleared"]);
        });
      });
    });

    describe("the further condition", unless(lacks.conditions), () => {
      it("holds for reading and counting, but not for writing", async () => {
        const target = await questions(["a", "b", "c", "d"]);
        await ground.sql(
          `UPDATE ${qualified(target)} SET embedding = ${sqlVector(1)} WHERE id = 4`,
        );
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          await using(
            target,
            async (some) => {
              expect((await readAll(some, 1)).map(({ id }) => id)).toEqual(["1", "3"]);
              expect(await some.count()).toEqual({ total: 3, pending: 2 });
              expect(await some.apply(rows)).toEqual(["written", "written", "written"]);
            },
            `id <> 2 OR ${quoted(target.table)}.question_text = 'x' -- odd`,
          );
        });
      });

      it("is one condition by itself, or is refused and named, and changes nothing", async () => {
        const target = await questions(["a", "b"]);
        for (const each of NO_CONDITIONS) {
          const where = each.replace("UPDATE questions", `UPDATE ${qualified(target)}`);
          const work = async (store: Store) => [
            await rejection(store.readPending({ after: undefined, limit: 1 })),
            await rejection(store.count()),
          ];
          const refused = userError("usage", /--where/);
          expect([where, await using(target, work, where)]).toEqual([where, [refused, refused]]);
        }
        const rows = await using(target, (store) => readAll(store, 10));
        expect(rows.map(({ text }) => text)).toEqual(["a", "b"]);
      });
    });

    describe("writing", () => {
      it("says for each row, in the order given, what became of it", async () => {
        const target = await questions(["a", "b", "c", "d", "e", "f"]);
        await using(target, async (store) => {
          const read = await readAll(store, 10);
          await ground.sql(
            `UPDATE ${qualified(target)} SET question_text = 'changed' WHERE id = 2`,
          );
          await ground.sql(
            `UPDATE ${qualified(target)} SET embedding = ${sqlVector(99)} WHERE id = 3`,
          );
          await ground.sql(`DELETE FROM ${qualified(target)} WHERE id = 4`);
          await ground.sql(
            `UPDATE ${qualified(target)} SET question_text = NULL, embedding = ${sqlVector(98)} WHERE id = 5`,
          );
          const rows = read.map(embedded).reverse();
          const outcomes = ["written", "filled", "gone", "filled", "stale", "written"];
          expect(await store.apply(rows)).toEqual(outcomes);
          expect(await store.apply(rows)).toEqual(outcomes);
          const values = await column(target);
          expectVector(values.get("1"), vectorOf(0));
          expect(values.get("2")).toBeUndefined();
          expectVector(values.get("3"), vectorOf(99));
          expectVector(values.get("5"), vectorOf(98));
          expectVector(values.get("6"), vectorOf(5));
        });
      });

      it("knows a row by the older fingerprint as well, and no text by another's", async () => {
        const [one, other] = MD5_TWINS;
        const target = await questions(["a", "b", one]);
        await using(target, async (store) => {
          const rows = ["a", "not b"].map((text, place) => ({
            ...embedded(
              { id: String(place + 1), text, fingerprint: olderFingerprint(text) },
              place,
            ),
          }));
          const twin = embedded({ id: "3", text: other, fingerprint: fingerprint(other) }, 3);
          expect(await store.compare([...rows, twin])).toEqual(["empty", "changed", "changed"]);
          expect(await store.apply([...rows, twin])).toEqual(["written", "stale", "stale"]);
        });
      });

      it("never writes over another vector, also not over its own of an earlier answer", async () => {
        const target = await questions(["a"]);
        await using(target, async (store) => {
          const [question] = await readAll(store, 10);
          expect(await store.apply([embedded(given(question), 1)])).toEqual(["written"]);
          expect(await store.apply([embedded(given(question), 2)])).toEqual(["filled"]);
          expectVector((await column(target)).get("1"), vectorOf(1));
        });
      });

      it("counts a row that holds exactly this vector as written, even when its text has changed since", async () => {
        const target = await questions(["a"]);
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          await store.apply(rows);
          await ground.sql(`UPDATE ${qualified(target)} SET question_text = 'b'`);
          expect(await store.apply(rows)).toEqual(["written"]);
        });
      });

      it("rounds for a halfvec column, and knows its own rounded vectors again", async () => {
        const target = await table(
          `id int PRIMARY KEY, question_text text, embedding ${vectorType("halfvec")}`,
        );
        await insert(target, [
          ["1", "a"],
          ["2", "b"],
        ]);
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          expect(await store.apply(rows)).toEqual(["written", "written"]);
          expect(await store.apply(rows)).toEqual(["written", "written"]);
          const value = (await column(target)).get("2") ?? [];
          expect(value).toHaveLength(DIMENSIONS);
          vectorOf(1).forEach((exact, index) => expect(value[index]).toBeCloseTo(exact, 3));
          const others = rows.map((row) => ({ ...row, vector: vectorOf(7) }));
          expect(await store.apply(others)).toEqual(["filled", "filled"]);
          expect(await store.compare(others)).toEqual(["other", "other"]);
          expect(await store.compare(rows)).toEqual(["same", "same"]);
          expect(await store.clear(others)).toEqual(["kept", "kept"]);
          expect(await store.clear(rows)).toEqual(["cleared", "cleared"]);
        });
      });

      it("writes into a column that declares no width", async () => {
        const target = await table(
          `id int PRIMARY KEY, question_text text, embedding ${quoted(ground.vectorSchema)}.vector`,
        );
        await insert(target, [["1", "a"]]);
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          expect(await store.apply(rows)).toEqual(["written"]);
          expectVector((await column(target)).get("1"), vectorOf(0));
        });
      });

      it.each([
        ["integer", ["abc", "9223372036854775808", "1.5", "", "99999999999"]],
        ["smallint", ["40000", "-32769", "99999999999"]],
        ["uuid", ["abc", "1"]],
        ["text", ["nobody", "nul\0byte", "half \ud800"]],
      ])(
        "an id that no %s column can hold is gone, and takes no other row with it",
        async (type, ids) => {
          const own = type === "uuid" ? "00000000-0000-4000-8000-000000000001" : "1";
          const target = await table(
            `id ${type} PRIMARY KEY, question_text text, embedding ${vectorType()}`,
          );
          await insert(target, [[own, "a"]]);
          await using(target, async (store) => {
            const [row] = (await readAll(store, 10)).map(embedded);
            const rows = [...ids.map((id) => ({ ...given(row), id })), given(row)];
            expect(await store.apply(rows)).toEqual([...ids.map(() => "gone"), "written"]);
            expect(await store.compare(rows)).toEqual([...ids.map(() => "gone"), "same"]);
            expect(await store.clear(rows)).toEqual([...ids.map(() => "kept"), "cleared"]);
          });
        },
      );

      it("does nothing with nothing, and refuses an id that stands twice", async () => {
        const target = await questions(["a"]);
        await using(target, async (store) => {
          expect(await store.apply([])).toEqual([]);
          expect(await store.clear([])).toEqual([]);
          const [row] = (await readAll(store, 10)).map(embedded);
          await expect(store.apply([given(row), given(row)])).rejects.toThrow(/twice/);
          await expect(store.clear([given(row), given(row)])).rejects.toThrow(/twice/);
          expect(await store.count()).toEqual({ total: 1, pending: 1 });
        });
      });

      it("says so when a trigger silently stops every write", async () => {
        const target = await questions(["a"]);
        await ground.sql(
          `CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
        );
        await ground.sql(
          `CREATE TRIGGER no BEFORE UPDATE ON ${qualified(target)} FOR EACH ROW EXECUTE FUNCTION public.no()`,
        );
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          expect(await rejection(store.apply(rows))).toEqual(userError("fatal", /writes nothing/));
        });
      });

      it.each([
        ["the text", "NEW.question_text := upper(NEW.question_text)", /changes the text.*row 2/],
        ["a text to NULL", "NEW.question_text := NULL", /changes the text.*row 2/],
        ["the vector to NULL", "NEW.embedding := NULL", /empties embedding.*row 2/],
        ["the vector", "NEW.embedding := OLD.other", /replaces embedding.*row 2/],
      ])(
        "writes nothing of a call where a trigger changes %s",
        unless(lacks.triggers),
        async (what, change, message) => {
          const target = await questions(["FIRST", "second"]);
          await ground.sql(
            `ALTER TABLE ${qualified(target)} ADD other ${vectorType()} DEFAULT ${sqlVector(9)}`,
          );
          const name = quoted(`change ${what}`);
          await ground.sql(
            `CREATE FUNCTION public.${name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 2 THEN ${change}; END IF; RETURN NEW; END'`,
          );
          await ground.sql(
            `CREATE TRIGGER ${name} BEFORE UPDATE ON ${qualified(target)} FOR EACH ROW EXECUTE FUNCTION public.${name}()`,
          );
          await using(target, async (store) => {
            const rows = (await readAll(store, 10)).map(embedded);
            expect(await rejection(store.apply(rows))).toEqual(userError("fatal", message));
            expect(await store.count()).toEqual({ total: 2, pending: 2 });
            await ground.sql(`ALTER TABLE ${qualified(target)} DISABLE TRIGGER ${name}`);
            expect(await store.apply(rows)).toEqual(["written", "written"]);
          });
        },
      );
    });

    describe("trying a write", unless(lacks.triggers), () => {
      it("takes the vector back, ends with the first row that takes one, and knows an empty table", async () => {
        const target = await questions(["a", "b"]);
        expect(await tryWrite(target)).toEqual({ ...TAKEN, tried: 1 });
        expect([...(await column(target)).values()]).toEqual([undefined, undefined]);
        await ground.sql(`UPDATE ${qualified(target)} SET embedding = ${sqlVector(1)}`);
        expect(await tryWrite(target)).toEqual({ ...TAKEN, tried: 0 });
      });

      it("counts rows without a key, and offers them nothing", async () => {
        const target = await table(
          `id bigint UNIQUE, question_text text, embedding ${vectorType()}`,
        );
        await insert(target, [
          [null, "a"],
          [null, "b"],
        ]);
        expect(await tryWrite(target)).toEqual({ ...TAKEN, tried: 0, withoutKey: 2 });
      });

      it("takes a refusal of some for these rows' own, and passes over those that are known", async () => {
        const target = await questions(["a", "b", "c", "d", "e", "f", "g"]);
        await ground.sql(
          `ALTER TABLE ${qualified(target)} ADD CONSTRAINT odd CHECK (embedding IS NULL OR id > 5)`,
        );
        expect(await tryWrite(target, ["1"])).toEqual({ ...TAKEN, tried: 5 });
        const { tried, refusal } = await tryWrite(target);
        expect([tried, refusal]).toEqual([
          5,
          userError("fatal", /"odd".*23514/, /drop constraint odd/),
        ]);
      });

      it.each<[string, string, string, RegExp]>([
        [
          "raises",
          "TRIGGER t BEFORE UPDATE",
          "RAISE 'not on Sundays';",
          /not on Sundays.*in .*tried/,
        ],
        [
          "would raise when all is over",
          "CONSTRAINT TRIGGER t AFTER UPDATE",
          "RAISE 'not in the end';",
          /not in the end/,
        ],
        [
          "takes it away once it is written",
          "TRIGGER t AFTER UPDATE",
          "IF pg_trigger_depth() = 1 THEN EXECUTE format('UPDATE %s SET embedding = NULL', TG_RELID::regclass); END IF;",
          /writes nothing/,
        ],
        ["names no column", "TRIGGER t BEFORE UPDATE", "NEW.nothing := 1;", /no field "nothing"/],
      ])("finds a trigger that %s", async (_, when, body, message) => {
        const target = await questions(["a", "b"]);
        await tryTrigger(target, when, body);
        const told = await tryWrite(target).then(
          ({ refusal }) => refusal,
          (error: unknown) => error,
        );
        expect(told).toEqual(userError("fatal", message));
      });

      it(
        "is the statement of the import whatever the recipe is made of",
        unless(lacks.recipes),
        async () => {
          const text = String.raw`costs $1 \ 'x' $vecfill$ {question_text}`;
          const target = { ...(await questions(["a"])), text };
          expect(await tryWrite(target)).toEqual({ ...TAKEN, tried: 1 });
        },
      );
    });

    describe("looking", () => {
      it("tells widths, lengths and what is empty, of every row and in order", async () => {
        const target = await table(
          `id bigint PRIMARY KEY, question_text text, embedding ${quoted(ground.vectorSchema)}.vector`,
        );
        await insert(
          target,
          ["a", "b", "c", "d", "e"].map((text, index) => [String(index + 1), text]),
        );
        await setVector(target, 1, vectorOf(1));
        await setVector(
          target,
          2,
          vectorOf(2).map((value) => value * 0.6),
        );
        await setVector(target, 4, vectorOf(4).subarray(0, 3));
        await setVector(
          target,
          5,
          vectorOf(5).map(() => 0),
        );
        const seen = await lookAll(target);
        expect(seen).toMatchObject({ rows: 5, withEmbedding: 4 });
        expect(seen.flawed).toEqual([
          { id: "2", flaw: "length", detail: expect.stringMatching(/^0\.[56]/) },
          { id: "4", flaw: "dimensions", detail: "3" },
          { id: "5", flaw: "length", detail: "0" },
        ]);
      });

      it("looks at a column of another width, and finds every vector wrong", async () => {
        const target = { ...(await questions(["a", "b"])), dimensions: 768 };
        await setVector(target, 2, vectorOf(2));
        const seen = await lookAll(target);
        expect(seen.flawed).toEqual([{ id: "2", flaw: "dimensions", detail: String(DIMENSIONS) }]);
      });

      it("takes what vecfill writes for right, rounded to halves as well", async () => {
        const target = await table(
          `id int PRIMARY KEY, question_text text, embedding ${vectorType("halfvec")}`,
        );
        await insert(
          target,
          range(50).map((id) => [String(id), `text ${id}`]),
        );
        await using(target, async (store) =>
          store.apply((await readAll(store, 100)).map(embedded)),
        );
        expect(await lookAll(target)).toMatchObject({ rows: 50, withEmbedding: 50, flawed: [] });
        await setVector(
          target,
          7,
          vectorOf(7).map((value) => value * 1.003),
        );
        expect((await lookAll(target)).flawed.map(({ id }) => id)).toEqual(["7"]);
      });

      it("gives equal hashes for equal vectors and equal texts, and names wanted rows", async () => {
        const target = await questions(["a b", "a  b ", "c", "a b", "d"]);
        for (const id of [1, 2, 4, 5]) await setVector(target, id, vectorOf(1));
        await setVector(target, 3, vectorOf(3));
        const { hashes } = await lookAll(target);
        const [first = "", second = "", third = "", fourth = "", fifth = ""] =
          hashes.match(/.{24}/g) ?? [];
        const vector = first.slice(0, 16);
        expect(hashes).toHaveLength(5 * 24);
        expect([second, fourth, fifth].map((each) => each.slice(0, 16))).toEqual([
          vector,
          vector,
          vector,
        ]);
        expect(third.slice(0, 16)).not.toBe(vector);
        expect(fourth).toBe(first);
        expect(second).not.toBe(first);
        const { found } = await lookAll(target, { wanted: [vector] });
        expect(found.map(({ id, hash }) => [id, hash])).toEqual(
          ["1", "2", "4", "5"].map((id) => [id, vector]),
        );
        const [one, spaced, same, other] = found.map(({ words }) => words);
        expect([spaced, same]).toEqual([one, one]);
        expect(other).not.toBe(one);
      });

      it("gives picked rows whole, by their place among those with a vector", async () => {
        const target = await questions(["a", "b", null, "d", "e"]);
        for (const id of [2, 3, 5]) await setVector(target, id, vectorOf(id));
        const { picked } = await lookAll(target, { picks: [1, 2, 3, 99] });
        expect(picked.map(({ id, text }) => [id, text])).toEqual([
          ["3", ""],
          ["5", "e"],
        ]);
        for (const { id, vector } of picked) expectVector([...vector], vectorOf(Number(id)));
      });

      it("goes through ids of every type, window by window, and ends", async () => {
        for (const type of ["bigint", "uuid", "text"]) {
          const target = await table(
            `id ${type} PRIMARY KEY, question_text text, embedding ${vectorType()}`,
          );
          const ids = range(7).map((id) =>
            type === "uuid" ? `00000000-0000-4000-8000-00000000000${id}` : String(id),
          );
          await insert(
            target,
            ids.map((id) => [id, "text"]),
          );
          expect(await lookAll(target)).toMatchObject({ rows: 7, withEmbedding: 0, hashes: "" });
          const rest = await using(target, (store) =>
            store.look({ after: ids.at(4), wanted: [], picks: [] }),
          );
          expect([rest.rows, rest.until]).toEqual([2, ids.at(-1)]);
        }
      });

      it("is refused where the column holds no vectors", async () => {
        const target = await table(`id int PRIMARY KEY, question_text text, embedding real[]`);
        await insert(target, [["1", "a"]]);
        const looked = using(target, (store) =>
          store.look({ after: undefined, wanted: [], picks: [] }),
        );
        expect(await rejection(looked)).toEqual(userError("fatal", /real\[\], not a vector/));
      });
    });

    describe("comparing", () => {
      it("says what each row holds, to the bit, in the order given, and changes nothing", async () => {
        const target = await questions(["a", "b", "c", "d"]);
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          expect(await store.compare(rows)).toEqual(["empty", "empty", "empty", "empty"]);
          await store.apply(rows.slice(0, 3));
          const off = vectorOf(1).map((value, index) =>
            index === 5 ? value * (1 + 2 ** -22) : value,
          );
          await ground.sql(
            `UPDATE ${qualified(target)} SET embedding = ${sqlVector(off)}, question_text = 'new' WHERE id = 2`,
          );
          await ground.sql(`DELETE FROM ${qualified(target)} WHERE id = 3`);
          const before = await column(target);
          const offered = [...rows, { id: "9", fingerprint: "", vector: vectorOf(1) }].reverse();
          const held = ["gone", "empty", "gone", "other", "same"];
          expect(await store.compare(offered)).toEqual(held);
          expect(await store.compare([])).toEqual([]);
          expect(await column(target)).toEqual(before);
        });
      });
    });

    describe("clearing", () => {
      it("takes back exactly the given vectors and keeps everything else", async () => {
        const target = await questions(["a", "b", "c", "d"]);
        await using(target, async (store) => {
          const rows = (await readAll(store, 10)).map(embedded);
          await store.apply(rows);
          await ground.sql(
            `UPDATE ${qualified(target)} SET embedding = ${sqlVector(99)} WHERE id = 2`,
          );
          await ground.sql(`UPDATE ${qualified(target)} SET embedding = NULL WHERE id = 3`);
          await ground.sql(`DELETE FROM ${qualified(target)} WHERE id = 4`);
          expect(await store.clear(rows)).toEqual(["cleared", "kept", "kept", "kept"]);
          expect(await store.clear(rows)).toEqual(["kept", "kept", "kept", "kept"]);
          expect(await store.count()).toEqual({ total: 3, pending: 2 });
        });
      });
    });

    describe("describing", () => {
      it("tells type, width, key and versions", async () => {
        const target = await questions(["a"]);
        const description = await using(target, (store) => store.describe());
        expect(description).toMatchObject({
          idType: "integer",
          idTypeName: expect.stringMatching(lacks.catalogue ? /^(bigint|int64)$/ : /^bigint$/),
          idUnique: true,
          embedding: { typeName: "vector", dimensions: DIMENSIONS },
          embeddingIndexes: [],
          updateTriggers: [],
        });
        expect(description.serverVersion).toMatch(lacks.catalogue ? /^unknown/ : /^\d+/);
        expect(description.pgvectorVersion).toMatch(lacks.catalogue ? /^unknown/ : /^\d+\.\d+/);
      });

      it.each([
        ["id bigint PRIMARY KEY", undefined, true],
        ["id bigint UNIQUE", undefined, true],
        ["id bigint", "CREATE UNIQUE INDEX ON $ (id) INCLUDE (question_text)", true],
        ["id bigint", undefined, false],
        ["id bigint", "CREATE INDEX ON $ (id)", false],
        ["id bigint, tenant int, PRIMARY KEY (tenant, id)", undefined, false],
        ["id bigint, tenant int, PRIMARY KEY (id, tenant)", undefined, false],
        ["id bigint", "CREATE UNIQUE INDEX ON $ (id) WHERE question_text IS NOT NULL", false],
        ["id bigint", "CREATE UNIQUE INDEX ON $ (abs(id))", false],
      ])(
        "a key over (%s) with %s is unique: %s",
        unless(lacks.catalogue),
        async (columns, index, unique) => {
          const target = await table(`question_text text, embedding ${vectorType()}, ${columns}`);
          if (index !== undefined) await ground.sql(index.replace("$", qualified(target)));
          const description = await using(target, (store) => store.describe());
          expect(description.idUnique).toBe(unique);
        },
      );

      it(
        "names indexes on the embedding, on the column or on an expression, and no others",
        unless(lacks.catalogue),
        async () => {
          const target = await questions(["a"]);
          const schema = quoted(ground.vectorSchema);
          await ground.sql(
            `CREATE INDEX plain_ann ON ${qualified(target)} USING hnsw (embedding ${schema}.vector_cosine_ops)`,
          );
          await ground.sql(
            `CREATE INDEX half_ann ON ${qualified(target)} USING hnsw ((embedding::${vectorType("halfvec")}) ${schema}.halfvec_cosine_ops)`,
          );
          await ground.sql(
            `CREATE INDEX todo ON ${qualified(target)} (id) WHERE embedding IS NULL`,
          );
          const { embeddingIndexes } = await using(target, (store) => store.describe());
          expect(embeddingIndexes.map(({ name, method }) => [name, method])).toEqual([
            ["half_ann", "hnsw"],
            ["plain_ann", "hnsw"],
          ]);
          expect(embeddingIndexes[1]?.definition).toMatch(
            /^CREATE INDEX plain_ann ON .* USING hnsw/,
          );
        },
      );

      it(
        "names the triggers that an update of the embedding fires",
        unless(lacks.catalogue),
        async () => {
          const target = await questions(["a"]);
          await ground.sql(
            `CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`,
          );
          const trigger = (name: string, event: string): Promise<Row[]> =>
            ground.sql(
              `CREATE TRIGGER ${name} ${event} ON ${qualified(target)} FOR EACH ROW EXECUTE FUNCTION public.touch()`,
            );
          await trigger("any_update", "BEFORE INSERT OR UPDATE");
          await trigger("on_embedding", "AFTER UPDATE OF embedding");
          await trigger("on_text", "AFTER UPDATE OF question_text");
          await trigger("on_insert", "AFTER INSERT");
          await trigger("switched_off", "AFTER UPDATE");
          await ground.sql(`ALTER TABLE ${qualified(target)} DISABLE TRIGGER switched_off`);
          const { updateTriggers } = await using(target, (store) => store.describe());
          expect(updateTriggers.map(({ name }) => name)).toEqual(["any_update", "on_embedding"]);
        },
      );

      it.each([
        ["real[]", "real[]", undefined],
        ["text", "text", undefined],
        ["numeric(5,2)", "numeric(5,2)", undefined],
      ])("an embedding of type %s is told as it is", async (type, typeName, dimensions) => {
        const target = await table(`id int PRIMARY KEY, question_text text, embedding ${type}`);
        const { embedding } = await using(target, (store) => store.describe());
        // the API leaves out what a built-in type is limited to
        const told = typeName.replace(/\(.*/, "");
        expect(embedding).toEqual({ typeName: expect.stringContaining(told), dimensions });
      });

      it("tells halfvec, no width, and a key of a type it cannot use", async () => {
        const target = await table(
          `id date PRIMARY KEY, question_text text, embedding ${quoted(ground.vectorSchema)}.halfvec`,
        );
        const description = await using(target, (store) => store.describe());
        expect(description).toMatchObject({
          idType: undefined,
          idTypeName: "date",
          embedding: { typeName: "halfvec", dimensions: undefined },
        });
      });

      it("sees through domains to the key's type", async () => {
        await ground.sql(`CREATE DOMAIN public.question_id AS bigint`);
        const target = await table(
          `id public.question_id PRIMARY KEY, question_text text, embedding ${vectorType()}`,
        );
        await insert(target, [["1", "a"]]);
        await using(target, async (store) => {
          expect((await store.describe()).idType).toBe("integer");
          expect(await store.apply((await readAll(store, 10)).map(embedded))).toEqual(["written"]);
        });
      });

      it("names the tables there are when the table is not there, in every call", async () => {
        const target = { ...(await questions(["a"])), table: "QUESTIONS_1" };
        const row = { id: "1", fingerprint: "", vector: vectorOf(1) };
        const expected = userError("fatal", /no table public\.QUESTIONS_1/, /questions_1/);
        await using(target, async (store) => {
          expect(await rejection(store.describe())).toEqual(expected);
          expect(await rejection(store.count())).toEqual(expected);
          expect(await rejection(store.readPending({ after: undefined, limit: 1 }))).toEqual(
            expected,
          );
          expect(await rejection(store.apply([row]))).toEqual(expected);
          expect(await rejection(store.clear([row]))).toEqual(expected);
        });
      });

      it.each([
        [{ id: "key" }, /no column key/],
        [{ text: "{question_text} {answer}" }, /no column answer/],
        [{ embedding: "vec" }, /no column vec/],
      ])("lists the columns when %o is not there", async (changes, message) => {
        const target = { ...(await questions(["a"])), ...changes };
        const failure = using(target, (store) => store.describe());
        expect(await rejection(failure)).toEqual(
          userError("fatal", message, /question_text \(text\)/),
        );
      });
    });

    it("has nothing to do with indexes, and says so", unless(lacks.indexes !== true), async () => {
      const target = await questions(["a"]);
      expect(await using(target, async (store) => store.indexes)).toBeUndefined();
    });

    describe("the ANN indexes", unless(lacks.indexes), () => {
      const never = new AbortController().signal;

      it("are built again just as they were, whatever they are", async () => {
        const target = await indexed([
          ["plain ann", `${cosine()} WITH (m = 8, ef_construction = 32)`],
          ['the "half"', `hnsw ((embedding::${vectorType("halfvec")}) ${ops("halfvec_l2_ops")})`],
          ["part_ann", `${cosine()} WHERE id > 1 AND question_text <> 'it''s'`],
          ["lists_ann", `ivfflat (embedding ${ops("vector_l2_ops")}) WITH (lists = 2)`],
        ]);
        await ground.sql(`COMMENT ON INDEX public."plain ann" IS 'for the app''s search'`);
        await ground.sql(`CREATE INDEX other ON ${qualified(target)} (question_text)`);
        await withIndexes(target, async (indexes) => {
          const before = await indexes.read();
          expect(before.map(({ name, method }) => [name, method])).toEqual([
            ["lists_ann", "ivfflat"],
            ["part_ann", "hnsw"],
            ["plain ann", "hnsw"],
            ['the "half"', "hnsw"],
          ]);
          expect(before.every(({ valid, obstacle }) => valid && obstacle === undefined)).toBe(true);
          for (const { name } of before) await indexes.drop(name);
          expect(await indexes.read()).toEqual([]);
          for (const index of before) expect(await indexes.build(index, never)).toBe("built");
          expect(await indexes.read()).toEqual(before);
        });
        const [other] = await ground.sql("SELECT to_regclass('public.other')::text AS name");
        expect(other?.["name"]).toBe("other");
      });

      it("are nothing to drop or to build twice", async () => {
        const target = await indexed([["twice_ann", cosine()]]);
        await withIndexes(target, async (indexes) => {
          const index = given((await indexes.read())[0]);
          expect(await indexes.build(index, never)).toBe("standing");
          await indexes.drop(index.name);
          await indexes.drop(index.name);
          expect(await indexes.build(index, never)).toBe("built");
          expect(await indexes.build(index, never)).toBe("standing");
          expect(await indexes.read()).toEqual([index]);
        });
      });

      it("that somebody built meanwhile are left alone: the same, under any name, or another", async () => {
        const target = await indexed([["by_us", cosine()]]);
        await withIndexes(target, async (indexes) => {
          const index = given((await indexes.read())[0]);
          await indexes.drop("by_us");
          await ground.sql(`CREATE INDEX "By Hand" ON ${qualified(target)} USING ${cosine()}`);
          expect(await indexes.build(index, never)).toBe("standing");
          await indexes.drop("By Hand");
          await ground.sql(
            `CREATE INDEX by_us ON ${qualified(target)} USING ${cosine()} WITH (m = 4)`,
          );
          expect(await indexes.build(index, never)).toBe("replaced");
          expect((await indexes.read()).map(({ name }) => name)).toEqual(["by_us"]);
        });
      });

      it("that a failed build left invalid are told as such, dropped, and built", async () => {
        const target = await indexed([["broken_ann", cosine()]]);
        await ground.sql(
          "UPDATE pg_catalog.pg_index SET indisvalid = false WHERE indexrelid = 'public.broken_ann'::regclass",
        );
        await withIndexes(target, async (indexes) => {
          const index = given((await indexes.read())[0]);
          expect(index.valid).toBe(false);
          expect(await indexes.build(index, never)).toBe("built");
          expect(await indexes.read()).toEqual([{ ...index, valid: true }]);
        });
        const { embeddingIndexes } = await using(target, (store) => store.describe());
        expect(embeddingIndexes).toMatchObject([{ name: "broken_ann", valid: true }]);
      });

      it("of a partitioned table are not to be dropped, and it is said why", async () => {
        const target = { ...QUESTIONS, table: "parted" };
        await ground.sql(
          `CREATE TABLE public.parted (id bigint PRIMARY KEY, question_text text, embedding ${vectorType()}) PARTITION BY RANGE (id)`,
        );
        await ground.sql(
          "CREATE TABLE public.part_one PARTITION OF public.parted FOR VALUES FROM (0) TO (100)",
        );
        await ground.sql(`CREATE INDEX parted_ann ON public.parted USING ${cosine()}`);
        for (const name of ["parted", "part_one"]) {
          const found = await withIndexes({ ...target, table: name }, (indexes) => indexes.read());
          expect(found).toMatchObject([{ obstacle: "the table is partitioned" }]);
        }
      });

      it("are not built once the signal is aborted", async () => {
        const target = await indexed([["late_ann", cosine()]]);
        await withIndexes(target, async (indexes) => {
          const index = given((await indexes.read())[0]);
          await indexes.drop(index.name);
          const reason = new Error("enough");
          expect(await rejection(indexes.build(index, AbortSignal.abort(reason)))).toBe(reason);
          expect(await indexes.read()).toEqual([]);
        });
      });

      it("that cannot be built say what the database has against it", async () => {
        const target = await indexed([["taken_ann", cosine()]]);
        await withIndexes(target, async (indexes) => {
          const index = given((await indexes.read())[0]);
          await indexes.drop(index.name);
          await ground.sql("CREATE VIEW public.taken_ann AS SELECT 1 AS one");
          expect(await rejection(indexes.build(index, never))).toEqual(
            userError("fatal", /taken_ann could not be built: .*already exists/, /CREATE INDEX/),
          );
        });
      });

      it("report no progress where nothing is built", async () => {
        const target = await indexed([]);
        expect(await withIndexes(target, (indexes) => indexes.progress())).toBeUndefined();
      });
    });

    it("refuses to read or write a table that cannot be filled", async () => {
      const target = { ...(await questions(["a"])), dimensions: 768 };
      await using(target, async (store) => {
        const expected = userError("fatal", /128 dimensions, and 768/);
        expect(await rejection(store.readPending({ after: undefined, limit: 1 }))).toEqual(
          expected,
        );
        const row = { id: "1", fingerprint: "", vector: vectorOf(1) };
        expect(await rejection(store.apply([row]))).toEqual(expected);
      });
    });

    function sqlVector(of: number | Float32Array): string {
      const vector = typeof of === "number" ? vectorOf(of) : of;
      return `'[${vector.join(",")}]'::${quoted(ground.vectorSchema)}.vector`;
    }
  });
}

export function qualified(target: Target): string {
  return `${quoted(target.schema)}.${quoted(target.table)}`;
}

function given<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the test's own set-up is wrong");
  return value;
}

/** 1 to `n`. */
function range(n: number): number[] {
  return Array.from({ length: n }, (_, index) => index + 1);
}

/** What the promise was rejected with; a failure of the test when it was not. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  const result = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ("error" in result) return result.error;
  throw new Error("the promise was fulfilled", { cause: result.value });
}

/** A matcher for an error that tells a person this. */
export function userError(exit: ExitReason, message: RegExp, hint = /./): unknown {
  return expect.objectContaining({
    name: "UserError",
    exit,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(hint),
  });
}

/** Vectors come back in the shortest digits that give the same float32 again. */
function expectVector(value: number[] | undefined, vector: Float32Array): void {
  expect(value && Float32Array.from(value)).toEqual(vector);
}

function sqlValue(value: string | null): string {
  return value === null ? "NULL" : literal(value);
}

async function readAll(store: Store, limit: number): Promise<PendingQuestion[]> {
  const all: PendingQuestion[] = [];
  for (;;) {
    const page = await store.readPending({ after: all.at(-1)?.id, limit });
    all.push(...page);
    if (page.length < limit) return all;
  }
}
