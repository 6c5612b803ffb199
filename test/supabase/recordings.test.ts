/**
 * The Supabase tests run against a double of PostgREST. Is it one? Everything that a real PostgREST
 * of the newer version was recorded to answer, and what the older one answered otherwise, is asked of
 * the double again. Beside this file the full run asks all of the older version's.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { SERVICE_ROLE_KEY } from "./keys.ts";
import { openProject, type Project } from "./project.ts";
import {
  documentedTables,
  exchangesOf,
  KINDS_SQL,
  prepareQuestions,
  recorded,
  recordedLines,
  resetQuestions,
  seen,
  type Recorded,
} from "./recordings.ts";

const OLD = exchangesOf("13.0.8").map(({ name }) => name);
/** They need timers in the server, or more than half a minute in the embedded one. */
const HEAVY =
  /^err-statement-timeout|-2500x768-|role-timeout|own-timeout|lock-timeout-real|cancelled/;
const NEW = exchangesOf("14.17").filter(({ name }) => !HEAVY.test(name));
const OWN_OF_13 = ["err-function-wrong-arg", "err-range-beyond-count"];

describe("the double answers as PostgREST 14 did", () => {
  let project: Project;
  beforeAll(async () => {
    project = await prepareQuestions(await openProject({ version: "14.17" }));
  });
  afterAll(() => project.close());

  it.each(NEW.filter(({ name }) => OLD.includes(name)))("$name: $what", async (exchange) => {
    await resetQuestions(project, exchange);
    expect(await seen(project, exchange)).toEqual(recorded(exchange));
  });
});

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
    NEW.filter(
      ({ name }) => !OLD.includes(name) && !/stale|after-reload|openapi/.test(name),
    ).toSorted((one, other) => one.request.method.localeCompare(other.request.method)),
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
    const headers = { apikey: SERVICE_ROLE_KEY };
    const answer = await fetch(`${project.api.url}/rest/v1/`, { headers });
    const { definitions } = DOCUMENT.parse(await answer.json());
    const expected = documentedTables().filter(({ fixtures }) => fixtures === "kinds");
    expect(Object.keys(definitions).toSorted()).toEqual(expected.map(({ table }) => table));
    for (const { table, required, properties } of expected) {
      expect({ table, ...definitions[table] }).toEqual({
        table,
        ...(required === undefined ? {} : { required }),
        properties,
        type: "object",
      });
    }
  });
});

const DOCUMENT = z.object({ definitions: z.record(z.string(), z.record(z.string(), z.unknown())) });

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
