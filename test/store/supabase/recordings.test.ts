/**
 * The Supabase tests run against a double of PostgREST. Is it one? What a real PostgREST of the newer version was
 * recorded to answer for tables of every kind, and what the older one answered otherwise, is asked of the double
 * again. Beside this file the full run asks all that both were recorded to answer.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { SERVICE_ROLE_KEY } from "./keys.ts";
import { openProject, type Project } from "./project.ts";
import {
  documentedTables,
  exchangesOf,
  HEAVY,
  KINDS_SQL,
  prepareQuestions,
  recorded,
  recordedLines,
  seen,
  type TimelineAnswer,
  timelines,
  type Recorded,
} from "./recordings.ts";
import { sized } from "../../size.ts";

const OLD = exchangesOf("13.0.8").map(({ name }) => name);
const NEW = exchangesOf("14.17").filter(({ name }) => !HEAVY.test(name));
const EACH = sized({ quick: 5, full: 1 });
const OWN_OF_13 = ["err-function-wrong-arg", "err-range-beyond-count"];

describe("the double answers as PostgREST 13 did", () => {
  let project: Project;
  beforeAll(async () => {
    project = await prepareQuestions(await openProject({ version: "13.0.8" }));
  });
  afterAll(() => project.close());

  it.each(exchangesOf("13.0.8").filter(({ name }) => OWN_OF_13.includes(name)))(
    "$name: $what",
    async (exchange) => {
      expect(await seen(project, exchange)).toEqual(recorded(exchange));
    },
  );
});

describe("through tables of every kind", () => {
  const schemas = ["public", "Shop", "Shop Data", "shop_lower"];
  let project: Project;
  beforeAll(async () => {
    project = await openProject({ version: "14.17", schemas });
    await project.runScript(KINDS_SQL);
  });
  afterAll(() => project.close());

  it.each(
    // a row that is written goes to another place, and is read in another order
    NEW.filter(({ name }) => !OLD.includes(name) && !/stale|after-reload/.test(name))
      .filter((_, at) => at % EACH === 0)
      .toSorted((one, other) => one.request.method.localeCompare(other.request.method)),
  )("$name: $what", async (exchange) => {
    if (exchange.request.method !== "GET") {
      await project.runScript("UPDATE d_big SET embedding = NULL WHERE id > 0");
    }
    await project.runScript(BEFORE.find(([name]) => name.test(exchange.name))?.[1] ?? "");
    trouble(project, exchange);
    const answer = await seen(project, exchange);
    project.api.trouble(undefined);
    await project.runScript(GRANTS);
    expect(answer).toEqual(recorded(exchange));
  });

  it("describes each in its document as it did", async () => {
    const { definitions, paths } = await document(project);
    const expected = documentedTables().filter(({ fixtures }) => fixtures === "kinds");
    expect(Object.keys(definitions).toSorted()).toEqual(expected.map(({ table }) => table));
    for (const { table, onlyGet = false, required, properties } of expected) {
      const methods = onlyGet ? ["get"] : ["get", "post", "delete", "patch"];
      expect(Object.keys(paths[`/${table}`] ?? {})).toEqual(methods);
      expect({ table, ...definitions[table] }).toEqual({
        table,
        ...(required === undefined ? {} : { required }),
        properties,
        type: "object",
      });
    }
  });

  describe("that were changed while it did not hear of it", () => {
    beforeAll(async () => {
      await project.runScript(BEFORE_THE_CHANGE);
      await document(project);
      project.api.hear(false);
      await project.runScript(THE_CHANGE);
    });
    afterAll(() => project.runScript("DROP TABLE t_fresh"));
    const stale = NEW.filter(({ name }) => name.includes("stale"));

    it.each(stale)("$name: $what", async (exchange) => {
      expect(await seen(project, exchange)).toEqual(recorded(exchange));
    });

    it.each(stale.filter(({ documentHas }) => documentHas !== undefined))(
      "$name has what it had",
      async ({ documentHas = {} }) => {
        const { definitions } = await document(project);
        const now = Object.keys(documentHas).map((place) => {
          const [table = "", column] = place.split(".");
          const { properties = {} } = definitions[table] ?? {};
          const there = column === undefined ? table in definitions : properties[column]?.format;
          return [place, there ?? false];
        });
        expect(Object.fromEntries(now)).toEqual(documentHas);
      },
    );

    it.each(NEW.filter(({ name }) => name.includes("after-reload")))(
      "$name: $what",
      async (exchange) => {
        project.api.hear(true);
        expect(await seen(project, exchange)).toEqual(recorded(exchange));
      },
    );
  });

  it.each(timelines())("$name: $what", async ({ name, steps }) => {
    const { sql, ask } = ASKED.find(([which]) => which.test(name))?.[1] ?? BIG;
    project.api.hear(false);
    await project.runScript(sql);
    for (const [index, step] of steps.entries()) {
      if (index === 0 && step.status === 503) project.api.trouble(troubleOf(step));
      if (index === steps.length - 1) {
        project.api.hear(true);
        project.api.trouble(undefined);
      }
      expect(await answerTo(project, ask)).toMatchObject(step);
    }
  });
});

/** What had to be there for the change. */
const BEFORE_THE_CHANGE = `
  CREATE TABLE t_dropped (id bigint PRIMARY KEY);
  CREATE FUNCTION d_stale(a text) RETURNS text LANGUAGE sql AS 'SELECT a';
  INSERT INTO key_bigint VALUES (1, 'x', NULL);
  -- rows that are read without an order come in that of their keys
  DELETE FROM d_big WHERE id < 0;
  CLUSTER d_big USING d_big_pkey;`;
