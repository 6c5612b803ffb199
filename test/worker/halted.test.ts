/** My key has no money, and others work on the same backlog with theirs. Does my run end and say so, or does it wait for them? */
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { GeminiError } from "../../src/gemini/port.ts";
import { openShared } from "../../src/manifest/tables/open-shared.ts";
import { run } from "../../src/run/run.ts";
import { openCrew } from "../../src/worker/crew.ts";
import { sharing } from "../manifest/tables/sharing.ts";
import { startTrial, texts } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";
import { LEASE_MS, newTable } from "./table-of-tasks.ts";

let workshop: Workshop;
beforeAll(async () => (workshop = await openWorkshop()));
afterAll(() => workshop.close());

async function refuse(): Promise<never> {
  throw new GeminiError("billing", "prepaid credits are depleted");
}

test("it ends, with what is to be sent left to the others", async () => {
  const trial = await startTrial(workshop, texts(4));
  await trial.services({}, async (all) => {
    const manifest = await openShared(sharing(workshop.database, workshop.folder));
    const { engine } = newTable(() => systemClock.elapsedMs());
    const { clock, report } = all;
    const openEngine = async () => engine;
    const crew = await openCrew({ manifest, openEngine, clock, report, leaseMs: LEASE_MS });
    const gemini = { ...all.gemini, createBatch: refuse };
    const ended = run({ ...all, manifest, gemini }, { ...trial.runOptions(), crew });
    await expect(ended).rejects.toThrow("credits are depleted");
    expect(manifest.jobs().map(({ state }) => state)).toEqual(["exported"]);
    const [other] = await engine.take({ duty: "submit", project: "default" }, 1);
    expect(other).toMatchObject({ duty: "submit" });
    await crew.close();
  });
});
