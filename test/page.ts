/** Reads the blocks of a Markdown page, and lines of shell as far as pages have them. */

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
