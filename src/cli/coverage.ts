/** What the database says of the column, for commands that have something to say without it. */
import { correctionOf } from "../cost/correction.ts";
import { UserError } from "../errors.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { isOpen } from "../manifest/states.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { ifNamed, storeAccess } from "../settings/access.ts";
import { targetOf } from "../settings/config.ts";
import type { Settings } from "../settings/options.ts";
import type { Store } from "../store/port.ts";
import type { LeftOut } from "../words/verdict.ts";
import type { CommandContext } from "./command.ts";

/** `leftOut`: of those without a vector, what a run does not take; undefined where jobs are under way. */
export type Coverage = Readonly<{
  total: number;
  pending: number;
  leftOut: LeftOut | undefined;
  server: string;
}>;

/** The one that is set, where it has a name or jobs; else that of the newest job. Undefined: there are no jobs. */
export function targetToTell(jobs: readonly Job[], settings: Settings): Target | undefined {
  const set = targetOf(settings);
  const isMeant = settings.target !== undefined || jobs.some((job) => sameTarget(job.target, set));
  return isMeant && jobs.length > 0 ? set : jobs.at(-1)?.target;
}

/** Of somebody who has no job yet: without a database nothing can be planned. */
export async function firstStep({ environment }: CommandContext): Promise<"init" | "plan"> {
  return (await ifNamed(() => storeAccess(environment))) === undefined ? "init" : "plan";
}

/** Why it could not be asked, where that is so. */
export async function askDatabase(
  context: CommandContext,
  target: Target,
  manifest: ManifestView,
): Promise<Coverage | string> {
  const { services, report } = context;
  try {
    const store = await services.store(target);
    const { total, pending } = await store.count();
    const left = await whatIsLeft(context, target, { store, manifest, pending });
    return { total, pending, leftOut: left, server: (await store.describe()).serverVersion };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    report({ type: "warning", message: error.message, hint: error.hint });
    return error.message;
  }
}

type Looking = Readonly<{ store: Store; manifest: ManifestView; pending: number }>;

/** What a run leaves out of the rows without a vector, where all jobs have ended. */
export async function whatIsLeft(
  { settings }: CommandContext,
  target: Target,
  { store, manifest, pending }: Looking,
): Promise<LeftOut | undefined> {
  const jobs = manifest.jobs().filter((job) => sameTarget(job.target, target));
  if (pending === 0 || jobs.length === 0 || jobs.some(isOpen)) return undefined;
  const { leftOut } = await import("../plan/survey.ts");
  const { ratio } = correctionOf(jobs, manifest.counted(target), target);
  const onTooLong = settings.onTooLong === "fail" ? "skip" : settings.onTooLong;
  return leftOut({ store, manifest }, { target, kin: settings.kin, onTooLong, ratio });
}
