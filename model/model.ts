/**
 * `npm run model`: has spin look at every state of the submission protocol (submission.pml) and of workers who share a
 * backlog (backlog.pml) and, with parts of them left out, find the breach that each of them is there to prevent.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

type Model = "submission" | "backlog";
type Variant = Readonly<{
  model?: Model;
  what: string;
  leavesOut: readonly string[];
  holds: boolean;
}>;

const VARIANTS: readonly Variant[] = [
  { what: "as it is", leavesOut: [], holds: true },
  { what: "a deletion that creates see late", leavesOut: ["LATE_DELETION"], holds: true },
  {
    what: "the same, relied upon",
    leavesOut: ["LATE_DELETION", "TRUST_LATE_DELETION"],
    holds: false,
  },
  { what: "without the revocation", leavesOut: ["NO_REVOCATION"], holds: false },
  {
    what: "without the second reading of the list",
    leavesOut: ["NO_SECOND_READING"],
    holds: false,
  },
  { what: "with the intent after the create", leavesOut: ["INTENT_AFTER_CREATE"], holds: false },
  { what: "with one file name for both processes", leavesOut: ["SAME_NAMES"], holds: false },
  // three of them have more states than fit into the memory of a usual machine
  ...shared("a shared manifest, two workers", ["PROCESSES=2"], true),
  ...shared("there without the revocation", ["NO_REVOCATION"], false),
  ...shared("there with events that compare nothing", ["NO_COMPARING"], false),
  ...backlog("a backlog, three workers", [], true),
  ...backlog("there with rows that are not looked at again", ["NOT_FREE"], false),
  ...backlog("there admitted before the record", ["ADMITTED_BEFORE"], false),
  ...backlog("there with vectors that are written without a hold", ["WRITTEN_UNHELD"], false),
  ...backlog("there with vectors that are cleared without a hold", ["CLEARED_UNHELD"], false),
];

function shared(what: string, leavesOut: readonly string[], holds: boolean): Variant[] {
  return [{ what, leavesOut: ["SHARED", ...leavesOut], holds }];
}

function backlog(what: string, leavesOut: readonly string[], holds: boolean): Variant[] {
  return [{ model: "backlog", what, leavesOut, holds }];
}

if (spawnSync("spin", ["-V"]).error !== undefined) {
  console.error("There is no spin here: in Debian it is the package spin, which needs gcc.");
  process.exitCode = 1;
} else {
  const folder = mkdtempSync(join(tmpdir(), "vecfill-model-"));
  try {
    for (const variant of VARIANTS) check(variant, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function check({ model = "submission", what, leavesOut, holds }: Variant, cwd: string): void {
  const source = fileURLToPath(new URL(`${model}.pml`, import.meta.url));
  const defines = leavesOut.map((name) => `-D${name}`);
  execFileSync("spin", ["-a", ...defines, source], { cwd, stdio: "pipe" });
  execFileSync("gcc", ["-O2", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"], {
    cwd,
    stdio: "pipe",
  });
  const said = execFileSync(join(cwd, "pan"), ["-m500000", "-w24"], { cwd, encoding: "utf8" });
  const found = /(?<errors>\d+)\n? +(?<states>\d+) states, stored/.exec(
    said.replace(/[^]*errors: /, ""),
  )?.groups;
  const isSound = found?.["errors"] === "0" && !said.includes("max search depth too small");
  console.log(
    `${what}: ${isSound ? "holds in every one of" : "a breach among"} ${found?.["states"]} states`,
  );
  if (!isSound) console.log(steps(defines, source, cwd));
  if (isSound !== holds) process.exitCode = 1;
}

/** The way into the breach. */
function steps(defines: readonly string[], source: string, cwd: string): string {
  const args = ["-t", "-k", join(cwd, `${basename(source)}.trail`), ...defines, source];
  const { stdout } = spawnSync("spin", args, { cwd, encoding: "utf8" });
  const lines = stdout.split("\n").filter((line) => /process \d|create \d/.test(line));
  return lines.map((line) => `  ${line.trim()}`).join("\n");
}
