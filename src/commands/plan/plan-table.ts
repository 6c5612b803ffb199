/** The plan as a table that a person can decide by. */
import { skippedLines } from "../../words/sums-text.ts";
import { aligned, said } from "../../words/text-lines.ts";
import { PRICES, PROJECT_LIMITS, type Tier, TIERS } from "../../cost/tariff.ts";
import type { Correction } from "../../cost/correction.ts";
import { tooWideText, widthText } from "../../words/width-text.ts";
import { bytes, count, counted, dollars, duration } from "../../words/figures.ts";
import { columnName } from "../../row/target.ts";
import type { Plan, Portion } from "../../plan/plan.ts";
import { ROWS_A_SECOND, type Writing } from "../../plan/writing.ts";

type Line = readonly [name: string, value: string];

export function planTable(planned: Plan, free: number, tier: Tier): string {
  const { target, total } = planned;
  const head = `${columnName(target)}, ${target.model}, ${target.dimensions} dimensions.\nEvery figure is an estimate.`;
  if (total.rows === 0) return [head, "", "Nothing new to send.", ...leftOut(planned)].join("\n");
  const lines: Line[] = [
    ...whatIsSent(planned),
    ...whatItCosts(planned),
    ...howLong(planned, tier),
    ...whereItGoes(planned, free),
  ];
  return [head, "", ...aligned(lines), ...warnings(planned), ...leftOut(planned)].join("\n");
}

function whatIsSent({ total, pending, waiting, retried, savedTokens, correction }: Plan): Line[] {
  const parts: [Portion, string][] = [
    [pending, "to be exported"],
    [waiting, "exported already"],
    [retried, "failed before and sent again"],
  ];
  const more = parts.filter(([{ rows }]) => rows > 0 && rows < total.rows);
  return [
    [
      "rows",
      [count(total.rows), ...more.map(([{ rows }, what]) => `${count(rows)} ${what}`)].join(", "),
    ],
    ...(total.copies > 0 ? [["same text", sameText(total, savedTokens)] as const] : []),
    ["tokens", `${count(total.tokens)}, ${howKnown(correction)}`],
    ["jobs", count(total.jobs)],
  ];
}

function sameText({ copies }: Portion, savedTokens: number): string {
  const saved = savedTokens === 0 ? "" : `, which saves ${counted(savedTokens, "token")}`;
  return `${counted(copies, "row")} not sent: another row of the job has the text${saved}`;
}

/** `tokens` is our own estimate of what was counted. */
function howKnown({ by, tokens, ratio }: Correction): string {
  const change = `${ratio >= 1 ? "+" : "-"}${Math.abs((ratio - 1) * 100).toFixed(1)}%`;
  const known = `${counted(Math.round(tokens * ratio), "token")}; our estimate: ${count(tokens)}`;
  if (by === "count" && ratio === 1)
    return `estimated, as Gemini counted a sample (${counted(tokens, "token")})`;
  if (by === "count")
    return `estimated, with ${change} from a sample that Gemini counted (${known})`;
  if (by === "bill") return `estimated, with ${change} from what Gemini billed before (${known})`;
  return "estimated: there is no key to ask Gemini with, and no bill yet";
}

function whatItCosts({ total, usdSync, price, spentUsd, target }: Plan): Line[] {
  const { asOf } = PRICES[target.model].batch;
  return [
    [
      "cost, batch",
      `${dollars(total.usd)} at $${price.batch} a million tokens (prices of ${asOf})`,
    ],
    ["cost, sync", `${dollars(usdSync)} at $${price.sync} a million tokens: at once, --lane sync`],
    ...(spentUsd > 0 ? [["spent so far", dollars(spentUsd)] as const] : []),
  ];
}

function howLong({ seconds, enqueuedTokenLimit, projects }: Plan, tier: Tier): Line[] {
  const { refillMinutes, turnaroundMinutes } = PROJECT_LIMITS;
  const queues = projects.length > 1 ? ` by ${projects.join(", ")}` : "";
  const times = TIERS.map((each) => duration(seconds.byTier[each]));
  const tiers = times.every((time) => time === times[0])
    ? "the same on every tier"
    : TIERS.map((each, at) => `tier ${each} ${times[at]}`).join(", ");
  return [
    [
      "time, batch",
      `${duration(seconds.batch)} with ${count(enqueuedTokenLimit)} tokens queued at once${queues}`,
    ],
    ["", tiers],
    [
      "",
      `if the queue refills in ${refillMinutes} min and a batch takes ${turnaroundMinutes} min;`,
    ],
    ["", "Gemini aims at 24 h at most"],
    ...(seconds.learned === undefined
      ? []
      : [["", `${duration(seconds.learned)} by what was learned from refusals here`] as const]),
    ["time, sync", `${duration(seconds.sync)} on tier ${tier}`],
  ];
}

function whereItGoes(planned: Plan, free: number): Line[] {
  const { bytes: size, writing, columnType, target, total } = planned;
  const all = size.requests + size.results;
  return [
    ["upload", bytes(size.requests)],
    ["download", bytes(size.results)],
    [
      "disk",
      `${bytes(all)} while the files are kept, ${bytes(free)} free${all > free ? ": NOT ENOUGH" : ""}`,
    ],
    ["writing", writingText(writing)],
    ...rebuildLines(writing),
    ...(columnType === undefined
      ? []
      : [["column", widthText(target, columnType, total.rows)] as const]),
  ];
}

function writingText({ seconds, bareSeconds, annIndexes, triggers }: Writing): string {
  const causes = [
    ...annIndexes.map((name) => `index ${name}`),
    ...triggers.map((name) => `trigger ${name}`),
  ];
  const without =
    causes.length === 0 ? "" : `; ${duration(bareSeconds)} without ${causes.join(", ")}`;
  return `${duration(seconds)}${without}`;
}

/** Which way is the quicker one for this table. */
function rebuildLines({ seconds, rebuildSeconds, annIndexes }: Writing): Line[] {
  if (rebuildSeconds === undefined) return [];
  const quicker =
    rebuildSeconds < seconds ? "quicker: --rebuild-index" : "slower: leave it as it is";
  const { underAnnIndex, builtIntoAnnIndex } = ROWS_A_SECOND;
  return [
    [
      "",
      `${duration(rebuildSeconds)} with ${annIndexes.join(", ")} dropped and built again, which is ${quicker}`,
    ],
    [
      "",
      `(if ${underAnnIndex} rows a second are written under an index, and ${builtIntoAnnIndex} built into one)`,
    ],
  ];
}

function warnings({ bytes: size, columnType, target }: Plan): string[] {
  const tooWide = columnType && tooWideText(target, columnType);
  return said([
    tooWide && `\n${tooWide.message}. ${tooWide.hint}`,
    size.results > PROJECT_LIMITS.storageBytes &&
      `\nThe results exceed the ${bytes(PROJECT_LIMITS.storageBytes)} that a project may keep at Gemini for 48 hours: it may refuse for a while.`,
  ]);
}

/** Jobs that wait to be sent are in the plan. */
function leftOut({ skipped, waiting }: Plan): string[] {
  const inFlight = Math.max(0, skipped.inFlight - waiting.rows);
  const lines = skippedLines({ skipped: { ...skipped, inFlight }, tooLongFile: undefined });
  return lines.length === 0 ? [] : ["", ...lines];
}
