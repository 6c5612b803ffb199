/** What an examination of the table means for filling it. */
import { MS_PER_SECOND } from "../../clock.ts";
import type { TargetDescription } from "../../row/target-description.ts";
import { UserError } from "../../errors.ts";
import { MODELS } from "../../row/models.ts";
import type { DroppedIndex } from "../../manifest/dropped-index.ts";
import { droppedIndexName } from "../../words/dropped-index-text.ts";
import { duration } from "../../words/figures.ts";
import { tooWideText, widthText } from "../../words/width-text.ts";
import { type Examination, requireWritable, type Session } from "../../store/port.ts";
import { PERHAPS_UNSEEN } from "../../row/schema-cache.ts";
import { tableName, type Target } from "../../row/target.ts";
import { operatorOf, servesSearch, vectorType } from "../../row/width.ts";
import { checkTarget, noTable } from "../../row/target-check.ts";
import {
  ANN_METHODS,
  ROWS_A_SECOND_UNDER_INDEX,
  TIMES_SLOWER_UNDER_INDEX,
} from "../../row/write-cost.ts";
import { type Check, failure, ok, warning } from "./check.ts";

const SKEW_MAX_MS = 60_000;
/** A statement of ours may take so long with an ANN index on a large table. */
const SHORT_TIMEOUT_MS = 60_000;
/** halfvec came with this version. */
const PGVECTOR_MIN = [0, 7];

export type Circumstances = Readonly<{
  throughApi: boolean;
  now: Date;
  /** Indexes that vecfill dropped and that are not recorded as standing again. */
  dropped?: readonly DroppedIndex[];
}>;

export function checkExamination(
  target: Target,
  { description, session, functions }: Examination,
  { throughApi, now, dropped = [] }: Circumstances,
): Check[] {
  const columns = checkColumns(target, description);
  const ours = throughApi ? [checkFunctions(target, functions)] : [];
  // the API alone does not tell the rest
  if (session === undefined) return [columns, ...ours];
  return [
    ...checkVersions(description),
    columns,
    ...checkWidth(target, description),
    ...ours,
    ...checkSession(target, session, { throughApi, now }),
    ...checkIndexes(target, description, dropped),
    ...checkTriggers(target, description),
  ];
}

function checkVersions({ serverVersion, pgvectorVersion }: TargetDescription): Check[] {
  const server = ok("server", `Postgres ${serverVersion}`);
  // checkTarget says it where it is missing
  if (pgvectorVersion === undefined) return [server];
  const [major = 0, minor = 0] = pgvectorVersion.split(".").map(Number);
  const old = major === PGVECTOR_MIN[0] && minor < (PGVECTOR_MIN[1] ?? 0);
  return [
    server,
    old
      ? warning(
          "pgvector",
          `version ${pgvectorVersion} has no halfvec`,
          "Run: alter extension vector update;",
        )
      : ok("pgvector", `version ${pgvectorVersion}`),
  ];
}

function checkColumns(target: Target, description: TargetDescription): Check {
  const unfit = refusal("columns", () => checkTarget(target, description));
  if (unfit !== undefined) return unfit;
  const { embedding, idTypeName, insteadOfTable } = description;
  if (insteadOfTable === "view") {
    return warning(
      "columns",
      `${tableName(target)} is a view, whose rows have no versions: a text that changes while its vector is written may keep that of the old text, and vectors cannot be taken back`,
      noTable(target, description).hint,
    );
  }
  const width = embedding.dimensions === undefined ? "of any width" : `of ${embedding.dimensions}`;
  const fits = `${MODELS[target.model].name} gives ${target.dimensions}`;
  return ok(
    "columns",
    `${tableName(target)}: key ${target.id} (${idTypeName}), text from ${target.text}, ${target.embedding} (${embedding.typeName} ${width}; ${fits})`,
  );
}

function checkWidth(target: Target, { embedding }: TargetDescription): Check[] {
  const type = vectorType(embedding.typeName);
  if (type === undefined) return [];
  const tooWide = tooWideText(target, type);
  if (tooWide !== undefined) return [warning("width", tooWide.message, tooWide.hint)];
  return [ok("width", widthText(target, type))];
}

function checkFunctions(target: Target, functions: Examination["functions"]): Check {
  switch (functions.state) {
    case "current":
      return ok("SQL functions", "installed, each as this version makes it");
    case "unfit":
      return failure(
        "SQL functions",
        `installed, but cannot be used: ${functions.why}`,
        "Run `vecfill init` and apply its newest migration; it may be run again at any time.",
      );
    case "missing":
      return warning(
        "SQL functions",
        `not installed for ${tableName(target)}: vecfill goes row by row, several times as slow, and versions, permissions, indexes and triggers cannot be checked`,
        `Run \`vecfill init\` and apply its migration. ${PERHAPS_UNSEEN}`,
      );
  }
}

