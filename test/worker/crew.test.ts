/** Several processes work on one backlog. Does each thing have one of them that looks after it, and another once that one is gone? */
import { beforeEach, expect, test } from "vitest";
import { type Clock, systemClock } from "../../src/clock.ts";
import { IDLE } from "../../src/gates/step.ts";
import type { ProgressEvent } from "../../src/progress.ts";
import { type CrewOptions, openCrew } from "../../src/worker/crew.ts";
import type { Engine } from "../../src/worker/engine.ts";
import type { Job } from "../../src/manifest/job.ts";
import { emptyManifest, newJob } from "../manifest/sample.ts";
import { LEASE_MS, newTable } from "./table-of-tasks.ts";

let nowMs = 0;
const clock: Clock = { ...systemClock, elapsedMs: () => nowMs };
beforeEach(() => (nowMs = 0));

async function worker(engine: Engine, changes: Partial<CrewOptions> = {}) {
  const manifest = await emptyManifest();
  const events: ProgressEvent[] = [];
  const report = (event: ProgressEvent) => events.push(event);
  const options = { manifest, openEngine: async () => engine, clock, report, leaseMs: LEASE_MS };
  const crew = await openCrew({ ...options, ...changes });
  const stop = new AbortController();
  const halt = new AbortController();
  const [refused, heldJobs] = [new Set<string>(), new Set<string>()];
  const blocked = { has: ({ id }: Job) => refused.has(id) };
  const isHeld = ({ id }: Job) => heldJobs.has(id);
  const lane = crew.laneIn({
    stop,
    blocked,
    held: () => isHeld,
    outages: { halted: halt.signal },
  });
  const turn = async (nobodyWorks = true) => {
    const step = lane.next(false, nobodyWorks);
    if (typeof step !== "number") await step();
    return step;
  };
  return { crew, manifest, events, stop, halt, refused, heldJobs, lane, turn };
}

test("one has a duty, until it gives it back", async () => {
  const { engine } = newTable(() => nowMs);
  const [a, b] = [await worker(engine), await worker(engine)];
  await a.turn();
  await b.turn();
  expect([a.crew.duties.has("submit"), b.crew.duties.has("submit")]).toEqual([true, false]);
  await a.crew.close();
  nowMs += 2_000;
  await b.turn();
  expect([a.crew.duties.has("submit"), b.crew.duties.has("submit")]).toEqual([false, true]);
});

test("what one has that is not heard of goes to another, and it knows so itself, even asleep", async () => {
  const { engine } = newTable(() => nowMs);
  const [a, b] = [await worker(engine), await worker(engine)];
  await a.turn();
  for (; nowMs <= LEASE_MS + 2_000; nowMs += 2_000) await b.turn();
  expect([a.crew.duties.has("poll"), b.crew.duties.has("poll")]).toEqual([false, true]);
  await a.turn();
  expect([a.crew.duties.has("poll"), b.crew.duties.has("poll")]).toEqual([false, true]);
});

test("with --only the others are left alone", async () => {
  const { engine } = newTable(() => nowMs);
  const its = await worker(engine, { only: ["export"] });
  await its.turn();
  const all = ["export", "submit"] as const;
  expect(all.map((duty) => its.crew.duties.has(duty))).toEqual([true, false]);
});

test("tasks that are gone are made again, and that they were is said once", async () => {
  const { engine, state, drop } = newTable(() => nowMs);
  const its = await worker(engine);
  await its.turn();
  [state.isGone] = [true];
  drop();
  for (let turns = 0; turns < 4; turns += 1, nowMs += 4_000) await its.turn();
  expect(its.events).toMatchObject([{ type: "warning" }]);
  expect(its.crew.duties.has("export")).toBe(false);
  state.isGone = false;
  for (let turns = 0; turns < 3; turns += 1, nowMs += 8_000) await its.turn();
  expect(its.crew.duties.has("export")).toBe(true);
});

