/** The manifest stands in a database and several write to it. Is it as sound as a journal that one alone writes? */
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { sharedClock } from "../../../src/clock.ts";
import type { Manifest } from "../../../src/manifest/manifest.ts";
import { openShared, readShared } from "../../../src/manifest/tables/open-shared.ts";
import { type Database } from "../../../src/store/database.ts";
import { openDatabase } from "../../../src/store/postgres/open-database.ts";
import { eventLogContract } from "../event-log-contract.ts";
import { newJob } from "../sample.ts";
import { startFaultyProxy } from "../../store/postgres/faulty-proxy.ts";
import {
  cloneDatabase,
  createNativeDatabase,
  ON_NATIVE,
  type NativeDatabase,
} from "../../store/postgres/native-database.ts";
import { changeState } from "../../../src/manifest/tables/tables.ts";
import { whichDatabase } from "../../../src/manifest/tables/which-database.ts";
import { sized } from "../../size.ts";
import { CLOCK, openLog, sharing } from "./sharing.ts";

async function dropTables(database: Database): Promise<void> {
  await database.query("DROP SCHEMA IF EXISTS vecfill CASCADE");
}

async function exported(manifest: Manifest): Promise<string> {
  return (await manifest.recordExported(newJob(await manifest.reserveJobId()))).id;
}

function intentOf(job: string) {
  return { type: "submitting", job, displayName: `batch of ${job}`, submission: 1 } as const;
}

