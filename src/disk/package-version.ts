import { readFileSync } from "node:fs";

/** `package.json` stands beside both `src` and `dist`. */
export function packageVersion(): string {
  const content: unknown = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  const known = typeof content === "object" && content !== null && "version" in content;
  return known ? String(content.version) : "unknown";
}
