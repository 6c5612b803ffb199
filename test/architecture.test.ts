/**
 * I open the folder to change one thing: can I trust that a stage knows no other stage, that an SDK
 * is used in one file only, and that `vecfill --help` does not load the whole world?
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type Figure, figuresOf } from "../scripts/figures.ts";
import { LAYERS, layersText, placeOf } from "../scripts/layers.ts";
import { type Import, importsOf, sourceTree, type Tree } from "../scripts/source.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

const ADAPTERS = ["gemini", "store", "emulator"];
/** What may be loaded before a command runs. */
const SHELL_FOLDERS = ["cli", "settings"];
const SHELL = [
  "src/cli.ts",
  "src/output/failure.ts",
  "src/output/output.ts",
  "src/composition/services.ts",
];
/** Of these there may be one in several rooms. */
const NAMES_OF_MANY = ["failure.ts", "port.ts", "retry.ts", "show.ts"];
const ROOM_LINES_MAX = 2_000;
/** SDKs and the like: the one file that may import each. */
const ONE_IMPORTER: Readonly<Record<string, string>> = {
  "@google/genai": "src/gemini/client.ts",
  pg: "src/store/postgres/postgres.ts",
  "@electric-sql/pglite": "src/store/postgres/pglite.ts",
  "@electric-sql/pglite-pgvector": "src/store/postgres/pglite.ts",
  "@supabase/supabase-js": "src/store/supabase/supabase.ts",
  "pg-boss": "src/worker/pg-boss.ts",
  "log-update": "src/output/terminal-screen.ts",
  "string-width": "src/output/fit.ts",
  "csv-stringify": "src/disk/csv.ts",
  "csv-stringify/sync": "src/disk/csv.ts",
};
/** Of the command and of the package. */
const ENTRIES = ["src/cli.ts", "src/vecfill.ts"];
const ATTICS = ["index", "utils", "util", "lib", "core", "common", "helpers", "misc", "shared"];

/** Folders of tests that are no room's: what crosses rooms, and what the others need. */
const TESTS_APART = ["scenarios", "fixtures", "embedded"];

type Rule = Readonly<{ why: string; breaks: (one: Import) => boolean }>;

const RULES: readonly Rule[] = [
  {
    why: "a file imports from lower layers and its own room only",
    breaks: ({ file, to }) => {
      if (!to.startsWith("src/")) return false;
      const [from, other] = [placeOf(file), placeOf(to)];
      if (from === undefined || other === undefined) return true;
      return from.room !== other.room && from.layer >= other.layer;
    },
  },
  {
    why: "an adapter is imported by the composition root only; its port by everybody above",
    breaks: ({ file, to }) =>
      isAdapter(to) && folderOf(file) !== folderOf(to) && file !== "src/composition/services.ts",
  },
  {
    why: "only one file imports this package",
    breaks: ({ file, to }) => to in ONE_IMPORTER && ONE_IMPORTER[to] !== file,
  },
  {
    why: "yargs belongs to the command line",
    breaks: ({ file, to }) => to === "yargs" && !["src/cli.ts", "src/cli/help.ts"].includes(file),
  },
  {
    why: "the composition root is loaded by the two entries, when a command or a script runs",
    breaks: ({ file, to, kind }) =>
      to === "src/composition/services.ts" &&
      kind !== "type" &&
      !(ENTRIES.includes(file) && kind === "lazy"),
  },
  {
    why: "a command loads its work when it runs, so that --help is quick",
    breaks: ({ file, to, kind }) =>
      isCommand(file) &&
      kind === "static" &&
      !isShell(to) &&
      !["src/errors.ts", "yargs"].includes(to) &&
      !to.startsWith("node:"),
  },
];

function folderOf(path: string): string {
  return path.startsWith("src/") && dirname(path) !== "src" ? (path.split("/")[1] ?? "") : "";
}

function isAdapter(path: string): boolean {
  return ADAPTERS.includes(folderOf(path)) && basename(path) !== "port.ts";
}

function isCommand(path: string): boolean {
  return path === "src/commands/commands.ts";
}

function isShell(path: string): boolean {
  return SHELL_FOLDERS.includes(folderOf(path)) || SHELL.includes(path);
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
    ...strays(tree),
    ...namesakes(tree),
    ...crowds(tree),
    ...exits(tree),
  ];
}

function attics(tree: Tree): string[] {
  return [...tree.keys()]
    .filter((file) => file.split("/").some((part) => ATTICS.includes(part.replace(/\.ts$/, ""))))
    .map((file) => `${file}: a name that says nothing`);
}

