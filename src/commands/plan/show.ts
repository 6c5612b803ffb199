import { planOnly, unfitTargets } from "../../composition/stages.ts";
import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { freeBytes } from "../../disk/free-space.ts";
import { decimal } from "../../words/figures.ts";
import { widthCost } from "../../row/width.ts";
import type { Plan, Portion } from "../../plan/plan.ts";
import { geminiElsewhere } from "../../cli/gemini-address.ts";
import { textOf } from "../../words/text-lines.ts";
import { hasWork } from "../../plan/plan.ts";
import { planTable } from "./plan-table.ts";

export async function showPlan(context: CommandContext): Promise<CommandResult> {
  const { services, settings, next } = context;
  const planned = await planOnly(context, { countsDistinct: true });
  if (!settings.dryRun) {
    // a warning here, and the end of a run
    await unfitTargets(context, await services.view(), [planned.target]);
  }
  const free = await freeBytes(settings.jobsDir);
  return {
    json: planJson(planned, free),
    text: textOf([planTable(planned, free, settings.tier), geminiElsewhere(context.environment)]),
    next: hasWork(planned) ? next("run") : undefined,
    selected: planned.pending.rows,
  };
}

function planJson(planned: Plan, free: number): Record<string, unknown> {
  const { total, correction, seconds, writing, columnType } = planned;
  return {
    rows: total.rows,
    copies: total.copies,
    tokens: total.tokens,
    jobs: total.jobs,
    usdBatch: decimal(total.usd),
    usdSync: decimal(planned.usdSync),
    enqueuedTokenLimit: planned.enqueuedTokenLimit,
    projects: planned.projects,
    etaSeconds: seconds.batch,
    etaSecondsByTier: seconds.byTier,
    etaSecondsLearned: seconds.learned ?? null,
    etaSecondsSync: seconds.sync,
    pending: portionJson(planned.pending),
    waiting: portionJson(planned.waiting),
    retried: portionJson(planned.retried),
    savedTokens: planned.savedTokens,
    distinctTexts: planned.distinctTexts ?? null,
    skipped: planned.skipped,
    spentUsd: decimal(planned.spentUsd),
    price: { batch: decimal(planned.price.batch), sync: decimal(planned.price.sync) },
    correction,
    bytes: { ...planned.bytes, free },
    writing: { ...writing, rebuildSeconds: writing.rebuildSeconds ?? null },
    column: columnType && { type: columnType, ...widthCost(columnType, planned.target.dimensions) },
  };
}

function portionJson({ usd, ...portion }: Portion): Record<string, unknown> {
  return { ...portion, usd: decimal(usd) };
}
