/**
 * The composition root: picks the adapters for the settings, and loads each only when a command
 * asks for it. Only the two entries, `cli.ts` and `vecfill.ts`, load this file; others use its types.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { ifNamed, requireDatabase, secretsIn, storeAccess } from "../settings/access.ts";
import { type GeminiAccess, geminiKeys } from "../settings/environment/gemini-access.ts";
import { keyIdOf, type Redact, redactor } from "../settings/environment/secret.ts";
import type { SharedClock } from "../clock.ts";
import { UserError } from "../errors.ts";
import { type Configuration, leavesOf, targetOf } from "../settings/config.ts";
import type { Environment } from "../settings/environment/env-file.ts";
import type { Gemini, Probe } from "../gemini/port.ts";
import { type Key, type Keyed, projectOf } from "../jobs-folder/stage-services.ts";
import { minuteLimits } from "../cost/minute-limits.ts";
import type { MigrationPlan } from "../manifest/migration/table-migration.ts";
import type { MigrationStore } from "../store/migration/port.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { Report } from "../progress.ts";
import type { Database } from "../store/database.ts";
import { limitChanges } from "../words/limit-changes.ts";
import { needsDatabase } from "../words/needs-database.ts";
import { once } from "../store/rows.ts";
import type { Crew } from "../gates/duties.ts";
import { eachProject } from "../gates/keys.ts";
import type { OpenCrew, Working } from "../worker/crew.ts";
import { type Kept, keptManifest } from "./kept-manifest.ts";
import type { AddressedHost, Examination, FunctionsSql, Store } from "../store/port.ts";
import type { Api } from "../store/supabase/supabase.ts";
import type { FoundTables } from "../row/target-description.ts";
import { sameTarget, tableName, type Target } from "../row/target.ts";
import type { Settings } from "../settings/options.ts";
import { requireColumns } from "../settings/named-target.ts";

/** Whatever is asked for is opened once and closed when the command ends. */
export type Services = Readonly<{
  /** Takes the lock of the jobs folder; or others write to it, too, where it stands in the database. */
  manifest(): Promise<Manifest>;
  /** Over a shared manifest: the limits that were given here hold for all from now on; once. */
  setLimits(): Promise<void>;
  /** Of those who share that manifest, with what was asked for at first; undefined where one process does it all. */
  crew(working?: Working): Promise<Crew | undefined>;
  view: Kept["view"];
  events: Kept["events"];
  workers: Kept["workers"];
  change: Kept["change"];
  move: Kept["move"];
  manifestId: Kept["manifestId"];
  /** Of all projects; the first, where any will do. */
  keys(): Promise<Keyed>;
  /** By that one. */
  gemini(): Promise<Gemini>;
  /** What others said, without our secrets. */
  redact: Redact;
  /** Repeats what fails. Stores of several targets share the database; do not close them. */
  store(target: Target): Promise<Store>;
  /** A mark of the target's column, the same from everywhere; undefined where no database is named. */
  targetMarkOf(target: Target): Promise<string | undefined>;
  /** A look at the table and the way to it; an API that has lost its database is waited for, a minute. */
  examine(target: Target): Promise<Examination>;
  /** There is no such table in the database itself; its API does not tell. */
  isGone(target: Target): Promise<boolean>;
  /** Of each target that was asked for, the tables that it stands for now. `again`: repeats what fails. */
  leaves(again?: boolean): Promise<readonly (readonly Settings[])[]>;
  /** Every table of the database; none where only its API is named. */
  tables(): Promise<FoundTables>;
  /** What the address of a database names; nothing is asked. */
  addressed(url: URL): Promise<AddressedHost>;
  /**
   * The columns of a migration; with a folder, the changes are files there, for people to run. Without, throws a
   * UserError (usage) where only the database's API is named.
   */
  migration(plan: MigrationPlan, folder?: string): Promise<MigrationStore>;
  /** For `execute`. */
  functionsSql(target: Target): Promise<FunctionsSql>;
  /** All or none of them, on the database itself. Throws a UserError (usage) where only its API is named. */
  execute(statements: readonly string[]): Promise<void>;
  /** Single exchanges with Gemini, as they are. */
  probe(): Promise<Probe>;
  /** The same with an emulator of this process, as it is by default. */
  emulatorProbe(): Promise<Probe>;
  close(): Promise<void>;
}>;

