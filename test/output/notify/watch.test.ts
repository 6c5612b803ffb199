/**
 * Nobody sits before it at three in the morning: am I told once when something changes, and not every
 * half hour again; can a bad hook harm the run; does it get my keys; is the metrics file valid?
 */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { copyFile, mkdir, open, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it, test, vi } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { ExitReason } from "../../../src/errors.ts";
import type { Status } from "../../../src/jobs-folder/status-file.ts";
import type { ProgressEvent } from "../../../src/progress.ts";
import { exposition } from "../../../src/output/notify/exposition.ts";
import { Health } from "../../../src/output/notify/health.ts";
import { runHook } from "../../../src/output/notify/hook.ts";
import { runHere } from "../../command-line.ts";
import { parseExposition } from "../../exposition.ts";
import { temporaryFolder } from "../../manifest/sample.ts";
import { EXAMPLES, jobReport } from "../reports.ts";

let home: string;
beforeAll(async () => {
  home = await temporaryFolder();
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Several commands, one after the other, each knowing what the one before left. */
function story() {
  let status: Status | undefined;
  let elapsedMs = 0;
  const clock = { ...systemClock, elapsedMs: () => elapsedMs };
  return (exit: ExitReason, ...events: readonly (ProgressEvent | number)[]) => {
    const health = new Health(status, clock);
    const told: string[] = [];
    for (const event of events) {
      if (typeof event === "number") elapsedMs += event * 60_000;
      else told.push(...[health.note(event) ?? []].flat().map((each) => each.event));
    }
    told.push(...health.end({ exit, message: "", hint: undefined }).map(({ event }) => event));
    ({ status } = health);
    return told;
  };
}

describe("what is told", () => {
  const waiting = EXAMPLES.waiting;

  it("is a change, once, over several commands", () => {
    const command = story();
    expect(command("done")).toEqual([]);
    expect(command("done", EXAMPLES.imported)).toEqual(["done"]);
    expect(command("fatal")).toEqual(["failed"]);
    expect(command("fatal")).toEqual([]);
    expect(command("usage")).toEqual(["failed"]);
    expect(command("locked")).toEqual([]);
    expect(command("interrupted")).toEqual([]);
    expect(command("unfinished")).toEqual(["recovered"]);
    expect(command("costLimit")).toEqual(["budget"]);
    expect(command("costLimit")).toEqual([]);
    expect(command("done", EXAMPLES.imported)).toEqual(["recovered", "done"]);
  });

  it("is each command with new failed rows, and that they are gone", () => {
    const command = story();
    expect([command("rowsFailed"), command("rowsFailed"), command("done")]).toEqual([
      ["failed"],
      ["failed"],
      ["recovered"],
    ]);
  });

  it("is a batch that is stuck, until it has ended", () => {
    const command = story();
    const stuck = EXAMPLES.stuck;
    expect(command("unfinished", stuck, EXAMPLES.pending)).toEqual(["stalled"]);
    expect(command("unfinished", stuck)).toEqual([]);
    expect(command("unfinished", stuck, jobReport(stuck.job, "succeeded"))).toEqual(["recovered"]);
  });

  it("is a quarter of an hour of refusals, and not of a queue that is full of our own", () => {
    const command = story();
    const { quotaFull } = EXAMPLES;
    const full = { ...quotaFull, refusals: 0 };
    expect(command("unfinished", EXAMPLES.pending, 16, full, 14, full)).toEqual([]);
    expect(command("interrupted", 16, { ...quotaFull, refusals: 2 })).toEqual(["stalled"]);
  });

  it("is a quarter of an hour with nothing but waiting, until something happens", () => {
    const command = story();
    const warning = { type: "warning", message: "", hint: undefined } as const;
    expect(command("interrupted", EXAMPLES.pending, 10, warning, 6, waiting)).toEqual(["stalled"]);
    expect(command("unfinished", EXAMPLES.pending)).toEqual(["recovered"]);
    expect(command("unfinished", EXAMPLES.pending, 14, waiting)).toEqual([]);
    const told = command(
      "unfinished",
      waiting,
      10,
      waiting,
      6,
      waiting,
      16,
      waiting,
      EXAMPLES.pending,
    );
    expect(told).toEqual(["stalled", "recovered"]);
  });
});

const hooked = (command: string, timeLimitMs = 20_000) =>
  runHook({ command, env: { PATH: process.env["PATH"] }, folder: home, timeLimitMs }, "failed", {
    event: "failed",
    message: `it's "bad"; $(touch pwned)`,
  });

describe("a hook", () => {
  it("gets the event in its environment and the rest on stdin, through the shell", async () => {
    expect(await hooked('echo "$VECFILL_EVENT" > told && cat >> told')).toBe(undefined);
    const [event, json = ""] = (await readFile(join(home, "told"), "utf8")).split("\n");
    expect([event, JSON.parse(json)]).toEqual([
      "failed",
      { event: "failed", message: `it's "bad"; $(touch pwned)` },
    ]);
    expect(await readdir(home)).not.toContain("pwned");
  });

  it("that fails, is not there, does not read, or never ends, is told and nothing more", async () => {
    expect(await hooked("echo no route >&2; exit 3")).toBe("exit code 3, no route");
    expect(await hooked("no-such-command-of-mine")).toMatch(/^exit code 127, .*not found/);
    expect(await hooked("exec <&-; true")).toBe(undefined);
    const pipe = join(home, "pipe");
    await promisify(execFile)("mkfifo", [pipe]);
    const reader = await open(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
    expect(await hooked(`sleep 600 > "${pipe}" & sleep 600`, 200)).toBe(
      "it took longer than 0.2 s and was stopped",
    );
    // at its end: what the hook had started is gone as well
    await vi.waitFor(async () => expect((await reader.read(Buffer.alloc(1))).bytesRead).toBe(0));
    await reader.close();
    expect(await hooked("sleep 5 >/dev/null 2>&1 &")).toBe(undefined);
  });
});

const FIXTURE = fileURLToPath(new URL("../../fixtures/manifest-v1.ndjson", import.meta.url));
const PAGE = fileURLToPath(new URL("../../../docs/keeping-fresh.md", import.meta.url));

describe("the metrics file", () => {
  it("is valid, readable by others, complete, and as the page describes it", async () => {
    const jobs = join(home, 'jobs "of" mine');
    await mkdir(jobs);
    await copyFile(FIXTURE, join(jobs, "manifest.ndjson"));
    const file = join(home, "vecfill.prom");
    const args = ["import", "--jobs-dir", jobs, "--metrics-file", file];
    const env = { DATABASE_URL: "pglite:memory", GEMINI_API_KEY: "key-of-this-test" };
    const { code, stderr } = await runHere(args, { env, folder: home });
    expect(code, stderr).toBe(0);
    const samples = parseExposition(await readFile(file, "utf8"));
    const valueOf = (name: string, labels: Record<string, string> = {}) =>
      samples.find(
        (sample) =>
          sample.name === name &&
          Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
      )?.value;
    expect(valueOf("vecfill_jobs", { state: "imported" })).toBe(1);
    expect(valueOf("vecfill_jobs", { state: "exported" })).toBe(2);
    expect(valueOf("vecfill_jobs", { state: "submitted" })).toBe(0);
    expect(valueOf("vecfill_rows", { outcome: "written" })).toBe(993);
    expect(valueOf("vecfill_tokens_total")).toBeGreaterThan(13_870);
    expect(valueOf("vecfill_last_run_exit_code")).toBe(0);
    expect(valueOf("vecfill_health", { state: "ok" })).toBe(1);
    expect(valueOf("vecfill_last_success_timestamp_seconds")).toBeGreaterThan(1.7e9);
    expect(new Set(samples.map(({ labels }) => labels["jobs_dir"]))).toEqual(
      new Set([jobs.replaceAll('"', String.raw`\"`)]),
    );
    expect((await stat(file)).mode & 0o777).toBe(0o644);
    expect((await readdir(home)).filter((name) => name.endsWith(".part"))).toEqual([]);
    const described = [...(await readFile(PAGE, "utf8")).matchAll(/^\| `(vecfill_\w+)`/gm)];
    const names = new Set(samples.map(({ name }) => name));
    const ofRun = ["vecfill_rows_without_vector", "vecfill_rows_with_changed_text"];
    const others = [...ofRun, "vecfill_queued_jobs"];
    expect(new Set(described.map(([, name]) => name))).toEqual(new Set([...names, ...others]));
  });

  it("escapes what a label may not hold", () => {
    const value = 'a\\b"c\nd';
    const text = exposition([
      {
        name: "x",
        help: "a\nb",
        type: "gauge",
        samples: [{ labels: { folder: value }, value: 1 }],
      },
    ]);
    expect(parseExposition(text)).toEqual([
      { name: "x", labels: { folder: String.raw`a\\b\"c\nd` }, value: 1 },
    ]);
  });
});

test("a failing command is told once, gets no keys along, and its recovery is told", async () => {
  const jobs = join(home, "watched");
  const script = "env > hook-env; cat >> told-by-cli";
  const args = ["submit", "--jobs-dir", jobs, "--on-event", script];
  const env = {
    PATH: process.env["PATH"],
    DATABASE_URL: "postgresql://me:password-of-this-test@localhost/x",
    MY_COPY: "a key-of-this-test inside",
    NOTIFY_URL: "https://example.invalid/hook",
  };
  const none = { env, folder: home };
  const good = { env: { ...env, GEMINI_API_KEY: "key-of-this-test" }, folder: home };
  await runHere(["import", "--jobs-dir", jobs], good);
  expect((await runHere(args, none)).code).toBe(2);
  expect((await runHere(args, none)).code).toBe(2);
  const { code, stderr } = await runHere(args, good);
  expect([code, stderr]).toEqual([0, expect.not.stringContaining("warning")]);
  const lines = (await readFile(join(home, "told-by-cli"), "utf8")).trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      event: "failed",
      command: "submit",
      exitCode: 2,
      message: expect.stringMatching(/No Gemini key/),
    },
    { event: "recovered", command: "submit", exitCode: 0 },
  ]);
  const seen = await readFile(join(home, "hook-env"), "utf8");
  expect(seen).not.toMatch(/key-of-this-test|password-of-this-test/);
  expect(seen).toContain("NOTIFY_URL=https://example.invalid/hook");
  expect(seen).toContain("VECFILL_EVENT=recovered");
});

test("neither a bad hook nor a bad metrics file changes how a command ends", async () => {
  const args = [
    "submit",
    "--jobs-dir",
    join(home, "unharmed"),
    "--metrics-file",
    "/no/such/folder/x.prom",
  ];
  const blocked = join(home, "unharmed");
  await mkdir(blocked);
  await writeFile(join(blocked, "status.json"), '{"version":1,"health":"failed"');
  const env = { GEMINI_API_KEY: "key-of-this-test", DATABASE_URL: "pglite:memory" };
  const { code, stderr } = await runHere([...args, "--on-event", "exit 7"], { env, folder: home });
  expect(code).toBe(0);
  expect(stderr).toContain("warning: The metrics could not be written");
  const failing = await runHere([...args, "--on-event", "exit 7"], { env: {}, folder: home });
  expect(failing.code).toBe(2);
  expect(failing.stderr).toContain(
    'warning: The command of --on-event failed at "failed": exit code 7.',
  );
});
