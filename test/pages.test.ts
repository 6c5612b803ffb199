// I have a minute: is the README short, is every page found from it, and are the sentences short enough
// for somebody who reads English as a second language?
import { describe, expect, test } from "vitest";
import { COMMAND_NAMES } from "../src/settings/option.ts";
import { OPTION_LIST } from "../src/settings/options.ts";
import { runHere } from "./command-line.ts";
import { DOCUMENTS, linksOf, pathOf, read } from "./page.ts";

const INDEX = "docs/README.md";
const WORDS_A_SENTENCE_MAX = 20;
const STOPS_MAX = 12;
/** Looked things up in, not read. */
const RECORDS = ["CHANGELOG.md", "docs/decisions.md", "jobs/README.md"];
const TO_READ = DOCUMENTS.filter((name) => !RECORDS.includes(name));
const PAGE_LINES_MAX = 300;
const LINES_MAX = new Map([
  ["README.md", 120],
  ["ARCHITECTURE.md", 150],
  [INDEX, 60],
]);

describe("how long a page is", () => {
  test.each(TO_READ)("%s", (name) => {
    const max = LINES_MAX.get(name) ?? PAGE_LINES_MAX;
    expect(read(name).trimEnd().split("\n").length).toBeLessThanOrEqual(max);
  });

  test("a row's walk through the source has twelve stops at most", () => {
    const [, walk = ""] = read("ARCHITECTURE.md").split("## A row's walk\n");
    const stops = walk.split("\n## ")[0]?.match(/^\d+\. \*\*/gm) ?? [];
    expect(stops.length).toBeGreaterThan(5);
    expect(stops.length).toBeLessThanOrEqual(STOPS_MAX);
  });
});

describe("how a page is found", () => {
  test("the index has every page once, by a question", () => {
    const rows = read(INDEX)
      .split("\n")
      .filter((line) => line.startsWith("| ") && line.includes("]("));
    const pages = rows.flatMap((line) => linksOf(line)).map((to) => pathOf(INDEX, to));
    expect(pages.toSorted()).toEqual(DOCUMENTS.filter((name) => name !== INDEX).toSorted());
    expect(rows.filter((line) => !/^\| [A-Z].*\? \| \[/.test(line))).toEqual([]);
  });

  test("every page is two clicks from the README", () => {
    const near = ["README.md", ...targetsOf("README.md")].filter((name) => name.endsWith(".md"));
    const reached = new Set([...near, ...near.flatMap(targetsOf)]);
    expect(DOCUMENTS.filter((name) => !reached.has(name))).toEqual([]);
  });
});

describe("how it reads", () => {
  test.each(TO_READ)("%s: short sentences", (name) => {
    expect(averageWords(sentencesOf(read(name)))).toBeLessThanOrEqual(WORDS_A_SENTENCE_MAX);
  });

  test("the help: short sentences", async () => {
    const pages = await Promise.all(COMMAND_NAMES.map((command) => runHere([command, "--help"])));
    const told = pages.map(({ stdout }) => /^Usage: .*\n\n(?<text>(?:.+\n)+)/m.exec(stdout));
    const sentences = told.map((found) => sentencesOf(found?.groups?.["text"] ?? ""));
    expect(sentences.filter(({ length }) => length === 0)).toEqual([]);
    expect(averageWords(sentences.flat())).toBeLessThanOrEqual(WORDS_A_SENTENCE_MAX);
  });

  test("the options are told in short sentences", () => {
    const told = OPTION_LIST.flatMap(([, { describe: text }]) => sentencesOf(text));
    expect(averageWords(told)).toBeLessThanOrEqual(WORDS_A_SENTENCE_MAX);
  });

  test.each(DOCUMENTS.filter((name) => name !== "CHANGELOG.md"))(
    "%s: in the field's words",
    (name) => {
      expect(read(name).match(ODD_WORDS) ?? []).toEqual([]);
    },
  );

  test("a long sentence would be found", () => {
    const page =
      "# A title\n\nOne two three. Four `vecfill run --json` [six](page.md).\n\n- Seven eight.\n";
    expect(sentencesOf(page)).toEqual(["One two three.", "Four Code six.", "Seven eight."]);
    expect(averageWords(sentencesOf(page))).toBeCloseTo(8 / 3);
    expect("For a few rows that is no matter.".match(ODD_WORDS)).toEqual(["is no matter"]);
  });
});

/** What a reader who is no native speaker stumbles over. */
const ODD_WORDS =
  /is no matter|nothing is off|\bpatience\b|\bthe books\b|\b0 files still|\b1 (?:requests|rows|jobs|files)\b/gi;

function targetsOf(name: string): string[] {
  const local = linksOf(read(name)).filter((to) => !/^https?:/.test(to));
  return local.map((to) => pathOf(name, to));
}

/** Of paragraphs and items, not of tables, headings and code. */
function sentencesOf(page: string): string[] {
  const text = page
    .replaceAll(/^```.*?^```/gms, "\n")
    .replaceAll(/<[^>]+>/g, "")
    .replaceAll(/`[^`]*`/g, "Code")
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1");
  return text
    .split(/\n\s*\n|\n(?=\s*(?:-|\d+\.) )/)
    .filter((block) => !/^\s*[#|]/.test(block))
    .flatMap((block) =>
      block.replace(/^\s*(?:-|\d+\.) /, "").split(/(?<=[.!?][)"*]*)\s+(?=[("*A-Z])/),
    )
    .map((sentence) => sentence.replaceAll(/\s+/g, " ").trim())
    .filter((sentence) => /[a-z]/.test(sentence));
}

function averageWords(sentences: readonly string[]): number {
  const words = sentences.map((sentence) => sentence.split(" ").length);
  return words.reduce((sum, number) => sum + number, 0) / Math.max(words.length, 1);
}
