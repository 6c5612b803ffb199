import type { Cost, CostStop } from "../cost/cost.ts";
import { decimal, dollars } from "./figures.ts";

/** How much of it is no estimate; nothing where nothing was spent. */
export function byGeminiText({ usd, billedUsd }: Cost, text = dollars): string[] {
  if (usd === 0) return [];
  return [`${usd === billedUsd ? "" : `${text(billedUsd)} of it `}as counted by Gemini`];
}

/** For people: where the limit on cost stopped, and what it would take to go on. */
export function costStopText({ spentUsd, maxUsd, neededUsd, isAgreed }: CostStop): string {
  const spent =
    spentUsd > maxUsd
      ? `about ${dollars(spentUsd)} is spent already, past the limit of ${dollars(maxUsd)}`
      : `about ${dollars(spentUsd)} of ${dollars(maxUsd)} is spent, and the next job would pass that`;
  const more = dollars(roundUp(neededUsd - maxUsd));
  if (isAgreed === true)
    return `Stopped: ${spent}, and nobody has agreed to more. All that is left needs about ${more} more: \`vecfill run --detach\` asks, --yes asks nobody.`;
  return `Stopped by --max-cost: ${spent}. All that is left needs about ${more} more: --max-cost ${enough(neededUsd)}.`;
}

/** The same of a dry run. */
export function wouldStopText({ spentUsd, maxUsd, neededUsd }: CostStop): string {
  const before = spentUsd > 0 ? `, with about ${dollars(spentUsd)} so far` : "";
  return `Would stop by --max-cost: all of it comes to about ${dollars(neededUsd)}${before}, and the limit is ${dollars(maxUsd)}. It needs --max-cost ${enough(neededUsd)}.`;
}

/** For the next command: with the same limit it would stop again. */
export function enoughFlag(stop: CostStop | undefined): string[] {
  return stop === undefined || stop.isAgreed === true ? [] : ["--max-cost", enough(stop.neededUsd)];
}

/** The same for scripts; null where nothing was stopped. */
export function costStopJson(stop: CostStop | undefined): Record<string, string> | null {
  if (stop === undefined) return null;
  const { spentUsd, maxUsd, neededUsd } = stop;
  return { spentUsd: decimal(spentUsd), maxUsd: decimal(maxUsd), neededUsd: decimal(neededUsd) };
}

const CENTS = 100;
const SMALL_PARTS = 10_000;
/** Estimates are off by some percent; nobody wants to come back for the last cent. */
const HEADROOM = 1.05;

/** A limit that lets everything through, in round figures. */
function enough(usd: number): string {
  return String(withHeadroom(usd));
}

export function withHeadroom(usd: number): number {
  const parts = usd < 1 ? SMALL_PARTS : CENTS;
  return Math.ceil(usd * HEADROOM * parts) / parts;
}

function roundUp(usd: number): number {
  return Math.ceil(usd * SMALL_PARTS) / SMALL_PARTS;
}
