// I type the line that a command names as the next one: does it go on with what I asked for, and no more?
import { expect, test } from "vitest";
import { openFolders, TEXTS } from "../folders.ts";

test("a dry run's next line has what bounds and selects", async () => {
  const { vecfill } = await openFolders(TEXTS);
  const { stderr } = await vecfill("jobs", "run", "--where", "id < 3", "--dry-run", "--yes");
  expect(stderr).toMatch(/^next: vecfill run --where 'id < 3' --jobs-dir \S+$/m);
});

test("a run that goes on with a limit counts the rows that are under way", async () => {
  const { vecfill, vecfillInTime, books } = await openFolders(TEXTS);
  const bounded = ["run", "--limit", "3", "--timeout", "1"];
  const { stderr } = await vecfill("jobs", ...bounded);
  expect(stderr).toMatch(/^next: vecfill run --limit 3 --timeout 1 --jobs-dir \S+$/m);
  await vecfill("jobs", ...bounded);
  const { stdout } = await vecfill("jobs", "jobs", "--json");
  const { jobs } = JSON.parse(stdout);
  expect(jobs.map((job: { requests: number }) => job.requests)).toEqual([3]);
  await vecfillInTime("jobs", "run", "--limit", "3");
  expect(await books()).toMatchObject({ paid: 3, empty: TEXTS.length - 3 });
});