const THE_CHANGE = `
  CREATE TABLE t_fresh (id bigint PRIMARY KEY, embedding extensions.vector(8));
  DROP TABLE t_dropped;
  ALTER TABLE d_big ADD COLUMN second extensions.vector(8);
  ALTER TABLE d_gen RENAME q TO renamed;
  ALTER TABLE key_bigint ALTER embedding TYPE extensions.vector(4);
  CREATE FUNCTION f_fresh(rows jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
  DROP FUNCTION d_stale;
  CREATE FUNCTION d_stale(b text) RETURNS text LANGUAGE sql AS 'SELECT b';
  CREATE FUNCTION d_default(a text, n integer, m integer) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';`;

/** How each timeline begins, and what was asked all the while. */
const ASKED: readonly (readonly [name: RegExp, Readonly<{ sql: string; ask: string }>])[] = [
  [/trigger-table/, { sql: "CREATE TABLE t_watch (id bigint)", ask: "t_watch?select=id" }],
  [/trigger-drop/, { sql: "DROP TABLE t_watch", ask: "t_watch?select=id" }],
  [
    /trigger-function/,
    { sql: "CREATE FUNCTION f_watch() RETURNS int LANGUAGE sql AS 'SELECT 1'", ask: "rpc/f_watch" },
  ],
  [/reload-schema/, { sql: "CREATE TABLE t_fresh (id bigint)", ask: "t_fresh?select=id" }],
];
const BIG = { sql: "", ask: "d_big?select=id&limit=1" };

function troubleOf({ code, details }: TimelineAnswer): Parameters<Project["api"]["trouble"]>[0] {
  return code === "PGRST000" ? { kind: "lost", words: details ?? "" } : { kind: "starting" };
}

async function answerTo({ api }: Project, path: string): Promise<unknown> {
  const answer = await fetch(`${api.url}/rest/v1/${path}`, {
    headers: { apikey: SERVICE_ROLE_KEY },
  });
  const { code, message, details } = Object(await answer.json());
  return { status: answer.status, code, message, details };
}

async function document({ api }: Project): Promise<z.infer<typeof DOCUMENT>> {
  const answer = await fetch(`${api.url}/rest/v1/`, { headers: { apikey: SERVICE_ROLE_KEY } });
  return DOCUMENT.parse(await answer.json());
}

const DOCUMENT = z.object({
  paths: z.record(z.string(), z.looseObject({})),
  definitions: z.record(
    z.string(),
    z.looseObject({
      properties: z.record(z.string(), z.looseObject({ format: z.string().optional() })),
    }),
  ),
});

const BEFORE: readonly (readonly [name: RegExp, sql: string])[] = [
  [/no-extensions-usage/, "REVOKE USAGE ON SCHEMA extensions FROM PUBLIC, service_role"],
  [/no-public-usage/, "REVOKE USAGE ON SCHEMA public FROM PUBLIC, service_role"],
];
const GRANTS = "GRANT USAGE ON SCHEMA public, extensions TO PUBLIC, service_role";

function trouble({ api }: Project, { name, response }: Recorded): void {
  if (/(nologin|down)-first/.test(name)) {
    api.trouble({ kind: "lost", words: JSON.parse(response.body).details });
  } else if (/no-schema-cache|nologin|postgres-down/.test(name)) {
    api.trouble({ kind: "starting" });
  } else if (name.includes("PGRST003")) {
    api.trouble({ kind: "no connection left" });
  } else if (name === "err-terminated-mid-call") {
    api.trouble({ kind: "cut in the middle" });
  }
}

it("the recordings are all there", () => {
  expect(recordedLines("13.0.8")).toHaveLength(73);
  expect(recordedLines("14.17")).toHaveLength(189);
});
