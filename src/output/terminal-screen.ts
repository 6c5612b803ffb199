/**
 * The lines at the bottom of a terminal that are drawn over. Drawing is log-update's; what it leaves
 * behind when the window gets narrower, and the terminal folds the lines that stand there, is ours.
 */
import { createLogUpdate } from "log-update";
import type { Stream } from "./color.ts";
import type { Size } from "./display-lines.ts";
import { textWidth } from "./fit.ts";

const USUAL: Size = { columns: 80, rows: 24 };
const LINE_UP_AND_ERASE = "\u001b[1A\u001b[2K";

export type Screen = Readonly<{
  size(): Size;
  /** In place of what was drawn before. */
  draw(lines: readonly string[]): void;
  /** Takes the lines away and shows the cursor, so that others can be written. */
  clear(): void;
  /** Calls back when the window has another size; returns what ends it. */
  onResize(listener: () => void): () => void;
}>;

export function openScreen(stream: Stream, env: NodeJS.ProcessEnv): Screen {
  const update = createLogUpdate(stream);
  const folds = foldsLines(env);
  let drawn: readonly string[] = [];
  const size = () => ({
    columns: stream.columns ?? USUAL.columns,
    rows: stream.rows ?? USUAL.rows,
  });
  const erase = () => {
    const extra = folds ? foldedRows(drawn, size().columns) : 0;
    if (drawn.length > 0) update.clear();
    if (extra > 0) stream.write(LINE_UP_AND_ERASE.repeat(extra));
    drawn = [];
  };
  return {
    size,
    draw: (lines) => {
      if (foldedRows(drawn, size().columns) > 0) erase();
      update(lines.join("\n"));
      drawn = lines;
    },
    clear: () => {
      erase();
      update.done();
    },
    onResize: (listener) => {
      stream.on("resize", listener);
      return () => stream.off("resize", listener);
    },
  };
}

/** How many rows the lines take now beyond one each. */
function foldedRows(lines: readonly string[], columns: number): number {
  return lines.reduce(
    (rows, line) => rows + Math.max(1, Math.ceil(textWidth(line) / columns)) - 1,
    0,
  );
}

/** Most terminals fold lines that have become too long; xterm and screen cut them. */
function foldsLines(env: NodeJS.ProcessEnv): boolean {
  const isScreen = env["TERM"]?.startsWith("screen") === true && env["TMUX"] === undefined;
  return env["XTERM_VERSION"] === undefined && !isScreen;
}
