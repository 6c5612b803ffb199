/** Can this table be filled, and if not, what should its owner do? */
import { describe, expect, it } from "vitest";
import { UserError } from "../../src/errors.ts";
import { NOTHING_IN_THE_WAY, type TargetDescription } from "../../src/row/target-description.ts";
import { checkTarget } from "../../src/row/target-check.ts";
import type { Target } from "../../src/row/target.ts";
import { QUESTIONS } from "./contract.ts";

const fine: TargetDescription = {
  idType: "integer",
  idTypeName: "bigint",
  idUnique: true,
  embedding: { typeName: "vector", dimensions: 128 },
  embeddingIndexes: [],
  updateTriggers: [],
  writing: NOTHING_IN_THE_WAY,
  serverVersion: "17.0",
  pgvectorVersion: "0.8.0",
};

function writing(changes: Partial<TargetDescription["writing"]>): Partial<TargetDescription> {
  return { writing: { ...NOTHING_IN_THE_WAY, ...changes } };
}

describe("a target", () => {
  it.each([
    ["vector", 128],
    ["halfvec", 128],
    ["vector", undefined],
  ])("with a column of %s(%s) can be filled", (typeName, dimensions) => {
    const check = (): void =>
      checkTarget(QUESTIONS, { ...fine, embedding: { typeName, dimensions } });
    expect(check).not.toThrow();
  });

  it.each<[string, Partial<Target>, Partial<TargetDescription>, RegExp, RegExp]>([
    ["a date as key", {}, { idType: undefined, idTypeName: "date" }, /type date/, /--id/],
    [
      "a key whose type the API does not know",
      {},
      { idType: undefined, idTypeName: "odd", namedBy: "14.17" },
      /14\.17.*names the type of the key column .* odd/,
      /vecfill init --apply/,
    ],
    [
      "a column that is never empty",
      {},
      writing({ notNull: true }),
      /is NOT NULL/,
      /drop not null/,
    ],
    [
      "heirs",
      {},
      writing({ children: ["a", "b"] }),
      /inherit .*\(a, b\)/,
      /alter table a no inherit/,
    ],
    [
      "a publication",
      {},
      writing({ publications: ["p"] }),
      /publication p /,
      /replica identity full/,
    ],
    ["a rule", {}, writing({ rules: ["r"] }), /The rule r /, /disable rule r;/],
    ["a key that is not unique", {}, { idUnique: false }, /not unique/, /create unique index/],
    ["a view", {}, { idUnique: false, insteadOfTable: "view" }, /is a view/, /table below it/],
    [
      "a partitioned table",
      {},
      { idUnique: false, insteadOfTable: "partitioned table" },
      /not unique/,
      /fills its partitions/,
    ],
    ["no pgvector", {}, { pgvectorVersion: undefined }, /pgvector/, /create extension vector/],
    [
      "another column type",
      {},
      { embedding: { typeName: "real[]", dimensions: undefined } },
      /type real\[\], not a vector/,
      /add column <name> vector\(128\)/,
    ],
    [
      "another width",
      {},
      { embedding: { typeName: "halfvec", dimensions: 768 } },
      /has 768 dimensions, and 128 are asked for/,
      /--dimensions 768, or .* type halfvec\(128\)/,
    ],
    ["too narrow vectors", { dimensions: 64 }, {}, /no vectors of 64/, /between 128 and 3072/],
    ["too wide vectors", { dimensions: 4096 }, {}, /no vectors of 4096/, /between 128 and 3072/],
    ["half a dimension", { dimensions: 128.5 }, {}, /no vectors of 128.5/, /between/],
  ])("with %s cannot", (_, target, description, message, hint) => {
    const attempt = (): void =>
      checkTarget({ ...QUESTIONS, ...target }, { ...fine, ...description });
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(expect.objectContaining({ hint: expect.stringMatching(hint) }));
    expect(attempt).toThrow(UserError);
  });
});
