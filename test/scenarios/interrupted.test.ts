/**
 * Whoever stops vecfill, at whatever moment, and however deaf the other side is: does it end with 130,
 * soon, and say how to go on?
 */
import { EventEmitter, once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EXIT_CODES } from "../../src/errors.ts";
import { runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { createNativeDatabase, ON_NATIVE, openSession } from "../store/postgres/native-database.ts";

let deaf: Server;
let url: string;
/** Whoever has connected to the server that never answers. */
const connected = new EventEmitter();

beforeAll(async () => {
  deaf = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => connected.emit("asked"));
  }).listen(0, "127.0.0.1");
  await once(deaf, "listening");
  const address: AddressInfo | string | null = deaf.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  url = `postgresql://me:word@127.0.0.1:${address.port}/db`;
});
afterAll(() => deaf.close());

async function plan(stop: (signals: EventEmitter) => void) {
  const signals = new EventEmitter();
  const left: number[] = [];
  const args = ["plan", "--jobs-dir", join(await temporaryFolder(), "jobs")];
  const leave = (code: number) => left.push(code);
  const running = runHere(args, { env: { DATABASE_URL: url }, signals, leave });
  await once(connected, "asked");
  stop(signals);
  return { ...(await running), left };
}

it.each(["SIGINT", "SIGTERM", "SIGHUP"])(
  "%s ends a command that a database leaves without an answer",
  async (name) => {
    const { code, stderr } = await plan((signals) => signals.emit(name));
    expect({ code, stderr }).toEqual({
      code: EXIT_CODES.interrupted,
      stderr: expect.stringMatching(/^hint: Go on with: vecfill plan --jobs-dir/m),
    });
  },
);

it("the second Ctrl-C leaves at once, and says how to go on", async () => {
  const { left, stderr } = await plan((signals) => {
    signals.emit("SIGINT");
    signals.emit("SIGINT");
  });
  expect(left).toEqual([EXIT_CODES.interrupted]);
  expect(stderr.match(/^hint: Go on with: vecfill plan/gm)).toHaveLength(2);
});

describe("on a native server", ON_NATIVE, () => {
  it("a statement that waits for a lock is cancelled, there too", async () => {
    const native = await createNativeDatabase();
    await native.database.query(
      "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(768))",
    );
    const holder = await openSession(native.url);
    await holder.query("BEGIN; LOCK TABLE questions IN ACCESS EXCLUSIVE MODE");
    const waiting = async () => {
      const sql =
        "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
      return (await native.database.query(sql)).length;
    };
    const signals = new EventEmitter();
    const args = ["plan", "--jobs-dir", join(await temporaryFolder(), "jobs")];
    const running = runHere(args, { env: { DATABASE_URL: native.url }, signals });
    while ((await waiting()) === 0) await new Promise((soon) => setTimeout(soon, 20));
    signals.emit("SIGTERM");
    const { code, stderr } = await running;
    expect({ code, stderr }).toMatchObject({ code: EXIT_CODES.interrupted });
    expect(await waiting()).toBe(0);
    await holder.end();
    await native.drop();
  });
});
