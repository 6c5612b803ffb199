// I look at a job while another process embeds it, and its file gets its last name at that very moment.
// Do I see what it was answered all the same?
import files, { rename, rm, writeFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { countAnswered } from "../../src/jobs-folder/checkpoint.ts";
import { requestMarkOf } from "../../src/jobs-folder/request-mark.ts";
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import { newJob, temporaryFolder } from "../manifest/sample.ts";

/** Called when a file was looked for. */
const looked = { after: async () => {} };
const { stat } = files;

beforeAll(() => {
  putStat(async (path: string) => {
    try {
      return await stat(path);
    } finally {
      await looked.after();
    }
  });
});
afterAll(() => putStat(stat));

function putStat(instead: (path: string) => Promise<unknown>): void {
  Object.assign(files, { stat: instead });
  syncBuiltinESMExports();
}

/** Answered to the last request, and put in its place by nobody yet. */
async function answered(state: "exported" | "embedding"): Promise<string> {
  const folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  const job = await manifest.recordExported(newJob("0001"));
  if (state === "embedding") await manifest.record({ type: "embedding", job: "0001" });
  const line = (row: number) =>
    JSON.stringify({ error: {}, of: requestMarkOf(job), key: `${row}@f` });
  await writeFile(manifest.files("0001").sync, `${line(1)}\n${line(2)}\n`);
  await manifest.close();
  return folder;
}

/** Renames the file after so many looks at it; true where there were as many. */
async function renamedWithin(folder: string, looks: number, reading: () => Promise<void>) {
  let count = 0;
  looked.after = async () => {
    count += 1;
    if (count === looks) {
      await rename(join(folder, "0001.sync.jsonl"), join(folder, "0001.results.jsonl"));
    }
  };
  await reading().finally(() => (looked.after = async () => {}));
  return count >= looks;
}

test.each(["exported", "embedding"] as const)(
  "a file that is renamed while it is looked for is found under its new name (recorded as %s)",
  async (state) => {
    let isReached = true;
    for (let looks = 1; isReached; looks += 1) {
      const folder = await answered(state);
      isReached = await renamedWithin(folder, looks, async () => {
        const manifest = await readManifest(folder);
        expect(manifest.job("0001").state).toBe("embedding");
        expect(await countAnswered(manifest.files("0001"), manifest.job("0001"))).toBe(2);
      });
      expect(isReached || looks > 2).toBe(true);
      await rm(folder, { recursive: true });
    }
  },
);
