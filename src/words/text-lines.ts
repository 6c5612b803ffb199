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
