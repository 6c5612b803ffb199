/** The one line at the bottom of a terminal that is drawn over as things move on. */
import type { Stream } from "./color.ts";

const CLEAR = "\r\x1b[2K";
/** Without wrapping, the terminal itself cuts a line that is wider than it thought. */
const NO_WRAP = "\x1b[?7l";
const WRAP = "\x1b[?7h";
const COLUMNS_USUAL = 80;

export class StatusLine {
  readonly #stream: Stream;
  #shown = false;

  constructor(stream: Stream) {
    this.#stream = stream;
  }

  draw(text: string): void {
    const fitting = text.slice(0, (this.#stream.columns ?? COLUMNS_USUAL) - 1);
    this.#stream.write(`${CLEAR}${NO_WRAP}${fitting}${WRAP}`);
    this.#shown = true;
  }

  /** Takes the line away, so that others can be written. */
  clear(): void {
    if (this.#shown) this.#stream.write(CLEAR);
    this.#shown = false;
  }
}
