// My script fills a column: can it also plan, check, cancel and take back, with the settings as I would type them?
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { onTestFinished, expect, test } from "vitest";
import ndjson from "ndjson";
import { openVecfill, type VecfillSettings } from "../../src/vecfill.ts";
import { openFolders, TEXTS, type Folders } from "../folders.ts";

async function open(folders: Folders, settings: VecfillSettings = {}) {
  const { env, home } = folders;
  const jobsDir = join(home, "jobs");
  const vecfill = await openVecfill({ settings: { jobsDir, ...settings }, env, folder: home });
  onTestFinished(() => vecfill.close());
  return vecfill;
}

test("plan, doctor, run, verify and rollback", async () => {
  const folders = await openFolders(TEXTS, { frozen: false, batchSeconds: 0 });
  const vecfill = await open(folders, { maxJobRows: "1,000", timeout: "10m", limit: 5 });
  expect(await vecfill.plan()).toMatchObject({ total: { rows: 5, jobs: 1 } });
  expect(await vecfill.doctor()).toMatchObject({ failures: 0 });
  expect(await vecfill.run()).toMatchObject({ written: 5, remaining: 2 });
  expect(await vecfill.status()).toMatchObject({ withEmbedding: 5, withoutEmbedding: 2 });
  expect(await vecfill.verify()).toMatchObject({ withEmbedding: 5, manifestBalanced: true });
  expect(await vecfill.rollback(1)).toMatchObject({ rolledBack: ["0001"], rows: 5 });
  await vecfill.close();
  expect(await folders.books()).toMatchObject({ empty: TEXTS.length });
});

test("stage by stage, what failed again, and the jobs", async () => {
  const folders = await openFolders(TEXTS.slice(0, 3), {
    frozen: false,
    batchSeconds: 0,
    faults: "batch-fail=1x",
  });
  const vecfill = await open(folders, { pollInterval: 0.01 });
  const stages = async () => {
    expect(await vecfill.submit()).toMatchObject({ submitted: [expect.any(String)] });
    expect(await vecfill.poll()).toMatchObject({ ended: [expect.any(String)] });
    return vecfill.import();
  };
  expect(await vecfill.export()).toMatchObject({ exported: 3 });
  expect(await stages()).toMatchObject({ written: 0 });
  expect(await vecfill.resubmit()).toMatchObject([{ id: "0002", parents: ["0001"] }]);
  expect(await stages()).toMatchObject({ written: 3, failed: 0 });
  expect(await vecfill.jobs()).toMatchObject([{ state: "failed" }, { state: "imported" }]);
  await vecfill.close();
  expect(await folders.books()).toEqual({ paid: 3, twice: [], empty: 0, wrong: 0 });
});

test("a setting that there is not is refused by its name", async () => {
  const settings: object = { jobDir: "jobs" };
  await expect(openVecfill({ settings })).rejects.toThrow("There is no setting jobDir.");
});

test("what works on one target takes no other for several", async () => {
  const folders = await openFolders(TEXTS);
  const targets = [{ name: "one" }, { name: "two", embedding: "other" }];
  await writeFile(join(folders.home, "vecfill.config.json"), JSON.stringify({ targets }));
  const vecfill = await open(folders, { target: "all" });
  await expect(vecfill.search("a text")).rejects.toThrow("Of several targets at once");
  await expect(vecfill.queryVector("a text")).rejects.toThrow("Of several targets at once");
  await expect(vecfill.export()).rejects.toThrow("Of several targets at once");
  await expect(vecfill.plan()).rejects.toThrow("Of several targets at once");
});

test("status of a named target without jobs is of no other", async () => {
  const folders = await openFolders(TEXTS);
  const targets = [{ name: "one" }, { name: "two", embedding: "other" }];
  await writeFile(join(folders.home, "vecfill.config.json"), JSON.stringify({ targets }));
  const one = await open(folders, { target: "one" });
  await one.export();
  await one.close();
  const two = await open(folders, { target: "two" });
  expect(await two.status()).toMatchObject({ target: { embedding: "other" } });
});

test("cancel, by a number or an id", async () => {
  const folders = await openFolders(TEXTS);
  const vecfill = await open(folders);
  await vecfill.export();
  await vecfill.submit();
  expect(await vecfill.cancel("0002", 1, 2)).toMatchObject({ cancelled: ["0002", "0001"] });
});

test("jobs as lines of JSON", async () => {
  const { vecfill } = await openFolders(TEXTS);
  await vecfill("jobs", "export");
  const { stdout } = await vecfill("jobs", "jobs", "--format", "ndjson");
  const parsed: unknown[] = [];
  const parser = ndjson.parse({ strict: true }).on("data", (job) => parsed.push(job));
  parser.end(stdout);
  await new Promise((ended) => parser.on("end", ended));
  expect(parsed).toMatchObject([{ id: "0001" }, { id: "0002" }, { id: "0003", requests: 1 }]);
  const one = await vecfill("jobs", "jobs", "2", "--format", "ndjson");
  expect(JSON.parse(one.stdout)).toMatchObject({ id: "0002", state: "exported" });
});
