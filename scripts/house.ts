/**
 * How the source is laid out, in one line, as `npm run check` prints it. Rooms are the folders and loose files of
 * `src`; an arrow is a pair of rooms of which one imports the other; it runs back up against the order of layers.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { placeOf } from "./layers.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

type Arrow = Readonly<{ from: string; to: string }>;

const sources = sourceFiles();
const arrows = arrowsOf(sources);
const rooms = new Set([...sources.keys()].map(topOf));
const loose = [...rooms].filter((room) => room.endsWith(".ts"));
const backUp = arrows.filter(({ from, to }) => runsUp(from, to));
const lines = [...sources.values()].reduce((sum, text) => sum + text.split("\n").length - 1, 0);
console.log(
  `house: ${rooms.size} rooms, ${arrows.length} arrows, ${backUp.length} back up, ${inCircles(arrows).length} rooms in circles, ${loose.length} loose files, ${lines} lines`,
);

function sourceFiles(): ReadonlyMap<string, string> {
  const paths = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const files = paths.filter((path) => /(?<!\.d)\.ts$/.test(path)).map((path) => `src/${path}`);
  return new Map(files.map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
}

function topOf(file: string): string {
  return file.split("/")[1] ?? "";
}

function arrowsOf(files: ReadonlyMap<string, string>): readonly Arrow[] {
  const found = new Map<string, Arrow>();
  for (const [file, source] of files) {
    for (const to of importsOf(file, source)) {
      const arrow = { from: topOf(file), to: topOf(to) };
      if (arrow.from !== arrow.to) found.set(`${arrow.from} ${arrow.to}`, arrow);
    }
  }
  return [...found.values()];
}

function importsOf(file: string, source: string): string[] {
  const named = /(?:\bfrom|\bimport\(|^import)\s*"(?<to>\.[^"]+)"/gm;
  return Array.from(source.matchAll(named), ({ groups }) =>
    posix.join(posix.dirname(file), groups?.["to"] ?? ""),
  );
}

function runsUp(from: string, to: string): boolean {
  return layerOf(to) <= layerOf(from);
}

/** Of a folder whose rooms stand on several layers: the highest. */
function layerOf(room: string): number {
  return placeOf(`src/${room}`)?.layer ?? -1;
}

/** Rooms that are left when those that import nothing that is left are taken away, again and again. */
function inCircles(all: readonly Arrow[]): readonly string[] {
  let left = all;
  for (;;) {
    const importing = new Set(left.map(({ from }) => from));
    const next = left.filter(({ to }) => importing.has(to));
    if (next.length === left.length) return [...importing];
    left = next;
  }
}
