/**
 * What a person agrees to before a run: what it would spend, as `plan` would tell it. The limit is on
 * what this one command spends, so many small runs are not asked about.
 */
import type { CommandContext } from "../../cli/command.ts";
import { UserError, usageError } from "../../errors.ts";
import { costLimit, laneChoice, planFromSettings } from "../../stages.ts";
import { counted, dollars, count } from "../../words/figures.ts";
import type { Plan } from "../../plan/plan.ts";
import { usdOfRun } from "../../plan/lane-cost.ts";
import { tableName } from "../../row/target.ts";

/**
 * The plan that was agreed to; undefined where nobody needs one: everything is agreed beforehand and
 * nothing limits it. Throws a UserError where it is refused.
 */
export async function agreedPlan(context: CommandContext): Promise<Plan | undefined> {
  const { services, settings, confirm } = context;
  const limit = costLimit(settings);
  if (settings.yes && limit === undefined) return undefined;
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const planned = await planFromSettings(context, { manifest, gemini });
  const left = Math.max(0, (limit?.maxUsd ?? Infinity) - planned.spentUsd);
  const usd = Math.min(usdOfRun(planned, laneChoice(settings)), left);
  const isUnlimited = usd < left;
  if (usd <= settings.consentAbove || (await confirm(question(planned, usd, isUnlimited)))) {
    return planned;
  }
  throw notAgreed();
}

function question({ total, target, spentUsd }: Plan, usd: number, isUnlimited: boolean): string {
  const before = spentUsd > 0 ? `, after ${dollars(spentUsd)} so far` : "";
  const upTo = isUnlimited ? `about ${dollars(usd)}` : `up to --max-cost, ${dollars(usd)}`;
  return `This run would spend ${upTo}${before}: ${counted(total.rows, "row")} of ${tableName(target)}, about ${count(total.tokens)} tokens, in ${counted(total.jobs, "job")}. Go on?`;
}

function notAgreed(): UserError {
  return usageError(
    "Not agreed to: nothing was sent.",
    "`vecfill plan` tells what it would be; --limit takes fewer rows, --max-cost spends less.",
  );
}
