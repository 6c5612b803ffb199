// Is the demo's set of questions sound (distinct ids, an answer among the options), still dirty
// where it is meant to be, and does it hold neighbours for the queries that the demo asks?
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";

type DemoQuestion = Readonly<{
  id: number;
  category: string;
  questionText: string;
  options: readonly string[];
  correctAnswer: string;
}>;

const FEWEST_QUESTIONS = 190;
const FEWEST_CATEGORIES = 16;
const OPTIONS_A_QUESTION = 4;
const FEWEST_NEIGHBOURS = 4;
const LINE_SEPARATOR = "\u2028";

const file = await readFile(new URL("../../demo/questions.jsonl", import.meta.url), "utf8");
// Split at LF only: a question holds U+2028, at which other line readers break.
const questions = file.replace(/\n$/, "").split("\n").map(parseQuestion);

describe("the demo's questions", () => {
  test("are many, over many categories", () => {
    expect(questions.length).toBeGreaterThanOrEqual(FEWEST_QUESTIONS);
    expect(distinct(questions.map((question) => question.category))).toBeGreaterThanOrEqual(
      FEWEST_CATEGORIES,
    );
  });

  test("have distinct ids and distinct texts", () => {
    expect(distinct(questions.map((question) => question.id))).toBe(questions.length);
    expect(distinct(questions.map((question) => question.questionText))).toBe(questions.length);
  });

  test("hold no empty text", () => {
    const empty = questions.filter(({ category, questionText, options }) =>
      [category, questionText, ...options].some((text) => text.trim() === ""),
    );
    expect(empty).toEqual([]);
  });

  test("have four different options, the correct answer among them", () => {
    const unsound = questions.filter(
      ({ options, correctAnswer }) =>
        options.length !== OPTIONS_A_QUESTION ||
        distinct(options) !== OPTIONS_A_QUESTION ||
        !options.includes(correctAnswer),
    );
    expect(unsound).toEqual([]);
  });

  test("are a little dirty, as real texts are: no editor has tidied them", () => {
    const texts = questions.map((question) => question.questionText);
    expect(texts.filter((text) => text.includes(LINE_SEPARATOR))).toHaveLength(1);
    expect(texts.filter((text) => text !== text.trimEnd())).toHaveLength(1);
    expect(texts.filter((text) => /\p{Emoji_Presentation}/u.test(text))).toHaveLength(1);
    expect(texts.filter((text) => text.includes("\n"))).toHaveLength(1);
  });

  test.each([
    ["Which planet has rings?", ["planet", "rings"]],
    ["How do you bake bread with yeast?", ["bake", "bread", "yeast"]],
    ["What is the fastest sorting algorithm?", ["sorting", "algorithm"]],
  ])("hold neighbours in words for: %s", (_query, words) => {
    const neighbours = questions.filter(({ questionText }) =>
      words.every((word) => questionText.toLowerCase().includes(word)),
    );
    expect(neighbours.length).toBeGreaterThanOrEqual(FEWEST_NEIGHBOURS);
  });
});

function parseQuestion(line: string): DemoQuestion {
  const parsed: unknown = JSON.parse(line);
  if (
    typeof parsed === "object" &&
    parsed !== null &&
    "id" in parsed &&
    typeof parsed.id === "number" &&
    "category" in parsed &&
    typeof parsed.category === "string" &&
    "question_text" in parsed &&
    typeof parsed.question_text === "string" &&
    "options" in parsed &&
    isTexts(parsed.options) &&
    "correct_answer" in parsed &&
    typeof parsed.correct_answer === "string"
  ) {
    return {
      id: parsed.id,
      category: parsed.category,
      questionText: parsed.question_text,
      options: parsed.options,
      correctAnswer: parsed.correct_answer,
    };
  }
  throw new Error(`Not a question: ${line}`);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function distinct(values: readonly unknown[]): number {
  return new Set(values).size;
}
