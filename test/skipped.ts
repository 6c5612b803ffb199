import type { Reporter, TestModule } from "vitest/node";

const NO_REASON = "say no reason: others were asked for by name";

/** Says at the end of a run, in one place, which tests were skipped and why. */
export class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = new Map<string, number>();
    for (const module of modules) {
      for (const test of module.children.allTests("skipped")) {
        const { note = test.meta().skippedFor ?? NO_REASON } = noted(test.result());
        counts.set(note, (counts.get(note) ?? 0) + 1);
      }
    }
    const lines = [...counts].map(([why, count]) => `skipped: ${count} ${why}\n`);
    process.stdout.write(lines.toSorted().join(""));
  }
}

function noted(result: object): { note?: string | undefined } {
  return "note" in result && typeof result.note === "string" ? { note: result.note } : {};
}
