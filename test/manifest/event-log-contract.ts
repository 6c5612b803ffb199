/** What any log of events owes to those who write to it together, one after the other or at once. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Job, JobState } from "../../src/manifest/job.ts";
import type { Manifest } from "../../src/manifest/manifest.ts";
import { HoldLost } from "../../src/errors.ts";
import type { Target } from "../../src/row/target.ts";
import { needs } from "../../src/manifest/states.ts";
import { newJob, TARGET } from "./sample.ts";

type Writer = Omit<Manifest, "folder" | "warnings" | "id" | "isShared">;
export type SharedLog = Readonly<{
  /** A process of its own: it knows what was written before it, and what it reads. */
  writer(): Promise<Writer>;
  takeDown(): Promise<void>;
}>;

type Step = (writer: Writer, job: Job) => Promise<unknown>;

const RACERS = 8;
const FILE = { bytes: 1, sha256: "b".repeat(64) };
const NOTHING_LEFT = { outstanding: { lines: 0, retryable: 0 }, failedFile: undefined };
const SUMS = { requests: 3, written: 3, failed: 0, stale: 0, filled: 0, gone: 0 };
const ENDING = { sums: SUMS, ...NOTHING_LEFT };
const ERROR = { message: "no" };

/** Every event of a job but the one that makes it. */
const STEPS: Readonly<Record<string, Step>> = {
  uploaded: on({ type: "uploaded", remoteFile: { name: "files/f" } }),
  submitting: (writer, job) =>
    writer.record(
      { type: "submitting", job: job.id, displayName: "d", submission: job.submissions + 1 },
      job,
    ),
  refused: on({ type: "refused", error: ERROR, fileGone: false }),
  revoking: on({ type: "revoking", reads: 2, keyId: "k" }),
  absent: on({ type: "absent", reads: 2 }),
  submitted: on({ type: "submitted", batch: "batches/b", adopted: true, keyId: "k" }),
  duplicate: on({ type: "duplicate", batch: "batches/c" }),
  succeeded: on({ type: "succeeded", resultsName: "files/r" }),
  failed: on({ type: "failed", error: ERROR, ...ENDING }),
  expired: on({ type: "expired", error: ERROR, ...ENDING }),
  cancelled: on({ type: "cancelled", error: ERROR, ...ENDING }),
  downloaded: on({ type: "downloaded", file: FILE }),
  rowsFound: on({ type: "rowsFound", requests: 3, copies: 0, file: FILE }),
  imported: on({ type: "imported", ...ENDING }),
  rollingBack: on({ type: "rollingBack", rows: 3, file: FILE }),
  rolledBack: on({ type: "rolledBack", rows: 3 }),
  writtenAgain: on({ type: "writtenAgain", rows: 2 }),
  cleaned: on({ type: "cleaned", files: ["upload"] }),
  embedding: on({ type: "embedding" }),
  resubmitted: async (writer, job) => {
    const child = newJob(await writer.reserveJobId(), { parents: [job.id], attempt: 2 });
    return writer.recordResubmitted([child], [{ job, ...NOTHING_LEFT }]);
  },
};

/** The way to each state, and what may happen there. */
const WAYS: Readonly<
  Record<JobState, readonly [way: readonly string[], legal: readonly string[]]>