function checkSession(
  target: Target,
  session: Session,
  { throughApi, now }: Readonly<{ throughApi: boolean; now: Date }>,
): Check[] {
  const { role, rowSecurity, statementTimeoutMs, databaseTime } = session;
  const skewMs = Math.abs(databaseTime.getTime() - now.getTime());
  return [
    checkPermissions(target, session),
    checkRowSecurity(rowSecurity, role, throughApi),
    checkTimeout(statementTimeoutMs, role, throughApi),
    skewMs > SKEW_MAX_MS
      ? warning(
          "clock",
          `this machine and the database differ by ${duration(skewMs / MS_PER_SECOND)}`,
          "Set the clock: keys expire by it, and the times in the jobs folder are wrong.",
        )
      : ok("clock", "agrees with the database's"),
  ];
}

function checkPermissions(target: Target, session: Session): Check {
  return (
    refusal("permissions", () => requireWritable(target, session)) ??
    ok(
      "permissions",
      `role ${session.role} may read ${tableName(target)} and write ${target.embedding}`,
    )
  );
}

function refusal(name: string, check: () => void): Check | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return failure(name, error.message, error.hint);
    throw error;
  }
}

/** Through the API vecfill refuses it; a database's own role may have a policy that hides nothing. */
function checkRowSecurity(applies: boolean, role: string, throughApi: boolean): Check {
  const name = "row level security";
  if (!applies) return ok(name, `does not apply to role ${role}`);
  const message = `it applies to role ${role}: rows that it hides look as if they were not there`;
  return throughApi
    ? failure(name, message, "Set SUPABASE_SECRET_KEY to the project's secret key.")
    : warning(
        name,
        message,
        `Use the table's owner, or see to it that a policy shows and lets update every row: alter role ${role} bypassrls; does.`,
      );
}

function checkTimeout(timeoutMs: number, role: string, throughApi: boolean): Check {
  const time = duration(timeoutMs / MS_PER_SECOND);
  if (timeoutMs === 0) return ok("statement timeout", "none");
  if (throughApi) return ok("statement timeout", `${time}; what goes into a call follows it`);
  if (timeoutMs >= SHORT_TIMEOUT_MS) return ok("statement timeout", time);
  return warning(
    "statement timeout",
    `${time}: short for a count of a large table or for writing under an index`,
    `Raise it: alter role ${role} set statement_timeout = '5min';`,
  );
}

function checkIndexes(
  target: Target,
  { embeddingIndexes }: TargetDescription,
  dropped: readonly DroppedIndex[],
): Check[] {
  const standing = embeddingIndexes.filter(({ valid }) => valid).map(({ name }) => name);
  const missing = dropped
    .filter((each) => tableName(each.target) === tableName(target))
    .filter(({ index }) => !standing.includes(index.name));
  const checks = [
    ...missing.map((each) => warning("indexes", `${droppedIndexName(each)}, is missing`, BUILD_IT)),
    ...embeddingIndexes.map((index) => checkIndex(target, index)),
  ];
  return checks.length > 0 ? checks : [ok("indexes", `none on ${target.embedding}`)];
}

const BUILD_IT = "Run `vecfill import --rebuild-index`.";

function checkIndex(
  target: Target,
  { name, method, definition, valid }: TargetDescription["embeddingIndexes"][number],
): Check {
  const which = `${name} (${method}) on ${target.embedding}`;
  if (!valid) {
    return warning(
      "indexes",
      `${which} is not valid: a build of it failed or is under way, and no query uses it`,
      "Where pg_stat_progress_create_index shows no build of it, drop it: it slows writing down all the same.",
    );
  }
  if (ANN_METHODS.includes(method) && !servesSearch(definition)) {
    return warning(
      "indexes",
      `${which} is for ${operatorOf(definition)}: no search for the nearest of unit vectors, by <=>, <#> or <->, uses it`,
      `Drop it, and build one that serves: create index concurrently on ${tableName(target)} using ${method} (${target.embedding} vector_cosine_ops); (halfvec_cosine_ops for a halfvec).`,
    );
  }
  const byHand = `drop index ${target.schema}.${sqlName(name)}; first and create it again afterwards.`;
  if (!ANN_METHODS.includes(method)) {
    return warning("indexes", `${which} makes writing slower`, `For a large fill, ${byHand}`);
  }
  const { least, most } = ROWS_A_SECOND_UNDER_INDEX;
  return warning(
    "indexes",
    `${which} serves queries by ${operatorOf(definition)}, and makes writing about ${TIMES_SLOWER_UNDER_INDEX} times slower: ${least} to ${most} rows a second`,
    `For a large fill, give --rebuild-index to import or run, with the database's own address; or ${byHand}`,
  );
}

/** Quoted where it has to be. */
function sqlName(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function checkTriggers(target: Target, { updateTriggers }: TargetDescription): Check[] {
  if (updateTriggers.length === 0)
    return [ok("triggers", `none fires when ${target.embedding} is written`)];
  return updateTriggers.map(({ name }) =>
    warning(
      "triggers",
      `${name} fires for every row that is written`,
      `If it need not: alter table ${tableName(target)} disable trigger ${name}; while the column is filled.`,
    ),
  );
}
