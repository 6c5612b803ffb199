/** Is an embedded database still whole when two processes want it, or one dies while writing? */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { rejection, userError } from "./contract.ts";
import { QUICK_TO_COMPILE, runHere } from "../command-line.ts";
import { IN_FULL } from "../size.ts";

/** Above every limit of a system for process ids. */
const NO_PROCESS = 999_999_999;

let parent: string;
let url: string;
let children: ChildProcess[] = [];

beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "vecfill-embedded-"));
  url = `pglite:${join(parent, "data")}`;
});
afterEach(async () => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
  await rm(parent, { recursive: true });
});

/** Runs statements in a process of its own, tells when they are done, and then stays. */
function otherProcess(work: string): ChildProcess {
  const source = `
    const { openDatabase } = await import(${JSON.stringify(new URL("../../src/store/postgres/open-database.ts", import.meta.url).href)});
    try {
      const database = await openDatabase({ url: ${JSON.stringify(url)} });
      ${work}
      process.stdout.write("done");
      setInterval(() => {}, 1000);
    } catch (error) {
      process.stdout.write(error.message);
    }`;
  const child = spawn(
    process.execPath,
    [QUICK_TO_COMPILE, "--input-type=module", "--eval", source],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  children.push(child);
  return child;
}

async function firstWords(child: ChildProcess): Promise<string> {
  if (child.stdout === null) throw new Error("the child has no stdout");
  const [words] = await once(child.stdout, "data");
  return String(words);
}

it("a folder in use is refused, by name of the process, and free again when closed", async () => {
  const database = await openDatabase({ url });
  await database.query("CREATE TABLE notes (note text)");
  await database.query("INSERT INTO notes VALUES ('kept')");
  const child = otherProcess("");
  expect(await firstWords(child)).toMatch(`is in use by process ${process.pid} on `);
  await once(child, "exit");
  await database.close();

  const again = await openDatabase({ url });
  expect(await again.query("SELECT note FROM notes")).toEqual([{ note: "kept" }]);
  await again.close();
  expect(await readdir(parent)).toEqual(["data"]);
});

it(
  "a process that was killed leaves no lock behind, and nothing that it had written is lost",
  IN_FULL,
  async () => {
    const child = otherProcess(`
    await database.query("CREATE TABLE notes (n int)");
    for (let n = 1; n <= 200; n += 1) await database.query("INSERT INTO notes VALUES ($1)", [n]);`);
    expect(await firstWords(child)).toBe("done");
    child.kill("SIGKILL");
    await once(child, "exit");
    const database = await openDatabase({ url });
    expect(await database.query("SELECT count(*)::text AS n FROM notes")).toEqual([{ n: "200" }]);
    await database.close();
    expect(await readdir(parent)).toEqual(["data"]);
  },
);

it.each([
  [
    "a holder on another host",
    JSON.stringify({ token: "t", pid: NO_PROCESS, host: "elsewhere", started: "", since: "now" }),
    /embedded database in .* is in use by process 999999999 on elsewhere/,
    /Wait until it has finished/,
  ],
  ["a lock that cannot be read", "{", /cannot be read/, /delete .*data\.lock/],
])("%s is believed", async (_, lock, message, hint) => {
  await writeFile(join(parent, "data.lock"), lock);
  expect(await rejection(openDatabase({ url }))).toEqual(userError("locked", message, hint));
  expect(await readdir(parent)).toEqual(["data.lock"]);
});

it("a folder that cannot be made is told as one", async () => {
  await writeFile(join(parent, "data.txt"), "");
  const opening = openDatabase({ url: `pglite:${join(parent, "data.txt", "inside")}` });
  expect(await rejection(opening)).toEqual(
    userError("fatal", /embedded database in .* cannot be opened/, /this user may write/),
  );
});

it("while another process has it, status says what the jobs folder knows", async () => {
  await writeFile(join(parent, "data.lock"), "{");
  const env = { DATABASE_URL: url };
  const { code, stdout } = await runHere(["status"], { env, folder: parent });
  expect([code, stdout]).toEqual([0, expect.stringContaining("cannot be read")]);
});

it("a process whose lock was taken over changes nothing more", IN_FULL, async () => {
  const database = await openDatabase({ url });
  await database.query("CREATE TABLE notes (note text)");
  await rm(join(parent, "data.lock"));
  const insert = database.query("INSERT INTO notes VALUES ('lost')");
  expect(await rejection(insert)).toEqual(userError("locked", /in use by another process/));
  await database.close();
});
