/** The files of `src`, and what each imports. */
import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { parseSync } from "oxc-parser";

/** Source by path, such as `src/cli.ts`. */
export type Tree = ReadonlyMap<string, string>;

/** `type` leaves nothing behind when types are stripped. */
type Kind = "static" | "lazy" | "type";
export type Import = Readonly<{ file: string; to: string; kind: Kind }>;

/** Of the checkout. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

export function sourceTree(): Tree {
  const paths = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  const files = paths.filter((path) => /(?<!\.d)\.ts$/.test(path)).map((path) => `src/${path}`);
  return new Map(files.toSorted().map((file) => [file, readFileSync(join(ROOT, file), "utf8")]));
}

/** Packages by their names, files by their paths. */
export function importsOf(file: string, source: string): Import[] {
  const { staticImports, staticExports, dynamicImports } = parseSync(file, source).module;
  const one = (to: string, kind: Kind) => ({ file, to: resolved(file, to), kind });
  const handedOn = staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest, isType }) =>
      moduleRequest === null ? [] : [one(moduleRequest.value, isType ? "type" : "static")],
    ),
  );
  return [
    ...staticImports.map(({ moduleRequest, entries }) => {
      const isType = entries.length > 0 && entries.every((entry) => entry.isType);
      return one(moduleRequest.value, isType ? "type" : "static");
    }),
    ...handedOn,
    ...dynamicImports.map(({ moduleRequest: { start, end } }) =>
      one(source.slice(start, end).replaceAll('"', ""), "lazy"),
    ),
  ];
}

function resolved(file: string, to: string): string {
  return to.startsWith(".") ? posix.join(posix.dirname(file), to) : to;
}
