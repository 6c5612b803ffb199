/**
 * Where the source compares with the name of a job's state, outside the one file that may: read from
 * the syntax tree, since the same words name events, batches at Gemini and outcomes of rows. What
 * counts: `===`, `case`, `in`, and lists or tables of nothing but state names.
 */
import { posix } from "node:path";
import {
  type Argument,
  type Expression,
  type ObjectProperty,
  parseSync,
  Visitor,
} from "oxc-parser";
import type { Tree } from "./source.ts";

export type Comparison = Readonly<{ file: string; line: number }>;

/** Knows the names: they are read from its table. */
export const STATES_FILE = "src/manifest/states.ts";

const TABLE = "STATES";
/** Defines which event leads from where to where. */
const DEFINES = posix.join(posix.dirname(STATES_FILE), "transitions.ts");
/** Here the words are Gemini's own, of batches and uploads. */
const OTHER_CONCEPTS = ["src/gemini/", "src/emulator/"];
/** What is called so is no state: the type of an event, the kind of an outcome, the name of a figure. */
const OTHER_SUBJECTS = ["type", "kind", "name"];

export function comparisonsOf(tree: Tree): Comparison[] {
  const names = stateNames(tree.get(STATES_FILE) ?? "");
  return [...tree].flatMap(([file, source]) =>
    mustAsk(file) ? comparisonsIn(file, source, names) : [],
  );
}

function mustAsk(file: string): boolean {
  if (file === STATES_FILE || file === DEFINES) return false;
  return !OTHER_CONCEPTS.some((folder) => file.startsWith(folder));
}

/** The keys of the table. */
export function stateNames(source: string): ReadonlySet<string> {
  const names = new Set<string>();
  new Visitor({
    VariableDeclarator({ id, init }) {
      const table = init === null ? undefined : plain(init);
      if (id.type !== "Identifier" || id.name !== TABLE) return;
      if (table?.type !== "ObjectExpression") return;
      for (const property of table.properties) {
        const name = property.type === "Property" ? keyOf(property) : undefined;
        if (name !== undefined) names.add(name);
      }
    },
  }).visit(parseSync("states.ts", source).program);
  return names;
}

export function comparisonsIn(
  file: string,
  source: string,
  names: ReadonlySet<string>,
): Comparison[] {
  const places: number[] = [];
  const isState = (node: Compared) => names.has(textOf(node) ?? "");
  new Visitor({
    BinaryExpression({ operator, left, right, start }) {
      const isAsked = isState(left) ? !isOther(right) : isState(right) && !isOther(left);
      if ([...EQUALITIES, "in"].includes(operator) && isAsked) places.push(start);
    },
    SwitchStatement({ discriminant, cases }) {
      if (isOther(discriminant)) return;
      for (const { test, start } of cases) {
        if (test !== null && isState(test)) places.push(start);
      }
    },
    ArrayExpression({ elements, start }) {
      const own = elements.filter((each) => each !== null && each.type !== "SpreadElement");
      if (own.length > 0 && own.every((each) => each !== null && isState(each))) places.push(start);
    },
    ObjectExpression({ properties, start }) {
      const own = properties.filter((each) => each.type === "Property");
      if (own.length > 1 && own.every((each) => names.has(keyOf(each) ?? ""))) places.push(start);
    },
  }).visit(parseSync(file, source).program);
  return places
    .toSorted((a, b) => a - b)
    .map((place) => ({ file, line: source.slice(0, place).split("\n").length }));
}

const EQUALITIES = ["===", "!==", "==", "!="];

type Compared = Expression | Argument | { readonly type: "PrivateIdentifier" };

/** Without what only types or readers see. */
function plain(node: Compared): Compared {
  switch (node.type) {
    case "TSAsExpression":
    case "TSSatisfiesExpression":
    case "ParenthesizedExpression":
    case "ChainExpression":
      return plain(node.expression);
    default:
      return node;
  }
}

function textOf(given: Compared): string | undefined {
  const node = plain(given);
  return node.type === "Literal" && typeof node.value === "string" ? node.value : undefined;
}

function isOther(given: Compared): boolean {
  const node = plain(given);
  if (node.type === "Identifier") return OTHER_SUBJECTS.includes(node.name);
  const isNamed = node.type === "MemberExpression" && node.property.type === "Identifier";
  return isNamed && !node.computed && OTHER_SUBJECTS.includes(node.property.name);
}

function keyOf({ key }: ObjectProperty): string | undefined {
  if (key.type === "Identifier") return key.name;
  return key.type === "Literal" && typeof key.value === "string" ? key.value : undefined;
}
