/** Ctrl-C, or the end of a terminal or a container: the first lets the work finish what is in hand, the second leaves at once. */
import { commandLine } from "./command-line.ts";
import { UserError } from "../errors.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export type SignalSource = Readonly<{
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}>;

export type Interrupt = Readonly<{
  signal: AbortSignal;
  /** Stops listening. */
  release(): void;
}>;

export type InterruptOptions = Readonly<{
  source: SignalSource;
  reason: Error;
  onFirst: () => void;
  onSecond: () => void;
}>;

export function listenForInterrupts(options: InterruptOptions): Interrupt {
  const { source, reason, onFirst, onSecond } = options;
  const controller = new AbortController();
  const listener = () => {
    if (controller.signal.aborted) return onSecond();
    onFirst();
    controller.abort(reason);
  };
  for (const name of SIGNALS) source.on(name, listener);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of SIGNALS) source.off(name, listener);
    },
  };
}

export function interruption(args: readonly string[]): UserError {
  return new UserError(
    "Interrupted. What is recorded is consistent; batches already submitted go on at Gemini.",
    { hint: `Go on with: ${commandLine(args)}`, exit: "interrupted" },
  );
}

/** True for the errors that the abort itself makes, as opposed to one that came at the same time. */
export function isInterruption(error: unknown, { aborted, reason }: AbortSignal): boolean {
  if (!aborted || !(error instanceof Error)) return false;
  return error === reason || error.name === "AbortError" || error.cause === reason;
}
