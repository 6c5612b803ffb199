/** What the layout of the source comes to, beside what it may come to. */
import { parseSync, Visitor } from "oxc-parser";
import { placeOf } from "./layers.ts";
import { importsOf, type Tree } from "./source.ts";
import { comparisonsOf } from "./state-comparisons.ts";

export type Figure = Readonly<{ name: string; value: number; max: number }>;

/** One room imports another. */
type Arrow = Readonly<{ from: string; to: string; runsUp: boolean }>;

/** Rooms are here the folders and the loose files of `src`. */
export function figuresOf(tree: Tree): readonly Figure[] {
  const rooms = [...new Set([...tree.keys()].map(roomOf))];
  const arrows = arrowsOf(tree);
  const sizes = [...tree].flatMap(([file, source]) => functionLines(file, source));
  const sorted = sizes.toSorted((a, b) => a - b);
  return [
    { name: "rooms", value: rooms.length, max: 36 },
    { name: "arrows", value: arrows.length, max: 273 },
    { name: "arrows back up", value: arrows.filter(({ runsUp }) => runsUp).length, max: 1 },
    { name: "rooms in circles", value: inCircles(arrows).length, max: 0 },
    { name: "loose files", value: rooms.filter((room) => room.endsWith(".ts")).length, max: 8 },
    { name: "lines", value: linesOf(tree), max: 48_080 },
    { name: "comparisons with states", value: comparisonsOf(tree).length, max: 0 },
    { name: "function names in three files", value: sharedNames(tree).length, max: 15 },
    { name: "lines a function: median", value: atShare(sorted, 0.5), max: 7 },
    { name: "90th", value: atShare(sorted, 0.9), max: 18 },
    { name: "most", value: sorted.at(-1) ?? 0, max: 70 },
  ];
}

function roomOf(file: string): string {
  return file.split("/")[1] ?? "";
}

function arrowsOf(tree: Tree): readonly Arrow[] {
  const found = new Map<string, Arrow>();
  for (const { file, to } of [...tree].flatMap(([name, source]) => importsOf(name, source))) {
    const [from, other] = [roomOf(file), roomOf(to)];
    if (!tree.has(to) || from === other) continue;
    const name = `${from} ${other}`;
    const runsUp = layerOf(to) <= layerOf(file) || found.get(name)?.runsUp === true;
    found.set(name, { from, to: other, runsUp });
  }
  return [...found.values()];
}

function layerOf(file: string): number {
  return placeOf(file)?.layer ?? -1;
}

/** Rooms from which arrows lead back to them, by way of others. */
function inCircles(arrows: readonly Arrow[]): readonly string[] {
  const starts = new Set(arrows.map(({ from }) => from));
  return [...starts].filter((room) => reachedFrom(room, arrows).has(room));
}

function reachedFrom(room: string, arrows: readonly Arrow[]): ReadonlySet<string> {
  const reached = new Set<string>();
  const left = [room];
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    const next = arrows.filter(({ from, to }) => from === at && !reached.has(to));
    for (const { to } of next) reached.add(to);
    left.push(...next.map(({ to }) => to));
  }
  return reached;
}

function linesOf(tree: Tree): number {
  return [...tree.values()].reduce((sum, source) => sum + source.split("\n").length - 1, 0);
}

/** Of functions that are declared or held by a constant, in three files or more. */
function sharedNames(tree: Tree): readonly string[] {
  const filesOf = new Map<string, Set<string>>();
  for (const [file, source] of tree) {
    const add = (name: string) => filesOf.set(name, (filesOf.get(name) ?? new Set()).add(file));
    new Visitor({
      FunctionDeclaration({ id }) {
        if (id !== null) add(id.name);
      },
      VariableDeclarator({ id, init }) {
        if (init?.type === "ArrowFunctionExpression" && id.type === "Identifier") add(id.name);
      },
    }).visit(parseSync(file, source).program);
  }
  return [...filesOf].filter(([, files]) => files.size >= 3).map(([name]) => name);
}

/** Of every function that has a name: declared, a method, or held by a constant. */
function functionLines(file: string, source: string): number[] {
  const sizes: number[] = [];
  const add = ({ start, end }: Readonly<{ start: number; end: number }>) =>
    sizes.push(source.slice(start, end).split("\n").length);
  new Visitor({
    FunctionDeclaration: add,
    MethodDefinition: add,
    VariableDeclarator({ init }) {
      if (init?.type === "ArrowFunctionExpression") add(init);
    },
  }).visit(parseSync(file, source).program);
  return sizes;
}

/** So large is the value below which this share of them lies. */
function atShare(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(sorted.length * share)] ?? 0;
}
