/** What every store knows of a look at the column: how exact a length is, and the shape of the answer. */
import { z } from "zod";
import type { Look } from "./port.ts";
import type { TableShape } from "./sql.ts";

/**
 * How far from 1 a length may be. What vecfill writes is within 1e-7 of it in a column of type vector;
 * other tools print six digits, which adds up to 1e-5. A halfvec keeps 11 bits of each number, which
 * moves the length by 5e-4 at the most.
 */
export const LENGTH_TOLERANCE: Readonly<Record<TableShape["embeddingType"], number>> = {
  vector: 1e-4,
  halfvec: 1e-3,
};

const LOOK = z.object({
  rows: z.number(),
  withEmbedding: z.number(),
  flawed: z.array(
    z.object({
      id: z.string(),
      flaw: z.enum(["dimensions", "length", "notFinite"]),
      detail: z.string(),
    }),
  ),
  hashes: z.string(),
  found: z.array(z.object({ id: z.string(), hash: z.string(), words: z.string() })),
  picked: z.array(z.object({ id: z.string(), text: z.string(), vector: z.array(z.number()) })),
  until: z.string().nullable(),
});

/** From what `lookSql` gave. */
export function parseLook(given: unknown): Look {
  const look = LOOK.parse(given);
  return { ...look, until: look.until ?? undefined };
}