export type ServicesOptions = Pick<Configuration, "settings" | "environment"> &
  Readonly<{
    targets?: readonly Settings[];
    clock: SharedClock;
    report: Report;
    signal: AbortSignal;
    /** What others are told who find the jobs folder in use. */
    command?: string;
    /** Called before many rows pass through: a chance to make the process ready. */
    beforeRows: () => void;
  }>;

export function openServices(options: ServicesOptions): Services {
  const { settings, environment, clock, report, signal } = options;
  const closers: (() => Promise<void>)[] = [];
  const stores: { target: Target; store: Store }[] = [];
  const asked = { report, targets: options.targets ?? [settings] };
  const opened: Opened = (service) => {
    closers.push(() => service.close());
    return service;
  };
  const database = once(async () => opened(await connectDatabase(options)));
  const kept = keptManifest(options, {
    tables: () => sharedTables(options, database),
    native: async () => (await database()).native && opened(await connectDatabase(options)).native,
  });
  const api = once(() => connectApi(environment, report));
  const place = once(() => placeOfTable(options, database));
  const newStore = once(async () => {
    options.beforeRows();
    return storeAccess(environment).kind === "postgres"
      ? postgresStores(await database(), asked)
      : supabaseStores(await api(), options);
  });
  const keys = once(() => openKeys(options));
  const services: Services = {
    ...ofManifest(kept, keys, options, opened),
    keys,
    gemini: async () => (await keys()).gemini,
    redact: redactor(secretsIn(environment)),
    store: async (target) => {
      const known = stores.find((each) => sameTarget(each.target, target));
      if (known !== undefined) return known.store;
      const { withRetry } = await import("../store/retry.ts");
      const store = withRetry((await newStore())(target), { clock, report, signal });
      stores.push({ target, store });
      return store;
    },
    targetMarkOf: async (target) => markAt(await place(), target),
    examine: async (target) => {
      const { examineApi, examineDatabase } = await import("../store/supabase/examine.ts");
      return storeAccess(environment).kind === "postgres"
        ? examineDatabase(await database(), target)
        : examineApi(await api(), target, { clock, report });
    },
    isGone: async (target) => isGone(await services.store(target)),
    migration: (plan, folder) => migrationOf({ services, database, options }, plan, folder),
    leaves: async (patient = true) => {
      const leaves = await leavesIn(options, database, patient);
      asked.targets = leaves.flat();
      requireColumns(asked.targets);
      return leaves;
    },
    tables: () => tablesOf(options, database),
    addressed,
    functionsSql,
    execute: async (statements) => {
      const { inOneStatement } = await import("../store/supabase-functions.ts");
      const server = await database();
      await inOurWords(server, settings, () => server.query(inOneStatement(statements)));
    },
    probe: once(() => openProbe(options)),
    emulatorProbe: once(() => openEmulatorProbe(opened)),
    close: async () => {
      // what was opened last rests on what was opened before
      for (const close of closers.splice(0).toReversed()) await close();
    },
  };
  return services;
}

async function isGone(store: Store): Promise<boolean> {
  const { TableRefusal } = await import("../store/port.ts");
  const description = await store.describe().catch((error: unknown) => {
    if (error instanceof TableRefusal) return error;
    throw error;
  });
  return description instanceof TableRefusal && description.isGone;
}

type OfManifest = Pick<
  Services,
  "manifest" | "setLimits" | "crew" | Exclude<keyof Kept, "open" | "crew">
>;

function ofManifest(
  kept: Kept,
  keys: () => Promise<Keyed>,
  { settings, report }: ServicesOptions,
  opened: Opened,
): OfManifest {
  const manifest = once(async () => opened(await kept.open()));
  let crew: OpenCrew | undefined;
  const openedCrew = async (working: Working) => {
    const projects = eachProject(await keys()).map(projectOf);
    const its = await kept.crew(await manifest(), working, projects);
    return its && opened(its);
  };
  return {
    ...kept,
    manifest,
    setLimits: once(async () => setLimits(await manifest(), settings, report)),
    crew: async (working = {}) => (crew ??= await openedCrew(working)),
  };
}

async function setLimits(
  manifest: Manifest,
  { maxCost, maxEnqueuedTokens, maxActiveJobs }: Settings,
  report: Report,
): Promise<void> {
  if (!manifest.isShared) return;
  const set = { maxCost, maxEnqueuedTokens, maxActiveJobs };
  await manifest.refresh();
  const changes = limitChanges(manifest.limits() ?? {}, set);
  await manifest.recordLimits(set);
  if (changes.length === 0) return;
  const message = `Of all who share the manifest ${changes.join("; ")}.`;
  report({ type: "warning", message, hint: undefined });
}

