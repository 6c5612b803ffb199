// Two processes on one jobs folder, a killed one, one that slept: who may write?
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { type Clock, systemClock } from "../../src/clock.ts";
import { atWork, openManifest } from "../../src/jobs-folder/open.ts";
import { here, newJob, temporaryFolder } from "../manifest/sample.ts";
import { onlyWhere } from "../size.ts";

const HOLDER = fileURLToPath(new URL("hold-manifest.ts", import.meta.url));
const LOCK = "manifest.lock";
/** Above every limit of a system for process ids. */
const NO_PROCESS = 999_999_999;

/** A process that holds the folder until it is killed. */
async function otherProcess(folder: string) {
  const child = spawn(process.execPath, [HOLDER, folder], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return child;
}

/** Watches a heartbeat for a hundredth of the time. */
const hastyClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

/** The folder can be written in, and is let go again. */
async function expectFree(folder: string, clock = systemClock): Promise<void> {
  const manifest = await openManifest(folder, clock);
  await expect(manifest.recordExported(newJob("0001"))).resolves.toMatchObject({ id: "0001" });
  await manifest.close();
}

function foreignLock(changes: object): string {
  const since = new Date().toISOString();
  return JSON.stringify({
    token: "other",
    pid: 1,
    host: "elsewhere",
    started: "1",
    since,
    ...changes,
  });
}

describe("a folder that another process writes in", () => {
  test("is refused with exit 6 and the other's pid, and is free once that was killed", async () => {
    const folder = await temporaryFolder();
    const child = await otherProcess(folder);
    await expect(openManifest(folder, systemClock)).rejects.toMatchObject({
      exit: "locked",
      message: expect.stringContaining(`process ${child.pid} on ${hostname()}`),
      hint: expect.not.stringContaining("another container"),
    });
    child.kill("SIGKILL");
    await once(child, "exit");
    const manifest = await openManifest(folder, systemClock);
    await manifest.recordExported(newJob(await manifest.reserveJobId()));
    await manifest.close();
  });

  test("is free again after close", async () => {
    const folder = await temporaryFolder();
    await (await openManifest(folder, systemClock)).close();
    await expectFree(folder);
  });

  test("of twenty that start at once, one gets it", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, LOCK), foreignLock({ ...(await here()), pid: NO_PROCESS }));
    const tries = Array.from({ length: 20 }, () => openManifest(folder, systemClock));
    const opened = (await Promise.allSettled(tries)).filter((each) => each.status === "fulfilled");
    expect(opened).toHaveLength(1);
    await opened[0]?.value.close();
  });
});

test("one that died while it took the lock of another dead one is in nobody's way", async () => {
  const folder = await temporaryFolder();
  const dead = { ...(await here()), pid: NO_PROCESS };
  await writeFile(join(folder, LOCK), foreignLock(dead));
  await writeFile(join(folder, `${LOCK}.other.heir`), foreignLock({ ...dead, token: "heir" }));
  await expectFree(folder);
  expect((await readdir(folder)).toSorted()).toEqual(["manifest.ndjson"]);
});

describe("a lock left by another host", () => {
  test("holds while its heartbeat is fresh", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, LOCK), foreignLock({}));
    await expect(openManifest(folder, systemClock)).rejects.toMatchObject({ exit: "locked" });
  });

  test("is taken over once its heartbeat has stopped", async () => {
    const folder = await temporaryFolder();
    const path = join(folder, LOCK);
    await writeFile(path, foreignLock({}));
    const longAgo = new Date(Date.now() - 3_600_000);
    await utimes(path, longAgo, longAgo);
    await expectFree(folder, hastyClock);
  });
});

