/** Does the log in tables keep what a journal keeps, where the database is embedded? `shared-log.test.ts` asks a native server. */
import { afterAll, beforeAll } from "vitest";
import type { Database } from "../../../src/store/database.ts";
import { openDatabase } from "../../../src/store/postgres/open-database.ts";
import { eventLogContract } from "../event-log-contract.ts";
import { openLog } from "./sharing.ts";

let database: Database;
beforeAll(async () => (database = await openDatabase({ url: "pglite:memory" })));
afterAll(() => database.close());

eventLogContract("the embedded database", async () => {
  await database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
  return { writer: () => openLog(database), takeDown: async () => {} };
});
