/**
 * `npm run model`: has spin look at every state of the submission protocol (submission.pml) and, with parts of
 * it left out, find the breach that each of them is there to prevent.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MODEL = fileURLToPath(new URL("submission.pml", import.meta.url));

type Variant = Readonly<{ what: string; leavesOut: readonly string[]; holds: boolean }>;

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
];

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

function check({ what, leavesOut, holds }: Variant, cwd: string): void {
  const defines = leavesOut.map((name) => `-D${name}`);
  execFileSync("spin", ["-a", ...defines, MODEL], { cwd, stdio: "pipe" });
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
  if (!isSound) console.log(steps(defines, cwd));
  if (isSound !== holds) process.exitCode = 1;
}

/** The way into the breach. */
function steps(defines: readonly string[], cwd: string): string {
  const args = ["-t", "-k", join(cwd, "submission.pml.trail"), ...defines, MODEL];
  const { stdout } = spawnSync("spin", args, { cwd, encoding: "utf8" });
  const lines = stdout.split("\n").filter((line) => /process \d|create \d/.test(line));
  return lines.map((line) => `  ${line.trim()}`).join("\n");
}
