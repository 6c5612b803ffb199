// After a crash, a torn write or somebody's editor: does the manifest tell the truth, or refuse?
import { appendFile, copyFile, readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { openManifest, readManifest } from "../../src/jobs-folder/open.ts";
import { parseHeader } from "../../src/manifest/event.ts";
import { UserError } from "../../src/errors.ts";
import { IN_FULL, sized } from "../size.ts";
import { newJob, resealed, temporaryFolder } from "./sample.ts";

const FILE = "manifest.ndjson";
const BITS = 8;
/** A number that shares nothing with eight: all places of a byte come in turn. */
const EACH_BIT = sized({ quick: 13, full: 1 });

/** A manifest with one submitted job, closed. */
async function writtenManifest(): Promise<string> {
  const folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  await manifest.recordExported(newJob("0001"));
  await manifest.record({
    type: "uploaded",
    job: "0001",
    remoteFile: { name: "files/abc", expiresAt: undefined },
  });
  const displayName = `vecfill-${manifest.id}-0001-1`;
  await manifest.record({ type: "submitting", job: "0001", displayName, submission: 1 });
  await manifest.record({
    type: "submitted",
    job: "0001",
    batch: "batches/b1",
    adopted: false,
    keyId: "k",
  });
  await manifest.close();
  return folder;
}

describe("a manifest that was closed", () => {
  test("reads back as it was, and keeps its id", async () => {
    const folder = await writtenManifest();
    const before = await readManifest(folder);
    const reopened = await openManifest(folder, systemClock);
    expect(reopened.id).toBe(before.id);
    expect(reopened.jobs()).toEqual(before.jobs());
    expect(before.job("0001")).toMatchObject({ state: "submitted", batch: "batches/b1" });
    await reopened.close();
  });

  test("is empty where there is no file", async () => {
    const manifest = await readManifest(await temporaryFolder());
    expect(manifest.jobs()).toEqual([]);
    expect(manifest.warnings).toEqual([]);
  });
});

describe("a last line torn at any byte", () => {
  test("does not count, is warned of, and is cut off by the next writer", async () => {
    const folder = await writtenManifest();
    const path = join(folder, FILE);
    const whole = await readFile(path, "utf8");
    const lastLine = whole.lastIndexOf("\n", whole.length - 2) + 1;
    for (let size = lastLine + 1; size < whole.length; size++) {
      await writeFile(path, whole);
      await truncate(path, size);
      const read = await readManifest(folder);
      expect(read.job("0001").state).toBe("submitting");
      expect(read.warnings).toHaveLength(1);

      const writer = await openManifest(folder, systemClock);
      await writer.record({ type: "absent", job: "0001", reads: 2 });
      await writer.close();
      const after = await readManifest(folder);
      expect(after.warnings).toEqual([]);
      expect(after.job("0001").state).toBe("exported");
    }
  });

  test(
    "may be longer than any line is, as a disk that lost its pages has it",
    IN_FULL,
    async () => {
      const folder = await writtenManifest();
      await appendFile(join(folder, FILE), Buffer.alloc(17 * 1024 * 1024));
      const read = await readManifest(folder);
      expect(read.warnings).toEqual([expect.stringContaining("line 7 was torn")]);
      expect(read.job("0001").state).toBe("submitted");
      const writer = await openManifest(folder, systemClock);
      await writer.close();
      expect((await readManifest(folder)).warnings).toEqual([]);

      await appendFile(join(folder, FILE), Buffer.alloc(17 * 1024 * 1024));
      await appendFile(join(folder, FILE), "\n");
      await expect(readManifest(folder)).rejects.toThrow("line 7: the line is far too long");
    },
  );

  test("leaves an empty manifest when it was the very first", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, FILE), '{"format":"vecfill-mani');
    const manifest = await openManifest(folder, systemClock);
    await manifest.recordExported(newJob("0001"));
    await manifest.close();
    expect((await readManifest(folder)).jobs()).toHaveLength(1);
  });
});

describe("damage that a crash cannot cause", () => {
  const damages: Record<string, (text: string) => string> = {
    "another time": (text) => text.replace(/"at":"20/, '"at":"19'),
    "two lines that changed places": (text) => text.replace(/^(.*\n)(.*\n)(.*\n)/, "$1$3$2"),
    "a line that stands twice": (text) => text.replace(/^(.*\n)(.*\n)/, "$1$2$2"),
    "a line cut short in the middle": (text) => text.replace('"type":"uploaded"', '"type":"upl'),
    "a line left out": (text) => text.replace(/^.*"type":"submitting".*\n/m, ""),
    "an unknown event": (text) => text.replace('"type":"uploaded"', '"type":"celebrated"'),
    "a wrong type": (text) => text.replace('"submission":1', '"submission":"one"'),
    "an unknown job": (text) => text.replace(/"uploaded",(.*?)"0001"/, '"uploaded",$1"0009"'),
  };

  test.each(Object.entries(damages))("%s is refused with its line", async (_, damage) => {
    const folder = await writtenManifest();
    const path = join(folder, FILE);
    const text = await readFile(path, "utf8");
    const damaged = damage(text);
    expect(damaged).not.toBe(text);
    await writeFile(path, damaged);
    const refusal = {
      name: "UserError",
      exit: "fatal",
      message: expect.stringMatching(/line \d+/),
    };
    await expect(readManifest(folder)).rejects.toMatchObject(refusal);
    await expect(openManifest(folder, systemClock)).rejects.toMatchObject(refusal);
    expect(await readFile(path, "utf8")).toBe(damaged);
  });

  test.each(Object.entries(damages).slice(3))(
    "%s is refused also where it was sealed",
    async (_, damage) => {
      const folder = await writtenManifest();
      const path = join(folder, FILE);
      await writeFile(path, resealed(damage(await readFile(path, "utf8"))));
      await expect(readManifest(folder)).rejects.toMatchObject({ exit: "fatal" });
    },
  );

  test(
    "any single bit that flips is refused, or changes nothing",
    { timeout: 300_000 },
    async () => {
      const folder = await writtenManifest();
      const path = join(folder, FILE);
      const known = await readManifest(folder);
      const journal = await readFile(path);
      for (let bit = 0; bit < journal.length * BITS; bit += EACH_BIT) {
        const flipped = Buffer.from(journal);
        flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        await writeFile(path, flipped);
        const read = await readManifest(folder).catch((error: unknown) => error);
        if (read instanceof UserError) continue;
        expect([bit, read]).toMatchObject([bit, { id: known.id, warnings: [] }]);
        expect((await readManifest(folder)).jobs()).toEqual(known.jobs());
      }
    },
  );

  test("a newer format is refused, whatever else it holds", async () => {
    const folder = await writtenManifest();
    const path = join(folder, FILE);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace('"version":2', '"version":4'));
    await expect(readManifest(folder)).rejects.toMatchObject({
      message: expect.stringContaining("version 4"),
    });
  });
});

