/**
 * I ask for help, or mistype: does every page fit a terminal of 80 columns and show examples and exit
 * codes, and does each complaint say what is wrong and what to type?
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { loadConfiguration } from "../../src/settings/config.ts";
import { COMMAND_NAMES } from "../../src/settings/option.ts";
import { runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(["", ...COMMAND_NAMES])("vecfill %s --help", (command) => {
  it("fits 80 columns and has its purpose, examples, options and exit codes", async () => {
    const args = command === "" ? ["--help"] : [command, "--help"];
    const { code, stdout } = await runHere(args);
    expect(code).toBe(0);
    const tooLong = stdout.split("\n").filter((line) => line.length > 80);
    // a choice of many words is one word itself
    expect(tooLong.filter((line) => line.trim().includes(" "))).toEqual([]);
    expect(stdout).toMatch(/^Usage: vecfill .*\n\n[A-Z]/);
    expect(stdout).toContain(`Usage: vecfill ${command}`);
    expect(stdout).toMatch(/^Examples:\n {2}\$ .*vecfill /m);
    expect(stdout).toMatch(/^Exit codes:\s+0 +done/m);
    expect(stdout).toMatch(/--verbose/);
    if (command === "") return;
    expect((await runHere(["help", command])).stdout).toBe(stdout);
    expect((await runHere([command, "-h"])).stdout).toBe(stdout);
  });
});

test("the name alone says in ten lines or so what it is, and how to see it work", async () => {
  const { code, stdout, stderr } = await runHere([]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout.split("\n").length).toBeLessThan(15);
  expect(stdout.match(/\$ vecfill /g)).toHaveLength(5);
  expect(stdout).toContain("npm run demo");
});

test.each(["version", "-v", "-V", "--version"])("vecfill %s", async (word) => {
  const { code, stdout } = await runHere([word]);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
});

test.each([
  ["--limit", "1,000", "limit", 1000],
  ["--limit", "1,234,567", "limit", 1_234_567],
  ["--timeout", "10m", "timeoutMs", 600_000],
  ["--timeout", "90", "timeoutMs", 90_000],
  ["--poll-interval", "1.5s", "pollIntervalMs", 1500],
  ["--stuck-after", "2d", "stuckAfterMs", 172_800_000],
  ["--stuck-after", "2", "stuckAfterMs", 7_200_000],
  ["--max-cost", "1,000.50", "maxCost", 1000.5],
] as const)("%s %s is taken as people write it", async (flag, given, name, value) => {
  const flags = { [flag.slice(2)]: given };
  const { settings } = await loadConfiguration({ flags, env: {}, folder });
  expect(settings[name]).toBe(value);
});

test.each(["1,00", "1,0000", "10 m", "10x", "m", "-1m"])("--timeout %s is not", async (given) => {
  const { code, stderr } = await runHere(["poll", `--timeout=${given}`]);
  expect([code, stderr]).toEqual([2, expect.stringMatching(/such as 10m or 2h/)]);
});

describe("what is mistyped", () => {
  test.each([
    ["rnu", "There is no command rnu.", "Did you mean `vecfill run`?"],
    ["fill", "There is no command fill.", "`vecfill --help` lists the commands"],
    ["run --tabel x", "There is no option --tabel of run.", "Did you mean --table?"],
    ["run --limt=3", "There is no option --limt of run.", "Did you mean --limit?"],
    ["poll --limit 3", "There is no option --limit of poll.", "--limit is an option of export"],
    ["run --zzzzzz", "There is no option --zzzzzz of run.", "`vecfill run --help` says"],
    ["run extra", "`run` does not know what to do with extra.", "`vecfill run --help` says"],
    ["cancel", "`cancel` needs to be told which job.", "`vecfill jobs` lists them."],
    ["search", "`search` needs a text to look for.", 'As in: vecfill search "a text"'],
    ["poll --jobs-dir", "--jobs-dir needs a value.", "`vecfill poll --help` says"],
    ["worker --lease", "--lease needs a value.", "`vecfill worker --help` says"],
    ["help rnu", "There is no command rnu.", "Did you mean `vecfill run`?"],
    ["--json", "No command is named.", "`vecfill --help` lists the commands"],
  ])("vecfill %s: %s", async (line, what, hint) => {
    const { code, stderr } = await runHere(line.split(" "));
    expect(code).toBe(2);
    const [first = "", second = ""] = stderr.split("\n");
    expect(first).toBe(`error: ${what}`);
    expect(second).toContain(`hint: ${hint}`);
  });
});

const settings = (name: string) => ({
  env: { GEMINI_API_KEY: "key-of-this-test", DATABASE_URL: "pglite:memory" },
  args: ["--jobs-dir", join(folder, name)],
});

describe("in an empty folder", () => {
  test.each([
    ["import", "Nothing to import", "export"],
    ["submit", "Nothing to submit", "export"],
    ["poll", "No job is at Gemini.", "export"],
    ["jobs", "There is no folder", "plan"],
  ])("%s says that there is nothing, and what comes first", async (command, what, next) => {
    const { env, args } = settings(command);
    const { code, stdout, stderr } = await runHere([command, ...args], { env, folder });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(what);
    expect(stderr).toContain(`next: vecfill ${next}`);
  });

  test("a job that is not there is told how to make one", async () => {
    const { env, args } = settings("none");
    const { stderr } = await runHere(["jobs", "0001", ...args], { env, folder });
    expect(stderr).toContain("There is no job 0001; there are none yet.");
    expect(stderr).toContain("`vecfill export");
  });
});
