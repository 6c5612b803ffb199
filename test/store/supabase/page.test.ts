/**
 * I have an empty project and do what docs/supabase.md says, from top to bottom, with the API of either
 * version: does every command end well, and is the column full in the end?
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../../src/emulator/emulator.ts";
import { runHere, type Ended } from "../../command-line.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { IN_FULL, sized } from "../../size.ts";
import { sectionsOf, settingsBefore, words } from "../../page.ts";
import { hasNativeServer } from "../postgres/native-database.ts";
import { SECRET_KEY } from "./keys.ts";
import { openNativeProject, openProject, type Project } from "./project.ts";

const ROWS = 130;
const LIMIT_MS = 180_000;
const PAGE = await readFile(new URL("../../../docs/supabase.md", import.meta.url), "utf8");
/** How to install it, and what does not go into a test: other people's tools. */
const NOT_OURS = /^(npm|supabase) /;
const lines = sectionsOf(PAGE).flatMap(({ title, blocks }) =>
  blocks.flatMap(({ language, code }) =>
    language === "sh" && !title.startsWith("3.") ? code.trimEnd().split("\n") : [],
  ),
);
const [settings = "", tableSql = ""] = ["3.", "2."].map(
  (number) => sectionsOf(PAGE).find(({ title }) => title.startsWith(number))?.blocks[0]?.code ?? "",
);

it("the page has the whole way", () => {
  expect(lines.filter((line) => !NOT_OURS.test(line))).toEqual([
    "vecfill init",
    "DATABASE_URL='postgres://…' vecfill init --apply",
    "vecfill doctor",
    "vecfill plan",
    "vecfill run --limit 100",
    "vecfill run",
  ]);
});

const VERSIONS = sized({ quick: ["14.17"], full: ["13.0.8", "14.17"] } as const);

describe.each(VERSIONS)("with the API of PostgREST %s", (version) => {
  let project: Project & Readonly<{ url?: string }>;
  let emulator: Emulator;
  let folder: string;

  beforeAll(async () => {
    project = await (hasNativeServer ? openNativeProject : openProject)({ version });
    emulator = await startEmulator({ batchSeconds: 0, tier: "off" });
    folder = await temporaryFolder();
  });
  afterAll(async () => {
    await emulator.close();
    await project.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** A settings file as the page has it, with values; and what else a user of the emulator sets. */
  async function writeSettings(): Promise<void> {
    const values: Readonly<Record<string, string>> = {
      GEMINI_API_KEY: "a-key",
      SUPABASE_URL: project.api.url,
      SUPABASE_SECRET_KEY: SECRET_KEY,
    };
    const filled = settings.replace(/^(\w+)=.*$/gm, (_, name: string) => `${name}=${values[name]}`);
    const own = `VECFILL_POLL_INTERVAL=0.05\nVECFILL_JOBS_DIR=${join(folder, "jobs")}\n`;
    const gemini = `GOOGLE_GEMINI_BASE_URL=${emulator.url}\n`;
    await writeFile(join(folder, ".env.local"), filled + gemini + own, { mode: 0o600 });
  }

  async function pasteTheMigration(): Promise<void> {
    const place = join(folder, "supabase", "migrations");
    for (const file of await readdir(place)) {
      await project.runScript(await readFile(join(place, file), "utf8"));
    }
  }

  function typed(line: string): Promise<Ended> {
    const env = "DATABASE_URL" in settingsBefore(line) ? { DATABASE_URL: project.url } : {};
    return runHere(words(line), { env, folder });
  }

  it(
    "every command ends well, and the column is full",
    { timeout: LIMIT_MS, ...IN_FULL },
    async () => {
      await project.runScript("CREATE TABLE questions (id bigint PRIMARY KEY, question_text text)");
      await project.runScript(tableSql);
      await project.runScript(
        `INSERT INTO questions SELECT i, 'Which number is ' || i || '?' FROM generate_series(1, ${ROWS}) i`,
      );
      await mkdir(folder, { recursive: true });
      await writeSettings();
      const said = new Map<string, string>();
      for (const line of lines.filter((each) => !NOT_OURS.test(each))) {
        if (line.startsWith("DATABASE_URL") && project.url === undefined) continue;
        const ended = await typed(line);
        expect({ line, ...ended }).toMatchObject({ line, code: 0 });
        if (line === "vecfill init") await pasteTheMigration();
        said.set(line, ended.stdout);
        expect(ended.stderr).not.toMatch(/row by row/);
      }
      expect(said.get("vecfill doctor")).toMatch(/0 failures, 0 warnings/);
      const [state] = await project.database.query(
        "SELECT count(*)::text AS rows, count(embedding)::text AS filled FROM questions",
      );
      expect(state).toEqual({ rows: String(ROWS), filled: String(ROWS) });
    },
  );
});
