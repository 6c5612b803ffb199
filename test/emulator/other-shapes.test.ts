// I rehearse against a service that answers in another shape, or has no money for me: does the emulator
// do so when it is told to, and does vecfill come to the same end as ever?
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { connectGemini } from "../../src/gemini/client.ts";
import { startTrial, texts } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

/** `creates` where it is not one; `failed` where not all three rows are written. */
type End = Readonly<{ creates?: number; failed?: number; exit?: string }>;

const cases: readonly (readonly [behaviour: string, faults: string, end: End])[] = [
  ["get-shape=top-level", "", {}],
  ["get-shape=response-output", "", {}],
  ["get-shape=dest", "", {}],
  ["state-names=job", "", {}],
  ["state-names=plain", "", {}],
  ["line-keys=metadata", "", {}],
  ["create-name=operation", "", {}],
  ["download-route=documented-404", "", {}],
  ["download-route=documented-400", "", {}],
  ["download-route=sdk", "", {}],
  ["list-shape=top-level", "create-reset=1x", {}],
  ["list-shape=nameless", "create-reset=1x", { exit: "unfinished" }],
  ["list-shape=unknown", "create-reset=1x", { exit: "unfinished" }],
  ["list-end=circular", "create-reset=1x", { exit: "unfinished", creates: 0 }],
  ["all-failed=no-output", "permanent", { failed: 3, creates: 2 }],
  ["bad-end=unexplained", "batch-fail", { failed: 3, creates: 3 }],
  ["line-errors=response", "permanent", { failed: 3 }],
  ["money=credits-depleted", "", { exit: "fatal" }],
  ["money=spending-cap", "", { exit: "fatal" }],
  ["money=free-tier", "", { exit: "fatal" }],
  ["money=no-billing-400", "", { exit: "fatal" }],
  ["money=no-billing-403", "", { exit: "fatal" }],
  ["batch-models=none", "", { exit: "fatal" }],
];

test.each(cases)("%s %s", async (behaviour, faults, { creates = 1, failed = 0, exit }) => {
  const options = { frozen: true, batchSeconds: 60, behaviour, faults };
  const trial = await startTrial(workshop, texts(3), options);
  const signal = AbortSignal.timeout(4_000);
  const error: unknown = await trial.run({}, { signal }).catch((caught: unknown) => caught);
  const isStopped = error instanceof UserError;
  expect(isStopped ? error.exit : undefined).toBe(exit);
  expect(error).toMatchObject(isStopped ? {} : { failed, written: 3 - failed });
  expect(trial.emulator.calls("create")).toBe(creates);
});

test("which models take batches is told by the list of models", async () => {
  for (const [behaviour, takesBatches] of [
    ["", true],
    ["batch-models=none", false],
  ] as const) {
    const { emulator } = await startTrial(workshop, [], { behaviour });
    const offered = await connectGemini({ apiKey: "a-key", baseUrl: emulator.url }).listModels();
    expect(offered).toContainEqual({ name: "gemini-embedding-001", takesBatches });
  }
});
