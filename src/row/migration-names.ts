import type { Target } from "./target.ts";

/** A column or an index: as the old one is called, the new one, and the old one after the swap. */
export type Renamed = Readonly<{ old: string; next: string; kept: string }>;

export type MigrationNames = Renamed & Readonly<{ indexes: readonly Renamed[] }>;

/** Longest name that Postgres keeps. */
const NAME_BYTES_MAX = 63;

/** `column`: of the new column, where somebody has chosen it. */
export function migrationNames(
  { embedding }: Target,
  indexes: readonly Readonly<{ name: string }>[],
  { column, now }: Readonly<{ column: string; now: Date }>,
): MigrationNames {
  const day = now.toISOString().slice(0, "2026-11-29".length).replaceAll("-", "");
  const renamed = (old: string): Renamed => ({
    old,
    next: suffixed(old, "_new"),
    kept: suffixed(old, `_${day}`),
  });
  const columns = renamed(embedding);
  const next = column === "" ? columns.next : column;
  return { ...columns, next, indexes: indexes.map(({ name }) => renamed(name)) };
}

/** Cut where it would be too long. */
export function suffixed(name: string, suffix: string): string {
  let start = name;
  while (Buffer.byteLength(start + suffix) > NAME_BYTES_MAX) start = start.slice(0, -1);
  return start + suffix;
}
