import { priceOf } from "../cost/tariff.ts";
import { addPortions, type Plan } from "./plan.ts";

/** Of several targets as one: what is exported already counts once. Undefined: there is none. */
export function combined([first, ...others]: readonly Plan[]): Plan | undefined {
  if (first === undefined || others.length === 0) return first;
  const more = addPortions(others.map(({ pending }) => pending));
  const total = (value: (plan: Plan) => number) =>
    others.reduce((sum, each) => sum + value(each), value(first));
  return {
    ...first,
    pending: addPortions([first.pending, more]),
    total: addPortions([first.total, more]),
    usdSync: total(({ pending, price }) => priceOf(pending.tokens, price.sync)) + restOf(first),
    spentUsd: total(({ spentUsd }) => spentUsd),
  };
}

function restOf({ waiting, retried, price }: Plan): number {
  return priceOf(waiting.tokens + retried.tokens, price.sync);
}
