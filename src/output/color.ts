import { styleText } from "node:util";

export type Stream = NodeJS.WritableStream &
  Readonly<{
    isTTY?: boolean | undefined;
    columns?: number | undefined;
    rows?: number | undefined;
  }>;

type Style = "red" | "yellow" | "cyan" | "dim";
export type Paint = (style: Style, text: string) => string;

/** Colours or none, as the flag, FORCE_COLOR, NO_COLOR, TERM and the terminal have it, in turn. */
export function painter(stream: Stream, env: NodeJS.ProcessEnv, wanted: boolean): Paint {
  return wanted && hasColors(stream, env)
    ? (style, text) => styleText(style, text, { validateStream: false })
    : (_, text) => text;
}

/** True where a line can be drawn over. */
export function canMove(stream: Stream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && env["TERM"] !== "dumb";
}

function hasColors(stream: Stream, env: NodeJS.ProcessEnv): boolean {
  const { FORCE_COLOR: forced, NO_COLOR: refused } = env;
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  if (refused !== undefined && refused !== "") return false;
  return canMove(stream, env);
}