function strays(tree: Tree): string[] {
  return [...tree.keys()]
    .filter((file) => placeOf(file) === undefined)
    .map((file) => `${file} is in no room`);
}

function namesakes(tree: Tree): string[] {
  const files = [...tree.keys()].filter((file) => !NAMES_OF_MANY.includes(basename(file)));
  return files
    .filter((file) => files.some((other) => other < file && basename(other) === basename(file)))
    .map((file) => `${file}: another file has this name`);
}

function crowds(tree: Tree): string[] {
  const lines = new Map<string, number>();
  for (const [file, source] of tree) {
    const room = placeOf(file)?.room ?? "";
    lines.set(room, (lines.get(room) ?? 0) + source.split("\n").length - 1);
  }
  return [...lines]
    .filter(([, count]) => count > ROOM_LINES_MAX)
    .map(([room, count]) => `${room} has ${count} lines: more than ${ROOM_LINES_MAX}`);
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

describe("the source", () => {
  const tree = sourceTree();

  it("keeps to the rules of imports", () => {
    expect(violations(tree)).toEqual([]);
  });

  it("loads nothing of weight before a command runs", () => {
    const loaded = [...loadedAtStart(tree)];
    expect(loaded.filter((path) => !path.startsWith("src/"))).toEqual([]);
    const work = loaded.filter((path) => !isCommand(path));
    expect(
      work.filter(
        (path) => isAdapter(path) || ["manifest", "jobs-folder"].includes(folderOf(path)),
      ),
    ).toEqual([
      // a table that imports nothing: `--state` names its choices in help
      "src/manifest/states.ts",
    ]);
    expect(loaded).toContain("src/commands/commands.ts");
  });

  it("is what the rules speak of: every file and folder they name is there", () => {
    const named = [...SHELL, ...Object.values(ONE_IMPORTER)];
    expect(named.filter((file) => !tree.has(file))).toEqual([]);
    const rooms = LAYERS.flat();
    expect(rooms.filter((room) => !existsSync(join(ROOT, "src", room)))).toEqual([]);
  });

  it("has the layers that ARCHITECTURE.md prints", () => {
    const page = readFileSync(join(ROOT, "ARCHITECTURE.md"), "utf8");
    expect(page).toContain(`<!-- layers -->\n${layersText()}\n<!-- /layers -->`);
  });
});

describe("the tests", () => {
  it("stand in the rooms of the source, or in scenarios", () => {
    const folders = readdirSync(join(ROOT, "test"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
    const isRoom = (name: string) => existsSync(join(ROOT, "src", name));
    expect(folders.filter((name) => !TESTS_APART.includes(name) && !isRoom(name))).toEqual([]);
  });

  it("of more than the project itself are in a folder", () => {
    const loose = readdirSync(join(ROOT, "test")).filter((name) => name.endsWith(".test.ts"));
    expect(loose.toSorted()).toEqual([
      "architecture.test.ts",
      "documents.test.ts",
      "model.test.ts",
      "pages.test.ts",
      "walk-through.test.ts",
    ]);
  });
});

describe("the rules", () => {
  it.each([
    ["src/submit/submit-lane.ts", 'import { a } from "../export/export.ts";'],
    ["src/submit/submit-lane.ts", 'import type { A } from "../export/export.ts";'],
    ["src/submit/submit-lane.ts", 'const { a } = await import("../embed/embed-lane.ts");'],
    ["src/export/export.ts", 'import { a } from "../store/sql.ts";'],
    ["src/poll/poll-lane.ts", 'const { a } = await import("../gemini/client.ts");'],
    ["src/run/run.ts", 'import { a } from "../gemini/client.ts";'],
    ["src/store/sql.ts", 'import { a } from "../import/import.ts";'],
    ["src/store/sql.ts", 'import { a } from "../output/output.ts";'],
    ["src/gemini/client.ts", 'import { a } from "../manifest/manifest.ts";'],
    ["src/emulator/routes.ts", 'import { a } from "../gemini/transport.ts";'],
    [
      "src/manifest/event.ts",
      'import { a } from "../store/port.ts";\nimport { b } from "../settings/config.ts";',
    ],
    ["src/manifest/event.ts", 'import {\n  a,\n  b,\n} from "../export/export.ts";'],
    ["src/row/sums.ts", 'export { a } from "../manifest/job.ts";'],
    ["src/store/sql.ts", 'import pg from "pg";'],
    ["src/gemini/upload.ts", 'import { GoogleGenAI } from "@google/genai";'],
    ["src/store/sql.ts", 'import type { Argv } from "yargs";'],
    ["src/commands/plan/show.ts", 'import { a } from "../export/show.ts";'],
    ["src/words/figures.ts", 'import { a } from "../output/output.ts";'],
    ["src/run/run.ts", 'import { a } from "../plan/plan.ts";'],
    ["src/store/port.ts", 'import { a } from "./postgres/postgres.ts";'],
    ["src/emulator/http/http.ts", 'import { a } from "../state/state.ts";'],
    ["src/poll/poll-lane.ts", 'import { a } from "../gemini/minute-limit.ts";'],
    ["src/row/row.ts", 'import { a } from "../loose.ts";'],
    ["src/cli.ts", 'import { openServices } from "./services.ts";'],
    ["src/commands/jobs/show.ts", 'const { a } = await import("../../services.ts");'],
    ["src/commands/commands.ts", 'import { exportJobs } from "../export/export.ts";'],
  ])("name %s and what it imports: %s", (file, source) => {
    const [first = ""] = violations(new Map([[file, source]]));
    const to = /"(?<to>[^"]+)"[^"]*$/.exec(source)?.groups?.["to"] ?? "";
    expect(first).toContain(
      `${file} imports ${to.startsWith(".") ? posix.join(dirname(file), to) : to}: `,
    );
  });

  it.each([
    ["src/run/run.ts", 'import { a } from "../export/export.ts";'],
    ["src/run/run.ts", 'import { a } from "../resubmit/resubmit.ts";'],
    ["src/import/import.ts", 'import type { Store } from "../store/port.ts";'],
    ["src/commands/commands.ts", 'import type { A } from "../export/export.ts";'],
    ["src/commands/commands.ts", 'import { type A } from "../export/export.ts";'],
    ["src/commands/commands.ts", 'const { a } = await import("../export/export.ts");'],
    ["src/commands/commands.ts", 'const { a } = await import("./jobs/show.ts");'],
    [
      "src/manifest/fold.ts",
      'import { MODELS } from "../row/models.ts";\nimport { z } from "zod";',
    ],
    ["src/cli.ts", 'const { openServices } = await import("./composition/services.ts");'],
    ["src/vecfill.ts", 'const { openServices } = await import("./composition/services.ts");'],
    ["src/cli/command.ts", 'import type { Services } from "../composition/services.ts";'],
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
      "src/utils.ts is in no room",
      "src/job/index.ts is in no room",
      "src/lib/x.ts is in no room",
      "src/run/run.ts sets an exit code: only src/cli.ts does",
    ]);
  });

  it("name files with the name of another, and rooms that are too large", () => {
    const half = "\n".repeat(1_100);
    const tree = new Map([
      ["src/disk/port.ts", ""],
      ["src/disk/rows.ts", ""],
      ["src/row/port.ts", half],
      ["src/row/rows.ts", half],
    ]);
    expect(violations(tree)).toEqual([
      "src/row/rows.ts: another file has this name",
      "row has 2200 lines: more than 2000",
    ]);
  });
});

