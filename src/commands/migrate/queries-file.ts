import { readFile } from "node:fs/promises";
import { z } from "zod";
import { usageError } from "../../errors.ts";
import type { Query } from "../../migrate/gate.ts";

const QUERY = z.strictObject({
  query: z.string().min(1),
  relevant: z.array(z.union([z.string(), z.number().transform(String)])).min(1),
});

/** Throws a UserError (usage) that names the line. */
export async function readQueries(path: string | undefined): Promise<readonly Query[]> {
  const text = path === undefined ? "" : await readFile(path, "utf8");
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    const query = QUERY.safeParse(jsonIn(line));
    if (query.success) return query.data;
    throw usageError(
      `${path}, line ${index + 1}, is no query with its relevant rows.`,
      'Each line is such as {"query": "planets with rings", "relevant": ["17", "23"]}, with the ids of rows.',
    );
  });
}

function jsonIn(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
