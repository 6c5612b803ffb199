/** The history is long. Does whoever comes read only its end, and know the same as who has read it all? */
import { zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openShared, readShared } from "../../../src/manifest/tables/open-shared.ts";
import type { Database } from "../../../src/store/database.ts";
import { openDatabase } from "../../../src/store/postgres/open-database.ts";
import { newJob } from "../sample.ts";
import { openLog, sharing } from "./sharing.ts";

/** More than are read anew each time. */
const MANY = 2_500;
const SAVED = "SELECT number::text AS number FROM vecfill.saved";

let database: Database;
beforeAll(async () => (database = await openDatabase({ url: "pglite:memory" })));
afterAll(() => database.close());
beforeEach(() => database.query("DROP SCHEMA IF EXISTS vecfill CASCADE"));

/** A job, and then so many events of others. */
async function history(others: number) {
  const first = await openLog(database);
  await first.recordExported(newJob(await first.reserveJobId()));
  await database.script(`
    INSERT INTO vecfill.event (manifest, number, at, holder, body)
      SELECT id, last_event + n, now(), 'other ' || n, json_build_object('type', 'limited', 'maxCost', n)
      FROM vecfill.manifest, generate_series(1, ${others}) n;
    UPDATE vecfill.manifest SET last_event = last_event + ${others}`);
  await first.refresh();
  return first;
}

const known = async (open: typeof openShared | typeof readShared) => {
  const manifest = await open(sharing(database));
  return [manifest.jobs(), manifest.limits()];
};

/** Whoever reads these finds that they are not all. */
async function loseTheStart(): Promise<void> {
  await database.script(`
    DROP TRIGGER append_only ON vecfill.event;
    DELETE FROM vecfill.event WHERE number < (SELECT last_event FROM vecfill.manifest)`);
}

test("what a long history comes to is kept by who writes, and the rest is read behind it", async () => {
  const first = await history(MANY);
  expect(await known(openShared)).toEqual([first.jobs(), first.limits()]);
  expect(await database.query(SAVED)).toEqual([{ number: String(MANY + 2) }]);
  await first.recordLimits({ maxCost: 7 });
  await loseTheStart();
  await database.query(
    "UPDATE vecfill.saved SET number = number + 1, holder = (SELECT holder FROM vecfill.event)",
  );
  expect((await readShared(sharing(database))).jobs()).toEqual(first.jobs());
});

test("a short one is not, and who only looks keeps nothing", async () => {
  await history(20);
  await known(openShared);
  expect(await database.query(SAVED)).toEqual([]);
  await history(MANY);
  await known(readShared);
  expect(await database.query(SAVED)).toEqual([]);
});

describe("is read anew from its start", () => {
  test.each([
    ["another event stands at its place", "UPDATE vecfill.saved SET holder = 'somebody else'"],
    [
      "another version has packed it",
      `UPDATE vecfill.saved SET bytes = '\\x${zstdCompressSync("another shape").toString("hex")}'`,
    ],
    ["it is damaged", "UPDATE vecfill.saved SET bytes = substr(bytes, 5)"],
  ])("where %s", async (_why, sql) => {
    const first = await history(MANY);
    await known(openShared);
    await database.query(sql);
    expect(await known(readShared)).toEqual([first.jobs(), first.limits()]);
  });
});
