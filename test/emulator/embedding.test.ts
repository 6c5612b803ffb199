// Can a wrong or mixed-up vector be told from the right one, and do near texts have near vectors?
import { expect, test } from "vitest";
import {
  emulatedUnits,
  emulatedVector,
  UNITS_PER_ONE,
} from "../../src/emulator/vectors/embedding.ts";
import { LineBytes } from "../../src/emulator/vectors/line-bytes.ts";
import { IN_FULL } from "../size.ts";

const SHAPE = {
  model: "gemini-embedding-001",
  dimensions: 768,
  taskType: "RETRIEVAL_DOCUMENT",
} as const;
const QUESTION = "Three of these animals hibernate. Which one does not?";

function norm(vector: readonly number[]): number {
  return Math.hypot(...vector);
}

function cosine(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0) / norm(a) / norm(b);
}

test("the same text gives the same vector, whatever was embedded in between", IN_FULL, () => {
  const first = emulatedVector(QUESTION, SHAPE);
  for (let i = 0; i < 20_000; i++) emulatedUnits(`word${i}`, { ...SHAPE, dimensions: 256 });
  for (let i = 0; i < 6_000; i++) emulatedUnits(`word${i}`, SHAPE);
  expect(emulatedVector(QUESTION, SHAPE)).toEqual(first);
});

test.each([
  ["one letter", QUESTION.replace("Three", "three")],
  ["a space at the end", `${QUESTION} `],
  ["a mark less", QUESTION.slice(0, -1)],
  ["a prefix", `title: none | text: ${QUESTION}`],
])("%s changes the direction a little", (_what, text) => {
  const nearness = cosine(emulatedVector(text, SHAPE), emulatedVector(QUESTION, SHAPE));
  expect(nearness).toBeLessThan(0.999);
  expect(nearness).toBeGreaterThan(0.7);
});

test("model, task type, width and title change it too", () => {
  const other = [
    emulatedVector(QUESTION, { ...SHAPE, model: "gemini-embedding-2" }),
    emulatedVector(QUESTION, { ...SHAPE, taskType: "RETRIEVAL_QUERY" }),
    emulatedVector(QUESTION, { ...SHAPE, title: "Animals" }),
  ];
  for (const vector of other) {
    expect(cosine(vector, emulatedVector(QUESTION, SHAPE))).toBeLessThan(0.99);
  }
  expect(emulatedVector(QUESTION, { ...SHAPE, dimensions: 1536 })).toHaveLength(1536);
});

test("texts that share words are nearer than texts that do not", () => {
  const question = emulatedVector(QUESTION, SHAPE);
  const near = emulatedVector("Which of these animals does not hibernate?", SHAPE);
  const far = emulatedVector("Who wrote the opera Tosca in 1900?", SHAPE);
  expect(cosine(question, near)).toBeGreaterThan(0.6);
  expect(cosine(question, far)).toBeLessThan(0.3);
});

test("lengths are those of the service", () => {
  expect(norm(emulatedVector(QUESTION, SHAPE))).toBeCloseTo(0.585, 1);
  expect(norm(emulatedVector(QUESTION, SHAPE))).not.toBeCloseTo(1, 1);
  expect(norm(emulatedVector(QUESTION, { ...SHAPE, dimensions: 3072 }))).toBeCloseTo(1, 6);
  expect(norm(emulatedVector(QUESTION, { ...SHAPE, model: "gemini-embedding-2" }))).toBeCloseTo(
    1,
    6,
  );
});

test("what is written parses to exactly what the function returns", () => {
  const bytes = new LineBytes();
  for (let i = 0; i < 200; i++) {
    const text = `${QUESTION} ${i}`;
    bytes.values(emulatedUnits(text, SHAPE));
    const written = bytes.take().toString();
    expect(JSON.parse(`[${written}]`)).toEqual(emulatedVector(text, SHAPE));
  }
});

test.each([
  [0, "0"],
  [1, "1e-09"],
  [-12, "-1.2e-08"],
  [12_345, "1.2345e-05"],
  [99_999, "9.9999e-05"],
  [100_000, "0.0001"],
  [-100_001, "-0.000100001"],
  [34_119_852, "0.034119852"],
  [120_000_000, "0.12"],
  [999_999_999, "0.999999999"],
  [-1_000_000_000, "-1"],
  [1_250_000_000, "1.25"],
])("%d billionths are written %s, as the service writes them", (units, text) => {
  const bytes = new LineBytes();
  bytes.values(Int32Array.of(units));
  const written = bytes.take().toString();
  expect(written).toBe(text);
  expect(JSON.parse(written)).toBe(units / UNITS_PER_ONE);
});
