/** The tests that are the same whether a call fails before it took effect or after it. */
import { describe, expect, test } from "vitest";
import type { Workshop } from "../../workshop.ts";
import { failEveryCall, someFileCalls } from "./sweep.ts";

const EVERY = { first: 1, step: 1 };
const TIMEOUT = { timeout: 300_000 };

/** `firsts`: which file call fails first; the other sweeps take others, so that all of them come up. */
export function failEveryCallInTurn(
  workshop: () => Workshop,
  when: "before" | "after",
  firsts: Readonly<{ error: number; kill: number }>,
): void {
  describe.each(["error", "kill"] as const)(
    `a call that fails ${when} it took effect, as %s`,
    (how) => {
      test("gemini", TIMEOUT, async () => {
        const fault = { when, how, kind: "gemini" } as const;
        const hits = await failEveryCall(workshop(), fault, EVERY, { counts: true });
        expect(hits.length).toBeGreaterThan(5);
        expect(hits.filter((hit) => hit.endsWith(":countTokens"))).not.toEqual([]);
      });

      test("gemini, with keys of two projects", TIMEOUT, async () => {
        const fault = { when, how, kind: "gemini" } as const;
        const hits = await failEveryCall(workshop(), fault, EVERY, { hasTwoProjects: true });
        expect(hits.length).toBeGreaterThan(10);
      });

      test("file", TIMEOUT, async () => {
        const calls = someFileCalls(firsts[how]);
        const hits = await failEveryCall(workshop(), { when, how, kind: "file" }, calls);
        expect(hits.length).toBeGreaterThan(5);
      });
    },
  );
}