> = {
  exported: [[], ["uploaded", "submitting", "submitted", "cancelled", "embedding"]],
  embedding: [["embedding"], ["duplicate", "cancelled", "downloaded"]],
  submitting: [["submitting"], ["refused", "revoking", "absent", "submitted", "cancelled"]],
  submitted: [
    ["submitting", "submitted"],
    ["duplicate", "succeeded", "failed", "expired", "cancelled"],
  ],
  succeeded: [
    ["submitting", "submitted", "succeeded"],
    ["duplicate", "failed", "cancelled", "downloaded", "cleaned"],
  ],
  downloaded: [
    ["embedding", "downloaded"],
    ["duplicate", "failed", "cancelled", "downloaded", "rowsFound", "imported", "cleaned"],
  ],
  imported: [
    ["embedding", "downloaded", "imported"],
    ["duplicate", "resubmitted", "rollingBack", "rolledBack", "writtenAgain", "cleaned"],
  ],
  failed: [
    ["submitting", "submitted", "failed"],
    ["duplicate", "resubmitted", "cleaned"],
  ],
  expired: [
    ["submitting", "submitted", "expired"],
    ["duplicate", "resubmitted", "cleaned"],
  ],
  cancelled: [["cancelled"], ["duplicate", "resubmitted", "cleaned"]],
  rolledBack: [
    ["embedding", "downloaded", "imported", "rolledBack"],
    ["duplicate", "resubmitted", "cleaned"],
  ],
};

