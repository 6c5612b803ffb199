/** A machine died. Does the list of who works on the backlog say so, and leave it out soon? */
import { afterAll, beforeAll, expect, test } from "vitest";
import { forgetWorker, noteWorker, readWorkers } from "../../../src/manifest/tables/workers.ts";
import type { Database } from "../../../src/store/database.ts";
import { openDatabase } from "../../../src/store/postgres/open-database.ts";
import { openLog } from "./sharing.ts";

let database: Database;
beforeAll(async () => (database = await openDatabase({ url: "pglite:memory" })));
afterAll(() => database.close());

const listed = async () =>
  (await readWorkers(database)).map(({ host, duties, isLate }) => [host, duties, isLate]);

async function passed(seconds: number): Promise<void> {
  await database.query(
    `UPDATE vecfill.worker SET seen_at = seen_at - ${seconds} * interval '1 second'`,
  );
}

test("who was not heard of within its lease is marked, left out soon after, and forgotten after a day", async () => {
  await openLog(database);
  const its = { pid: 1, command: "worker", leaseMs: 10_000 };
  await noteWorker(database, { ...its, id: "a", host: "one" }, ["poll", "import 0001"]);
  await passed(11);
  await noteWorker(database, { ...its, id: "b", host: "two", leaseMs: 60_000 }, []);
  const [one, two] = [
    ["one", ["poll", "import 0001"], true],
    ["two", [], false],
  ];
  expect(await listed()).toEqual([one, two]);
  await passed(15);
  expect(await listed()).toEqual([two]);
  await passed(90_000);
  await noteWorker(database, { ...its, id: "c", host: "three" }, []);
  expect(await database.query("SELECT id FROM vecfill.worker")).toEqual([{ id: "c" }]);
  await forgetWorker(database, "c");
  expect(await listed()).toEqual([]);
});
