/**
 * Many objects of one shape, member by member instead of one by one: what all have in common stands once, and to read
 * thirty thousand of them is not to make a million small things. Objects in them are taken apart as well; what else they
 * hold stays as it is, and may be shared by several.
 */
import { isJsonObject } from "../../row/json-value.ts";

export type Column =
  | Readonly<{ all: unknown }>
  | Readonly<{ each: readonly unknown[] }>
  /** `without`: the places of those that are undefined. */
  | Readonly<{ members: readonly Member[]; without: readonly number[] }>;

type Member = readonly [string, Column];

export function columnOf(values: readonly unknown[]): Column {
  const [first] = values;
  if (values.every((value) => areAlike(value, first))) return { all: first };
  const objects = values.filter((value) => value !== undefined);
  if (!objects.every(isJsonObject)) return { each: values };
  const names = [...new Set(objects.flatMap((each) => Object.keys(each)))];
  const without = values.flatMap((value, at) => (value === undefined ? [at] : []));
  const members = names.map((name) => [name, columnOf(objects.map((each) => each[name]))] as const);
  return members.every(isOne) && without.length === 0
    ? { all: shapeOf(members) }
    : { members, without };
}

/** So many of them as there were. */
export function valuesIn(column: Column, count: number): readonly unknown[] {
  if ("all" in column) return Array.from({ length: count }, () => column.all);
  if ("each" in column) return column.each;
  const { members, without } = column;
  const objects = objectsOf(members, count - without.length);
  if (without.length === 0) return objects;
  const gaps = new Set(without);
  const left = objects.values();
  return Array.from({ length: count }, (_, at) => (gaps.has(at) ? undefined : left.next().value));
}

function objectsOf(members: readonly Member[], count: number): Record<string, unknown>[] {
  // a copy of one that has all its members is made at once, and not member by member
  const shape = shapeOf(members);
  const objects = Array.from({ length: count }, () => ({ ...shape }));
  for (const [name, column] of members) {
    if ("all" in column) continue;
    const values = valuesIn(column, count);
    objects.forEach((object, at) => {
      object[name] = values[at];
    });
  }
  return objects;
}

function shapeOf(members: readonly Member[]): Record<string, unknown> {
  return Object.fromEntries(
    members.map(([name, column]) => [name, "all" in column ? column.all : undefined]),
  );
}

function isOne([, column]: Member): boolean {
  return "all" in column;
}

function areAlike(value: unknown, other: unknown): boolean {
  return Object.is(value, other) || (isEmptyList(value) && isEmptyList(other));
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}
