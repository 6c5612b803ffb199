/**
 * The store behind Supabase's API. With the SQL functions of `vecfill init` it keeps all that the
 * port promises; without them it goes row by row, and says so. Which of the two is settled on first
 * use, together with whether the key sees the rows at all.
 */
import { UserError } from "../../errors.ts";
import type { Report } from "../../progress.ts";
import { PERHAPS_UNSEEN } from "../../row/schema-cache.ts";
import { tableName, type Target } from "../../row/target.ts";
import { createFunctionStore, describeByFunction, type Described } from "./function-store.ts";
import type { Store } from "../port.ts";
import { explainRestFailure, isMissingFunction, isMissingName } from "./rest-failure.ts";
import { createRowStore } from "./row-store.ts";
import { once } from "../rows.ts";
import type { Api } from "./supabase.ts";

export type SupabaseStoreOptions = Readonly<{
  /** Told once when the store has to go row by row. */
  report: Report;
}>;

/** Its errors for people are UserErrors; it retries nothing. */
export function createSupabaseStore(
  api: Api,
  target: Target,
  { report }: SupabaseStoreOptions,
): Store {
  const chosen = once(async () => {
    const described = await functionsThere(api, target);
    if (described !== undefined) return createFunctionStore(api, target);
    const rows = createRowStore(api, target);
    // a table that is not there is told as that
    await rows.describe();
    report({ type: "warning", ...WITHOUT_FUNCTIONS(target) });
    return rows;
  });
  const explainedApi = <T>(work: (store: Store) => Promise<T>): Promise<T> =>
    explain(api, target, async () => work(await chosen()));
  return {
    indexes: undefined,
    describe: () => explainedApi((store) => store.describe()),
    readPending: (page) => explainedApi((store) => store.readPending(page)),
    apply: (rows) => explainedApi((store) => store.apply(rows)),
    tryWrite: (except) => explainedApi((store) => store.tryWrite(except)),
    count: () => explainedApi((store) => store.count()),
    look: (asked) => explainedApi((store) => store.look(asked)),
    compare: (rows) => explainedApi((store) => store.compare(rows)),
    clear: (rows) => explainedApi((store) => store.clear(rows)),
    close: async () => {},
  };
}

const WITHOUT_FUNCTIONS = (target: Target) => ({
  message: `The SQL functions for ${tableName(target)} are not installed: vecfill goes row by row, several times as slow, and takes its text from one column only.`,
  hint: `Run \`vecfill init\` and apply its migration. ${PERHAPS_UNSEEN}`,
});

/** What the functions say, or undefined where there are none. Throws a UserError for a key that is blind. */
async function functionsThere(api: Api, target: Target): Promise<Described | undefined> {
  try {
    return await describeByFunction(api, target);
  } catch (error) {
    if (isMissingFunction(error)) return undefined;
    throw error;
  }
}

async function explain<T>(api: Api, target: Target, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const cause = isMissingName(error) ? await whatIsMissing(api, target, error) : error;
    throw explainRestFailure(cause, { label: api.label, target });
  }
}

/** Who describes the table knows the names that may have been meant. */
async function whatIsMissing(api: Api, target: Target, error: unknown): Promise<unknown> {
  try {
    const described = await functionsThere(api, target);
    if (described === undefined) await createRowStore(api, target).describe();
    return error;
  } catch (better) {
    return better instanceof UserError ? better : error;
  }
}
