// It is three in the morning and I type what the guide says, from top to bottom: does every command
// do what stands there, end with the exit code that stands there, and is the column full and right?
// The page is walked as it is. What it does not tell, such as rows that fail, is set up by SCENES.
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfigFile } from "../../src/settings/config-file.ts";
import { MODELS, textPrefix } from "../../src/row/models.ts";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { commentOf, guideText, sectionsOf, words } from "../page.ts";
import { IN_FULL } from "../size.ts";
import { hasNativeServer } from "../store/postgres/native-database.ts";
import { openStage, type Stage } from "../stage.ts";

const GUIDE = guideText();
const SECTIONS = sectionsOf(GUIDE);
const LIMIT_MS = 300_000;
const FEW = 5;
const NEW_MODEL = "gemini-embedding-2";

type Scene = Readonly<{
  /** Before each block of shell; counts from 0. */
  before?: (stage: Stage, block: number) => Promise<void>;
  after?: (stage: Stage) => Promise<void>;
}>;

const FULL_AND_RIGHT = { empty: 0, wrong: 0 };
const full = async (stage: Stage) => expect(await stage.column()).toMatchObject(FULL_AND_RIGHT);
const newRows = (stage: Stage) => stage.addRows(FEW);

/** By the number of the section. */
const SCENES: Readonly<Record<string, Scene>> = {
  "1": {
    before: async (stage, block) => (block === 0 ? stage.addRows(140) : undefined),
    after: async ({ home }) => {
      const { entries } = await loadConfigFile(home, undefined);
      expect(entries.size).toBeGreaterThan(0);
    },
  },
  "4": {
    after: async (stage) =>
      expect(await stage.column()).toMatchObject({ rows: 140, empty: 40, wrong: 0 }),
  },
  "5": { before: newRows, after: full },
  "6": {
    before: async (stage, block) => {
      if (block > 0) return;
      stage.hold();
      await stage.addRows(FEW);
      const first = (await readManifest("jobs")).jobs().length;
      void stage.run(["run"]);
      await stage.untilJob(({ id, state }) => state === "submitted" && Number(id) > first);
      stage.callJob((jobs) => jobs.at(-1));
    },
    after: async (stage) => {
      await stage.untilJob(({ state }) => state === "imported");
      await full(stage);
    },
  },
  "7": {
    before: async (stage, block) => TROUBLES[block]?.(stage),
    after: async (stage) => {
      await stage.sql(`delete from questions where length(question_text) > 1000`);
      await full(stage);
    },
  },
  "9": {
    before: async (stage) =>
      stage.callJob((jobs) => jobs.find(({ sums }) => (sums?.written ?? 0) > 0)),
    after: async (stage) => {
      const rolledBack = (await readManifest("jobs")).jobs().filter((job) => job.rolledBack > 0);
      expect(rolledBack).toHaveLength(1);
      await full(stage);
    },
  },
  "10": {
    after: async ({ home }) => {
      const left = await readdir(join(home, "jobs"));
      expect(left.filter((name) => name.endsWith(".results.jsonl"))).toEqual([]);
    },
  },
  "11": {
    before: newRows,
    after: async (stage) => {
      const prefix = textPrefix(MODELS[NEW_MODEL], "RETRIEVAL_DOCUMENT");
      expect(await stage.column(NEW_MODEL, prefix)).toMatchObject(FULL_AND_RIGHT);
      const columns = await stage.sql(
        `select column_name from information_schema.columns
         where table_name = 'questions' and column_name like 'embedding%'`,
      );
      expect(columns).toEqual([["embedding"]]);
      const config = join(stage.home, "vecfill.config.json");
      const settings: object = JSON.parse(await readFile(config, "utf8"));
      await writeFile(config, JSON.stringify({ ...settings, model: NEW_MODEL }));
    },
  },
  "12": {
    before: async (stage, block) => {
      const create =
        "create table answers (id bigint primary key, body text, embedding vector(768));";
      if (block === 0) await nameTargets(stage.home);
      await stage.sql(
        `${block === 0 ? create : ""}
         insert into answers (id, body) select n, 'Answer ' || n
         from generate_series(${block * FEW + 1}, ${(block + 1) * FEW}) n`,
      );
    },
    after: async (stage) =>
      expect(
        await stage.sql(
          "select count(*)::text as rows, count(embedding)::text as filled from answers",
        ),
      ).toEqual([[String(2 * FEW), String(2 * FEW)]]),
  },
};

