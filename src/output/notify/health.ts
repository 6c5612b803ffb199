/**
 * When somebody is to be told: at the change from one state to another, once, also over several
 * processes. Rows that failed are told whenever a command has new ones: each time it is other rows.
 */
import type { Clock } from "../../clock.ts";
import { EXIT_CODES, type ExitReason } from "../../errors.ts";
import type { Status } from "../../jobs-folder/status-file.ts";
import type { ProgressEvent } from "../../progress.ts";
import { needs, parseState } from "../../manifest/states.ts";

type HookEvent = "done" | "failed" | "stalled" | "recovered" | "budget";

export type Occurrence = Readonly<{ event: HookEvent; message: string; since: string | undefined }>;

export type Ending = Readonly<{
  exit: ExitReason;
  message: string;
  hint: string | undefined;
  /** Rows without a vector, where they were counted at the end. */
  remaining?: number | undefined;
}>;

/** Nothing but waits for so long: somebody should look. */
const STALLED_AFTER_MS = 15 * 60 * 1000;

export class Health {
  readonly #clock: Clock;
  #status: Status;
  #lastLifeMs: number;
  readonly #stuck = new Set<string>();
  #hasImported = false;

  constructor(before: Status | undefined, clock: Clock) {
    this.#clock = clock;
    this.#lastLifeMs = clock.elapsedMs();
    this.#status = before ?? {
      version: 1,
      health: "ok",
      exitCode: null,
      since: clock.now().toISOString(),
      lastSuccessAt: null,
    };
  }

  get status(): Status {
    return this.#status;
  }

  note(event: ProgressEvent): Occurrence | undefined {
    if (event.type === "imported") this.#hasImported = true;
    switch (event.type) {
      case "warning":
      case "polled":
      case "goal":
        return undefined;
      case "stuck":
        this.#stuck.add(event.job);
        return this.#stall(`The batch of job ${event.job} takes longer than batches do.`);
      case "waiting":
        return this.#isSilent() ? this.#stall(`Waiting ${event.why}.`) : undefined;
      case "quotaFull":
        if (event.refusals === 0) return this.#live();
        return this.#isSilent() ? this.#stall(`Waiting: ${event.why}.`) : undefined;
      case "job":
        if (needs({ state: parseState(event.state) }) !== "poll") this.#stuck.delete(event.job);
        return this.#live();
      default:
        return this.#live();
    }
  }

  #isSilent(): boolean {
    return this.#clock.elapsedMs() - this.#lastLifeMs >= STALLED_AFTER_MS;
  }

  /** What the end of the command comes to. */
  end({ exit, message }: Ending): Occurrence[] {
    switch (exit) {
      case "done":
        return [...this.#recover(), ...this.#succeed(message)];
      case "unfinished":
        return this.#stuck.size > 0 ? [] : this.#recover();
      case "rowsFailed":
        this.#turn("failed", message, EXIT_CODES[exit]);
        return [{ event: "failed", message, since: this.#status.since }];
      case "fatal":
      case "usage":
        return this.#turn("failed", message, EXIT_CODES[exit]);
      case "costLimit":
        return this.#turn("budget", message, EXIT_CODES[exit]);
      // another process is at work, or a person stopped it
      case "locked":
      case "interrupted":
        return [];
    }
  }

  #live(): Occurrence | undefined {
    this.#lastLifeMs = this.#clock.elapsedMs();
    const isOver = this.#status.health === "stalled" && this.#stuck.size === 0;
    return isOver ? this.#recover()[0] : undefined;
  }

  #stall(message: string): Occurrence | undefined {
    return this.#turn("stalled", message, null)[0];
  }

  #succeed(message: string): Occurrence[] {
    this.#status = { ...this.#status, lastSuccessAt: this.#clock.now().toISOString() };
    return this.#hasImported ? [{ event: "done", message, since: undefined }] : [];
  }

  #recover(): Occurrence[] {
    const { health, since } = this.#status;
    if (health === "ok") return [];
    this.#become("ok", null);
    return [{ event: "recovered", message: `It was ${WORDS[health]} since ${since}.`, since }];
  }

  /** Nothing where it is so already. */
  #turn(event: "failed" | "stalled" | "budget", message: string, exitCode: number | null) {
    if (this.#status.health === event && this.#status.exitCode === exitCode) return [];
    this.#become(event, exitCode);
    return [{ event, message, since: this.#status.since }];
  }

  #become(health: Status["health"], exitCode: number | null): void {
    const since = this.#clock.now().toISOString();
    this.#status = { ...this.#status, health, exitCode, since };
  }
}

const WORDS = { failed: "failing", stalled: "stalled", budget: "stopped by the cost limit" };
