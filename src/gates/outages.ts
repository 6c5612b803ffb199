import { MS_PER_SECOND } from "../clock.ts";
import { UserError } from "../errors.ts";
import { causeOf, isGarbled, isOutage, isUnanswered } from "../gemini/port.ts";
import type { StageServices } from "../jobs-folder/stage-services.ts";

type Services = Pick<StageServices, "manifest" | "clock" | "report" | "keys">;

/** Of a lane: until when it rests and why, and for how long the next time; undefined: as at first. */
export type Pause = { rest?: Rest | undefined; nextMs?: number | undefined };
type Rest = Readonly<{ untilMs: number; why: string }>;

const GROWTH = 2;
const MAX_WAIT_MS = 15 * 60 * 1000;

/** Outages that a run retries, with a longer wait each time in a row, and why it sends nothing more. A stage by itself throws both. */
export class Outages {
  readonly #services: Services;
  readonly #firstMs: number | undefined;
  readonly #halt = new AbortController();
  /** Of lanes that send, those whose project does not take anything as things are. */
  readonly #refused = new Set<Pause>();
  /** Key and address are right. */
  hasAnswered = false;

  /** `firstMs` is undefined for a stage by itself. */
  constructor(services: Services, firstMs?: number) {
    this.#services = services;
    this.#firstMs = firstMs;
  }

  /** Aborted once nothing more is sent; its reason is to be thrown once what is at Gemini is fetched. */
  get halted(): AbortSignal {
    return this.#halt.signal;
  }

  halt(error: UserError): void {
    if (this.#firstMs === undefined) throw error;
    if (this.halted.aborted) return;
    this.#halt.abort(error);
    const { manifest, report } = this.#services;
    if (manifest.needing("poll").length === 0) return;
    const message = `${error.message} Nothing more is sent; what is at Gemini is fetched first.`;
    report({ type: "warning", message, hint: error.hint });
  }

  /** Work that begins with the list. False where Gemini does not tell it, and the lane waits, or where another has halted: then nothing is sent. */
  async guarded(ask: () => Promise<unknown>, pause: Pause): Promise<boolean> {
    try {
      await ask();
      this.hasAnswered = true;
      return !this.halted.aborted;
    } catch (error) {
      const passes = isOutage(error) && !isGarbled(error);
      if (passes && (this.hasAnswered || !isUnanswered(error))) this.restOrThrow(error, pause);
      else if (error instanceof UserError) this.halt(error);
      else throw error;
      return false;
    }
  }

  /** What came of sending something. What one of several projects refuses goes to the others; it is tried again later. */
  fail(error: unknown, pause: Pause, project?: string): void {
    if (!isAboutSending(error)) return this.restOrThrow(error, pause);
    const { keys = [], report } = this.#services;
    const isNews = !this.#refused.has(pause);
    this.#refused.add(pause);
    const projects = new Set(keys.map((key) => key.project));
    if (project === undefined || this.#refused.size >= projects.size) return this.halt(error);
    const message = `Nothing is sent to the project ${project} for now: ${error.message}`;
    if (isNews) report({ type: "warning", message, hint: error.hint });
    this.rest(pause, `for the project ${project} to take jobs`);
  }

  /** Something was sent. */
  passed(pause: Pause): void {
    pause.nextMs = undefined;
    this.#refused.delete(pause);
  }

  /** Where Gemini has answered, it will again: laptops sleep, networks go away. */
  restOrThrow(error: unknown, pause: Pause): void {
    if (this.#firstMs === undefined || !this.hasAnswered || !isOutage(error)) throw error;
    this.rest(pause, `for Gemini to be reached again (${error.message})`);
  }

  rest(pause: Pause, why: string): void {
    const { clock, report } = this.#services;
    if (this.#firstMs === undefined) {
      if (this.#refused.has(pause)) pause.rest = { untilMs: Infinity, why };
      return;
    }
    const waitMs = pause.nextMs ?? this.#firstMs;
    pause.nextMs = Math.min(waitMs * GROWTH, Math.max(MAX_WAIT_MS, this.#firstMs));
    pause.rest = { untilMs: clock.elapsedMs() + waitMs, why };
    report({ type: "waiting", why, seconds: Math.round(waitMs / MS_PER_SECOND) });
  }

  /** Of a lane that sends: infinite where nothing more is sent. */
  sendingRestMs(pause: Pause): number {
    return this.halted.aborted ? Infinity : this.restMs(pause);
  }

  /** How long the lane rests still. */
  restMs(pause: Pause): number {
    if (pause.rest === undefined) return 0;
    const { untilMs, why } = pause.rest;
    const leftMs = untilMs - this.#services.clock.elapsedMs();
    if (leftMs >= 1) return leftMs;
    pause.rest = undefined;
    this.#services.report({ type: "resumed", why });
    return 0;
  }
}

/** What would refuse the next create as well, and says nothing of batches that are there. */
function isAboutSending(error: unknown): error is UserError {
  const kind = causeOf(error)?.kind;
  return error instanceof UserError && (kind === "billing" || kind === "model");
}
