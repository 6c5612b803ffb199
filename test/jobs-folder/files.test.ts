// The jobs folder holds texts of mine: can others on this machine read what vecfill makes there, and does it leave
// a folder that I have made, and what it does not know, as they are?
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { prepareFolder, setAside } from "../../src/jobs-folder/files.ts";
import { openManifest } from "../../src/jobs-folder/open.ts";
import { newJob, temporaryFolder } from "../manifest/sample.ts";

const modeOf = async (path: string) => (await stat(path)).mode & 0o777;

async function emptyFolder(): Promise<string> {
  const home = await temporaryFolder();
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  return home;
}

test("a folder that it makes is this user's alone, one that is there keeps its mode", async () => {
  const home = await emptyFolder();
  await prepareFolder(join(home, "new"));
  expect(await modeOf(join(home, "new"))).toBe(0o700);
  const there = join(home, "there");
  await mkdir(there);
  await chmod(there, 0o755);
  const manifest = await openManifest(there, systemClock);
  await manifest.recordExported(newJob("0001"));
  await manifest.close();
  expect(await modeOf(there)).toBe(0o755);
  expect(await modeOf(join(there, "manifest.ndjson"))).toBe(0o600);
});

test("what makes way is kept beside it, each time under another name", async () => {
  const home = await emptyFolder();
  const path = join(home, "0001.results.jsonl");
  const away = async (content: string) => {
    await writeFile(path, content);
    return setAside(path);
  };
  expect([await away("one"), await away("two"), await away("three")]).toEqual([
    `${path}.unknown`,
    `${path}.unknown-2`,
    `${path}.unknown-3`,
  ]);
  expect(await readFile(`${path}.unknown-2`, "utf8")).toBe("two");
});
