/**
 * I press Tab: do commands, options, their choices, my job ids and failed files come, in the bash and
 * the zsh that I have, without a vecfill being started for it?
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, test } from "vitest";
import { COMMANDS } from "../../src/commands/commands.ts";
import { completedCommands } from "../../src/commands/completion/words.ts";
import { runHere } from "../command-line.ts";
import { onlyWhere } from "../size.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "vecfill-test-"));
  await mkdir(join(folder, "jobs"));
  await mkdir(join(folder, "other"));
  for (const job of ["0001", "0002"]) {
    await writeFile(join(folder, "jobs", `${job}.requests.jsonl`), "");
  }
  await writeFile(join(folder, "jobs", "0002.failed.jsonl"), "");
  await writeFile(join(folder, "other", "0007.requests.jsonl"), "");
  const targets = [{ name: "questions" }, { name: "answers" }];
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify({ targets }, undefined, 2));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function scriptFor(shell: string): Promise<string> {
  const { code, stdout } = await runHere(["completion", shell]);
  expect(code).toBe(0);
  return stdout;
}

/** Runs a shell that knows nothing but the printed script; what it prints, a line an entry. */
function shellLines(shell: string, args: readonly string[], script: string): string[] {
  const env = { PATH: process.env["PATH"], HOME: folder };
  const options = { cwd: folder, env, encoding: "utf8" } as const;
  const { stdout, stderr, status } = spawnSync(shell, [...args, "-c", script], options);
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** What each case offers: the words before the cursor, the last one perhaps begun. */
type Case = readonly [line: string, offered: readonly string[]];

const CASES: readonly Case[] = [
  ["vecfill ru", ["run"]],
  ["vecfill run --max-job", ["--max-job-bytes", "--max-job-rows", "--max-job-tokens"]],
  ["vecfill run --lim", ["--limit"]],
  ["vecfill poll --onc", ["--once"]],
  ["vecfill poll --lim", []],
  ["vecfill run --no-col", ["--no-color"]],
  ["vecfill run --model gemini-embedding-0", ["gemini-embedding-001"]],
  ["vecfill jobs --format ", ["csv", "json", "ndjson", "table"]],
  ["vecfill --quiet jobs --format c", ["csv"]],
  ["vecfill cancel ", ["0001", "0002"]],
  ["vecfill jobs 0002 ", ["0001", "0002"]],
  ["vecfill jobs --jobs-dir other ", ["0007"]],
  ["vecfill resubmit jobs/", ["jobs/0002.failed.jsonl"]],
  ["vecfill resubmit ", ["jobs/0002.failed.jsonl"]],
  ["vecfill run --config vec", ["vecfill.config.json"]],
  ["vecfill jobs --jobs-dir oth", ["other"]],
  ["vecfill emulator --tokeni", ["--tokenizer"]],
  ["vecfill completion ", ["bash", "fish", "zsh"]],
  ["vecfill run --limit ", []],
  ["vecfill run --target ", ["all", "answers", "questions"]],
  ["vecfill status --target a", ["all", "answers"]],
  ["vecfill config ", ["show"]],
];

function wordsOf(line: string): string[] {
  return line.split(" ");
}

describe("in bash", () => {
  it("is registered for vecfill", async () => {
    const script = await scriptFor("bash");
    const lines = shellLines("bash", ["--norc"], `${script}\ncomplete -p vecfill`);
    expect(lines).toEqual(["complete -F _vecfill vecfill"]);
  });

  it("offers what fits", async () => {
    const script = await scriptFor("bash");
    const asks = CASES.map(([line]) => {
      const words = wordsOf(line).map((word) => `'${word}'`);
      return `COMP_WORDS=(${words.join(" ")}); COMP_CWORD=${words.length - 1}; _vecfill
printf '%s ' "\${COMPREPLY[@]}"; echo ";"`;
    });
    const lines = shellLines("bash", ["--norc"], [script, ...asks].join("\n"));
    expect(lines.map(offered)).toEqual(CASES.map(([, words]) => words));
  });

  it("runs nothing that the name of a file holds", async () => {
    const theirs = await mkdtemp(join(folder, "theirs-"));
    await writeFile(join(theirs, "$(echo 0009).requests.jsonl"), "");
    const ask = `COMP_WORDS=(vecfill jobs --jobs-dir ${theirs} ''); COMP_CWORD=4; _vecfill; echo "\${COMPREPLY[@]}"`;
    const lines = shellLines("bash", ["--norc"], `${await scriptFor("bash")}\n${ask}`);
    expect(lines).toEqual([]);
    await rm(theirs, { recursive: true });
  });

  it("takes a value after an equals sign, which bash makes a word of its own", async () => {
    const script = await scriptFor("bash");
    const ask =
      "COMP_WORDS=(vecfill jobs --format = c); COMP_CWORD=4; _vecfill; echo ${COMPREPLY[@]}";
    const begun =
      "COMP_WORDS=(vecfill jobs --format =); COMP_CWORD=3; _vecfill; echo ${COMPREPLY[@]}";
    const lines = shellLines("bash", ["--norc"], [script, ask, begun].join("\n"));
    expect(lines).toEqual(["csv", "table csv json ndjson"]);
  });
});

function offered(line: string): string[] {
  return line
    .replace(/;$/, "")
    .split(" ")
    .filter((word) => word !== "")
    .sort(byText);
}

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

const hasZsh = spawnSync("zsh", ["--version"]).status === 0;

describe("in zsh", onlyWhere(hasZsh, "take zsh"), () => {
  /** Stands in for the widgets of zsh's completion: prints what would be offered. */
  const STUBS = `
compset() { [[ \${words[CURRENT]} == --*=* ]] && { IPREFIX=\${words[CURRENT]%%=*}=; PREFIX=\${words[CURRENT]#*=}; } }
compadd() { local w; for w in "$@"; do [[ $w == -* ]] || begins $w; done }
_describe() { local w; for w in "\${described[@]}"; do begins \${w%%:*}; done }
_message() { : }
_files() {
  case "$1" in
    -/) for w in *(N/); do begins $w; done ;;
    -g) [[ -z $PREFIX ]] || for w in \${PREFIX}*\${~2}(N); do begins $w; done ;;
    *) for w in *(N); do begins $w; done ;;
  esac
}
begins() { [[ $1 == \${PREFIX}* ]] && print -n -- "$1 " }
compdef() { print "compdef $*" }
`;

  it("is registered for vecfill, and offers what fits", async () => {
    const script = await scriptFor("zsh");
    const asks = CASES.map(([line]) => {
      const words = wordsOf(line).map((word) => `'${word}'`);
      return `words=(${words.join(" ")}); CURRENT=${words.length}; PREFIX=\${words[CURRENT]}; _vecfill; print ";"`;
    });
    const lines = shellLines("zsh", ["-f"], [STUBS, script, ...asks].join("\n"));
    expect(lines[0]).toBe("compdef _vecfill vecfill");
    expect(lines.slice(1).map(offered)).toEqual(CASES.map(([, words]) => words));
  });

  it("loads into zsh's own completion system", async () => {
    const script = await scriptFor("zsh");
    const lines = shellLines(
      "zsh",
      ["-f"],
      `autoload -U compinit; compinit -u -D\n${script}\nprint $_comps[vecfill]`,
    );
    expect(lines).toEqual(["_vecfill"]);
  });
});

const hasFish = spawnSync("fish", ["--version"]).status === 0;

test("in fish, every command and option comes with what it is for", async () => {
  const script = await scriptFor("fish");
  for (const [name, { summary }] of Object.entries(COMMANDS))
    expect(script).toContain(`-a ${name} -d '${summary.replaceAll("'", String.raw`\'`)}'`);
  expect(script).toContain("'__vecfill_is jobs' -l format -d 'how to list the jobs");
  expect(script).toContain("-xa 'table csv json ndjson'");
});

test("fish takes its script", onlyWhere(hasFish, "take fish"), async () => {
  const script = await scriptFor("fish");
  const ask = `${script}\ncomplete -C 'vecfill cancel ' | string replace -r '\\t.*' ''`;
  expect(shellLines("fish", ["--no-config"], ask)).toEqual(["0001", "0002"]);
});

test("job ids come from the folder that the config file names", async () => {
  const script = await scriptFor("bash");
  const config = join(folder, "vecfill.config.json");
  await writeFile(config, '{ "table": "a", "jobsDir": "other" }');
  const ask = "COMP_WORDS=(vecfill jobs ''); COMP_CWORD=2; _vecfill; echo ${COMPREPLY[@]}";
  expect(shellLines("bash", ["--norc"], `${script}\n${ask}`)).toEqual(["0007"]);
  await writeFile(config, "{}");
});

test("takes the shell from SHELL, and says which there are", async () => {
  const ofShell = await runHere(["completion"], { env: { SHELL: "/usr/bin/zsh" } });
  expect(ofShell.stdout).toMatch(/^#compdef vecfill\n/);
  const fish = await runHere(["completion", "tcsh"]);
  expect([fish.code, fish.stderr]).toEqual([
    2,
    "error: There is no completion for tcsh.\nhint: There is one for bash, zsh, fish: `vecfill completion bash` prints it.\n",
  ]);
});

test("knows what an option takes wherever the option has a list of words", () => {
  const run = completedCommands(COMMANDS).find(({ name }) => name === "run");
  const choices = run?.options.filter(({ takes }) => takes === "choice");
  expect(choices?.map(({ flag }) => flag)).toEqual(
    expect.arrayContaining(["model", "task-type", "on-too-long"]),
  );
});
