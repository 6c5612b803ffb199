/** One real worker, with ways of its own to the database and to Gemini. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { leash } from "./leash.ts";
import { Way } from "./way.ts";

const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
/** pg-boss takes no less. */
export const LEASE_MS = 10_000;
/** By then others have the job, and have seen to it that no create comes late. */
export const LATE_MS = 50_000;
export const MAX_ACTIVE = 3;
const API_KEY = "a-key-for-tests";
const EU_KEY = "a-key-of-another-project";
export const PROJECT_OF_KEY = { [API_KEY]: "one", [EU_KEY]: "two" };
const DOLLARS_A_MILLION = "1000000";
const SAID_CHARACTERS = 400;

export type Crew = Readonly<{
  /** They take turns. */
  databaseUrls: readonly [string, string];
  geminiUrl: string;
  folder: string;
  sabotage: string | undefined;
  /** Half of them have the key of a second project, too. */
  projects: boolean;
}>;

type Own = Readonly<{ number: number; args: readonly string[]; clockOffMs: number }>;

export class WorkerProcess {
  readonly folder: string;
  readonly toDatabase: Way;
  readonly toGemini: Way;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #stderr = "";
  #isStopped = false;
  hasEnded = false;

  private constructor(crew: Crew, own: Own, ways: Readonly<{ toDatabase: Way; toGemini: Way }>) {
    this.folder = join(crew.folder, `worker-${own.number}`);
    ({ toDatabase: this.toDatabase, toGemini: this.toGemini } = ways);
    const args = [...preloads(), CLI, "worker", "--yes", "--lease", String(LEASE_MS / 1_000)];
    const env = environment(crew, own, ways);
    this.#child = leash(
      spawn(process.execPath, [...args, ...own.args], {
        cwd: this.folder,
        env,
        stdio: ["ignore", "ignore", "pipe"],
      }),
    );
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.#stderr += text));
    this.#ended = new Promise((resolve) => {
      this.#child.on("close", (code) => {
        this.hasEnded = true;
        resolve(code);
      });
    });
  }

  static async start(crew: Crew, own: Own): Promise<WorkerProcess> {
    const toDatabase = await Way.to(crew.databaseUrls[own.number % 2 === 0 ? 0 : 1]);
    return new WorkerProcess(crew, own, { toDatabase, toGemini: await Way.to(crew.geminiUrl) });
  }

  /** The last that it said. */
  get said(): string {
    return this.#stderr.slice(-SAID_CHARACTERS).trim();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  async stopFor(ms: number): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#child.kill("SIGSTOP");
    await delay(ms);
    this.#child.kill("SIGCONT");
    this.#isStopped = false;
  }

  /** Its exit code; null where it took too long, or was killed. */
  async ended(limitMs: number): Promise<number | null> {
    const giveUp = new AbortController();
    const late = delay(limitMs, null, { signal: giveUp.signal }).catch(() => null);
    const code = await Promise.race([this.#ended, late]);
    giveUp.abort();
    return code;
  }

  /** Kills it. What a bug of ours looks like in its words; undefined where there is none. */
  async end(): Promise<string | undefined> {
    this.kill();
    await this.#ended;
    await this.toDatabase.close();
    // a create that was kept back goes on its way all the same
    void delay(LATE_MS * 2, undefined, { ref: false }).then(() => this.toGemini.close());
    return /^.*\n\s+at .*$/m.exec(this.#stderr)?.[0];
  }
}

function preloads(): string[] {
  const files = ["astray.ts", "sabotage.ts"].map((file) => join(import.meta.dirname, file));
  return files.flatMap((file) => ["--import", pathToFileURL(file).href]);
}

function environment(
  { sabotage = "", geminiUrl, projects }: Crew,
  { clockOffMs, number, args }: Own,
  { toDatabase, toGemini }: Readonly<{ toDatabase: Way; toGemini: Way }>,
): NodeJS.ProcessEnv {
  // on each way to the database some; and the last one, which ends all
  const hasBoth = number % 4 < 2 || args.includes("--drain");
  return {
    ...(projects && hasBoth ? { VECFILL_KEY_EU: EU_KEY } : {}),
    PATH: process.env["PATH"],
    NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"],
    TORTURE_CLOCK_OFF_MS: String(clockOffMs),
    TORTURE_SABOTAGE: sabotage,
    DATABASE_URL: toDatabase.url,
    GEMINI_API_KEY: API_KEY,
    GOOGLE_GEMINI_BASE_URL: geminiUrl,
    TORTURE_WAY: `${new URL(geminiUrl).port}:${new URL(toGemini.url).port}`,
    VECFILL_MANIFEST: "postgres",
    VECFILL_DIMENSIONS: "128",
    VECFILL_PRICE: DOLLARS_A_MILLION,
    VECFILL_MAX_JOB_ROWS: "20",
    VECFILL_MAX_ATTEMPTS: "30",
    VECFILL_POLL_INTERVAL: "0.3",
    VECFILL_RECONCILE_GRACE: "0.5",
    VECFILL_QUOTA_WAIT: "1",
    VECFILL_RESULTS_GRACE: "1",
  };
}
