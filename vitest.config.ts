import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { runAlready } from "./scripts/same-tests.ts";
import { SweepsFirst } from "./test/order.ts";
import { SkippedReporter } from "./test/skipped.ts";

/** What `npm run test:full` has beside `npm test`: whole sweeps. Most tests are one body at two sizes: test/size.ts. */
const FULL_ONLY = "test/**/*.full.test.ts";

/** `rest`: of the full run what `npm test` and the sweeps on the embedded database have not run already. */
const LEFT_OUT: Readonly<Record<string, () => string[]>> = {
  full: () => [],
  rest: runAlready,
  test: () => [FULL_ONLY],
};

const REPORTERS =
  process.env["GITHUB_ACTIONS"] === "true" ? ["default", "github-actions"] : ["default"];

export default defineConfig(({ mode }) => ({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: LEFT_OUT[mode]?.() ?? [FULL_ONLY],
    env: { VECFILL_TEST_SIZE: mode === "test" ? "quick" : "full" },
    sequence: { sequencer: SweepsFirst },
    globalSetup: ["test/embedded/prepared.ts"],
    setupFiles: ["test/setup.ts"],
    reporters: [...REPORTERS, new SkippedReporter(mode !== "test")],
    // files share a process: modules and the embedded database are loaded once in each
    isolate: false,
    // more than there are cores: tests wait for processes and timers, and on a native server for that, too
    maxWorkers: availableParallelism() + (mode === "rest" ? 3 : 1),
    // Node strips the types itself, as it does for users
    experimental: { viteModuleRunner: false },
    // an optimising compiler takes longer over the database than a test does with it, and a heap that
    // starts small, or is young for a moment only, is searched for garbage every second
    execArgv: [
      "--liftoff-only",
      "--single-threaded-gc",
      "--initial-heap-size=300",
      "--min-semi-space-size=64",
      "--max-semi-space-size=64",
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    restoreMocks: true,
    unstubEnvs: true,
  },
}));
