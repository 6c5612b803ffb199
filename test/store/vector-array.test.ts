/** Does a vector arrive bit for bit as it was sent? */
import { afterAll, beforeAll, expect, it } from "vitest";
import { cell, type Database } from "../../src/store/database.ts";
import { openPglite } from "../../src/store/postgres/pglite.ts";
import { encodeVectorArray } from "../../src/store/postgres/vector-array.ts";

let database: Database;
let oids: { vector: number; array: number };

beforeAll(async () => {
  database = await openPglite(undefined);
  await database.query("CREATE EXTENSION vector");
  const rows = await database.query(
    "SELECT oid::text AS oid, typarray::text AS array_oid FROM pg_type WHERE typname = 'vector'",
  );
  const [vector, array] = rows.flatMap((row) => [cell(row, "oid"), cell(row, "array_oid")]);
  oids = { vector: Number(vector), array: Number(array) };
});
afterAll(() => database.close());

it("keeps every float32 and every width, also of a view into a larger buffer", async () => {
  const extremes = Float32Array.of(0, 1, -1, 0.1, -1 / 3, 1.1754944e-38, 1e-45, -3.4028235e38);
  const window = new Float32Array(Float32Array.of(9, 0.25, -0.75, 9).buffer, 4, 2);
  const vectors = [extremes, window, Float32Array.of(Math.PI)];
  const rows = await database.query("SELECT v::text AS v FROM unnest($1::vector[]) v", [
    { typeOid: oids.array, bytes: encodeVectorArray(vectors, oids.vector) },
  ]);
  const back = rows.map((row) => Float32Array.from(JSON.parse(cell(row, "v"))));
  expect(back).toEqual(vectors);
});
