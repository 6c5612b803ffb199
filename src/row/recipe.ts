/**
 * What `--text` says: a column's name, or a recipe of columns in braces and literal text, such as
 * `{question_text} {options}`. `{{` and `}}` stand for braces. The database does the rendering
 * (see `store/sql.ts`), so there is one rule for what a row's text is, and it is SQL's.
 */
import { UserError, usageError } from "../errors.ts";

export type RecipePart = Readonly<{ column: string }> | Readonly<{ literal: string }>;

/** Text without any brace is a column's name as it stands. Throws a UserError (usage). */
export function parseRecipe(text: string): readonly RecipePart[] {
  if (text.trim() === "") throw unusableRecipe(text, "is empty");
  if (text.includes("\0")) throw unusableRecipe(text, "holds a NUL character");
  if (!/[{}]/.test(text)) return [{ column: text }];
  const parts = mergeLiterals(Array.from(text.matchAll(TOKEN), (token) => partOf(text, token)));
  if (!parts.some((part) => "column" in part)) throw unusableRecipe(text, "names no column");
  return parts;
}

/** The columns that a recipe names, each once, in order. */
export function recipeColumns(parts: readonly RecipePart[]): string[] {
  return [...new Set(parts.flatMap((part) => ("column" in part ? [part.column] : [])))];
}

/** Whether a text made by the recipe has nothing of a row: each of its columns is empty, or holds white space alone. */
export function isEmptyText(text: string, recipe: string): boolean {
  const literals = literalsOf(recipe);
  let matched = 0;
  for (const character of text) {
    if (character.trim() === "") continue;
    if (literals[matched] !== character) return false;
    matched += 1;
  }
  // where nothing at all could be read, not even the literals are there
  return matched === 0 || matched === literals.length;
}

const LITERALS = new Map<string, readonly string[]>();

/** Their characters but for white space: this is asked of every row. */
function literalsOf(recipe: string): readonly string[] {
  const known = LITERALS.get(recipe);
  if (known !== undefined) return known;
  const literals = parseRecipe(recipe).map((part) => ("literal" in part ? part.literal : ""));
  const made = Array.from(literals.join("").replace(/\s+/g, ""));
  LITERALS.set(recipe, made);
  return made;
}

/** Every character belongs to exactly one token; a brace on its own is the mistake. */
const TOKEN = /(?<escaped>\{\{|\}\})|\{(?<column>[^{}]*)\}|(?<literal>[^{}]+)|(?<stray>[{}])/gs;

function partOf(text: string, token: RegExpExecArray): RecipePart {
  const { escaped, column, literal } = token.groups ?? {};
  if (escaped !== undefined) return { literal: escaped.charAt(0) };
  if (literal !== undefined) return { literal };
  if (column === undefined)
    throw unusableRecipe(text, `has a lone brace at position ${token.index + 1}`);
  if (column.trim() === "")
    throw unusableRecipe(text, `has empty braces at position ${token.index + 1}`);
  return { column };
}

function mergeLiterals(parts: readonly RecipePart[]): RecipePart[] {
  const merged: RecipePart[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (last !== undefined && "literal" in last && "literal" in part) {
      merged[merged.length - 1] = { literal: last.literal + part.literal };
    } else {
      merged.push(part);
    }
  }
  return merged;
}

function unusableRecipe(text: string, why: string): UserError {
  return usageError(
    `The text recipe ${JSON.stringify(text)} ${why}.`,
    "Give --text a column, or a recipe such as '{question_text} {options}'; write {{ and }} for braces.",
  );
}
