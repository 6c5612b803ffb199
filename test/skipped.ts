import type { Reporter, TestModule } from "vitest/node";

const NO_REASON = "say no reason";

/** Says at the end of a run, in one place, how many tests were skipped and why. In a whole run each one has a reason. */
export class SkippedReporter implements Reporter {
  readonly #isWhole: boolean;

  constructor(isFull: boolean) {
    this.#isWhole = isFull && !process.argv.some((word) => /^(-t|--testNamePattern)/.test(word));
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const names = new Map<string, string[]>();
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const { note = test.meta().skippedFor ?? NO_REASON } = noted(test.result());
        names.set(note, [...(names.get(note) ?? []), test.fullName]);
      }
    }
    const lines = [...names].map(([why, { length }]) => `skipped: ${length} ${why}\n`);
    process.stdout.write(lines.toSorted().join(""));
    const forgotten = names.get(NO_REASON);
    if (!this.#isWhole || forgotten === undefined) return;
    process.stdout.write(`without a reason:\n  ${forgotten.join("\n  ")}\n`);
    process.exitCode = 1;
  }
}

function noted(result: object): { note?: string | undefined } {
  return "note" in result && typeof result.note === "string" ? { note: result.note } : {};
}
