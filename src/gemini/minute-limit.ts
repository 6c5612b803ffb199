/**
 * The interactive API's limits of a minute, kept from this side: a call leaves only when texts and
 * tokens of the last minute and of all calls under way leave room for it. A call counts from its
 * sending until a minute after its answer, since only the service knows when it counted it.
 *
 * Each text of a call counts as a request, as is reported. Where the service refuses all the same
 * (others use the project too), all calls rest, and half as much is sent; what passes brings it back.
 */
import { type Clock, MS_PER_MINUTE } from "../clock.ts";
import type { Report } from "../progress.ts";
import { estimateTokens } from "../row/tokens.ts";
import { type EmbedSignals, type Gemini, GeminiError, type MinuteLimits } from "./port.ts";

/** After a refusal that asks for no time of its own. */
const REST_MS = 5_000;
const SHRINKING = 0.5;
const GROWTH = 1.1;
const MIN_SHARE = 1 / 16;

/** The same port; `embedNow` waits for its turn. To be put under the retries: each attempt counts. */
export function limitedGemini(
  gemini: Gemini,
  limits: MinuteLimits,
  clock: Clock,
  report?: Report,
): Gemini {
  const limit = new MinuteLimit(limits, clock, report);
  return {
    ...gemini,
    embedNow: (request, signals) => {
      const { texts } = request;
      const tokens = texts.reduce((sum, text) => sum + estimateTokens(text), 0);
      const size = { requests: texts.length, tokens };
      return limit.pass(size, signals?.stop, () => gemini.embedNow(request, signals));
    },
  };
}

const WHY = "as much as Gemini embeds at once in a minute has been sent";

type Size = Readonly<{ requests: number; tokens: number }>;
type Call = Size & { answeredAtMs: number | undefined };

class MinuteLimit {
  readonly #limits: MinuteLimits;
  readonly #clock: Clock;
  readonly #report: Report | undefined;
  /** Under way, or answered within the last minute. */
  #calls: Call[] = [];
  /** One waits for its turn at a time, in the order in which they came. */
  #turn: Promise<unknown> = Promise.resolve();
  #restUntilMs = 0;
  /** Of the limits, that is used. */
  #share = 1;

  constructor(limits: MinuteLimits, clock: Clock, report: Report | undefined) {
    this.#limits = limits;
    this.#clock = clock;
    this.#report = report;
  }

  async pass<T>(size: Size, stop: EmbedSignals["stop"], send: () => Promise<T>): Promise<T> {
    const call = await this.#enter(size, stop);
    try {
      const answer = await send();
      this.#share = Math.min(1, this.#share * GROWTH);
      return answer;
    } catch (error) {
      if (error instanceof GeminiError && error.kind === "quota") this.#slowDown(error);
      throw error;
    } finally {
      call.answeredAtMs = this.#clock.elapsedMs();
    }
  }

  #enter(size: Size, stop: EmbedSignals["stop"]): Promise<Call> {
    const entered = this.#turn.then(() => this.#whenThereIsRoom(size, stop));
    this.#turn = entered.catch(() => {});
    return entered;
  }

  async #whenThereIsRoom(size: Size, stop: EmbedSignals["stop"]): Promise<Call> {
    for (let waitMs = this.#waitMs(size); waitMs > 0; waitMs = this.#waitMs(size)) {
      this.#report?.({ type: "waiting", why: WHY, seconds: waitMs / 1000 });
      await this.#clock.sleep(waitMs, stop);
    }
    stop?.throwIfAborted();
    const call = { ...size, answeredAtMs: undefined };
    this.#calls.push(call);
    return call;
  }

  /** Until there may be room; 0 when there is. Alone, any call may leave: only the service can say it is too large. */
  #waitMs(size: Size): number {
    const nowMs = this.#clock.elapsedMs();
    const leavesAtMs = ({ answeredAtMs = nowMs }: Call) => answeredAtMs + MS_PER_MINUTE;
    this.#calls = this.#calls.filter((call) => leavesAtMs(call) > nowMs);
    const restMs = Math.max(0, this.#restUntilMs - nowMs);
    if (restMs > 0 || this.#calls.length === 0 || this.#fits(size)) return restMs;
    return Math.min(...this.#calls.map(leavesAtMs)) - nowMs;
  }

  #fits(size: Size): boolean {
    const sum = (figure: keyof Size) =>
      this.#calls.reduce((total, call) => total + call[figure], size[figure]);
    const { requestsPerMinute, tokensPerMinute } = this.#limits;
    return (
      sum("requests") <= requestsPerMinute * this.#share &&
      sum("tokens") <= tokensPerMinute * this.#share
    );
  }

  #slowDown({ retryAfterMs = REST_MS }: GeminiError): void {
    const nowMs = this.#clock.elapsedMs();
    // of several refused at once, the first has said it for all
    if (nowMs >= this.#restUntilMs) this.#share = Math.max(MIN_SHARE, this.#share * SHRINKING);
    this.#restUntilMs = Math.max(this.#restUntilMs, nowMs + retryAfterMs);
  }
}
