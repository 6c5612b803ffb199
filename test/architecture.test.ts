/**
 * I open the folder to change one thing: can I trust that a stage knows no other stage, that an SDK
 * is used in one file only, and that `vecfill --help` does not load the whole world?
 */
import { readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const STAGES = ["export", "submit", "embed", "poll", "import", "run", "plan", "resubmit", "cancel"];
const ADAPTERS = ["gemini", "store", "emulator"];
/** What stands in an adapter's folder, but speaks our words only and imports no SDK. */
const SHAPES_OF_ADAPTERS = [
  "src/gemini/port.ts",
  "src/gemini/models.ts",
  "src/gemini/explain.ts",
  "src/gemini/outage.ts",
  "src/gemini/tariff.ts",
  "src/store/port.ts",
];
/** Top-level files that know settings, streams or the command line. */
const SHELL = [
  "access",
  "cli",
  "collector",
  "command",
  "command-line",
  "config",
  "config-file",
  "consent",
  "env-file",
  "failure",
  "help",
  "interrupt",
  "job-bounds",
  "key-id",
  "option",
  "options",
  "output",
  "secret",
  "services",
  "trial-write",
  "vecfill",
].map((name) => `src/${name}.ts`);
/** SDKs and the like: the one file that may import each. */
const ONE_IMPORTER: Readonly<Record<string, string>> = {
  "@google/genai": "src/gemini/client.ts",
  pg: "src/store/postgres.ts",
  "@electric-sql/pglite": "src/store/pglite.ts",
  "@electric-sql/pglite-pgvector": "src/store/pglite.ts",
  "@supabase/supabase-js": "src/store/supabase.ts",
  "log-update": "src/output/screen.ts",
  "string-width": "src/output/fit.ts",
  "csv-stringify": "src/csv.ts",
  "csv-stringify/sync": "src/csv.ts",
};
/** Of the command and of the package. */
const ENTRIES = ["src/cli.ts", "src/vecfill.ts"];
const ATTICS = ["index", "utils", "util", "lib", "core", "common", "helpers", "misc", "shared"];

type Kind = "static" | "lazy" | "type";
type Import = Readonly<{ file: string; to: string; kind: Kind }>;
/** Source by path, such as `src/cli.ts`. */
type Tree = ReadonlyMap<string, string>;
type Rule = Readonly<{ why: string; breaks: (one: Import) => boolean }>;

const RULES: readonly Rule[] = [
  {
    why: "a stage knows no other stage; only run, which plan foresees, and a command put them together",
    breaks: ({ file, to }) => {
      const [from, other] = [folderOf(file), folderOf(to)];
      if (from === "run" || from === "plan" || isCommand(file)) return false;
      return from !== other && STAGES.includes(from) && STAGES.includes(other);
    },
  },
  {
    why: "a stage knows ports, not adapters",
    breaks: ({ file, to }) => STAGES.includes(folderOf(file)) && isAdapter(to),
  },
  {
    why: "an adapter knows shapes only: no stage, no manifest, no other adapter, no shell",
    breaks: ({ file, to }) =>
      isAdapter(file) &&
      !isCommand(file) &&
      folderOf(file) !== folderOf(to) &&
      ([...STAGES, "run", "job", "jobs", "output"].includes(folderOf(to)) ||
        isAdapter(to) ||
        SHELL.includes(to)),
  },
  {
    why: "job/ knows shapes and Node only",
    breaks: ({ file, to }) =>
      folderOf(file) === "job" &&
      to.startsWith("src/") &&
      !to.startsWith("src/job/") &&
      ((dirname(to) !== "src" && !SHAPES_OF_ADAPTERS.includes(to)) || SHELL.includes(to)),
  },
  {
    why: "a shape knows neither stages, adapters, the manifest nor the shell",
    breaks: ({ file, to }) =>
      isShape(file) && to.startsWith("src/") && !isShape(to) && !SHAPES_OF_ADAPTERS.includes(to),
  },
  {
    why: "only one file imports this package",
    breaks: ({ file, to }) => to in ONE_IMPORTER && ONE_IMPORTER[to] !== file,
  },
  {
    why: "yargs belongs to the command line",
    breaks: ({ file, to }) =>
      to === "yargs" && !isCommand(file) && !["src/cli.ts", "src/help.ts"].includes(file),
  },
  {
    why: "the composition root is loaded by the two entries, when a command or a script runs",
    breaks: ({ file, to, kind }) =>
      to === "src/services.ts" && kind !== "type" && !(ENTRIES.includes(file) && kind === "lazy"),
  },
  {
    why: "a command loads its work when it runs, so that --help is quick",
    breaks: ({ file, to, kind }) =>
      isCommand(file) &&
      kind === "static" &&
      ![...SHELL, "src/errors.ts", "yargs"].includes(to) &&
      !to.startsWith("node:"),
  },
];

function folderOf(path: string): string {
  return path.startsWith("src/") && dirname(path) !== "src" ? (path.split("/")[1] ?? "") : "";
}

function isAdapter(path: string): boolean {
  return ADAPTERS.includes(folderOf(path)) && !SHAPES_OF_ADAPTERS.includes(path);
}

function isCommand(path: string): boolean {
  return basename(path) === "command.ts";
}

function isShape(path: string): boolean {
  return dirname(path) === "src" && !SHELL.includes(path);
}

function importsOf(file: string, source: string): Import[] {
  const found = (pattern: RegExp, kindOf: (clause: string) => Kind) =>
    [...source.matchAll(pattern)].map(({ groups = {} }) => ({
      file,
      to: resolved(file, groups["to"] ?? ""),
      kind: kindOf(groups["clause"] ?? ""),
    }));
  return [
    ...found(/^(?:import|export)(?<clause>\s[^;"]*?)\sfrom "(?<to>[^"]+)"/gm, kindOfClause),
    ...found(/^import "(?<to>[^"]+)"/gm, () => "static"),
    ...found(/\bimport\(\s*"(?<to>[^"]+)"/g, () => "lazy"),
  ];
}

/** `import type {…}` and `import { type A, type B }` leave nothing behind when types are stripped. */
function kindOfClause(clause: string): Kind {
  const text = clause.trim();
  if (text.startsWith("type ")) return "type";
  const names = /^\{(?<names>[^}]*)\}$/s.exec(text)?.groups?.["names"]?.split(",") ?? [""];
  const real = names.map((name) => name.trim()).filter((name) => name !== "");
  return real.length > 0 && real.every((name) => name.startsWith("type ")) ? "type" : "static";
}

function resolved(file: string, to: string): string {
  return to.startsWith(".") ? posix.join(posix.dirname(file), to) : to;
}

function violations(tree: Tree): string[] {
  const imports = [...tree].flatMap(([file, source]) => importsOf(file, source));
  return [
    ...imports.flatMap((one) =>
      RULES.filter((rule) => rule.breaks(one)).map(
        ({ why }) => `${one.file} imports ${one.to}: ${why}`,
      ),
    ),
    ...attics(tree),
    ...exits(tree),
  ];
}

function attics(tree: Tree): string[] {
  return [...tree.keys()]
    .filter((file) => file.split("/").some((part) => ATTICS.includes(part.replace(/\.ts$/, ""))))
    .map((file) => `${file}: a name that says nothing`);
}

function exits(tree: Tree): string[] {
  return [...tree]
    .filter(([file, source]) => file !== "src/cli.ts" && /process\.(?:exit|abort)/.test(source))
    .map(([file]) => `${file} sets an exit code: only src/cli.ts does`);
}

/** Packages and files that are loaded before any command runs. */
function loadedAtStart(tree: Tree): Set<string> {
  const loaded = new Set(["src/cli.ts"]);
  // a Set grows while it is walked
  for (const file of loaded) {
    for (const { to, kind } of importsOf(file, tree.get(file) ?? "")) {
      if (kind === "static" && !to.startsWith("node:")) loaded.add(to);
    }
  }
  return loaded;
}

function sourceTree(): Tree {
  const paths = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const files = paths.filter((path) => /(?<!\.d)\.ts$/.test(path)).map((path) => `src/${path}`);
  return new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
}

describe("the source", () => {
  const tree = sourceTree();

  it("keeps to the rules of imports", () => {
    expect(violations(tree)).toEqual([]);
  });

  it("loads yargs and nothing else of weight before a command runs", () => {
    const loaded = [...loadedAtStart(tree)];
    expect(loaded.filter((path) => !path.startsWith("src/"))).toEqual(["yargs"]);
    const work = loaded.filter((path) => !isCommand(path));
    expect(work.filter((path) => isAdapter(path) || folderOf(path) === "job")).toEqual([]);
    expect(loaded).toContain("src/jobs/command.ts");
  });

  it("is what the rules speak of: every file and folder they name is there", () => {
    const named = [...SHELL, ...SHAPES_OF_ADAPTERS, ...Object.values(ONE_IMPORTER)];
    expect(named.filter((file) => !tree.has(file))).toEqual([]);
    const folders = new Set([...tree.keys()].map(folderOf));
    expect([...STAGES, ...ADAPTERS, "job"].filter((folder) => !folders.has(folder))).toEqual([]);
  });
});

describe("the rules", () => {
  it.each([
    ["src/submit/submit.ts", 'import { a } from "../export/export.ts";'],
    ["src/submit/submit.ts", 'import type { A } from "../export/export.ts";'],
    ["src/submit/show.ts", 'const { a } = await import("../embed/embed.ts");'],
    ["src/export/export.ts", 'import { a } from "../store/sql.ts";'],
    ["src/poll/poll.ts", 'const { a } = await import("../gemini/client.ts");'],
    ["src/run/run.ts", 'import { a } from "../gemini/client.ts";'],
    ["src/store/sql.ts", 'import { a } from "../import/import.ts";'],
    ["src/store/sql.ts", 'import { a } from "../output.ts";'],
    ["src/gemini/client.ts", 'import { a } from "../job/manifest.ts";'],
    ["src/emulator/routes.ts", 'import { a } from "../gemini/transport.ts";'],
    [
      "src/job/journal.ts",
      'import { a } from "../store/port.ts";\nimport { b } from "../config.ts";',
    ],
    ["src/job/journal.ts", 'import {\n  a,\n  b,\n} from "../export/export.ts";'],
    ["src/sums.ts", 'export { a } from "./job/job.ts";'],
    ["src/store/sql.ts", 'import pg from "pg";'],
    ["src/gemini/upload.ts", 'import { GoogleGenAI } from "@google/genai";'],
    ["src/store/sql.ts", 'import type { Argv } from "yargs";'],
    ["src/cli.ts", 'import { openServices } from "./services.ts";'],
    ["src/jobs/show.ts", 'const { a } = await import("../services.ts");'],
    ["src/export/command.ts", 'import { exportJobs } from "./export.ts";'],
  ])("name %s and what it imports: %s", (file, source) => {
    const [first = ""] = violations(new Map([[file, source]]));
    const to = /"(?<to>[^"]+)"[^"]*$/.exec(source)?.groups?.["to"] ?? "";
    expect(first).toContain(`${file} imports ${resolved(file, to)}: `);
  });

  it.each([
    ["src/run/run.ts", 'import { a } from "../export/export.ts";'],
    ["src/run/run.ts", 'import { a } from "../resubmit/resubmit.ts";'],
    ["src/import/import.ts", 'import type { Store } from "../store/port.ts";'],
    ["src/export/command.ts", 'import type { ExportSummary } from "./export.ts";'],
    ["src/export/command.ts", 'import { type ExportSummary } from "./export.ts";'],
    ["src/export/command.ts", 'const { exportJobs } = await import("./export.ts");'],
    ["src/submit/command.ts", 'const { a } = await import("../embed/embed.ts");'],
    ["src/job/fold.ts", 'import { MODELS } from "../gemini/models.ts";\nimport { z } from "zod";'],
    ["src/cli.ts", 'const { openServices } = await import("./services.ts");'],
    ["src/vecfill.ts", 'const { openServices } = await import("./services.ts");'],
    ["src/command.ts", 'import type { Services } from "./services.ts";'],
  ])("let %s do %s", (file, source) => {
    expect(violations(new Map([[file, source]]))).toEqual([]);
  });

  it("name attics and stray exit codes", () => {
    const tree = new Map([
      ["src/utils.ts", ""],
      ["src/job/index.ts", ""],
      ["src/lib/x.ts", ""],
      ["src/run/run.ts", "process.exitCode = 1;"],
      ["src/cli.ts", "process.exitCode = 1;"],
    ]);
    expect(violations(tree)).toEqual([
      "src/utils.ts: a name that says nothing",
      "src/job/index.ts: a name that says nothing",
      "src/lib/x.ts: a name that says nothing",
      "src/run/run.ts sets an exit code: only src/cli.ts does",
    ]);
  });
});
