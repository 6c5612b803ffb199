/**
 * I feed the progress into a dashboard: is every line on stderr an object, is each of its members
 * described in docs/progress.md, and is nothing described that never comes?
 */
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { startEmulator } from "../../src/emulator/emulator.ts";
import { UserError } from "../../src/errors.ts";
import { failureOf } from "../../src/output/failure.ts";
import { createOutput } from "../../src/output/output.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { Secret, redactor } from "../../src/settings/environment/secret.ts";
import { runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { EXAMPLES } from "./reports.ts";
import { keepOpen } from "../embedded/kept.ts";

const PAGE = readFileSync(
  fileURLToPath(new URL("../../docs/progress.md", import.meta.url)),
  "utf8",
);
const EVERY_LINE = ["schemaVersion", "type", "at"];

/** Type → members, as the page's table has them. */
const DESCRIBED = new Map(
  tableRows(PAGE.split("<!-- events -->\n")[1] ?? "").map(
    ([, type = "", members = ""]) => [code(type)[0] ?? "", code(members)] as const,
  ),
);

/** The rows of the table that the text begins with, without its titles. */
function tableRows(text: string): string[][] {
  const lines = text.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("|"));
  return lines.slice(2, end).map((row) => row.split("|").map((cell) => cell.trim()));
}

function code(cell: string): string[] {
  return Array.from(cell.matchAll(/`(?<name>[^`]+)`/g), ({ groups }) => groups?.["name"] ?? "");
}

function setUp() {
  const stdout = new PassThrough({ encoding: "utf8" });
  const stderr = new PassThrough({ encoding: "utf8" });
  let elapsedMs = 0;
  const output = createOutput(
    { stdout, stderr },
    {
      json: false,
      quiet: false,
      verbose: true,
      color: true,
      progressJson: true,
      env: { FORCE_COLOR: "1" },
      redact: redactor([new Secret("AIza-very-secret")]),
      clock: { ...systemClock, elapsedMs: () => elapsedMs },
      display: undefined,
    },
  );
  return {
    output,
    pass: (ms: number) => {
      elapsedMs += ms;
    },
    lines: () => linesOf(String(stderr.read() ?? "")),
  };
}

function linesOf(stderr: string): Record<string, unknown>[] {
  return stderr
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

function expectDescribed(lines: readonly Record<string, unknown>[]): void {
  for (const line of lines) {
    const { schemaVersion, type, at, ...members } = line;
    expect(schemaVersion).toBe(1);
    expect(new Date(String(at)).toISOString()).toBe(at);
    expect([type, Object.keys(members).sort()]).toEqual([
      type,
      [...(DESCRIBED.get(String(type)) ?? [])].sort(),
    ]);
  }
}

describe("each line", () => {
  it("has a type, and the members that the page names", () => {
    const { output, lines, pass } = setUp();
    for (const event of Object.values(EXAMPLES)) {
      output.report(event);
      pass(1_000);
    }
    output.notice("next: vecfill jobs");
    output.detail("a detail");
    output.failure("run", failureOf(new UserError("No.", { hint: "Yes.", exit: "usage" })));
    output.close();
    const all = lines();
    expectDescribed(all);
    expect(new Set(all.map(({ type }) => type))).toEqual(new Set(DESCRIBED.keys()));
  });

  it("is an object even for warnings and errors, with no secret and no colour in it", () => {
    const { output, lines } = setUp();
    output.report({ type: "warning", message: "AIza-very-secret\n\u{1b}[31m", hint: undefined });
    expect(lines()).toEqual([
      {
        schemaVersion: 1,
        type: "warning",
        at: expect.any(String),
        message: "[secret]\n\u{1b}[31m",
        hint: null,
      },
    ]);
  });
});

describe("figures that move", () => {
  it("come once a second, and at the end as they are", () => {
    const { output, lines, pass } = setUp();
    output.report({ ...EXAMPLES.job, state: "downloaded" });
    for (let rows = 0; rows < 30; rows += 1) {
      output.report({
        type: "importing",
        job: "0001",
        rows: rows * 10,
        written: rows * 10,
        requests: 1_000,
      });
      pass(100);
    }
    output.close();
    const all = lines();
    expect(all.filter(({ type }) => type === "importing")).toHaveLength(3);
    expect(all.at(-1)).toMatchObject({ type: "progress", written: 290, total: 1_000 });
  });
});

describe("a run", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("tells itself in such lines, to the end", { timeout: 60_000 }, async () => {
    const emulator = await startEmulator({ batchSeconds: 0, tier: "off", faults: "shuffle" });
    const url = keepOpen(join(folder, "database"));
    const database = await openDatabase({ url });
    await database.query("CREATE EXTENSION vector");
    await database.query(
      "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
    );
    await database.query(
      "INSERT INTO questions SELECT n, 'Number ' || n FROM generate_series(1, 30) n",
    );
    await database.close();
    const env = {
      DATABASE_URL: url,
      GEMINI_API_KEY: "key-of-this-test",
      GOOGLE_GEMINI_BASE_URL: emulator.url,
    };
    const args = [
      "run",
      "--jobs-dir",
      join(folder, "jobs"),
      "--yes",
      "--progress-json",
      "--json",
      "--max-job-rows",
      "10",
      "--poll-interval",
      "0.01",
    ];
    const { code: exit, stdout, stderr } = await runHere(args, { env, folder });
    await emulator.close();
    expect(exit, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ written: 30 });
    const lines = linesOf(stderr);
    expectDescribed(lines);
    expect(lines.filter(({ type }) => type === "progress").at(-1)).toMatchObject({
      total: 30,
      isTotalExact: true,
      written: 30,
      atGemini: 0,
    });
    const states = lines.filter(({ type, job }) => type === "job" && job === "0001");
    expect(states.map(({ state }) => state)).toEqual(
      expect.arrayContaining(["exported", "submitted", "succeeded", "downloaded", "imported"]),
    );
  });
});

it("every line has the members that the page says every line has", () => {
  for (const name of EVERY_LINE) expect(PAGE).toContain(`\`${name}\``);
});
