/** Workers die and fall asleep in the middle of it. Does the backlog come to its end, and is each row paid for once? */
import { readdir } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { CLI, start } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import {
  createNativeDatabase,
  type NativeDatabase,
  ON_NATIVE,
} from "../store/postgres/native-database.ts";

const ROWS = 600;
const ADDED = 100;
const LEASE_SECONDS = 10;
const TAKEOVER_MS = (LEASE_SECONDS + 15) * 1_000;

describe("workers on a native server", ON_NATIVE, () => {
  let native: NativeDatabase;
  let emulator: Emulator;
  beforeAll(async () => {
    native = await createNativeDatabase();
    emulator = await startEmulator({ batchSeconds: 1, tier: "off", faults: "retryable=0.05" });
    const { database } = native;
    await database.query(
      "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(128))",
    );
    await addRows(1, ROWS);
  });
  afterAll(async () => {
    await emulator.close();
    await native.drop();
  });

  async function vecfill(...args: readonly string[]) {
    const env = {
      DATABASE_URL: native.url,
      GEMINI_API_KEY: "a-key-for-tests",
      GOOGLE_GEMINI_BASE_URL: emulator.url,
      VECFILL_MANIFEST: "postgres",
      VECFILL_DIMENSIONS: "128",
      // dollars that are more than rounding
      VECFILL_PRICE: "100",
      VECFILL_MAX_JOB_ROWS: "20",
      VECFILL_MAX_ACTIVE_JOBS: "3",
      VECFILL_MAX_ATTEMPTS: "30",
      VECFILL_POLL_INTERVAL: "0.2",
      VECFILL_RECONCILE_GRACE: "0.5",
    };
    return start([CLI, ...args], { env, cwd: await temporaryFolder() });
  }

  const worker = (...args: readonly string[]) =>
    vecfill("worker", "--drain", "--lease", String(LEASE_SECONDS), ...args);

  const addRows = (from: number, rows: number) =>
    native.database.query(
      `INSERT INTO questions SELECT i, 'question ' || i FROM generate_series(${from}, ${from + rows - 1}) i`,
    );

  const filled = async () => {
    const [row] = await native.database.query(
      "SELECT count(embedding)::text AS filled FROM questions",
    );
    return Number(row?.["filled"]);
  };

  /** Until more rows have their vectors. */
  const moreThan = async (rows: number) => {
    while ((await filled()) <= rows) await systemClock.sleep(100);
  };

  test("one is killed with all in hand, the next falls asleep: the others go on in time", async () => {
    const first = await worker("--yes");
    await moreThan(0);
    const second = await worker("--yes");
    const third = await worker("--yes");
    await systemClock.sleep(3_000);
    first.child.kill("SIGKILL");
    const killedAt = await filled();
    const sinceMs = systemClock.elapsedMs();
    if (killedAt < ROWS) await moreThan(killedAt);
    expect(systemClock.elapsedMs() - sinceMs).toBeLessThan(TAKEOVER_MS);
    second.child.kill("SIGSTOP");
    await systemClock.sleep((LEASE_SECONDS + 5) * 1_000);
    second.child.kill("SIGCONT");
    const [{ code }] = await Promise.all([third.ended, second.ended]);
    expect(code).toBe(0);
    expect(await filled()).toBe(ROWS);
    expect([...(await emulator.billing()).values()].filter((times) => times > 1)).toEqual([]);
    expect((await emulator.billing()).size).toBe(ROWS);
  }, 180_000);

  test("without --yes they spend what somebody has agreed to, and no more", async () => {
    await addRows(ROWS + 1, ADDED);
    expect(await (await worker()).ended).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("vecfill run --detach"),
    });
    const agreed = await (await vecfill("run", "--detach")).ended;
    expect([agreed.code, agreed.stdout]).toEqual([0, expect.stringContaining("Agreed")]);
    expect(await filled()).toBe(ROWS);
    const scratch = await temporaryFolder();
    expect((await (await worker("--scratch", scratch)).ended).code).toBe(0);
    expect(await filled()).toBe(ROWS + ADDED);
    expect(await readdir(scratch)).toHaveLength(1);
    await addRows(ROWS + ADDED + 1, ADDED);
    const { code, stderr } = await (await worker()).ended;
    expect([code, stderr]).toEqual([5, expect.stringContaining("nobody has agreed to more")]);
    expect(await filled()).toBeLessThan(ROWS + 2 * ADDED);
  }, 120_000);
});
