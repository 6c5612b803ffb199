// If the machine dies at any moment, do I find the old file or the new one, and never a half?
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { openAppendFile } from "../../src/disk/append-file.ts";
import {
  createDurableFile,
  explainWriteError,
  hashFile,
  replaceFile,
  syncFolder,
} from "../../src/disk/durable-file.ts";
import { UserError } from "../../src/errors.ts";
import { onlyWhere } from "../size.ts";
import { anyText } from "../any-text.ts";

const MEBIBYTE = 1024 * 1024;
const MODULE = new URL("../../src/disk/durable-file.ts", import.meta.url).href;
const run = promisify(execFile);

let folder = "";
let path = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "vecfill-durable-"));
  path = join(folder, "0001.requests.jsonl");
});
afterEach(() => rm(folder, { recursive: true }));

describe("a file that is committed", () => {
  test("holds what was written, in order, with the right size and hash", async () => {
    await fc.assert(
      fc.asyncProperty(pieces(), async (some) => {
        const file = await createDurableFile(path);
        for (const piece of some) await file.write(piece);
        const whole = Buffer.concat(some.map((piece) => Buffer.from(piece)));
        expect(file.bytes).toBe(whole.length);
        const digest = await file.commit();
        expect(digest).toEqual({ bytes: whole.length, sha256: sha256(whole) });
        expect((await readFile(path)).equals(whole)).toBe(true);
        expect(await hashFile(path)).toEqual(digest);
      }),
      { numRuns: 25 },
    );
  });

  test.each([20_000, 900_000])(
    "holds whole a text of %i letters of three bytes",
    async (letters) => {
      const file = await createDurableFile(path);
      const text = "\u20ac".repeat(letters);
      for (let times = 0; times < 3; times += 1) await file.write(text);
      expect((await file.commit()).bytes).toBe(9 * letters);
      expect(await readFile(path, "utf8")).toBe(text.repeat(3));
    },
  );

  test("keeps its order without waiting, and does not see a buffer that is used again", async () => {
    const file = await createDurableFile(path);
    const buffer = Buffer.alloc(MEBIBYTE / 2 + 1);
    const writes = ["a", "b", "c", "d", "e"].map((letter) => file.write(buffer.fill(letter)));
    await Promise.all(writes);
    await file.commit();
    const text = await readFile(path, "latin1");
    expect(text.replaceAll(/(?<letter>.)\k<letter>*/g, "$<letter>")).toBe("abcde");
    expect(text.length).toBe(5 * buffer.length);
  });

  test("is readable by its owner only, and nothing else is left", async () => {
    await writeFile(`${path}.part`, "left by a crash, longer than what comes now");
    await chmod(`${path}.part`, 0o644);
    await replaceFile(path, "new");
    expect(await readdir(folder)).toEqual(["0001.requests.jsonl"]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).toBe("new");
  });

  test("takes nothing more, and survives being abandoned", async () => {
    const file = await createDurableFile(path);
    await file.write("whole");
    await file.commit();
    expect(() => file.write("more")).toThrow("not open");
    await expect(file.commit()).rejects.toThrow("not open");
    const next = await createDurableFile(path);
    await next.write("next");
    await file.abandon();
    expect(await readFile(path, "utf8")).toBe("whole");
    await next.commit();
    expect(await readFile(path, "utf8")).toBe("next");
  });
});

describe("a file that is not committed", () => {
  test("is only a part, beside the old file, and goes when it is abandoned", async () => {
    await writeFile(path, "old");
    const file = await createDurableFile(path);
    await file.write("x".repeat(3 * MEBIBYTE));
    expect(await readdir(folder)).toEqual(["0001.requests.jsonl", "0001.requests.jsonl.part"]);
    expect((await stat(`${path}.part`)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).toBe("old");
    await file.abandon();
    await file.abandon();
    expect(await readdir(folder)).toEqual(["0001.requests.jsonl"]);
    expect(await readFile(path, "utf8")).toBe("old");
  });

  test("is only a part after a crash, and the next writer takes its place", async () => {
    const child = spawn(process.execPath, [
      "--input-type=module",
      "--eval",
      `const { createDurableFile } = await import(${JSON.stringify(MODULE)});
       const file = await createDurableFile(${JSON.stringify(path)});
       await file.write("y".repeat(${3 * MEBIBYTE}));
       console.log("written");
       setInterval(() => {}, 1000);`,
    ]);
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await readdir(folder)).toEqual(["0001.requests.jsonl.part"]);
    await replaceFile(path, "second try");
    expect(await readdir(folder)).toEqual(["0001.requests.jsonl"]);
    expect(await readFile(path, "utf8")).toBe("second try");
  });
});

