/** The emulator's time: the real one, or another that a test moves. */
import type { Clock } from "../../clock.ts";
import { hash32 } from "./hash.ts";

const NANOSECOND_DIGITS = 6;

export class EmulatorTime {
  readonly #clock: Pick<Clock, "now"> | undefined;
  readonly #frozenAtMs: number | undefined;
  #advancedMs = 0;

  /** `frozen`: it stands still and moves only by `advance`. `clock` takes precedence. */
  constructor(options: { clock?: Pick<Clock, "now"> | undefined; frozen?: boolean | undefined }) {
    this.#clock = options.clock;
    this.#frozenAtMs = options.frozen === true ? Date.now() : undefined;
  }

  nowMs(): number {
    return (this.#clock?.now().getTime() ?? this.#frozenAtMs ?? Date.now()) + this.#advancedMs;
  }

  advance(ms: number): void {
    this.#advancedMs += ms;
  }

  /** True when no timer can know when the next moment comes. */
  get isVirtual(): boolean {
    return this.#clock !== undefined || this.#frozenAtMs !== undefined;
  }
}

/** RFC 3339 with nanoseconds, as the service writes it; the digits past the millisecond are made up. */
export function timestamp(ms: number, seed: string): string {
  const odd = hash32(`${seed} ${ms}`, 0) % 10 ** NANOSECOND_DIGITS;
  const digits = String(odd - (odd % 10) + 1).padStart(NANOSECOND_DIGITS, "0");
  return new Date(ms).toISOString().replace("Z", `${digits}Z`);
}
