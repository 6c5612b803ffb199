/** Whose quota is used by the key that has no name; the journal leaves it out. */
export const DEFAULT_PROJECT = "default";

/** For tables: empty where there is nothing to tell apart. */
export function projectName(project: string = DEFAULT_PROJECT): string {
  return project === DEFAULT_PROJECT ? "" : project;
}

/** Where the project's key is set. */
export function keyVariable(project: string): string {
  const name = project.toUpperCase().replaceAll("-", "_");
  return project === DEFAULT_PROJECT ? "GEMINI_API_KEY" : `VECFILL_KEY_${name}`;
}

const KEY_VARIABLE = /^VECFILL_KEY_(?<name>[A-Z][A-Z0-9_]{0,39})$/;

/** Of a variable that holds its keys; undefined for any other. */
export function projectOfVariable(name: string): string | undefined {
  const found = KEY_VARIABLE.exec(name)?.groups?.["name"];
  return found?.toLowerCase().replaceAll("_", "-");
}
