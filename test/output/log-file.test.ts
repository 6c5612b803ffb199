// I look at the log file the next morning: is each line in it with its time, and what if the disk was full at night?
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { openLogFile } from "../../src/output/log-file.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const NOW = new Date("2026-11-30T22:00:00.123Z");
const clock = { ...systemClock, now: () => NOW };

async function emptyFolder(): Promise<string> {
  const home = await temporaryFolder();
  onTestFinished(() => rm(home, { recursive: true, force: true }));
  return home;
}

test("each line has its time, for this user alone, behind what is there", async () => {
  const path = join(await emptyFolder(), "log");
  const said: string[] = [];
  openLogFile(path, clock, (text) => said.push(text))("one\ntwo");
  openLogFile(path, clock, (text) => said.push(text))("three");
  const lines = ["one", "two", "three"].map((text) => `2026-11-30T22:00:00Z ${text}\n`);
  expect(await readFile(path, "utf8")).toBe(lines.join(""));
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(said).toEqual([]);
});

test("one that cannot be written is refused, and told once where it happens later", async () => {
  const home = await emptyFolder();
  const said: string[] = [];
  expect(() => openLogFile(home, clock, () => {})).toThrow(
    /^The log file cannot be written: EISDIR/,
  );
  const log = openLogFile(join(home, "log"), clock, (text) => said.push(text));
  await rm(join(home, "log"));
  await mkdir(join(home, "log"));
  log("one");
  log("two");
  expect(said).toEqual([expect.stringMatching(/^The log file ends here.*EISDIR/)]);
});
