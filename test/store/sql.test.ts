/** Can any name or text in a target be anything but a name or a text to the database? */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fingerprintSql } from "../fingerprints.ts";
import type { Database } from "../../src/store/database.ts";
import { openPglite } from "../../src/store/postgres/pglite.ts";
import { quoteIdentifier } from "../../src/row/target.ts";
import { fingerprintExpression, quoteLiteral } from "../../src/store/sql.ts";
import { qualified, QUESTIONS } from "./contract.ts";

const AWKWARD = [
  "'",
  "''",
  "\\",
  "\\'",
  "\\n",
  "E'",
  "$$",
  "--",
  '"',
  "; drop",
  "{}",
  "\n",
  "🦉'\\",
];

let database: Database;

beforeAll(async () => {
  database = await openPglite(undefined);
});
afterAll(() => database.close());

describe.each(["on", "off"])("with standard_conforming_strings %s", (setting) => {
  beforeAll(() => database.query(`SET standard_conforming_strings = ${setting}`));
  afterAll(() => database.query("RESET standard_conforming_strings"));

  it.each(AWKWARD)("%j is a text", async (text) => {
    expect(await database.query(`SELECT ${quoteLiteral(text)} AS t`)).toEqual([{ t: text }]);
  });

  it.each(AWKWARD)("%j is a name", async (name) => {
    expect(await database.query(`SELECT 'x' AS ${quoteIdentifier(name)}`)).toEqual([
      { [name]: "x" },
    ]);
  });
});

it("a recipe over columns of different collations can be compared", async () => {
  await database.query(
    `CREATE TABLE ${qualified(QUESTIONS)} (a text COLLATE "C", b text COLLATE "POSIX")`,
  );
  await database.query(`INSERT INTO ${qualified(QUESTIONS)} VALUES ('x', 'y')`);
  const fingerprint = fingerprintExpression({ ...QUESTIONS, text: "{a} {b}" });
  const rows = await database.query(
    `SELECT 'same' AS same FROM ${qualified(QUESTIONS)} WHERE ${fingerprint} = ${fingerprintSql("'x y'")}`,
  );
  expect(rows).toEqual([{ same: "same" }]);
});