test("it ends where all is done, and with --once where all there is to do is to wait", async () => {
  const { engine } = newTable(() => nowMs);
  const [all, once] = [await worker(engine), await worker(engine, { once: true, only: [] })];
  await all.turn();
  const last = all.lane.next(true, true);
  if (typeof last === "number") throw new Error("there is something to give back");
  await last();
  expect(all.lane.next(true, true)).toBe(IDLE);
  const other = await worker(engine);
  await other.turn();
  expect(other.crew.duties.has("poll")).toBe(true);
  await other.crew.close();
  for (let turns = 0; turns < 9; turns += 1, nowMs += 1_000) await once.turn();
  expect(once.stop.signal.aborted).toBe(true);
});

test("what waits for a person alone is waited for by nobody", async () => {
  const { engine } = newTable(() => nowMs);
  const its = await worker(engine);
  const job = await its.manifest.recordExported(newJob(await its.manifest.reserveJobId()));
  await its.turn();
  expect(its.lane.next(true, true)).toBeTypeOf("number");
  its.heldJobs.add(job.id);
  const last = its.lane.next(true, true);
  if (typeof last === "number") throw new Error("there is something to give back");
  await last();
  expect(its.lane.next(true, true)).toBe(IDLE);
});

test("who may send nothing more leaves that to others at once, and looks after what is there", async () => {
  const { engine } = newTable(() => nowMs);
  const [a, b] = [await worker(engine), await worker(engine)];
  await a.turn();
  a.halt.abort();
  nowMs += 2_000;
  await a.turn();
  await b.turn();
  const all = ["export", "submit", "poll", "resubmit"] as const;
  expect(all.map((duty) => a.crew.duties.has(duty))).toEqual([false, false, true, false]);
  expect(all.map((duty) => b.crew.duties.has(duty))).toEqual([true, true, false, true]);
});

test("a job that cannot be imported here is left to others at once", async () => {
  const { engine } = newTable(() => nowMs);
  const manifest = await emptyManifest();
  const [a, b] = [await worker(engine, { manifest }), await worker(engine, { manifest })];
  const job = await manifest.recordExported(newJob(await manifest.reserveJobId()));
  const its = { job: job.id, submission: 1, keyId: "k", displayName: "d" };
  await manifest.record({ type: "submitting", ...its });
  const { keyId, job: id } = its;
  await manifest.record({ type: "submitted", job: id, batch: "b", adopted: false, keyId });
  const back = await manifest.record({ type: "succeeded", job: id, resultsName: "r" });
  await a.turn();
  expect(a.crew.duties.imports(back)).toBe(true);
  a.refused.add(id);
  for (let turns = 0; turns < 2; turns += 1, nowMs += 2_000) await a.turn();
  expect(a.crew.duties.imports(back)).toBe(false);
  await b.turn();
  expect(b.crew.duties.imports(back)).toBe(true);
});

test("what is done at Gemini is for those who have a key of that project, and the rest for one of all", async () => {
  const { engine } = newTable(() => nowMs);
  const manifest = await emptyManifest();
  const [both, eu] = [
    await worker(engine, { manifest, projects: ["default", "eu"], only: ["export", "import"] }),
    await worker(engine, { manifest, projects: ["eu"] }),
  ];
  const back: Job[] = [];
  for (const project of ["eu", undefined]) {
    const { id: job } = await manifest.recordExported(newJob(await manifest.reserveJobId()));
    const its = { job, project, keyId: "k" };
    await manifest.record({ type: "submitting", ...its, submission: 1, displayName: job });
    await manifest.record({ type: "submitted", ...its, batch: job, adopted: false });
    back.push(await manifest.record({ type: "succeeded", job, resultsName: "r" }));
  }
  await eu.turn();
  await both.turn();
  const { duties } = eu.crew;
  expect([duties.has("submit", "eu"), duties.has("submit"), duties.has("export")]).toEqual([
    true,
    false,
    true,
  ]);
  expect(back.map((job) => duties.imports(job))).toEqual([true, false]);
  expect(back.map((job) => both.crew.duties.imports(job))).toEqual([false, true]);
});
