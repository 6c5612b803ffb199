/** Transactions for the test double, on the embedded database or on a native server. */
import type { PGlite } from "@electric-sql/pglite";
import type { Pool } from "pg";

type SqlRow = Readonly<Record<string, unknown>>;
export type Query = (sql: string, parameters?: readonly unknown[]) => Promise<readonly SqlRow[]>;

/** Runs the work in one transaction: committed when it resolves, rolled back when it throws. */
export type InTransaction = <T>(work: (query: Query) => Promise<T>) => Promise<T>;

export function onPglite(pglite: PGlite): InTransaction {
  return (work) =>
    pglite.transaction((transaction) =>
      work(async (sql, parameters = []) => {
        const { rows } = await transaction.query<SqlRow>(sql, [...parameters]);
        return rows;
      }),
    );
}

/** The server may end the connection: the query under way fails by that, and nothing else has to. */
const ignore = () => {};

export function onServer(pool: Pool): InTransaction {
  return async (work) => {
    const client = await pool.connect();
    client.on("error", ignore);
    try {
      await client.query("BEGIN");
      const result = await work(async (sql, parameters = []) => {
        const { rows } = await client.query<SqlRow>(sql, [...parameters]);
        return rows;
      });
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch(ignore);
      throw error;
    } finally {
      client.off("error", ignore);
      client.release();
    }
  };
}