describe("on the embedded database", () => {
  let database: Database;
  beforeAll(async () => (database = await openDatabase({ url: "pglite:memory" })));
  afterAll(() => database.close());
  beforeEach(() => dropTables(database));

  test("no table is made by who only reads, and nothing is there", async () => {
    const view = await readShared(sharing(database));
    expect([view.id, view.jobs()]).toEqual([undefined, []]);
    expect(
      await database.query("SELECT nspname FROM pg_namespace WHERE nspname = 'vecfill'"),
    ).toEqual([]);
  });

  test("who reads sees what was written, and the manifest keeps its id", async () => {
    const manifest = await openLog(database);
    await manifest.recordExported(newJob(await manifest.reserveJobId()));
    const [again, view] = [await openLog(database), await readShared(sharing(database))];
    expect([again.id, view.id]).toEqual([manifest.id, manifest.id]);
    expect([again.jobs(), view.jobs()]).toEqual([manifest.jobs(), manifest.jobs()]);
  });

  test("an event keeps what a service said, be it no text for a database", async () => {
    const manifest = await openLog(database);
    const { id } = await manifest.recordExported(newJob(await manifest.reserveJobId()));
    await manifest.record({ type: "submitting", job: id, displayName: "d", submission: 1 });
    const error = { code: 500, message: 'a zero \u0000, half a pair \ud800, a "quote"' };
    await manifest.record({ type: "refused", job: id, error, fileGone: false });
    expect((await readShared(sharing(database))).job(id).error).toEqual(error);
  });

  test.each([
    "UPDATE vecfill.event SET holder = 'me'",
    "DELETE FROM vecfill.event",
    "TRUNCATE vecfill.event",
  ])("no event can be changed: %s", async (statement) => {
    const manifest = await openLog(database);
    await manifest.recordExported(newJob(await manifest.reserveJobId()));
    await expect(database.query(statement)).rejects.toThrow("append-only");
  });

  test.each(["state = 'paused'", "epoch = epoch + 1"])(
    "where the manifest has %s, whoever worked on it writes nothing more",
    async (change) => {
      const manifest = await openLog(database);
      const { id } = await manifest.recordExported(newJob(await manifest.reserveJobId()));
      await database.query(`UPDATE vecfill.manifest SET ${change}`);
      const intent = { type: "submitting", job: id, displayName: "d", submission: 1 } as const;
      await expect(manifest.record(intent)).rejects.toMatchObject({ exit: "locked" });
      await expect(manifest.stillHeld()).rejects.toMatchObject({ exit: "locked" });
      await expect(manifest.refresh()).rejects.toMatchObject({ exit: "locked" });
      const events = await database.query("SELECT body->>'type' AS type FROM vecfill.event");
      expect(events.map(({ type }) => type)).toEqual(["target", "exported"]);
    },
  );

  test("an event whose answer was lost for good is not taken for the next one", async () => {
    let isLost = false;
    const query: Database["query"] = async (sql, parameters) => {
      const rows = await database.query(sql, parameters);
      if (isLost) throw new Error("no answer");
      return rows;
    };
    const manifest = await openLog({ ...database, query });
    const [one, two] = [await exported(manifest), await exported(manifest)];
    isLost = true;
    await expect(manifest.record(intentOf(one))).rejects.toThrow("no answer");
    isLost = false;
    await manifest.record(intentOf(two));
    const states = (await readShared(sharing(database))).jobs().map(({ state }) => state);
    expect(states).toEqual(["submitting", "submitting"]);
    expect(manifest.jobs().map(({ state }) => state)).toEqual(states);
  });

  test("where the database was set back, nothing is written behind events that are not those that were read", async () => {
    const manifest = await openLog(database);
    const id = await exported(manifest);
    const other = await openLog(database);
    await manifest.record(intentOf(id));
    await database.script(`ALTER TABLE vecfill.event DISABLE TRIGGER append_only;
      DELETE FROM vecfill.event WHERE number = 3;
      UPDATE vecfill.manifest SET last_event = 2;
      ALTER TABLE vecfill.event ENABLE TRIGGER append_only`);
    const error = { code: 500, message: "no" };
    const refusal = { type: "refused", job: id, error, fileGone: false } as const;
    const refused = { exit: "locked", message: expect.stringContaining("was set back") };
    await expect(manifest.record(refusal)).rejects.toMatchObject(refused);
    await other.record({ type: "embedding", job: id });
    await expect(manifest.record(refusal)).rejects.toMatchObject(refused);
    expect((await readShared(sharing(database))).job(id).state).toBe("embedding");
  });

  test.each([
    [
      "that a newer vecfill wrote",
      '{"type":"invented"}',
      "Event 3 of the shared manifest was written by a newer vecfill",
    ],
    ["that the state does not take", '{"type":"embedding","job":"0009"}', "is not possible"],
  ])("behind an event %s nothing is written", async (_, body, why) => {
    const manifest = await openLog(database);
    const id = await exported(manifest);
    await database.query(`INSERT INTO vecfill.event (manifest, number, at, holder, body)
      SELECT id, last_event + 1, now(), 'other', '${body}' FROM vecfill.manifest`);
    await database.query("UPDATE vecfill.manifest SET last_event = last_event + 1");
    for (let times = 0; times < 2; times += 1)
      await expect(manifest.record(intentOf(id))).rejects.toThrow(why);
    expect(await database.query("SELECT count(*)::text AS n FROM vecfill.event")).toEqual([
      { n: "3" },
    ]);
  });

  test("tables that a newer vecfill has made are left alone", async () => {
    await openLog(database);
    await database.query("UPDATE vecfill.manifest SET version = version + 1");
    await expect(openLog(database)).rejects.toThrow("version 2");
    await expect(readShared(sharing(database))).rejects.toThrow("version 2");
  });

  test("an intent is durable though the database takes no care by itself", async () => {
    const manifest = await openLog(database);
    const id = await exported(manifest);
    await database.script(`CREATE TABLE seen (commit text);
      CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
      CREATE CONSTRAINT TRIGGER at_the_end AFTER INSERT ON vecfill.event
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION see()`);
    await database.query("SET synchronous_commit = off");
    await manifest.record(intentOf(id));
    await database.query("SET synchronous_commit = remote_apply");
    const error = { code: 500, message: "no" };
    await manifest.record({ type: "refused", job: id, error, fileGone: false });
    await database.query("RESET synchronous_commit");
    const seen = await database.query("SELECT commit FROM seen");
    expect(seen.map(({ commit }) => commit)).toEqual(["local", "remote_apply"]);
  });

  test.each(sized({ quick: ["number"], full: ["server", "number", "branch"] }))(
    "in a copy, told by its %s, nobody goes on before a person says so",
    async (part) => {
      const manifest = await openLog(database);
      const id = await exported(manifest);
      const here = await whichDatabase(database);
      const place = ["server", "number", "branch"].indexOf(part);
      const other = here.split("/").map((own, index) => (index === place ? `${own}9` : own));
      await database.query(`UPDATE vecfill.manifest SET database = '${other.join("/")}'`);
      const refused = {
        exit: "locked",
        message: expect.stringContaining("a copy of it"),
        hint: expect.stringMatching(/failed over .* `vecfill manifest resume`, then start/),
      };
      await expect(openLog(database)).rejects.toMatchObject(refused);
      await expect(openLog(database)).rejects.toMatchObject(refused);
      await expect(manifest.record(intentOf(id))).rejects.toThrow("is paused");
      expect((await readShared(sharing(database))).job(id).state).toBe("exported");
      await changeState(database, "active", here);
      const next = await openLog(database);
      await next.record(intentOf(id));
      await expect(manifest.record(intentOf(id))).rejects.toThrow(
        "was paused, moved or resumed meanwhile",
      );
    },
  );

  test("who is connected anew, and has come to a copy, sends nothing, and nobody else does", async () => {
    let branch = "00000001";
    const query: Database["query"] = async (sql, given) =>
      sql.includes("pg_walfile_name") ? [{ part: branch }] : database.query(sql, given);
    const manifest = await openShared(sharing({ ...database, query }));
    await manifest.stillHeld();
    branch = "00000009";
    await expect(manifest.stillHeld()).rejects.toMatchObject({
      exit: "locked",
      message: expect.stringContaining("a copy of it"),
    });
    branch = "00000001";
    await expect(manifest.stillHeld()).rejects.toThrow("is paused");
  });

  test("a database that does not say which it is takes any, and says what is not told", async () => {
    await openLog(database);
    const query: Database["query"] = async (sql, given) => {
      if (sql.includes("pg_control_system"))
        throw Object.assign(new Error("no"), { code: "42501" });
      return database.query(sql, given);
    };
    const { warnings } = await openLog({ ...database, query });
    expect(warnings).toEqual([expect.stringContaining("a copy on another server is not told")]);
  });

  test("times are the database's, whatever the clock of who writes says", async () => {
    const late = sharedClock({ ...CLOCK, now: () => new Date("2001-01-01") });
    const manifest = await openLog(database, late);
    expect(Math.abs(late.now().getTime() - Date.now())).toBeLessThan(60_000);
    const job = await manifest.recordExported(newJob(await manifest.reserveJobId()));
    const [row] = await database.query("SELECT extract(year FROM now())::text AS year");
    expect(job.createdAt.slice(0, 4)).toBe(row?.["year"]);
  });
});

