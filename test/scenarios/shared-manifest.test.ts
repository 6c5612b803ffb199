/** No disk of mine lasts: does every command go on, from an empty folder each time, with what stands in the database? */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readManifest } from "../../src/jobs-folder/open.ts";
import { type Ended, runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { IN_FULL } from "../size.ts";
import { type Folders, openFolders, TEXTS } from "../folders.ts";

const OVER = ["--manifest", "postgres"];

/** Each command with a folder of its own, which is gone afterwards. */
async function openShared(texts: readonly string[], faults: string) {
  const folders = await openFolders(texts, { faults });
  await folders.sql("DROP SCHEMA IF EXISTS vecfill CASCADE");
  let number = 0;
  const without =
    (run: Folders["vecfill"]) =>
    async (...args: readonly string[]): Promise<Ended> => {
      number += 1;
      const folder = `scratch-${number}`;
      const ended = await run(folder, ...args, ...OVER);
      await rm(join(folders.home, folder), { recursive: true, force: true });
      return ended;
    };
  const vecfill = without(folders.vecfill);
  const json = async (...args: readonly string[]) =>
    JSON.parse((await vecfill(...args, "--json")).stdout);
  return {
    ...folders,
    vecfill,
    json,
    inTime: without(folders.vecfillInTime),
    inFolder: folders.vecfill,
  };
}

test("a run, a look, a rollback, another run, what failed again, and a clean", async () => {
  const its = await openShared(TEXTS, "permanent=0.2");
  expect(await its.json("jobs")).toMatchObject({ jobs: [] });
  expect((await its.inTime("run")).code).toBe(1);
  const { jobs } = await its.json("jobs");
  expect(jobs).toMatchObject([{ written: 3 }, { written: 2, failed: 1 }, { written: 1 }]);
  expect((await its.json("jobs", "1")).history.at(-1)).toMatchObject({ event: "imported" });
  expect((await its.vecfill("verify")).code).toBe(0);
  expect(await its.json("rollback", "1", "--yes")).toMatchObject({ rows: 3 });
  expect(await its.json("resubmit")).toMatchObject({ jobs: ["0004"] });
  expect((await its.inTime("run")).code).toBe(1);
  expect(await its.books()).toMatchObject({ wrong: 0, empty: 1 });
  expect(await its.json("jobs")).toMatchObject({ jobs: [{}, {}, {}, {}, { written: 3 }] });
  const kept = () => its.sql("SELECT sha256 FROM vecfill.file");
  const before = (await kept()).length;
  expect((await its.vecfill("manifest", "pause")).code).toBe(0);
  const { code, stderr } = await its.vecfill("clean", "--yes");
  expect([code, stderr]).toEqual([6, expect.stringContaining("is paused")]);
  expect((await its.json("jobs")).jobs).toHaveLength(5);
  expect((await its.vecfill("manifest", "resume")).code).toBe(0);
  expect((await its.json("clean", "--yes")).cleaned).toContain("0002");
  expect((await kept()).length).toBeLessThan(before);
  expect((await its.vecfill("verify")).code).toBe(0);
});

test("a limit on cost that was given once holds for whoever comes, until another is given", async () => {
  const its = await openShared(TEXTS, "");
  const ends: unknown[] = [];
  for (const limit of [["--max-cost", "0.0000001"], [], ["--max-cost", "off"]]) {
    const { code, stderr } = await its.inTime("run", ...limit);
    ends.push([code, /--max-cost was .* now/.exec(stderr)?.[0]]);
  }
  const changed = "--max-cost was $0.0000001, is off now";
  expect(ends).toEqual([
    [5, undefined],
    [5, undefined],
    [0, changed],
  ]);
  expect(await its.books()).toMatchObject({ wrong: 0, empty: 0 });
});

test("a run that is left to workers sends nothing, and says up to what they may spend", async () => {
  const its = await openShared(TEXTS, "");
  expect(await its.json("run", "--detach")).toMatchObject({ detached: true, workers: 0 });
  expect((await its.vecfill("run", "--detach", "--yes")).stderr).toContain(
    "vecfill worker --drain",
  );
  expect(await its.json("jobs")).toMatchObject({ jobs: [] });
  const limited = await its.sql("SELECT body->>'agreedCost' AS usd FROM vecfill.event");
  expect(limited).toMatchObject([{ usd: expect.stringMatching(/^0\.0\d+$/) }]);
});

test(
  "a folder's manifest goes to the database, its journal is printed, and it comes back",
  IN_FULL,
  async () => {
    const its = await openShared(TEXTS, "permanent=0.2");
    const inFolder = (...args: readonly string[]) => its.inFolder("jobs", ...args);
    await inFolder("export");
    await inFolder("submit", "--yes");
    const moved = await inFolder("manifest", "move", "--to", "postgres");
    expect([moved.code, moved.stderr]).toEqual([
      0,
      expect.stringContaining("next: vecfill run --manifest postgres --jobs-dir"),
    ]);
    const { code, stderr } = await inFolder("jobs");
    expect([code, stderr]).toEqual([2, expect.stringContaining("--manifest postgres")]);
    expect((await its.inTime("run")).code).toBe(1);
    const { jobs } = await its.json("jobs");
    await mkdir(join(its.home, "copy"));
    const { stdout } = await its.vecfill("manifest", "export");
    await writeFile(join(its.home, "copy", "manifest.ndjson"), stdout);
    expect((await readManifest(join(its.home, "copy"))).jobs()).toHaveLength(jobs.length);
    const back = await inFolder("manifest", "move", "--to", "folder", ...OVER);
    expect([back.code, back.stderr]).toEqual([0, expect.stringContaining("--manifest folder")]);
    expect(JSON.parse((await inFolder("jobs", "--json")).stdout).jobs).toMatchObject(
      jobs.map(({ id, state, written }: Readonly<Record<string, unknown>>) => ({
        id,
        state,
        written,
      })),
    );
    expect((await its.vecfill("jobs")).stderr).toContain("has moved to a jobs folder");
    expect(await its.books()).toMatchObject({ twice: [], wrong: 0, empty: 1 });
  },
);

test.each([
  [["migrate"], "vecfill migrate does not work over a shared manifest"],
  [["recover"], "vecfill recover does not work over a shared manifest"],
  [["run", "--lane", "sync"], "--lane sync does not work over a shared manifest"],
  [["run", "--lane", "auto"], "--lane auto does not work over a shared manifest"],
  [["run", "--rebuild-index"], "--rebuild-index does not work over a shared manifest"],
])("what does not work over it says so: %s", async (args, why) => {
  const env = { DATABASE_URL: "postgres://nobody@127.0.0.1:1/none", GEMINI_API_KEY: "a-key" };
  const { code, stderr } = await runHere([...args, ...OVER], { env });
  expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
});

test.each([
  [["worker", "--yes"], {}, "a manifest that several share"],
  [["run", "--detach"], {}, "leaves the work to workers"],
  [["worker", "--yes", ...OVER], { DATABASE_URL: "pglite:memory" }, "no use for workers"],
  [["manifest", "pause"], {}, "in a folder is not paused"],
  [["manifest", "copy", ...OVER], {}, "vecfill manifest pause"],
  [["manifest", "move", ...OVER], {}, "Where the manifest goes"],
])("what a worker needs, and what can be paused, is said: %s", async (args, env, why) => {
  const its = { GEMINI_API_KEY: "a-key", ...env };
  const { code, stderr } = await runHere(args, { env: its, folder: await temporaryFolder() });
  expect([code, stderr]).toEqual([2, expect.stringContaining(why)]);
});

test("who has a project's URL and key only is told which address it needs", async () => {
  const env = {
    SUPABASE_URL: "https://abcdefghijklmnopqrst.supabase.co",
    SUPABASE_SECRET_KEY: "sb_secret_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    VECFILL_MANIFEST: "postgres",
  };
  const { code, stderr } = await runHere(["jobs"], { env });
  expect([code, stderr]).toEqual([2, expect.stringContaining("Session pooler")]);
});
