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
  if (path === undefined) return [];
  const lines = (await textOf(path)).split("\n");
  return lines.flatMap((line, index) =>
    line.trim() === "" ? [] : [parsed(line, path, index + 1)],
  );
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw wrong(`${path} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

function parsed(line: string, path: string, number: number): Query {
  const query = QUERY.safeParse(jsonOf(line));
  if (query.success) return query.data;
  throw wrong(`${path}, line ${number}, is no query with its relevant rows`);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function wrong(what: string) {
  return usageError(
    `${what}.`,
    'Each line of --queries is such as {"query": "planets with rings", "relevant": ["17", "23"]}, with the ids of rows.',
  );
}