describe("a container with this host's name and processes of its own", () => {
  test.each([
    ["another pid namespace", "a-boot pid:[1]"],
    ["a namespace that is not known", ""],
  ])(
    "is believed while its heart beats, although its pid is nobody's here: %s",
    async (_, space) => {
      const folder = await temporaryFolder();
      const path = join(folder, LOCK);
      await writeFile(path, foreignLock({ host: hostname(), pid: NO_PROCESS, space }));
      await expect(openManifest(folder, systemClock)).rejects.toMatchObject({
        exit: "locked",
        hint: expect.stringContaining("in another container"),
      });
      const longAgo = new Date(Date.now() - 3_600_000);
      await utimes(path, longAgo, longAgo);
      await expectFree(folder, hastyClock);
    },
  );

  const unshare = ["--pid", "--fork", "--mount-proc"];
  const mayUnshare = spawnSync("unshare", [...unshare, "true"]).status === 0;

  test(
    "and a real one cannot take a lock that is held here",
    onlyWhere(mayUnshare, "take the right to make namespaces"),
    async () => {
      const folder = await temporaryFolder();
      const manifest = await openManifest(folder, systemClock);
      const source = `
      const { openManifest } = await import(${JSON.stringify(new URL("../../src/jobs-folder/open.ts", import.meta.url).href)});
      const { systemClock } = await import(${JSON.stringify(new URL("../../src/clock.ts", import.meta.url).href)});
      const told = await openManifest(${JSON.stringify(folder)}, systemClock).then(
        () => "taken",
        (error) => error.exit,
      );
      process.stdout.write(told);`;
      const other = spawnSync(
        "unshare",
        [...unshare, process.execPath, "--input-type=module", "--eval", source],
        { encoding: "utf8" },
      );
      expect(other.stdout).toBe("locked");
      await manifest.recordExported(newJob("0001"));
      await manifest.close();
    },
  );
});

test("a pid that now belongs to another process does not hold the lock", async () => {
  const folder = await temporaryFolder();
  const reused = foreignLock({ ...(await here()), pid: process.pid, started: "1" });
  await writeFile(join(folder, LOCK), reused);
  await expectFree(folder);
});

test(
  "a holder that was killed is dead at once, also while its parent has not asked for it",
  onlyWhere(process.platform === "linux", "take Linux"),
  async () => {
    const folder = await temporaryFolder();
    // sleep takes the shell's place, and asks after no child
    const script = '"$0" "$1" "$2" & exec sleep 60';
    const parent = spawn("sh", ["-c", script, process.execPath, HOLDER, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void parent.kill("SIGKILL"));
    await once(parent.stdout, "data");
    const { pid } = JSON.parse(await readFile(join(folder, LOCK), "utf8"));
    const stateOf = async () => (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1];
    expect(await atWork(folder, systemClock)).toMatchObject({ pid });
    process.kill(pid, "SIGKILL");
    await vi.waitFor(async () => expect(await stateOf()).toMatch(/^Z/));
    // its last threads may take a moment longer to end
    await vi.waitFor(async () => expect(await atWork(folder, systemClock)).toBeUndefined());
    expect(await stateOf()).toMatch(/^Z/);
    await expectFree(folder);
  },
);

test("a writer whose lock was taken over writes nothing more, and leaves the lock to the other", async () => {
  const folder = await temporaryFolder();
  const manifest = await openManifest(folder, systemClock);
  const before = await readFile(join(folder, "manifest.ndjson"), "utf8");
  const foreign = foreignLock({});
  await writeFile(join(folder, LOCK), foreign);
  await expect(manifest.recordExported(newJob("0001"))).rejects.toMatchObject({ exit: "locked" });
  expect(await readFile(join(folder, "manifest.ndjson"), "utf8")).toBe(before);
  await manifest.close();
  expect(await readFile(join(folder, LOCK), "utf8")).toBe(foreign);
});

test("a lock file that cannot be read is refused with the mend", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, LOCK), "");
  await expect(openManifest(folder, systemClock)).rejects.toMatchObject({
    exit: "locked",
    hint: expect.stringContaining("delete"),
  });
});
