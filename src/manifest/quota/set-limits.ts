/** What a person has set for all who share the manifest; undefined: nobody has. */
export type Limits = Readonly<{
  maxCost?: number | "off" | undefined;
  maxEnqueuedTokens?: number | undefined;
  maxActiveJobs?: number | undefined;
  /** Dollars in all that a person has agreed to: whoever asks nobody spends no more. */
  agreedCost?: number | undefined;
}>;

/** What was set last holds. */
export function withLimits(before: Limits, set: Limits): Limits {
  return {
    maxCost: set.maxCost ?? before.maxCost,
    maxEnqueuedTokens: set.maxEnqueuedTokens ?? before.maxEnqueuedTokens,
    maxActiveJobs: set.maxActiveJobs ?? before.maxActiveJobs,
    agreedCost: set.agreedCost ?? before.agreedCost,
  };
}

/** False where all of it holds already. */
export function setsMore(before: Limits, set: Limits): boolean {
  return JSON.stringify(withLimits(before, set)) !== JSON.stringify(withLimits(before, {}));
}
