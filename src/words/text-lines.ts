/** Lines of a text, of which some may have nothing to say. */
type Lines = readonly (string | false | undefined)[];

/** Those that say something. */
export function said(lines: Lines): string[] {
  return lines.filter((line): line is string => typeof line === "string" && line !== "");
}

/** The same, one below the other. */
export function textOf(lines: Lines): string {
  return said(lines).join("\n");
}

export type Fact = readonly [name: string, value: string | undefined];

/** A line for each fact that is known, the values below each other. */
export function aligned(facts: readonly Fact[]): string[] {
  const known = facts.filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}

/** Of what is too wide to stand below the last column. */
const SHALLOW = 4;

/** In lines of so many columns: no word is cut, no unit from its figure, and no command in backticks, which is there to be copied. */
export function wrapped(text: string, columns: number, indent = ""): string[] {
  const lines: string[] = [];
  let line = "";
  for (const [piece] of text.matchAll(/\s*(?:`[^`]*`|\d (?:ms|s|min|h|d|B|[kMGT]B)\b|[^\s])+/g)) {
    const room = columns - piece.trimStart().length;
    // what is wider than a whole line is no better off below
    if (line !== "" && line.length + piece.length > columns && room >= 0) {
      lines.push(line);
      line = `${indent.length <= room ? indent : indent.slice(0, Math.min(room, SHALLOW))}${piece.trimStart()}`;
    } else line += piece;
  }
  return [...lines, line];
}

/** Each line as wide as it may be; its rest stands below its last column. */
export function folded(text: string, columns: number): string {
  const foldedLine = (line: string) =>
    line.length <= columns ? [line] : wrapped(line, columns, " ".repeat(hang(line, columns)));
  return text.split("\n").flatMap(foldedLine).join("\n");
}

const HANG = 2;

/** Behind the last gap of two spaces or more, where that leaves half of the room. */
function hang(line: string, columns: number): number {
  const column = /^.*\S {2,}(?=\S)/.exec(line)?.[0].length ?? 0;
  return column > 0 && column <= columns / 2 ? column : line.search(/\S/) + HANG;
}
