/** What the database says of the column, for commands that have something to say without it. */
import { UserError } from "../errors.ts";
import type { Job } from "../manifest/job.ts";
import { sameTarget, type Target } from "../row/target.ts";
import type { CommandContext } from "./command.ts";

export type Coverage = Readonly<{ total: number; pending: number; server: string }>;

/** The one that is set, where there are jobs of it; else that of the newest job. */
export function targetToTell(jobs: readonly Job[], set: Target): Target | undefined {
  return (jobs.find((job) => sameTarget(job.target, set)) ?? jobs.at(-1))?.target;
}

/** Why it could not be asked, where that is so. */
export async function askDatabase(
  { services, report }: CommandContext,
  target: Target,
): Promise<Coverage | string> {
  try {
    const store = await services.store(target);
    const { total, pending } = await store.count();
    return { total, pending, server: (await store.describe()).serverVersion };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    report({ type: "warning", message: error.message, hint: error.hint });
    return error.message;
  }
}
