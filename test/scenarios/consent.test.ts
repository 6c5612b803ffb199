// I type `run`, or a script of mine does: can it spend more than I have agreed to? And what am I told
// to type where it asks for leave?
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from "vitest";
import { type Emulator, startEmulator } from "../../src/emulator/emulator.ts";
import { EXIT_CODES } from "../../src/errors.ts";
import { openDatabase } from "../../src/store/postgres/open-database.ts";
import { runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";
import { keepOpen } from "../embedded/kept.ts";
import { IN_FULL } from "../size.ts";

const ROWS = 30;

let home: string;
let emulator: Emulator;
let trials = 0;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  home = await temporaryFolder();
  const database = await openDatabase({ url: url() });
  await database.query("CREATE EXTENSION vector");
  await database.query(
    "CREATE TABLE questions (id bigint PRIMARY KEY, question_text text, embedding vector(128))",
  );
  await database.query(
    `INSERT INTO questions SELECT n, 'Which question is number ' || n || '?' FROM generate_series(1, ${ROWS}) n`,
  );
  await database.close();
});
beforeEach(async () => {
  emulator = await startEmulator({ batchSeconds: 0 });
  env = {
    DATABASE_URL: url(),
    GEMINI_API_KEY: "key-of-this-test",
    GOOGLE_GEMINI_BASE_URL: emulator.url,
    VECFILL_DIMENSIONS: "128",
    VECFILL_POLL_INTERVAL: "0.05",
    VECFILL_JOBS_DIR: join(home, `jobs-${(trials += 1)}`),
  };
});
afterEach(() => emulator.close());
afterAll(() => rm(home, { recursive: true, force: true }));

function url(): string {
  return keepOpen(join(home, "database"));
}

/** A dollar for ten thousand tokens: the table costs some cents. */
const PRICED = ["--price", "100"];

/** The limit on cost that the next command has. */
function enough({ stderr }: Readonly<{ stderr: string }>): number {
  return Number(/^next: vecfill \w+ --max-cost (?<usd>[\d.]+) /m.exec(stderr)?.groups?.["usd"]);
}

function vecfill(...args: readonly string[]) {
  return runHere(args, { env, folder: home });
}

describe("without a terminal", () => {
  it.each([["run"], ["submit"]])(
    "%s refuses above the threshold, and says what to type",
    async (command) => {
      await vecfill("export");
      const args = [command, ...PRICED, "--consent-above", "0.01"];
      const { code, stderr } = await vecfill(...args);
      expect(code).toBe(EXIT_CODES.usage);
      expect(stderr).toMatch(/would spend about \$0\.\d+.*30 rows.*tokens/);
      expect(stderr).toContain(`hint: To agree beforehand: vecfill ${args.join(" ")} --yes`);
      expect(emulator.batches()).toEqual([]);
    },
  );

  it("submit sends what costs less, and with --yes what costs more", async () => {
    await vecfill("export", "--limit", "10");
    expect((await vecfill("submit", ...PRICED, "--consent-above", "$5")).code).toBe(0);
    await vecfill("export");
    const args = ["submit", ...PRICED, "--consent-above", "0", "--yes"];
    expect((await vecfill(...args)).code).toBe(EXIT_CODES.done);
    expect(emulator.batches()).toHaveLength(2);
  });

  it("the threshold is on what is still allowed to be spent", async () => {
    const limited = ["run", ...PRICED, "--consent-above", "0.01", "--max-cost", "0.005"];
    const { code, stdout } = await vecfill(...limited);
    expect(code).toBe(EXIT_CODES.costLimit);
    expect(stdout).toMatch(/Stopped by --max-cost: .* needs about \$0\.\d+ more: --max-cost \d/);
    expect(emulator.batches()).toEqual([]);
  });

  it("past the limit a dry run says so, and each next command has one that is enough", async () => {
    const limited = [...PRICED, "--max-cost", "0.005"];
    const dry = await vecfill("run", ...limited, "--dry-run");
    expect(dry.stdout).toMatch(
      /^Would stop by --max-cost: .+ about \$0\.\d+, and the limit is \$0\.0050\. It needs --max-cost 0\.\d+\.$/m,
    );
    expect(enough(dry)).toBeGreaterThan(0.005);
    const { costStop } = JSON.parse(
      (await vecfill("run", ...limited, "--dry-run", "--json")).stdout,
    );
    expect(costStop).toMatchObject({ maxUsd: "0.005000", spentUsd: "0.000000" });
    expect(enough(await vecfill("run", ...limited))).toBeCloseTo(enough(dry), 3);
    expect(enough(await vecfill("submit", ...limited))).toBeCloseTo(enough(dry), 3);
    const upTo = ["--max-cost", String(enough(dry))];
    const wide = await vecfill("run", ...PRICED, ...upTo, "--dry-run");
    expect(wide.stdout).not.toContain("--max-cost");
  });

  it("a limit can be taken off for once where the config file sets one", async () => {
    env["VECFILL_MAX_COST"] = "0";
    expect((await vecfill("run", "--limit", "1")).code).toBe(EXIT_CODES.costLimit);
    await vecfill("export", "--limit", "1");
    expect((await vecfill("submit", "--max-cost", "off")).code).toBe(EXIT_CODES.done);
  });
});