describe("a manifest of the format before this one", () => {
  const OLD = fileURLToPath(new URL("../fixtures/manifest-v1.ndjson", import.meta.url));
  const KEPT = "manifest.v1.ndjson";

  async function oldManifest(): Promise<string> {
    const folder = await temporaryFolder();
    await copyFile(OLD, join(folder, FILE));
    return folder;
  }

  test("is read as it is, and becomes one of ours at the first writing; the old file is kept", async () => {
    const folder = await oldManifest();
    const known = (await readManifest(folder)).jobs();
    expect(await readFile(join(folder, FILE))).toEqual(await readFile(OLD));
    const writer = await openManifest(folder, systemClock);
    await writer.recordExported(newJob(await writer.reserveJobId()));
    await writer.close();
    const after = await readManifest(folder);
    expect(after.jobs().slice(0, known.length)).toEqual(known);
    expect(after.jobs()).toHaveLength(known.length + 1);
    expect(await readFile(join(folder, KEPT))).toEqual(await readFile(OLD));
    const written = await readFile(join(folder, FILE), "utf8");
    expect(written).toBe(resealed(written));
    expect(parseHeader(written.split("\n")[0] ?? "").version).toBe(2);
  });

  test("goes on where a crash came between keeping the old file and writing the new one", async () => {
    const folder = await oldManifest();
    await copyFile(OLD, join(folder, KEPT));
    await writeFile(join(folder, `${FILE}.part`), "half");
    await (await openManifest(folder, systemClock)).close();
    expect((await readManifest(folder)).warnings).toEqual([]);
    expect((await readdir(folder)).toSorted()).toEqual([FILE, KEPT].toSorted());
  });

  test("put back a second time, with a torn line, keeps both old files and takes the whole lines", async () => {
    const folder = await oldManifest();
    await (await openManifest(folder, systemClock)).close();
    const known = (await readManifest(folder)).jobs();
    await writeFile(join(folder, FILE), `${await readFile(OLD, "utf8")}{"type":"abs`);
    await (await openManifest(folder, systemClock)).close();
    expect((await readManifest(folder)).jobs()).toEqual(known);
    expect(await readFile(join(folder, KEPT))).toEqual(await readFile(OLD));
    expect(await readFile(join(folder, "manifest.v1-2.ndjson"), "utf8")).toContain('"abs');
  });
});

describe("what may be recorded", () => {
  test("an event that does not fit the state is refused, and leaves no trace", async () => {
    const folder = await writtenManifest();
    const manifest = await openManifest(folder, systemClock);
    const before = await readFile(join(folder, FILE), "utf8");
    const twice = { type: "submitting", job: "0001", displayName: "x", submission: 2 } as const;
    await expect(manifest.record(twice)).rejects.toThrow(/not possible in state "submitted"/);
    expect(await readFile(join(folder, FILE), "utf8")).toBe(before);
    await manifest.close();
  });

  test("events recorded at the same time all stand there, in their order", async () => {
    const folder = await temporaryFolder();
    const manifest = await openManifest(folder, systemClock);
    const ids = await Promise.all(Array.from({ length: 20 }, () => manifest.reserveJobId()));
    await Promise.all(ids.map((id) => manifest.recordExported(newJob(id))));
    await manifest.close();
    expect((await readManifest(folder)).jobs().map((job) => job.id)).toEqual(ids);
  });

  test("two reservations never give the same number, recorded or not", async () => {
    const folder = await temporaryFolder();
    const manifest = await openManifest(folder, systemClock);
    const first = await manifest.reserveJobId();
    const second = await manifest.reserveJobId();
    await manifest.recordExported(newJob(second));
    await manifest.recordExported(newJob(first));
    expect(new Set([first, second, await manifest.reserveJobId()]).size).toBe(3);
    await manifest.close();
  });

  test("a line appended behind the writer's back is noticed by the next reader", async () => {
    const folder = await writtenManifest();
    await appendFile(join(folder, FILE), "not ours\n");
    await expect(readManifest(folder)).rejects.toMatchObject({ exit: "fatal" });
  });
});

test("job files without a manifest are refused: a new one would pay for their rows again", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "0001.requests.jsonl"), "");
  await expect(openManifest(folder, systemClock)).rejects.toMatchObject({
    exit: "fatal",
    hint: expect.stringContaining("backup"),
  });
  expect(await readdir(folder)).toEqual(["0001.requests.jsonl"]);
});
