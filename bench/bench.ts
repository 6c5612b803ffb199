/**
 * `npm run bench [-- figure…] [-- --full]`: takes the figures that docs/performance.md speaks of, each
 * beside its baseline in the same run, in turns, several times; `quota` is all whose name begins
 * so. A native server is used, see
 * `server.ts`. The table goes to stdout, the same as JSON to .bench/results.json.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { measureCommands } from "./commands.ts";
import { measureExport } from "./export.ts";
import { measureImport } from "./import.ts";
import { measureGrid, measureThroughPipeline } from "./quota.ts";
import { measureLastMile } from "./last-mile.ts";
import { measureParse } from "./parse.ts";
import { measurePeers } from "./peers.ts";
import { type Figure, type Row, shown } from "./rounds.ts";
import { measureRun } from "./run.ts";
import { withServer } from "./server.ts";
import { tuneCollector } from "../src/cli/collector.ts";
import { measureSupabase } from "./supabase.ts";
import { measureUnderIndex } from "./under-index.ts";

const FOLDER = resolve(".bench");
const SCRATCH = join(FOLDER, "scratch");
const RESULTS = join(FOLDER, "results.json");

/** What `--full` adds takes half an hour and 30 GB. */
const RUN_SIZES = [10_000, 100_000];
const FULL_RUN_SIZES = [...RUN_SIZES, 1_000_000];

type Sizes = Readonly<{ isFull: boolean }>;

const FIGURES: Readonly<Record<string, (sizes: Sizes) => Promise<Figure>>> = {
  parse: () => measureParse({ lines: 4000, rounds: 7 }),
  import: () =>
    withServer((url) => measureImport(url, SCRATCH, { rows: 30_000, slowRows: 4000, rounds: 5 })),
  "last-mile": () =>
    withServer((url) => measureLastMile(url, SCRATCH, { rows: 50_000, rounds: 3 })),
  index: () => withServer((url) => measureUnderIndex(url, SCRATCH, { rows: 20_000, rounds: 2 })),
  peers: () => withServer((url) => measurePeers(url, SCRATCH, { rows: 10_000, rounds: 3 })),
  supabase: () => withServer((url) => measureSupabase(url, { rows: 1000, rounds: 3 })),
  export: () => withServer((url) => measureExport(url, SCRATCH, { rows: 300_000, rounds: 7 })),
  "quota-grid": () => measureGrid(),
  "quota-pipeline": () => measureThroughPipeline(),
  commands: () => measureCommands(SCRATCH, { jobs: 30_000, rounds: 5 }),
  run: ({ isFull }) =>
    withServer((url) => measureRun(url, SCRATCH, isFull ? FULL_RUN_SIZES : RUN_SIZES)),
};

async function main(args: readonly string[]): Promise<void> {
  const isFull = args.includes("--full");
  const asked = args.filter((arg) => arg !== "--full");
  const unknown = asked.filter((word) => !Object.keys(FIGURES).some((name) => isMeant(name, word)));
  if (unknown.length > 0) {
    console.error(`There is no figure ${unknown.join(", ")}: ${Object.keys(FIGURES).join(", ")}.`);
    process.exitCode = 2;
    return;
  }
  // as the commands that are measured within this process have it
  tuneCollector();
  await mkdir(SCRATCH, { recursive: true });
  const figures: Figure[] = [];
  try {
    for (const [name, take] of Object.entries(FIGURES)) {
      const isAsked = asked.length === 0 || asked.some((word) => isMeant(name, word));
      if (isAsked) figures.push(await take({ isFull }));
    }
  } finally {
    await rm(SCRATCH, { recursive: true, force: true });
  }
  await report(figures);
}

function isMeant(name: string, word: string): boolean {
  return name === word || name.startsWith(`${word}-`);
}

async function report(figures: readonly Figure[]): Promise<void> {
  const machine = { node: process.version, cpus: availableParallelism(), at: new Date() };
  await writeFile(RESULTS, `${JSON.stringify({ machine, figures }, undefined, 2)}\n`);
  console.log(
    `Node ${process.version}, ${machine.cpus} CPUs; medians, and in brackets the extremes.`,
  );
  for (const { name, rows, note } of figures) {
    console.log(`\n${name}`);
    const lines = rows.map(cells);
    const widths = [0, 1, 2].map((at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
    for (const line of lines) {
      console.log(`  ${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join("  ")}`.trimEnd());
    }
    if (note !== undefined) console.log(`  ${note}`);
  }
  console.log(`\nAs JSON: ${RESULTS}`);
}

function cells({ name, size, median, least, most, unit, ratio }: Row): string[] {
  const extremes = least === most ? "" : ` (${shown(least)}–${shown(most)})`;
  const held = ratio === 1 ? "" : `the first is ${shown(1 / ratio)} × this`;
  return [name, size, `${shown(median)} ${unit}${extremes}`, held];
}

await main(process.argv.slice(2));
