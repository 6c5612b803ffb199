/** The column has an ANN index, or the server is slow: how many rows go into the next call? */
import { describe, expect, it } from "vitest";
import { ChunkSize } from "../../../src/store/supabase/chunk-size.ts";

const LIMITS = { start: 100, max: 100, targetMs: 2_000 };

describe("the size of a chunk", () => {
  it("stays at its maximum while calls are quick", () => {
    const size = new ChunkSize(LIMITS);
    size.took(100, 50);
    expect(size.rows).toBe(100);
  });

  it("settles where a call takes the time it should", () => {
    const size = new ChunkSize(LIMITS);
    const msPerRow = 200;
    for (let call = 0; call < 20; call += 1) size.took(size.rows, size.rows * msPerRow);
    expect(size.rows).toBe(LIMITS.targetMs / msPerRow);
  });

  it("grows again when calls become quick, and never past what just failed", () => {
    const size = new ChunkSize(LIMITS);
    size.tooMuch(40);
    expect(size.rows).toBe(20);
    for (let call = 0; call < 50; call += 1) size.took(size.rows, 1);
    expect(size.rows).toBe(30);
    for (let call = 0; call < 60; call += 1) size.took(size.rows, 1);
    expect(size.rows).toBe(100);
  });

  it("is never less than a row, and learns nothing upwards from a small rest", () => {
    const size = new ChunkSize(LIMITS);
    for (let call = 0; call < 20; call += 1) size.tooMuch(size.rows);
    expect(size.rows).toBe(1);
    size.took(1, 60_000);
    expect(size.rows).toBe(1);
    const rest = new ChunkSize({ ...LIMITS, start: 50 });
    rest.took(3, 1);
    expect(rest.rows).toBe(50);
  });
});