export function eventLogContract(name: string, open: () => Promise<SharedLog>): void {
  describe(`${name} as a log of events`, () => {
    let log: SharedLog;
    beforeEach(async () => (log = await open()));
    afterEach(() => log.takeDown());

    test.each(Object.entries(WAYS))(
      "takes from a job that is %s what is legal, and nothing else",
      async (state, [way, legal]) => {
        const [writer, other] = [await log.writer(), await log.writer()];
        for (const [type, step] of Object.entries(STEPS)) {
          const job = await jobAfter(writer, way);
          expect(job.state).toBe(state);
          await other.refresh();
          const isRecorded = await succeeds(step(writer, job));
          expect([type, isRecorded]).toEqual([type, legal.includes(type)]);
          const expected = isRecorded ? writer.job(job.id) : job;
          await other.refresh();
          expect([other.job(job.id), writer.job(job.id)]).toEqual([expected, expected]);
        }
        expect((await log.writer()).jobs()).toEqual(writer.jobs());
      },
    );

    test("lets nobody record a step of a job that others have moved since, be the step legal or not", async () => {
      const [first, second] = [await log.writer(), await log.writer()];
      const id = (await jobAfter(first, ["submitting"])).id;
      await second.refresh();
      const inHand = second.job(id);
      // sent again by the first one: a batch of the earlier create would be legal, and another's
      await first.record({ type: "absent", job: id, reads: 2 });
      await first.record({ type: "submitting", job: id, displayName: "e", submission: 2 });
      const late = { type: "submitted", job: id, batch: "b", adopted: false, keyId: "k" } as const;
      await expect(second.record(late, inHand)).rejects.toThrow(HoldLost);
      expect(second.job(id)).toEqual(first.job(id));
      await first.refresh();
      expect(first.job(id)).toMatchObject({ state: "submitting", submissions: 2 });
    });

    test("minds no note that changes nothing for who is at work on the job", async () => {
      const [first, second] = [await log.writer(), await log.writer()];
      const { id } = await jobAfter(first, ["submitting", "submitted", "succeeded"]);
      await second.refresh();
      const inHand = second.job(id);
      await first.record({ type: "cleaned", job: id, files: ["upload"] });
      await first.record({ type: "duplicate", job: id, batch: "batches/c" });
      await second.record({ type: "downloaded", job: id, file: FILE }, inHand);
      expect(second.job(id)).toMatchObject({ cleaned: ["upload"], state: "downloaded" });
    });

    test(`of ${RACERS} who take one step at once, one does`, async () => {
      const { id } = await jobAfter(await log.writer(), []);
      const racers = await writers(log);
      const ends = await Promise.all(
        racers.map((racer) => succeeds(STEPS["submitting"]?.(racer, racer.job(id)))),
      );
      expect(ends.filter(Boolean)).toHaveLength(1);
      expect((await log.writer()).job(id)).toMatchObject({ submissions: 1, seq: 2 });
    });

    test(`of ${RACERS} who each send a job, as many do as there is room for`, async () => {
      const room = 3;
      const maker = await log.writer();
      const ids = Array.from({ length: RACERS }, () => "");
      for (const place of ids.keys()) ids[place] = (await jobAfter(maker, [])).id;
      const racers = await writers(log);
      const started = await Promise.all(
        racers.map(async (racer, place) => {
          const job = ids[place] ?? "";
          const hasRoom = () => racer.needing("settle").length < room;
          const intent = { type: "submitting", job, displayName: job, submission: 1 } as const;
          return (await racer.recordIf(hasRoom, intent)) !== undefined;
        }),
      );
      expect(started.filter(Boolean)).toHaveLength(room);
      expect((await log.writer()).jobs().filter((job) => needs(job) === "settle")).toHaveLength(
        room,
      );
    });

    test(`gives each number to one job, and each target one number, though ${RACERS} ask at once`, async () => {
      const racers = await writers(log);
      const made = await Promise.all(
        racers.map(async (racer, place) => {
          const job = newJob(await racer.reserveJobId(), { target: oneOfThree(place) });
          return racer.recordExported(job);
        }),
      );
      const last = await log.writer();
      expect(new Set(made.map(({ id }) => id)).size).toBe(RACERS);
      for (const { id, target: its } of made) expect(last.job(id).target).toEqual(its);
    });

    test("selects rows for one alone: who did not know of it drops what it selected", async () => {
      const [first, second] = [await log.writer(), await log.writer()];
      await first.recordExported(newJob(await first.reserveJobId()), () => hasNone(first));
      const late = second.recordExported(newJob(await second.reserveJobId()), () =>
        hasNone(second),
      );
      await expect(late).rejects.toThrow(HoldLost);
      expect((await log.writer()).jobs()).toHaveLength(1);
    });

    test("lets failed lines go into one child, though two take them", async () => {
      const [first, second] = [await log.writer(), await log.writer()];
      const job = await jobAfter(first, ["submitting", "submitted", "failed"]);
      await second.refresh();
      const inHand = second.job(job.id);
      await STEPS["resubmitted"]?.(first, job);
      await expect(STEPS["resubmitted"]?.(second, inHand)).rejects.toThrow(HoldLost);
      expect((await log.writer()).jobs()).toHaveLength(2);
    });

    test("tells the same of the quota to all, whoever was accepted and refused", async () => {
      const racers = await writers(log);
      await Promise.all(
        racers.map(async (racer, place) => {
          const way = place % 2 === 0 ? ["submitting", "submitted"] : ["submitting"];
          const job = await jobAfter(racer, way);
          if (place % 2 === 0) return;
          const error = { code: 429, message: "full" };
          await racer.record({ type: "refused", job: job.id, error, fileGone: false });
        }),
      );
      const quota = (await log.writer()).quota(TARGET.model);
      for (const racer of racers) {
        await racer.refresh();
        expect(racer.quota(TARGET.model)).toEqual(quota);
      }
      expect(quota.active.batches).toBe(RACERS / 2);
    });
  });
}

type Given = Parameters<Manifest["record"]>[0];
type Anonymous = Given extends infer E ? (E extends unknown ? Omit<E, "job"> : never) : never;

function on(event: Anonymous): Step {
  return (writer, job) => writer.record({ ...event, job: job.id }, job);
}

async function jobAfter(writer: Writer, way: readonly string[]): Promise<Job> {
  const { id } = await writer.recordExported(newJob(await writer.reserveJobId()));
  for (const type of way) await STEPS[type]?.(writer, writer.job(id));
  return writer.job(id);
}

function oneOfThree(place: number): Target {
  return { ...TARGET, table: `t${place % 3}` };
}

function hasNone(writer: Writer): boolean {
  return writer.jobs().length === 0;
}

function writers(log: SharedLog): Promise<readonly Writer[]> {
  return Promise.all(Array.from({ length: RACERS }, () => log.writer()));
}

async function succeeds(work: Promise<unknown> | undefined): Promise<boolean> {
  try {
    await work;
    return true;
  } catch {
    return false;
  }
}
