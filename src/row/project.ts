/** Whose quota is used by the key that has no name; the journal leaves it out. */
export const DEFAULT_PROJECT = "default";

/** For tables: empty where there is nothing to tell apart. */
export function projectName(project: string = DEFAULT_PROJECT): string {
  return project === DEFAULT_PROJECT ? "" : project;
}

/** Where the project's key is set. */
export function keyVariable(project: string): string {
  return project === DEFAULT_PROJECT ? "GEMINI_API_KEY" : keysVariable(project);
}

/** Where several of it are. */
export function keysVariable(project: string): string {
  return `VECFILL_KEY_${project.toUpperCase().replaceAll("-", "_")}`;
}

const KEY_VARIABLE = /^VECFILL_KEY_(?<name>[A-Z0-9][A-Z0-9_]{0,39})$/i;

/** Of a variable that holds its keys; undefined for any other. */
export function projectOfVariable(name: string): string | undefined {
  const found = KEY_VARIABLE.exec(name)?.groups?.["name"];
  return found?.toLowerCase().replaceAll("_", "-");
}