type OfMigration = Readonly<{
  services: Services;
  database: () => Promise<Database>;
  options: ServicesOptions;
}>;

async function migrationOf(
  { services, database, options }: OfMigration,
  plan: MigrationPlan,
  folder: string | undefined,
): Promise<MigrationStore> {
  if (folder === undefined) {
    const { createMigrationStore } = await import("../store/migration/migration-store.ts");
    const { repeating } = await import("../store/retry.ts");
    const { where } = options.settings;
    const ground = { database: await database(), again: repeating(options), where };
    return createMigrationStore(ground, plan);
  }
  const { createPastedStore } = await import("../store/migration/pasted-store.ts");
  const { replaceFileUnlocked } = await import("../disk/durable-file.ts");
  const writeFile = async (name: string, content: string) => {
    await mkdir(folder, { recursive: true });
    await replaceFileUnlocked(join(folder, name), content);
    return join(folder, name);
  };
  return createPastedStore({ ...services, writeFile }, plan);
}

async function tablesOf(
  { environment, settings }: ServicesOptions,
  database: () => Promise<Database>,
): Promise<FoundTables> {
  const access = await ifNamed(() => storeAccess(environment));
  if (access?.kind !== "postgres") return { hasVectors: true, isProject: true, tables: [] };
  const { findTables } = await import("../store/postgres/found-table.ts");
  const server = await database();
  return inOurWords(server, settings, () => findTables(server));
}

async function leavesIn(
  options: ServicesOptions,
  database: () => Promise<Database>,
  again: boolean,
): Promise<readonly (readonly Settings[])[]> {
  const { targets = [options.settings], environment } = options;
  const access = await ifNamed(() => storeAccess(environment));
  if (access?.kind === "supabase" && targets.some(({ table }) => table.includes("*")))
    throw needsDatabase("A pattern of tables (--table)", ", or give each of them by its name.");
  if (access?.kind !== "postgres") return targets.map((asked) => [asked]);
  const { findLeaves } = await import("../store/postgres/leaves.ts");
  const { repeating } = await import("../store/retry.ts");
  const found = targets.map(async (asked) => {
    const look = async () => {
      const server = await database();
      return inOurWords(server, asked, () => findLeaves(server, targetOf(asked)));
    };
    return leavesOf(asked, await (again ? repeating(options)(look) : look()));
  });
  return Promise.all(found);
}

async function inOurWords<T>(
  { label }: Database,
  settings: Settings,
  work: () => Promise<T>,
): Promise<T> {
  const { explainFailure } = await import("../store/failure.ts");
  return work().catch((error: unknown) => {
    throw explainFailure(error, { label, target: targetOf(settings) });
  });
}

/** For a shared manifest. */
async function sharedTables(options: ServicesOptions, database: () => Promise<Database>) {
  const { repeating } = await import("../store/retry.ts");
  const { failureCode } = await import("../store/failure.ts");
  const tables = await database();
  const repeated = repeating(options);
  const again = <T>(work: () => Promise<T>) =>
    inOurWords(tables, options.settings, () =>
      repeated(work).catch((error: unknown) => {
        throw failureCode(error) === NO_RIGHT ? mayNotShare(error) : error;
      }),
    );
  return { tables, again };
}

const NO_RIGHT = "42501";

function mayNotShare(cause: unknown): UserError {
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  return new UserError(`The database role may not keep a shared manifest there${why}.`, {
    hint: "As the database's owner: grant create on database <name> to <role>; and where another role has made the tables: grant usage on schema vecfill, vecfill_boss to <role>; grant select, insert, update, delete on all tables in schema vecfill, vecfill_boss to <role>; (vecfill_boss is there once a worker or a run was).",
    cause,
  });
}

async function addressed(url: URL): Promise<AddressedHost> {
  const { addressedHost } = await import("../store/postgres/database-address.ts");
  return addressedHost(url);
}

async function functionsSql(target: Target): Promise<FunctionsSql> {
  const functions = await import("../store/supabase-functions.ts");
  return functions.functionsSql(target);
}

type Opened = <T extends { close(): Promise<void> }>(service: T) => T;

