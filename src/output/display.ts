/**
 * The moving display of a terminal: folds the reports, draws what they come to, and makes room for
 * whatever else is printed. Loaded only where there is a terminal to draw on.
 */
import type { Clock } from "../clock.ts";
import type { ProgressEvent } from "../progress.ts";
import type { Stream } from "./color.ts";
import { displayLines, lastLines, type Look } from "./display-lines.ts";
import { type Moment, noteProgress, type ProgressState, startProgress } from "./progress-state.ts";
import { openScreen, type Screen } from "./terminal-screen.ts";

const REDRAW_EVERY_MS = 100;
/** Ages and waits go on when nothing happens. */
const TICK_MS = 1_000;

export type Display = Readonly<{
  note(event: ProgressEvent): void;
  /** Writes something else, with the display out of the way. */
  aside(write: () => void): void;
  /** Takes the display away; it comes back with the next report. */
  close(options: Readonly<{ keepLast: boolean }>): void;
}>;

export type DisplayOptions = Look &
  Readonly<{ stream: Stream; env: NodeJS.ProcessEnv; clock: Clock }>;

export function openDisplay(options: DisplayOptions): Display {
  return new LiveDisplay(options);
}

class LiveDisplay implements Display {
  readonly #options: DisplayOptions;
  readonly #screen: Screen;
  readonly #state: ProgressState;
  #drawnMs = -Infinity;
  #stopTicking: (() => void) | undefined;

  constructor(options: DisplayOptions) {
    this.#options = options;
    this.#screen = openScreen(options.stream, options.env);
    this.#state = startProgress(this.#moment());
  }

  note(event: ProgressEvent): void {
    const moment = this.#moment();
    noteProgress(this.#state, event, moment);
    this.#stopTicking ??= this.#startTicking();
    if (moment.elapsedMs - this.#drawnMs >= REDRAW_EVERY_MS) this.#draw();
  }

  aside(write: () => void): void {
    if (this.#stopTicking === undefined) return write();
    this.#screen.clear();
    write();
    this.#draw();
  }

  close({ keepLast }: Readonly<{ keepLast: boolean }>): void {
    if (this.#stopTicking === undefined) return;
    this.#stopTicking();
    this.#stopTicking = undefined;
    this.#screen.clear();
    if (!keepLast) return;
    const lines = lastLines(this.#state, this.#moment(), this.#screen.size(), this.#options);
    for (const line of lines) this.#options.stream.write(`${line}\n`);
  }

  #startTicking(): () => void {
    const draw = () => this.#draw();
    const ticking = setInterval(draw, TICK_MS);
    // the display keeps no process alive
    ticking.unref();
    const stopListening = this.#screen.onResize(draw);
    return () => {
      clearInterval(ticking);
      stopListening();
    };
  }

  #draw(): void {
    const moment = this.#moment();
    this.#screen.draw(displayLines(this.#state, moment, this.#screen.size(), this.#options));
    this.#drawnMs = moment.elapsedMs;
  }

  #moment(): Moment {
    const { clock } = this.#options;
    return { now: clock.now(), elapsedMs: clock.elapsedMs() };
  }
}
