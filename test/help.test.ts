/**
 * I ask for help, or mistype: does every page fit a terminal of 80 columns and show examples and exit
 * codes, and does each complaint say what is wrong and what to type?
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { COMMAND_NAMES } from "../src/settings/option.ts";
import { runHere } from "./command-line.ts";
import { temporaryFolder } from "./job/sample.ts";

let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(["", ...COMMAND_NAMES])("vecfill %s --help", (command) => {
  it("fits 80 columns and has examples, options and exit codes", async () => {
    const args = command === "" ? ["--help"] : [command, "--help"];
    const { code, stdout } = await runHere(args);
    expect(code).toBe(0);
    expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
    expect(stdout).toMatch(/^Examples:\n\$ .*vecfill /);
    expect(stdout).toContain(`Usage: vecfill ${command}`);
    expect(stdout).toMatch(/^Exit codes:\n +0 {2}done/m);
    expect(stdout).toMatch(/^Output:$/m);
  });
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
    ["run --jobs-dir", "--jobs-dir needs a value.", "`vecfill run --help` says"],
    ["", "No command is named.", "`vecfill --help` lists the commands"],
  ])("vecfill %s: %s", async (line, what, hint) => {
    const { code, stdout, stderr } = await runHere(line === "" ? [] : line.split(" "));
    expect([code, stdout]).toEqual([2, ""]);
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
    ["jobs", "There are no jobs", "export"],
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