async function openEmulatorProbe(opened: Opened): Promise<Probe> {
  const { startEmulator } = await import("../emulator/emulator.ts");
  const { connectProbe } = await import("../gemini/probe.ts");
  const emulator = opened(await startEmulator({ batchSeconds: EMULATOR_BATCH_SECONDS }));
  return connectProbe({ apiKey: EMULATOR_KEY, baseUrl: emulator.url });
}

async function openProbe({ environment, settings }: ServicesOptions): Promise<Probe> {
  const [{ apiKey, baseUrl }] = geminiKeys(environment, settings.projects);
  const { connectProbe } = await import("../gemini/probe.ts");
  return connectProbe({ apiKey: apiKey.reveal(), baseUrl });
}

/** Of the one that is only compared with. It takes any key. */
const EMULATOR_BATCH_SECONDS = 0.2;
const EMULATOR_KEY = "the-emulator-takes-any-key";

type NewStore = (target: Target) => Store;

async function connectDatabase({ environment, signal }: ServicesOptions): Promise<Database> {
  const { openDatabase } = await import("../store/postgres/open-database.ts");
  const { url, takesPasswords } = requireDatabase(environment);
  return openDatabase({ url: url.reveal(), takesPasswords, signal });
}

async function postgresStores(
  database: Database,
  asked: Readonly<{ targets: readonly Settings[]; report: Report }>,
): Promise<NewStore> {
  const { createSqlStore } = await import("../store/postgres/sql-store.ts");
  return (target) => {
    const { targets, report } = asked;
    // a condition is one on the rows of the table that it is given with, whatever the column
    const own =
      targets.find((each) => sameTarget(targetOf(each), target)) ??
      targets.find((each) => tableName(targetOf(each)) === tableName(target));
    return createSqlStore(database, target, { where: own?.where, report });
  };
}

async function markAt(place: string | undefined, target: Target): Promise<string | undefined> {
  const { targetMark } = await import("../jobs-folder/batch-names.ts");
  return place && targetMark(place, target);
}

/** Jobs that were exported before can be sent from where there is no database. */
async function placeOfTable(
  options: ServicesOptions,
  database: () => Promise<Database>,
): Promise<string | undefined> {
  const { databasePlace, projectRef } = await import("../store/postgres/place.ts");
  const { repeating } = await import("../store/retry.ts");
  const access = await ifNamed(() => storeAccess(options.environment));
  if (access === undefined) return undefined;
  if (access.kind === "supabase") return projectRef(access.url) ?? access.url;
  const server = await database();
  const place = () => databasePlace(server, access.url.reveal());
  return repeating(options)(() => inOurWords(server, options.settings, place));
}

async function connectApi(environment: Environment, report: Report): Promise<Api> {
  const access = storeAccess(environment);
  if (access.kind !== "supabase") throw new Error("the database has an address of its own");
  for (const message of access.warnings) report({ type: "warning", message, hint: undefined });
  const { connectSupabase } = await import("../store/supabase/supabase.ts");
  return connectSupabase({ url: access.url, key: access.key.reveal() });
}

async function supabaseStores(
  api: Api,
  { settings, targets = [settings], report }: ServicesOptions,
): Promise<NewStore> {
  if (targets.some(({ where }) => where !== undefined))
    throw needsDatabase("A further condition (--where)", ", or leave --where out.");
  if (settings.rebuildIndex)
    throw needsDatabase(
      "Dropping and building an index (--rebuild-index)",
      ", or leave --rebuild-index out.",
    );
  const { createSupabaseStore } = await import("../store/supabase/supabase-store.ts");
  return (target) => createSupabaseStore(api, target, { report });
}

/** What fails is repeated, but for the create request. */
async function openKeys(options: ServicesOptions): Promise<Keyed> {
  const { environment, settings, clock, report } = options;
  const [first, ...others] = geminiKeys(environment, settings.projects);
  for (const message of first.warnings) report({ type: "warning", message, hint: undefined });
  const { connectGemini } = await import("../gemini/client.ts");
  const { limitedGemini } = await import("../gemini/minute-limit.ts");
  const { retryingGemini } = await import("../gemini/retry.ts");
  const connect = ({ project, apiKey, baseUrl }: GeminiAccess): Key => {
    const client = connectGemini({ apiKey: apiKey.reveal(), baseUrl, clock });
    const limited = limitedGemini(client, minuteLimits(settings), clock, report);
    const gemini = retryingGemini(limited, clock, report);
    return { project, keyId: keyIdOf(apiKey, baseUrl), gemini };
  };
  const keys = [connect(first), ...others.map(connect)] as const;
  return { ...keys[0], keys };
}
