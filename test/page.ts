/** Which documents there are; reads Markdown pages, and lines of shell as far as pages have them. */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Every page that people read. */
export const DOCUMENTS: readonly string[] = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "jobs/README.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

/** One text on several pages, in the order of the work; its sections are numbered throughout. */
const GUIDE_PAGES = ["backfill-guide.md", "watch-and-mend.md", "other-tasks.md"];

export function guideText(): string {
  return GUIDE_PAGES.map((name) => read(`docs/${name}`)).join("\n");
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

type Block = Readonly<{ language: string; code: string }>;
export type Section = Readonly<{ title: string; blocks: readonly Block[] }>;

/** By the headings of the second level; what stands before the first is left out. */
export function sectionsOf(page: string): Section[] {
  const [, ...parts] = page.split(/^## /m);
  return parts.map((part) => ({
    title: part.slice(0, part.indexOf("\n")),
    blocks: Array.from(
      part.matchAll(/^```(?<language>\w+)\n(?<code>.*?)^```/gms),
      ({ groups = {} }) => ({ language: groups["language"] ?? "", code: groups["code"] ?? "" }),
    ),
  }));
}

/** The code of the first block after a mark; empty where there is none. */
export function blockAfter(page: string, mark: string): string {
  const [, after = ""] = page.split(`<!-- ${mark} -->\n`);
  return /^```\w+\n(?<code>.*?)^```/ms.exec(after)?.groups?.["code"] ?? "";
}

/** The settings in front of a command: `A=1 B=2 vecfill run`. */
export function settingsBefore(line: string): Record<string, string> {
  const [front = ""] = /^(?:\w+=\S+ )*/.exec(line) ?? [];
  return Object.fromEntries(
    Array.from(front.matchAll(/(?<name>\w+)=(?<value>\S+)/g), ({ groups = {} }) => [
      groups["name"] ?? "",
      groups["value"] ?? "",
    ]),
  );
}

/** What stands behind a `#`. */
export function commentOf(line: string): string {
  return / # (?<comment>.*)$/.exec(line)?.groups?.["comment"] ?? "";
}

/** The arguments of a shell's line: quotes, settings in front, and comments behind. */
export function words(line: string): string[] {
  const [, ...args] = Array.from(
    line.replace(/^(?:\w+=\S+ )*/, "").matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g),
    ([, single, double, bare]) => single ?? double ?? bare ?? "",
  );
  const end = args.findIndex((word) => ["#", ">", "|", "&&"].includes(word));
  return end === -1 ? args : args.slice(0, end);
}

/** Where a page leads, its pictures included. */
export function linksOf(page: string): string[] {
  const places = page.matchAll(/\]\((?<to>[^)]+)\)|\b(?:src|srcset)="(?<picture>[^"]+)"/g);
  return Array.from(places, ({ groups = {} }) => groups["to"] ?? groups["picture"] ?? "");
}

export function pathOf(document: string, link: string): string {
  const [path = ""] = link.split("#");
  return path === "" ? document : join(dirname(document), path);
}

export function leadsSomewhere(document: string, link: string): boolean {
  const [, anchor] = link.split("#");
  const file = pathOf(document, link);
  if (!existsSync(join(ROOT, file))) return false;
  return anchor === undefined || anchorsOf(read(file)).includes(anchor);
}

/** As GitHub makes them from headings. */
function anchorsOf(text: string): string[] {
  return Array.from(text.matchAll(/^#+ (?<title>.+)$/gm), ({ groups }) =>
    String(groups?.["title"])
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** The cells of the first table after a mark, without its titles and the line under them. */
export function tableAfter(text: string, mark: string, titles?: "with titles"): string[][] {
  const [, after = ""] = text.split(`${mark}\n`);
  const table = /^\|.*(?:\n\|.*)*/m.exec(after)?.[0] ?? "";
  const rows = table.split("\n").map((line) =>
    line
      .slice(1, -1)
      .split("|")
      .map((cell) => cell.trim()),
  );
  return rows.filter((_, at) => at > 1 || (at === 0 && titles !== undefined));
}
