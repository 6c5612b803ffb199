/** Tasks are handed out by another's code, in my database. Does a task have one holder, and can one that comes late settle it? */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Engine } from "../../src/worker/engine.ts";
import { openBoss } from "../../src/worker/pg-boss.ts";
import {
  createNativeDatabase,
  type NativeDatabase,
  ON_NATIVE,
} from "../store/postgres/native-database.ts";

describe("two engines on a native server", ON_NATIVE, () => {
  let native: NativeDatabase;
  let engines: Engine[];
  const [one, other] = [() => at(0), () => at(1)];

  function at(place: number): Engine {
    const engine = engines[place];
    if (engine === undefined) throw new Error("there are two");
    return engine;
  }

  async function open(...projects: readonly string[]): Promise<Engine> {
    const { native: statements } = native.database;
    if (statements === undefined) throw new Error("a server has them");
    return openBoss(statements, { leaseMs: 10_000, projects });
  }

  /** As if it had not been heard of for an hour. */
  async function letLeasesEnd(): Promise<void> {
    await native.database.query(
      "UPDATE vecfill_boss.job SET heartbeat_on = now() - interval '1 hour' WHERE state = 'active'",
    );
    await native.database.query("UPDATE vecfill_boss.queue SET monitor_on = NULL");
    await other().sweep();
  }

  beforeAll(async () => {
    native = await createNativeDatabase();
    engines = await Promise.all([open(), open()]);
  });
  afterAll(async () => {
    await Promise.all(engines.map((engine) => engine.close()));
    await native.drop();
  });

  test("a task is offered once, and taken once", async () => {
    const task = { duty: "import", key: "0001" } as const;
    await Promise.all([one().offer([task, task]), other().offer([task])]);
    const taken = await Promise.all([
      one().take({ duty: "import" }, 4),
      other().take({ duty: "import" }, 4),
    ]);
    expect(taken.flat()).toMatchObject([task]);
    await one().offer([task]);
    expect(await other().take({ duty: "import" }, 4)).toEqual([]);
    await one().giveBack(taken.flat());
  });

  test("a task of a project is taken for that one alone", async () => {
    const eu = await open("eu", "default");
    await eu.offer([{ duty: "submit", project: "eu", key: "submit eu" }]);
    expect(await one().take({ duty: "submit" }, 4)).toEqual([]);
    const taken = await eu.take({ duty: "submit", project: "eu" }, 4);
    expect(taken).toMatchObject([{ project: "eu", key: "submit eu" }]);
    expect(await eu.renew(taken)).toEqual(taken);
    await eu.giveBack(taken);
    await eu.close();
  });

  test("who was not heard of has lost it, and settles nothing of whoever has it then", async () => {
    await one().offer([{ duty: "poll", key: "poll" }]);
    const late = await one().take({ duty: "poll" }, 1);
    expect(await one().renew(late)).toEqual(late);
    await letLeasesEnd();
    const now = await other().take({ duty: "poll" }, 1);
    expect(now).toMatchObject([{ key: "poll" }]);
    expect(await one().renew(late)).toEqual([]);
    await one().giveBack(late);
    expect(await other().renew(now)).toEqual(now);
    await other().giveBack(now);
    expect(await one().take({ duty: "poll" }, 1)).toEqual([]);
  });

  test("where its tables were dropped it fails, and one that is opened then makes them again", async () => {
    await native.database.query("DROP SCHEMA vecfill_boss CASCADE");
    await expect(one().take({ duty: "export" }, 1)).rejects.toThrow("vecfill_boss");
    engines[0] = await open();
    await one().offer([{ duty: "export", key: "export" }]);
    expect(await one().take({ duty: "export" }, 1)).toMatchObject([{ key: "export" }]);
  });
});