/** As the section has them, beside what is there. */
async function nameTargets(home: string): Promise<void> {
  const path = join(home, "vecfill.config.json");
  const { schema, table, text, ...rest } = JSON.parse(await readFile(path, "utf8"));
  expect([schema, table, text]).toEqual(["public", "questions", "question_text"]);
  const targets = [
    { name: "questions", table },
    { name: "answers", table: "answers", text: "body" },
  ];
  await writeFile(path, JSON.stringify({ ...rest, targets }));
}

/** What goes wrong before each block of the section on that. */
const TROUBLES: readonly ((stage: Stage) => Promise<void>)[] = [
  async (stage) => {
    stage.hold();
    await newRows(stage);
  },
  async (stage) => {
    stage.hold();
    await newRows(stage);
    await stage.dieSubmitting();
  },
  async (stage) => {
    await stage.run(["run"]);
    await stage.addRows(10);
    stage.emulator.setFaults("permanent=0.5");
    stage.callJob((jobs) => jobs.findLast(({ outstanding }) => outstanding.lines > 0));
  },
  async (stage) => stage.emulator.setFaults(""),
  async (stage) => {
    await stage.sql(
      `insert into questions (id, question_text) values (0, 'Long: ' || repeat('word ', 5000))`,
    );
  },
  async (stage) => {
    stage.hold();
    await newRows(stage);
    await stage.run(["export"]);
    await stage.run(["submit"]);
    stage.callJob((jobs) => jobs.findLast(({ state }) => state === "submitted"));
  },
];

// each command of it is tested at small size elsewhere: the walk shows that the page is right
const kinds = hasNativeServer ? (["embedded", "native"] as const) : (["embedded"] as const);

describe.each(kinds)(
  "the guide from top to bottom, with a database that is %s",
  IN_FULL,
  (kind) => {
    let stage: Stage;
    /** Where a section ended; after one that failed nothing is as the next expects it. */
    let isAsExpected = true;

    beforeAll(async () => {
      stage = await openStage(kind);
    }, LIMIT_MS);
    afterAll(() => stage.close());

    test.for(SECTIONS)("$title", { timeout: LIMIT_MS }, async ({ title, blocks }, { skip }) => {
      skip(!isAsExpected, "a section before this one failed");
      isAsExpected = false;
      const scene = SCENES[title.split(".")[0] ?? ""];
      let shells = 0;
      for (const { language, code } of blocks) {
        if (language === "sql") await stage.sql(code);
        if (language === "json") await checkConfig(stage.home, code);
        if (language !== "sh") continue;
        await scene?.before?.(stage, shells);
        shells += 1;
        for (const line of code.trim().split("\n")) await stage.type(line);
      }
      for (const code of await stage.stopServers()) expect(code).toBe(0);
      await scene?.after?.(stage);
      isAsExpected = true;
    });

    test("every command on the page was run, but for those that it lists", () => {
      const run = stage.ran().map((line) => words(line).join(" "));
      const named = Array.from(GUIDE.matchAll(/(?<=`)vecfill [^`]+(?=`)/g), ([line]) =>
        words(line).join(" "),
      );
      const listed = Array.from(GUIDE.matchAll(/^\| `(?<line>vecfill [^`]+)` \|/gm), ({ groups }) =>
        words(groups?.["line"] ?? "").join(" "),
      );
      expect(run.length).toBeGreaterThan(35);
      expect(named.filter((line) => !run.includes(line) && !listed.includes(line))).toEqual([]);
      expect(listed.filter((line) => run.includes(line))).toEqual([]);
      expect(listed.length).toBeLessThan(5);
    });
  },
);

test("comments behind commands are of the kinds that are understood here", () => {
  const lines = SECTIONS.flatMap(({ blocks }) => blocks)
    .filter(({ language }) => language === "sh")
    .flatMap(({ code }) => code.split("\n"));
  const comments = lines.map(commentOf).filter((comment) => comment !== "");
  const known = /^(?:Ctrl-C: )?exit code \d+$|^asks first$|^until Ctrl-C$/;
  expect(comments.length).toBeGreaterThan(4);
  expect(comments.filter((comment) => !known.test(comment))).toEqual([]);
});

/** Options that exist, under names that a config file may have. */
async function checkConfig(home: string, code: string): Promise<void> {
  await writeFile(join(home, "example.json"), code);
  const { entries, targets } = await loadConfigFile(home, "example.json");
  expect(entries.size + targets.size).toBeGreaterThan(0);
}
