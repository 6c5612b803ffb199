/** Does everything hold on the embedded database, and what if two open one folder? */
import { openPglite } from "../../src/store/postgres/pglite.ts";
import { createSqlStore } from "../../src/store/postgres/sql-store.ts";
import { storeContract } from "./contract.ts";

storeContract("the embedded database", async () => {
  const database = await openPglite(undefined);
  await database.query(`CREATE SCHEMA "ext @ here"`);
  await database.query(`CREATE EXTENSION vector SCHEMA "ext @ here"`);
  return {
    sql: (statement) => database.query(statement),
    // starting PGlite takes a second, so all stores of the suite share one
    open: async (target, where) =>
      createSqlStore({ ...database, close: async () => {} }, target, { where }),
    vectorSchema: "ext @ here",
    takeDown: () => database.close(),
  };
});