describe("on a native server", ON_NATIVE, () => {
  let native: NativeDatabase;
  beforeAll(async () => (native = await createNativeDatabase()));
  afterAll(() => native.drop());

  eventLogContract("a native server", async () => {
    await dropTables(native.database);
    const opened: Database[] = [];
    return {
      writer: async () => {
        const database = await openDatabase({ url: native.url });
        opened.push(database);
        return openLog(database);
      },
      takeDown: async () => {
        await Promise.all(opened.map((database) => database.close()));
      },
    };
  });

  test("eight who open it at once where there is none make one", async () => {
    await dropTables(native.database);
    const databases = await Promise.all(
      Array.from({ length: 8 }, () => openDatabase({ url: native.url })),
    );
    const manifests = await Promise.all(databases.map((database) => openLog(database)));
    await Promise.all(databases.map((database) => database.close()));
    expect(new Set(manifests.map(({ id }) => id)).size).toBe(1);
  });

  test("a clone of the database is told from it, which goes on", async () => {
    await dropTables(native.database);
    const manifest = await openLog(native.database);
    const id = await exported(manifest);
    const clone = await cloneDatabase(native);
    await expect(openLog(clone.database)).rejects.toThrow("a copy of it");
    expect((await readShared(sharing(clone.database))).job(id).state).toBe("exported");
    await clone.drop();
    await manifest.record(intentOf(id));
    expect((await openLog(native.database)).job(id).state).toBe("submitting");
  });

  test("an append whose answer was lost counts once", async () => {
    await dropTables(native.database);
    const proxy = await startFaultyProxy(native.url);
    const database = await openDatabase({ url: proxy.url });
    const manifest = await openLog(database);
    const { id } = await manifest.recordExported(newJob(await manifest.reserveJobId()));
    proxy.loseAnswers(1);
    await manifest.record({ type: "embedding", job: id }, manifest.job(id));
    const view = await readShared(sharing(native.database));
    expect(view.job(id)).toEqual(manifest.job(id));
    expect(view.job(id).seq).toBe(2);
    await database.close();
    await proxy.close();
  });

  test("a job that is held by a slow write of vectors holds up no other job", async () => {
    await dropTables(native.database);
    const databases = await Promise.all(
      Array.from({ length: 2 }, () => openDatabase({ url: native.url })),
    );
    const [one, two] = await Promise.all(databases.map((database) => openLog(database)));
    if (one === undefined || two === undefined) throw new Error("two were opened");
    const [held, free] = [await exported(one), await exported(one)];
    await two.refresh();
    const ended: string[] = [];
    const end = (name: string) => () => ended.push(name);
    const writing = native.database
      .query(
        `WITH hold AS MATERIALIZED (SELECT FROM vecfill.job WHERE id = '${held}' FOR SHARE)
         SELECT (SELECT count(*) FROM hold)::text, pg_sleep(2)::text`,
      )
      .then(end("the write"));
    await vi.waitFor(async () => {
      const asleep = await native.database.query(
        "SELECT pid::text FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
      );
      expect(asleep).toHaveLength(1);
    });
    const waiting = one.record(intentOf(held)).then(end(held));
    await vi.waitFor(async () => {
      const waits = await native.database.query(
        "SELECT pid::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
      );
      expect(waits).toHaveLength(1);
    });
    await two.record(intentOf(free)).then(end(free));
    await Promise.all([writing, waiting]);
    expect(ended.at(0)).toBe(free);
    expect(ended.at(-1)).toBe(held);
    await Promise.all(databases.map((database) => database.close()));
  });
});
