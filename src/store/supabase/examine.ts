/** A look at a table for `init` and `doctor`, through whichever way there is. */
import { type Clock, MS_PER_SECOND } from "../../clock.ts";
import type { Report } from "../../progress.ts";
import type { Target } from "../../row/target.ts";
import { readCatalogue } from "../catalogue.ts";
import type { Database } from "../database.ts";
import { explainFailure } from "../failure.ts";
import { type Described, fitsColumns, readDescribed } from "./function-store.ts";
import { describeByOpenApi } from "./open-api.ts";
import type { Examination, FunctionsState } from "../port.ts";
import { explainRestFailure, isMissingFunction } from "./rest-failure.ts";
import { provesTheAddress } from "../retry.ts";
import type { Api } from "./supabase.ts";
import { FUNCTIONS_VERSION } from "../supabase-functions.ts";

/** Throws a UserError when table or columns are not there, or the database cannot be asked. */
export async function examineDatabase(database: Database, target: Target): Promise<Examination> {
  const { label } = database;
  try {
    const { apiRole, extension, ...seen } = await readCatalogue(database, target);
    return {
      label,
      ...seen,
      vectorSchema: extension?.schema,
      supabase: apiRole,
      functions: { state: "missing" },
    };
  } catch (error) {
    throw explainFailure(error, { label, target, where: undefined });
  }
}

/** The same through the API: by the SQL functions or, where there are none, by its own description. */
export async function examineApi(
  api: Api,
  target: Target,
  { clock, report }: Waiting,
): Promise<Examination> {
  for (let waitedMs = 0; ; waitedMs += OUTAGE_PAUSE_MS) {
    try {
      return (await byFunctions(api, target)) ?? (await byOpenApi(api, target));
    } catch (error) {
      if (!provesTheAddress(error) || waitedMs >= MAX_OUTAGE_MS) {
        throw explainRestFailure(error, { label: api.label, target });
      }
      report({ type: "waiting", why: error.message, seconds: OUTAGE_PAUSE_MS / MS_PER_SECOND });
      await clock.sleep(OUTAGE_PAUSE_MS);
    }
  }
}

const OUTAGE_PAUSE_MS = 5 * MS_PER_SECOND;
/** PostgREST takes up to twice as long to be back as its database was away. */
const MAX_OUTAGE_MS = 60 * MS_PER_SECOND;

type Waiting = Readonly<{ clock: Clock; report: Report }>;

async function byFunctions(api: Api, target: Target): Promise<Examination | undefined> {
  const described = await describedOrMissing(api, target);
  if (described === undefined) return undefined;
  if ("version" in described) {
    const why = `they are of version ${described.version}, and this vecfill needs ${FUNCTIONS_VERSION}`;
    return { ...(await byOpenApi(api, target)), functions: { state: "unfit", why } };
  }
  const { description, session, extension } = described.catalogue;
  return {
    label: api.label,
    description,
    session,
    vectorSchema: extension?.schema,
    supabase: true,
    functions: stateOf(described),
  };
}

function stateOf(described: Described): FunctionsState {
  if (described.faults.length > 0) return { state: "unfit", why: described.faults.join("; ") };
  if (fitsColumns(described)) return { state: "current" };
  return { state: "unfit", why: "they were made for columns of other types" };
}

type DescribedOrMissing = Awaited<ReturnType<typeof readDescribed>> | undefined;

async function describedOrMissing(api: Api, target: Target): Promise<DescribedOrMissing> {
  try {
    return await readDescribed(api, target);
  } catch (error) {
    if (isMissingFunction(error)) return undefined;
    throw error;
  }
}

async function byOpenApi(api: Api, target: Target): Promise<Examination> {
  const { description, vectorSchema } = describeByOpenApi(
    target,
    await api.openApi(target.schema),
    api.label,
  );
  return {
    label: api.label,
    description,
    session: undefined,
    vectorSchema,
    supabase: true,
    functions: { state: "missing" },
  };
}
