/** The two that were recorded; what lies between them stands where the double asks. */
export type PostgrestVersion = "13.0.8" | "14.17";

export function isFrom14(version: PostgrestVersion): boolean {
  return version.startsWith("14.");
}