test("a file that only grows takes back what could not be synced, and goes on from there", async () => {
  const file = await openAppendFile(path, 0);
  await file.append(Buffer.from("one\n"));
  const other = await open(path);
  const datasync = vi.spyOn(Object.getPrototypeOf(other), "datasync");
  await other.close();
  datasync.mockRejectedValueOnce(new Error("the disk fails"));
  await expect(file.append(Buffer.from("two\n"))).rejects.toThrow("the disk fails");
  expect(await readFile(path, "utf8")).toBe("one\n");
  await file.append(Buffer.from("three\n"));
  expect(await readFile(path, "utf8")).toBe("one\nthree\n");

  // where that fails, too, nothing is known of its end
  for (const _ of ["append", "take back"]) datasync.mockRejectedValueOnce(new Error("it fails"));
  await expect(file.append(Buffer.from("four\n"))).rejects.toThrow("it fails");
  await expect(file.append(Buffer.from("five\n"))).rejects.toThrow("ends in an append that failed");
  await file.close();
});

describe("a place that cannot be written", () => {
  test.each(["ENOENT", "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EFBIG"])(
    "%s is told with the path and a way out",
    (code) => {
      const cause = Object.assign(new Error(`${code}: from the system`), { code });
      const error = explainWriteError(cause, path);
      expect(error).toBeInstanceOf(UserError);
      expect(error).toMatchObject({ exit: "fatal", cause });
      expect(error).toHaveProperty("message", expect.stringContaining(path));
      expect(error).toHaveProperty("hint", expect.stringContaining("--jobs-dir"));
    },
  );

  test("a folder that is gone is told before anything is written", async () => {
    await expect(createDurableFile(join(folder, "no", "such"))).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringMatching(/its folder is not there any more/),
    });
  });

  test("any other error stays what it is", async () => {
    for (const error of [Object.assign(new Error("EIO"), { code: "EIO" }), new Error("a bug"), 7]) {
      expect(explainWriteError(error, path)).toBe(error);
    }
    await expect(syncFolder(join(folder, "no"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  test(
    "stops the writing, keeps the old file, and leaves nothing behind",
    onlyWhere(process.platform !== "win32", "take signals, which Windows has not"),
    async () => {
      await writeFile(path, "old");
      const script = `
        import { readFile, readdir } from "node:fs/promises";
        const { createDurableFile, replaceFile } = await import(${JSON.stringify(MODULE)});
        const told = (error) => error.name + " " + error.cause.code;
        const file = await createDurableFile(${JSON.stringify(path)});
        let writes = 0;
        const large = "z".repeat(${MEBIBYTE});
        const first = await (async () => { for (; writes < 9; writes += 1) await file.write(large); })()
          .then(() => "written", told);
        const later = [await file.write("more").then(() => "written", told)];
        later.push(await file.commit().then(() => "committed", told));
        await file.abandon();
        later.push(await replaceFile(${JSON.stringify(path)}, "z".repeat(${4 * MEBIBYTE}))
          .then(() => "replaced", told));
        console.log(JSON.stringify({ writes, first, later }));`;
      // A real limit of the system: files of at most 2 MiB (4096 blocks of 512 bytes).
      const { stdout } = await run("sh", [
        "-c",
        'ulimit -f 4096 && exec "$0" --input-type=module --eval "$1"',
        process.execPath,
        script,
      ]);
      expect(JSON.parse(stdout)).toEqual({
        writes: 2,
        first: "UserError EFBIG",
        later: ["UserError EFBIG", "UserError EFBIG", "UserError EFBIG"],
      });
      expect(await readdir(folder)).toEqual(["0001.requests.jsonl"]);
      expect(await readFile(path, "utf8")).toBe("old");
    },
  );
});

/** Texts and bytes from nothing up to more than two blocks. */
function pieces(): fc.Arbitrary<(string | Uint8Array)[]> {
  const large = fc.nat({ max: 2 * MEBIBYTE + 7 }).map((size) => Buffer.alloc(size, "0123456789\n"));
  const piece = fc.oneof(anyText(), fc.uint8Array({ maxLength: 40 }), {
    weight: 1,
    arbitrary: large,
  });
  return fc.array(piece, { maxLength: 8 });
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