describe("plan and run --dry-run", () => {
  it("say the same, with a key and without one, and write nothing", async () => {
    for (const key of ["key-of-this-test", undefined]) {
      env["GEMINI_API_KEY"] = key;
      const plan = JSON.parse((await vecfill("plan", "--json")).stdout);
      const run = JSON.parse((await vecfill("run", "--dry-run", "--json")).stdout);
      expect(plan).toMatchObject({ rows: ROWS, jobs: 1, enqueuedTokenLimit: 500_000 });
      expect(run).toMatchObject({
        exported: ROWS,
        jobCount: 1,
        tokens: plan.tokens,
        usd: plan.usdBatch,
      });
      expect(plan.correction.by).toBe(key === undefined ? "nothing" : "count");
      expect(Number(plan.usdSync)).toBeCloseTo(2 * Number(plan.usdBatch), 5);
    }
    expect((await vecfill("jobs")).stdout).toContain("There is no folder");
  });

  it(
    "say of each lane what it costs, where small jobs are embedded at once too",
    IN_FULL,
    async () => {
      const dryRun = ["run", "--dry-run", ...PRICED, "--price-sync", "200"];
      const usd = async (...args: readonly string[]) =>
        Number(JSON.parse((await vecfill(...dryRun, "--json", ...args)).stdout).usd);
      const batch = await usd();
      expect(batch).toBeGreaterThan(0.01);
      expect(await usd("--lane", "sync")).toBeCloseTo(2 * batch, 5);
      const small = ["--lane", "auto", "--max-job-rows", "5"];
      // each of the six jobs is small enough, though all of them together are not
      expect(await usd(...small, "--sync-up-to", "60")).toBeCloseTo(2 * batch, 5);
      expect(await usd(...small, "--sync-up-to", "0")).toBeCloseTo(batch, 5);
      expect(await usd("--lane", "auto", "--sync-up-to", "60")).toBeCloseTo(batch, 5);
      const said = await vecfill(...dryRun, "--lane", "sync");
      expect(said.stdout).toContain(`for about $${2 * batch}`);
    },
  );

  it("say it in a table for people, with the source of the tokens and the price", async () => {
    const { stdout, stderr, code } = await vecfill("plan", "--tier", "2");
    expect(code).toBe(EXIT_CODES.done);
    expect(stdout).toMatch(/^rows +30$/m);
    expect(stdout).toMatch(
      /^tokens +\d+, estimated, (?:as|with [+-][\d.]+% from a sample that) Gemini counted(?: a sample)? \([\d,]+ tokens.*\)$/m,
    );
    expect(stdout).toMatch(
      /^cost, batch +.*at \$0\.075 a million tokens \(prices of \d{4}-\d\d-\d\d\)$/m,
    );
    expect(stdout).toMatch(/^ +the same on every tier$/m);
    expect(stdout).toMatch(
      /^Gemini is asked at http:\S+ \(GOOGLE_GEMINI_BASE_URL\), not at Google/m,
    );
    expect(stdout.split("\n").filter((line) => line.length > 100)).toEqual([]);
    expect(stderr).toContain("next: vecfill run");
  });
});
