/**
 * What others are told of a command: a hook at each change, and a file of metrics. Neither can fail
 * the command: what goes wrong with them is a warning.
 */
import { rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { type Clock, MS_PER_SECOND } from "../../clock.ts";
import { EXIT_CODES } from "../../errors.ts";
import type { Prices } from "../../cost/tariff.ts";
import type { Job } from "../../manifest/job.ts";
import { readManifest } from "../../jobs-folder/open.ts";
import { readStatus, writeStatus } from "../../jobs-folder/status-file.ts";
import type { ProgressEvent, Report } from "../../progress.ts";
import { exposition } from "./exposition.ts";
import { type Ending, Health, type Occurrence } from "./health.ts";
import { runHook } from "./hook.ts";
import { metricsOf } from "./metrics.ts";

export type Watch = Readonly<{
  note: Report;
  /** Resolves when the hooks have ended and the metrics are written. */
  end(ending: Ending): Promise<void>;
}>;

export type WatchOptions = Readonly<{
  command: string;
  onEvent: string | undefined;
  metricsFile: string | undefined;
  jobsDir: string;
  /** False where the manifest is not in that folder: then the metrics tell nothing of jobs. */
  hasJobs: boolean;
  /** In which hooks run. */
  folder: string;
  /** For hooks: without secrets. */
  env: NodeJS.ProcessEnv;
  prices: Prices;
  clock: Clock;
  warn: (message: string, hint: string) => void;
}>;

const HOOK_TIME_LIMIT_MS = 30_000;
const METRICS_EVERY_MS = 30_000;
const SCHEMA_VERSION = 1;
/** Others read it: the collector runs as another user. */
const METRICS_MODE = 0o644;

/** There is a metrics file from the start. */
export async function openWatch(options: WatchOptions): Promise<Watch> {
  const health = new Health(await readStatus(options.jobsDir), options.clock);
  const watch = new CommandWatch(options, health);
  await watch.begin();
  return watch;
}

class CommandWatch implements Watch {
  readonly #options: WatchOptions;
  readonly #health: Health;
  readonly #startedMs: number;
  /** Hooks one after the other, so that what happened first is told first. */
  #hooks: Promise<void> = Promise.resolve();
  #writing: Promise<void> | undefined;
  #metricsDueMs: number;
  #withoutVector: number | undefined;
  #changedTexts: number | undefined;
  /** What went wrong with these is told once. */
  readonly #warned = new Set<string>();

  constructor(options: WatchOptions, health: Health) {
    this.#options = options;
    this.#health = health;
    this.#startedMs = options.clock.elapsedMs();
    this.#metricsDueMs = this.#startedMs + METRICS_EVERY_MS;
  }

  begin(): Promise<void> {
    return this.#writeMetrics(undefined);
  }

  readonly note = (event: ProgressEvent): void => {
    if (event.type === "goal") this.#withoutVector = event.withoutVector;
    if (event.type === "changedTexts") this.#changedTexts = event.rows;
    const occurrence = this.#health.note(event);
    if (occurrence !== undefined) this.#tell(occurrence, undefined);
    const nowMs = this.#options.clock.elapsedMs();
    if (nowMs < this.#metricsDueMs || this.#writing !== undefined) return;
    this.#metricsDueMs = nowMs + METRICS_EVERY_MS;
    this.#writing = this.#writeMetrics(undefined).finally(() => {
      this.#writing = undefined;
    });
  };

  async end(ending: Ending): Promise<void> {
    for (const occurrence of this.#health.end(ending)) this.#tell(occurrence, ending);
    await this.#hooks;
    await this.#writing;
    this.#withoutVector = ending.remaining ?? this.#withoutVector;
    const { jobsDir } = this.#options;
    await this.#orWarn("The state of the jobs folder could not be kept", () =>
      writeStatus(jobsDir, this.#health.status),
    );
    await this.#writeMetrics(EXIT_CODES[ending.exit]);
  }

  #tell({ event, message, since }: Occurrence, ending: Ending | undefined): void {
    const { onEvent: command, jobsDir, clock } = this.#options;
    if (command === undefined) return;
    const payload = {
      schemaVersion: SCHEMA_VERSION,
      event,
      at: clock.now().toISOString(),
      command: this.#options.command,
      message,
      hint: ending?.hint ?? null,
      since: since ?? null,
      exitCode: ending === undefined ? null : EXIT_CODES[ending.exit],
      jobsDir: resolve(jobsDir),
    };
    const before = this.#hooks;
    this.#hooks = this.#runAfter(before, command, event, payload);
  }

  async #runAfter(
    before: Promise<void>,
    command: string,
    event: string,
    payload: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await before;
    const { env, folder, warn } = this.#options;
    const options = { command, env, folder, timeLimitMs: HOOK_TIME_LIMIT_MS };
    const wrong = await runHook(options, event, payload);
    if (wrong === undefined) return;
    warn(`The command of --on-event failed at "${event}": ${wrong}.`, HOOK_HINT);
  }

  async #writeMetrics(exitCode: number | undefined): Promise<void> {
    const { metricsFile, jobsDir, hasJobs, prices, clock } = this.#options;
    if (metricsFile === undefined) return;
    const metrics = metricsOf({
      jobsDir: resolve(jobsDir),
      jobs: hasJobs ? await jobsIn(jobsDir) : undefined,
      prices,
      now: clock.now(),
      status: this.#health.status,
      exitCode,
      seconds: Math.round(clock.elapsedMs() - this.#startedMs) / MS_PER_SECOND,
      withoutVector: this.#withoutVector,
      changedTexts: this.#changedTexts,
    });
    await this.#orWarn("The metrics could not be written", () =>
      replaceReadable(metricsFile, exposition(metrics)),
    );
  }

  async #orWarn(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (this.#warned.has(what)) return;
      this.#warned.add(what);
      const why = error instanceof Error ? error.message : String(error);
      this.#options.warn(`${what}: ${why.replace(/\.$/, "")}.`, "The work itself is not affected.");
    }
  }
}

const HOOK_HINT =
  "Try it by hand: it gets VECFILL_EVENT in its environment and JSON on its stdin. The work itself is not affected.";

/** Undefined where the manifest is damaged: the command has said so. */
async function jobsIn(folder: string): Promise<readonly Job[] | undefined> {
  try {
    return (await readManifest(folder)).jobs();
  } catch {
    return undefined;
  }
}

/** In one step, by a name that a collector of `*.prom` files does not read. */
async function replaceReadable(path: string, content: string): Promise<void> {
  const part = join(dirname(path), `.${basename(path)}.${process.pid}.part`);
  try {
    await writeFile(part, content, { mode: METRICS_MODE });
    await rename(part, path);
  } finally {
    await rm(part, { force: true });
  }
}
