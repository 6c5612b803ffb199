/** What does --text mean, and what does it say about a recipe that means nothing? */
import { describe, expect, it, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { isEmptyText, parseRecipe, recipeColumns } from "../../src/row/recipe.ts";

describe("a recipe", () => {
  it.each([
    ["question_text", [{ column: "question_text" }]],
    ["Question Text", [{ column: "Question Text" }]],
    ["{a}", [{ column: "a" }]],
    ["{a} {b}", [{ column: "a" }, { literal: " " }, { column: "b" }]],
    ["{a}{b}", [{ column: "a" }, { column: "b" }]],
    ["{{{a}}}", [{ literal: "{" }, { column: "a" }, { literal: "}" }]],
    ["a {{b}} {c}", [{ literal: "a {b} " }, { column: "c" }]],
    ["{Odd name; 'x'}\n", [{ column: "Odd name; 'x'" }, { literal: "\n" }]],
  ])("%j", (text, parts) => {
    expect(parseRecipe(text)).toEqual(parts);
  });

  it.each([
    ["", /is empty/],
    ["  ", /is empty/],
    ["{}", /empty braces at position 1/],
    ["{a} { }", /empty braces at position 5/],
    ["{a} {b", /lone brace at position 5/],
    ["a}", /lone brace at position 2/],
    ["{a}}", /lone brace at position 4/],
    ["{a{b}}", /lone brace at position 1/],
    ["{{a}}", /names no column/],
    ["{a}\0", /NUL/],
  ])("%j is refused", (text, message) => {
    const attempt = (): unknown => parseRecipe(text);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(UserError);
  });

  it("names each column once, in order", () => {
    expect(recipeColumns(parseRecipe("{b} {a} {b} {{c}}"))).toEqual(["b", "a"]);
  });
});

test.each([
  ["question_text", "", true],
  ["question_text", " \n\u00a0", true],
  ["question_text", "a", false],
  ["{title}: {body}", ": ", true],
  ["{title}: {body}", "  :  \t", true],
  ["{title}: {body}", "a: ", false],
  ["{title}: {body}", ":: ", false],
  ["{title}: {body}", "", true],
  ["{{{title}}}", "{}", true],
])(
  "of a row that has nothing to say, %j makes a text that counts as empty: %j",
  (recipe, text, isEmpty) => {
    expect(isEmptyText(text, recipe)).toBe(isEmpty);
  },
);
