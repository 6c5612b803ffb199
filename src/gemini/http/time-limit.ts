/**
 * Ends a call after so much real time, or when the caller's signal says so. Not a matter for
 * `Clock`: a network takes its time even where a simulation makes days pass in a second.
 */
export type TimeLimit = Readonly<{
  /** Fires for either reason; the caller's own signal tells which. */
  signal: AbortSignal;
  ms: number;
  /** Counts from now again. */
  restart(): void;
  /** Stops counting, as while the consumer of a stream is busy. */
  pause(): void;
  /** Must be called in the end: nothing is left behind on the caller's signal. */
  end(): void;
}>;

export function startTimeLimit(ms: number, caller: AbortSignal | undefined): TimeLimit {
  const controller = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const pause = (): void => clearTimeout(timer);
  const restart = (): void => {
    pause();
    timer = setTimeout(() => controller.abort(), ms);
  };
  const letGo = follow(controller, caller);
  const end = (): void => {
    pause();
    letGo();
  };
  restart();
  return { signal: controller.signal, ms, restart, pause, end };
}

/** Aborted with the caller's signal, until what it gives back is called: then nothing is left behind there. */
export function follow(controller: AbortController, caller: AbortSignal | undefined): () => void {
  const abort = (): void => controller.abort(caller?.reason);
  caller?.addEventListener("abort", abort, { once: true });
  if (caller?.aborted === true) abort();
  return () => caller?.removeEventListener("abort", abort);
}
