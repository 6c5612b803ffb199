import type { LaneChoice } from "../cost/lane.ts";
import { priceOf } from "../cost/tariff.ts";
import type { Plan, Portion } from "./plan.ts";

type Priced = Pick<Plan, "total" | "pending" | "waiting" | "retried" | "usdSync" | "price">;

/** What it would cost in its lane: with `auto`, what is too small to queue for is paid in full. */
export function usdOfRun(planned: Priced, { lane, syncUpToTokens }: LaneChoice): number {
  const { total, pending, waiting, retried, usdSync, price } = planned;
  if (lane === "batch") return total.usd;
  if (lane === "sync") return usdSync;
  const atOnce = [pending, waiting, retried]
    .map((portion) => tokensAtOnce(portion, syncUpToTokens))
    .reduce((sum, tokens) => sum + tokens, 0);
  return total.usd + priceOf(atOnce, price.sync - price.batch);
}

/** Jobs are cut alike, so all of them are small, or at most the last one, which holds what is left. */
function tokensAtOnce({ tokens, jobs }: Portion, upToTokens: number): number {
  if (tokens <= upToTokens * jobs) return tokens;
  return jobs === 1 ? 0 : Math.min(tokens, upToTokens);
}
