/**
 * A new state of a job comes in: is there one table to put it into, or will it be forgotten somewhere,
 * as `embedding` was in the report?
 */
import { describe, expect, it } from "vitest";
import { comparisonsIn, STATES_FILE, stateNames } from "../../scripts/state-comparisons.ts";
import { sourceTree } from "../../scripts/source.ts";
import { colourOf, isAtGemini, isQueued, JOB_STATES } from "../../src/manifest/states.ts";
import { STYLE } from "../../src/commands/report/style.ts";

const TREE = sourceTree();
const NAMES = stateNames(TREE.get(STATES_FILE) ?? "");
const linesOf = (source: string) =>
  comparisonsIn("src/x.ts", source, NAMES).map(({ line }) => line);

describe("the source", () => {
  it("has a table with every state", () => {
    expect([...NAMES].toSorted()).toEqual(JOB_STATES.toSorted());
  });
});

describe("what is a comparison", () => {
  it.each([
    'job.state === "submitted";',
    '"failed" !== state;',
    'if ((job?.state) == ("imported" as const)) stop();',
    'switch (state) {\ncase "exported": stop(); }',
    'const LIST: readonly string[] = ["succeeded", "downloaded"];',
    'new Set(["submitted", ...others]).has(state);',
    'const WORDS = { failed: "bad", "expired": "late" };',
    '"embedding" in table;',
  ])("%s", (source) => {
    expect(linesOf(source)).toHaveLength(1);
  });

  it.each([
    'event.type === "submitted";',
    'switch (event.type) { case "failed": stop(); }',
    'outcome.kind === "submitted";',
    'manifest.record({ type: "imported", job });',
    'const HEALTHS = ["ok", "failed", "stalled"];',
    'const parts = [[failed, "failed"]];',
    "const sums = { written: 1, failed: 2 };",
    'needs(job) === "poll";',
    'type State = "exported" | "failed";',
  ])("not %s", (source) => {
    expect(linesOf(source)).toEqual([]);
  });

  it("is told with its line", () => {
    expect(linesOf('\n\nconst is = state === "failed";\n')).toEqual([3]);
  });
});

describe("the report", () => {
  it("has a colour for every state", () => {
    for (const state of JOB_STATES) {
      expect(STYLE).toContain(`.${state} { --c: var(--${colourOf(state)}); }`);
      expect(STYLE.split(`--${colourOf(state)}: #`)).toHaveLength(3);
    }
  });
});

const those = (is: (job: { state: (typeof JOB_STATES)[number] }) => boolean) =>
  JOB_STATES.filter((state) => is({ state }));

describe("what counts", () => {
  it("as at Gemini is what is being embedded there, by either lane", () => {
    expect(those(isAtGemini)).toEqual(["embedding", "submitted"]);
  });

  it("as queued is what takes room among the batches, or may", () => {
    expect(those(isQueued)).toEqual(["submitting", "submitted"]);
  });
});
