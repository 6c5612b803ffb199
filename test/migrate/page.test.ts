// I type what docs/migrate.md says, from top to bottom: does each line do what stands there?
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { read, sectionsOf } from "../page.ts";
import { openStage } from "../stage.ts";
import { IN_FULL } from "../size.ts";

const LIMIT_MS = 120_000;

test("every command of the page", { timeout: LIMIT_MS, ...IN_FULL }, async () => {
  const stage = await openStage("embedded");
  try {
    await stage.sql("create extension if not exists vector");
    await stage.sql("alter table questions add column embedding vector(768)");
    await stage.addRows(12);
    await stage.run(["run"]);
    await writeFile(
      join(stage.home, "queries.jsonl"),
      '{"query": "What is known of number 7?", "relevant": [7]}\n',
    );
    const shell = sectionsOf(read("docs/migrate.md")).flatMap(({ blocks }) =>
      blocks.filter(({ language }) => language === "sh"),
    );
    for (const line of shell.flatMap(({ code }) => code.trimEnd().split("\n"))) {
      await stage.type(line);
    }
    expect(stage.ran()).toHaveLength(8);
    const columns = await stage.sql(
      "select column_name from information_schema.columns where table_name = 'questions' order by 1",
    );
    expect(columns).toEqual([["embedding_new"], ["id"], ["question_text"]]);
    const [filled] = await stage.sql("select count(embedding_new)::text from questions");
    expect(filled).toEqual(["12"]);
  } finally {
    await stage.close();
  }
});
