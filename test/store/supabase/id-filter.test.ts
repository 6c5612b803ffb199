/** An id may be any text. Does a filter ask for exactly the rows that are meant, alone and in company? */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { idFilter } from "../../../src/store/supabase/row-store.ts";
import { connectSupabase } from "../../../src/store/supabase/supabase.ts";
import { SECRET_KEY } from "./keys.ts";
import { openProject, type Project } from "./project.ts";

const IDS = [
  "",
  '"',
  '""',
  "a,b",
  "a\\",
  "\\",
  "(p)",
  ")",
  "a.b",
  "eq.a",
  "é",
  "e\u0301",
  "😀",
  "null",
  "*",
  "100%",
  "plus+x",
  " s ",
  "a\nb",
];
let project: Project;

beforeAll(async () => {
  project = await openProject();
  await project.database.query("CREATE TABLE odd (id text PRIMARY KEY)");
  for (const id of [...IDS, "other"]) {
    await project.database.query("INSERT INTO odd VALUES ($1)", [id]);
  }
});
afterAll(() => project.close());

async function found(ids: readonly string[]): Promise<unknown> {
  const api = connectSupabase({ url: project.api.url, key: SECRET_KEY });
  return api.select({
    schema: "public",
    table: "odd",
    columns: "id",
    filters: [idFilter("id", ids)],
    order: "id",
    limit: 10,
  });
}

describe.each(IDS)("the id %j", (id) => {
  it("is found alone", async () => {
    expect(await found([id])).toEqual([{ id }]);
  });

  it("is found in company", async () => {
    const rows = await found([id, "other"]);
    expect(rows).toHaveLength(2);
    expect(rows).toEqual(expect.arrayContaining([{ id }, { id: "other" }]));
  });
});
