/** The saved state has its jobs member by member: does each come back as it was, whatever it holds? */
import { deserialize, serialize } from "node:v8";
import fc from "fast-check";
import { expect, test } from "vitest";
import { columnOf, valuesIn } from "../../src/manifest/saved/columns.ts";

const value = fc.oneof(fc.string(), fc.double(), fc.boolean(), fc.constantFrom(undefined, null));
const record = (member: fc.Arbitrary<unknown>) =>
  fc.record({ a: member, b: member, list: fc.array(value, { maxLength: 2 }) });
const nested = fc.option(record(fc.oneof(value, fc.option(record(value), { nil: undefined }))), {
  nil: undefined,
});

test("any objects, in their order", () => {
  fc.assert(
    fc.property(fc.array(nested, { maxLength: 12 }), (objects) => {
      const column = deserialize(serialize(columnOf(objects)));
      expect(valuesIn(column, objects.length)).toEqual(objects);
    }),
  );
});

test("what all have in common stands once", () => {
  const times = 1_000;
  const objects = Array.from({ length: times }, (_, id) => ({
    id,
    state: "imported",
    sums: { n: 1 },
  }));
  expect(columnOf(objects)).toMatchObject({
    members: [
      ["id", { each: objects.map(({ id }) => id) }],
      ["state", { all: "imported" }],
      ["sums", { all: { n: 1 } }],
    ],
  });
});
