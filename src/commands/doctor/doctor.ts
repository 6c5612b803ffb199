/** All checks, in the order in which one rests on the other. Nothing is spent and nothing written. */
import type { StoreAccess } from "../../settings/access.ts";
import type { Clock } from "../../clock.ts";
import type { OfferedModel } from "../../gemini/port.ts";
import type { Key, Keyed } from "../../jobs-folder/stage-services.ts";
import type { ManifestView } from "../../manifest/manifest.ts";
import { tryTable } from "../../plan/trial-write.ts";
import type { JobsPlace } from "../../words/no-folder-text.ts";
import { count as figure } from "../../words/figures.ts";
import type { AddressedHost, Examination, Store } from "../../store/port.ts";
import type { Beside } from "../../submit/others.ts";
import { isModelName, type ModelName } from "../../row/models.ts";
import { tableName, type Target } from "../../row/target.ts";
import { checkAddress } from "./address-checks.ts";
import { attempt, type Check, failure, ok, warning } from "./check.ts";
import { checkDisk, checkJobsFolder } from "./folder-checks.ts";
import { checkExamination } from "./table-checks.ts";

export type DoctorServices = Readonly<{
  keys(): Promise<Keyed>;
  view(): Promise<ManifestView>;
  store(target: Target): Promise<Store>;
  examine(target: Target): Promise<Examination>;
  storeAccess(): StoreAccess;
  addressed(url: URL): Promise<AddressedHost>;
  clock: Clock;
  /** What there is to say of batches that the folder does not know. */
  beside(asked: Readonly<{ manifest: ManifestView }> & Keyed): Promise<Beside | undefined>;
}>;

export type DoctorOptions = Readonly<{ target: Target }> & JobsPlace;

export async function doctor(services: DoctorServices, options: DoctorOptions): Promise<Check[]> {
  const { target } = options;
  const { view } = services;
  const folder = await attempt("jobs folder", () => checkJobsFolder(options, view));
  const isReadable = folder.every(({ status }) => status !== "failure");
  const manifest = isReadable ? await view() : undefined;
  const [gemini, database] = await Promise.all([
    checkGemini(services, target),
    checkDatabase(services, options, manifest),
  ]);
  const isWell = [...gemini, ...database].every(({ status }) => status !== "failure");
  const others =
    isWell && manifest !== undefined
      ? await attempt("other folders", () => checkOthers(services, manifest))
      : [];
  return [...gemini, ...database, ...folder, ...others];
}

async function checkOthers(
  { keys, beside }: DoctorServices,
  manifest: ManifestView,
): Promise<readonly Check[]> {
  const found = await beside({ manifest, ...(await keys()) });
  if (found === undefined) return [ok("other folders", "none has batches that rows wait for")];
  return [
    found.isInTheWay
      ? warning("other folders", found.message, found.hint)
      : ok("other folders", found.message),
  ];
}

/** Counting tokens needs the key and the model, and costs nothing; nor does the list of models. */
async function checkGemini({ keys }: DoctorServices, { model }: Target): Promise<readonly Check[]> {
  return attempt("Gemini", async () => {
    const { keys: all = [] } = await keys();
    const whose = ({ project }: Key) => (all.length > 1 ? ` ${project}` : "");
    const each = await Promise.all(all.map((key) => checkKey(key, whose(key), model)));
    return each.flat();
  });
}

/** `whose`: behind the names of its checks. */
async function checkKey(
  { gemini }: Key,
  whose: string,
  model: ModelName,
): Promise<readonly Check[]> {
  const name = `Gemini${whose}`;
  const answers = await attempt(name, async () => {
    await gemini.countTokens(model, ["How many legs has a spider?"]);
    return [ok(name, `the key works, and ${model} answers`)];
  });
  if (answers.some(({ status }) => status === "failure")) return answers;
  const takes = await attempt("batches", async () => [
    checkBatches(model, await gemini.listModels()),
  ]);
  return [...answers, ...takes.map((check) => ({ ...check, name: `${check.name}${whose}` }))];
}

function checkBatches(model: string, offered: readonly OfferedModel[]): Check {
  const takes = offered.find(({ name }) => name === model)?.takesBatches;
  if (takes === true) return ok("batches", `${model} takes batches`);
  const others = offered.filter(({ takesBatches }) => takesBatches === true);
  const names = others.map(({ name }) => name).filter(isModelName);
  const mend =
    names.length === 0
      ? "Try another key: none of the models that vecfill knows takes batches with this one."
      : `Choose another --model: ${names.join(" or ")}.`;
  if (takes === false) return failure("batches", `${model} takes no batches with this key`, mend);
  return warning("batches", `whether ${model} takes batches, Gemini's list does not say`, mend);
}

async function checkDatabase(
  services: DoctorServices,
  { target, jobsDir }: DoctorOptions,
  manifest: ManifestView | undefined,
): Promise<readonly Check[]> {
  const connection = await attempt("connection", async () =>
    checkAddress(services.storeAccess(), services.addressed),
  );
  if (connection.some(({ status }) => status === "failure")) return connection;
  const dropped = manifest?.droppedIndexes() ?? [];
  const throughApi = services.storeAccess().kind === "supabase";
  const table = await attempt("database", async () => {
    const examination = await services.examine(target);
    const reached = ok("database", `${examination.label} answers`);
    return [
      reached,
      ...checkExamination(target, examination, { throughApi, now: services.clock.now(), dropped }),
    ];
  });
  if (table.some(({ status }) => status === "failure")) return [...connection, ...table];
  const rows = await attempt("rows", () => checkRows(services, target, jobsDir));
  const trial =
    manifest === undefined
      ? []
      : await attempt("trial write", () => checkTrial(services, target, manifest));
  return [...connection, ...table, ...rows, ...trial];
}

/** A few rows are offered a vector, which is taken back. */
async function checkTrial(
  { store }: DoctorServices,
  target: Target,
  manifest: ManifestView,
): Promise<readonly Check[]> {
  const { rows, warnings } = await tryTable(await store(target), target, manifest);
  const found =
    rows === 0
      ? "not tried: no row waits for a vector"
      : `${tableName(target)} took a vector, and it was taken back`;
  const others = warnings.map(({ message, hint }) => warning("trial write", message, hint));
  return others.length > 0 && rows === 0 ? others : [ok("trial write", found), ...others];
}

async function checkRows(
  { store }: DoctorServices,
  target: Target,
  jobsDir: string,
): Promise<readonly Check[]> {
  const { total, pending } = await (await store(target)).count();
  const message = `${figure(pending)} of ${figure(total)} in ${tableName(target)} have no vector`;
  const rows =
    total === 0
      ? warning("rows", `${tableName(target)} is empty`, "Check --schema and --table.")
      : ok("rows", message);
  return [rows, await checkDisk(jobsDir, pending, target.dimensions)];
}