describe("the figures of the house", () => {
  it("count arrows between rooms, those that run back up, and circles", () => {
    const tree = new Map([
      ["src/disk/rows.ts", 'import { a } from "../row/key.ts";\nimport "../errors.ts";'],
      ["src/disk/csv.ts", 'import { a } from "../row/key.ts";\nimport "./rows.ts";'],
      ["src/row/key.ts", 'const { a } = await import("../disk/csv.ts");'],
      ["src/errors.ts", 'import type { A } from "zod";'],
    ]);
    expect(told(figuresOf(tree)).slice(0, 5)).toEqual([
      "rooms 3",
      "arrows 3",
      "arrows back up 2",
      "rooms in circles 2",
      "loose files 1",
    ]);
  });

  it("name what is over its bound", () => {
    const long = `export function a() {${"\n".repeat(70)}}`;
    const states = "export const STATES = { failed: {}, expired: {} };";
    const tree = new Map([
      ["src/row/key.ts", `${long}\nconst is = state === "failed";`],
      ["src/manifest/states.ts", states],
    ]);
    expect(told(over(tree))).toEqual([
      "comparisons with states 1",
      "lines a function: median 71",
      "90th 71",
      "most 71",
    ]);
  });
});

function over(tree: Tree): readonly Figure[] {
  return figuresOf(tree).filter(({ value, max }) => value > max);
}

function told(figures: readonly Figure[]): string[] {
  return figures.map(({ name, value }) => `${name} ${value}`);
}
