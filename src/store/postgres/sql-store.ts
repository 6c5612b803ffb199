/** The store over any database that takes SQL: what is asked, in which order, and what it means. */
import { UserError } from "../../errors.ts";
import type { PendingQuestion } from "../../row/question.ts";
import type { Report } from "../../progress.ts";
import { tableName, type Target } from "../../row/target.ts";
import { checkColumn, checkTarget } from "../../row/target-check.ts";
import { type Catalogue, readCatalogue, type VectorExtension } from "../catalogue.ts";
import {
  type BinaryParameter,
  cell,
  type Database,
  type Parameter,
  type Row,
} from "../database.ts";
import { explainFailure, type FailureContext, isMissing } from "../failure.ts";
import { parseLook, requireWritable } from "../port.ts";
import type { Hold, Look, LookOptions, PendingPage, Store } from "../port.ts";
import {
  CAN_BE_ID,
  HOLDING,
  once,
  OUTCOME,
  type Placed,
  rowCalls,
  type RowWork,
  shapeOf,
  LENGTH_TOLERANCE,
} from "../rows.ts";
import {
  anyRowSql,
  applySql,
  checkConditionSql,
  classifySql,
  clearSql,
  compareSql,
  countSql,
  type GivenAs,
  ID_TYPES,
  lookSql,
  readPendingSql,
  type TableShape,
} from "../sql.ts";
import { trialOf, trialScript } from "../trial.ts";
import { changedTexts } from "./changed-texts.ts";
import { writeHeld } from "./held-write.ts";
import { nearestRows } from "./nearest-rows.ts";
import { oldestPending } from "./oldest-pending.ts";
import { sqlIndexes } from "./sql-indexes.ts";
import { encodeVectorArray } from "./vector-array.ts";

export type SqlStoreOptions = Readonly<{
  /** A further SQL condition, for reading and counting only. */
  where: string | undefined;
  /** Told once when row level security may hide rows. */
  report?: Report;
}>;

type Statement = Pick<FailureContext, "where" | "writes">;

/** Its `close` closes the database, for other stores on it too. Its errors for people are UserErrors; it retries nothing. */
export function createSqlStore(
  database: Database,
  target: Target,
  options: SqlStoreOptions,
): Store {
  const explained = <T>(work: () => Promise<T>, statement: Statement = {}): Promise<T> =>
    explainRefusal(database, { target, ...statement }, work);
  const catalogue = catalogueOnce(database, target);
  const seen = once(async () => requireVisible(database, target, options, await catalogue.last()));
  const layout = once(async () => layoutOf(target, await seen()));
  const column = once(async () => columnShapeOf(target, await seen()));
  const ofRows = (hold?: Hold) =>
    rowCalls(target, async () => rowWork(database, target, await layout(), hold));
  const { where } = options;
  const condition = once(async () => {
    if (where !== undefined) await database.query(checkConditionSql(target, where), [""]);
    return where;
  });
  return {
    indexes: sqlIndexes(database, target),
    nearest: (asked) =>
      explained(async () =>
        nearestRows(database, target, searchedShapeOf(target, await seen()), asked),
      ),
    oldestPending: (name) =>
      explained(async () => {
        await seen();
        return oldestPending(database, target, name);
      }),
    changedTexts: () =>
      explained(async () => {
        await seen();
        return changedTexts(database, target);
      }),
    describe: () => explained(async () => (await catalogue.next()).description),
    readPending: (page) =>
      explained(
        async () => {
          const { shape } = await layout();
          return readPending(database, target, shape, page, await condition());
        },
        { where },
      ),
    apply: (rows, hold) => explained(() => ofRows(hold).apply(rows), { writes: true }),
    tryWrite: (except) =>
      explained(
        async () => {
          requireWritable(target, (await seen()).session);
          const { shape } = await layout();
          const sql = trialScript(target, shape, { except, where: await condition() });
          const [row] = await database.script(sql);
          if (row === undefined) throw new Error("a trial gave no row");
          return trialOf(JSON.parse(cell(row, "trial")), { label: database.label, target });
        },
        { where },
      ),
    count: () =>
      explained(
        async () => {
          await seen();
          return count(database, target, await condition());
        },
        { where },
      ),
    look: (asked) => explained(async () => lookAtRows(database, target, await column(), asked)),
    compare: (rows) => explained(() => ofRows().compare(rows)),
    clear: (rows, hold) => explained(() => ofRows(hold).clear(rows)),
    close: () => database.close(),
  };
}

/** `last` is the one that was read just before, once: by `describe`, which comes first. */
function catalogueOnce(database: Database, target: Target) {
  let read: Catalogue | undefined;
  const next = async () => (read = await readCatalogue(database, target));
  const last = async () => {
    const catalogue = read ?? (await next());
    read = undefined;
    return catalogue;
  };
  return { next, last };
}

/** What every statement needs to know; read once, on first use. */
type Layout = Readonly<{
  shape: TableShape;
  extension: VectorExtension;
  /** Memory in which vectors were encoded that are written: made anew each time, it costs as much again. */
  spareRooms: Buffer[];
}>;

/** Rows that row level security hides from the role must never look like nothing to do. */
async function requireVisible(
  database: Database,
  target: Target,
  { report }: SqlStoreOptions,
  catalogue: Catalogue,
): Promise<Catalogue> {
  const { role, rowSecurity } = catalogue.session;
  if (!rowSecurity) return catalogue;
  const message = `Row level security applies to the role ${role} on ${tableName(target)}: rows that it hides look as if they were not there.`;
  const hint = `Use the table's owner, or a role that it does not apply to: alter role ${role} bypassrls;`;
  const rows = await database.query(anyRowSql(target));
  if (rows.length === 0) {
    throw new UserError(`${message} The table is empty, or all of its rows are hidden.`, { hint });
  }
  report?.({ type: "warning", message, hint });
  return catalogue;
}

function layoutOf(target: Target, { description, extension }: Catalogue): Layout {
  checkTarget(target, description);
  if (extension === undefined) throw new Error("checkTarget let a table through without pgvector");
  return { shape: shapeOf(description, extension.schema), extension, spareRooms: [] };
}

/** A search needs no key: of a partitioned table it is one of all its partitions. */
function searchedShapeOf(target: Target, { description, extension }: Catalogue): TableShape {
  checkTarget(target, { ...description, idUnique: true });
  return shapeOf(description, extension?.schema);
}

/** Of a column that need not fit the target. */
function columnShapeOf(target: Target, { description, extension }: Catalogue): TableShape {
  checkColumn(target, description);
  return shapeOf(description, extension?.schema);
}

async function readPending(
  database: Database,
  target: Target,
  shape: TableShape,
  page: PendingPage,
  where: string | undefined,
): Promise<PendingQuestion[]> {
  const { after, limit } = page;
  const sql = readPendingSql(target, shape, { where, afterId: after !== undefined });
  const rows = await database.query(sql, after === undefined ? [limit] : [limit, after]);
  if (!rows.every(isPending)) throw new Error("the query gave a row without its cells");
  return rows;
}

/** The row itself, and no copy of it: a table has millions. */
function isPending(row: Row): row is PendingQuestion & Row {
  const { id, text, fingerprint } = row;
  return typeof id === "string" && typeof text === "string" && typeof fingerprint === "string";
}

async function count(
  database: Database,
  target: Target,
  where: string | undefined,
): Promise<Readonly<{ total: number; pending: number }>> {
  const [row] = await database.query(countSql(target, where));
  if (row === undefined) throw new Error("count(*) gave no row");
  return { total: Number(cell(row, "total")), pending: Number(cell(row, "pending")) };
}

function rowWork(
  database: Database,
  target: Target,
  layout: Layout,
  hold: Hold | undefined,
): RowWork {
  const { shape, extension } = layout;
  const clearing = (as: GivenAs) => clearSql(target, shape, as);
  return {
    canBeId: CAN_BE_ID[shape.idType],
    async apply(rows, say) {
      const written = await writeChunk(database, target, layout, { rows, hold });
      const writtenRows = new Set(written.map((answer) => placeOf(rows, answer)));
      for (const row of writtenRows) say(row, "written");
      const others = rows.filter((row) => !writtenRows.has(row));
      if (others.length === 0) return;
      const sql = classifySql(target, shape);
      for (const answer of await database.query(sql, parameters(others, extension))) {
        say(placeOf(others, answer), OUTCOME.parse(cell(answer, "outcome")));
      }
    },
    async compare(rows, say) {
      const sql = compareSql(target, shape);
      for (const answer of await database.query(sql, parameters(rows, extension))) {
        say(placeOf(rows, answer), HOLDING.parse(cell(answer, "holding")));
      }
    },
    async clear(rows, say) {
      const given = parameters(rows, extension);
      for (const answer of await writeHeld(database, clearing, given, hold)) {
        say(placeOf(rows, answer), "cleared");
      }
    },
  };
}

async function writeChunk(
  database: Database,
  target: Target,
  { shape, extension, spareRooms }: Layout,
  { rows, hold }: Readonly<{ rows: readonly Placed[]; hold: Hold | undefined }>,
): Promise<Row[]> {
  const vectors = vectorsOf(rows, extension, spareRooms.pop());
  const given = [...keysOf(rows), vectors];
  const sql = (as: GivenAs) => applySql(target, shape, as);
  const written = await writeHeld(database, sql, given, hold);
  // not where the statement failed: the driver may not have sent it yet
  spareRooms.push(Buffer.from(vectors.bytes.buffer));
  return written;
}

/** Rows that one statement looks at: with vectors of 3072 numbers about 120 MB are read for them. */
const LOOK_ROWS = 10_000;

async function lookAtRows(
  database: Database,
  target: Target,
  shape: TableShape,
  { after, wanted, picks }: LookOptions,
): Promise<Look> {
  const condition = after === undefined ? "IS NOT NULL" : `> $6::${ID_TYPES[shape.idType]}`;
  const sql = lookSql(target, shape, condition, {
    limit: "$1",
    dimensions: "$2::int",
    tolerance: "$3::float8",
    wanted: "$4::jsonb",
    picks: "$5::jsonb",
  });
  const tolerance = LENGTH_TOLERANCE[shape.embeddingType];
  const shared = [
    LOOK_ROWS,
    target.dimensions,
    tolerance,
    JSON.stringify(wanted),
    JSON.stringify(picks),
  ];
  const rows = await database.query(
    `SELECT (${sql})::text AS look`,
    after === undefined ? shared : [...shared, after],
  );
  const [row] = rows;
  if (row === undefined) throw new Error("a look gave no row");
  return parseLook(JSON.parse(cell(row, "look")));
}

function parameters(rows: readonly Placed[], extension: VectorExtension): Parameter[] {
  return [...keysOf(rows), vectorsOf(rows, extension)];
}

function keysOf(rows: readonly Placed[]): Parameter[] {
  return [rows.map(({ row }) => row.id), rows.map(({ row }) => row.fingerprint)];
}

function vectorsOf(
  rows: readonly Placed[],
  { vectorArrayOid, vectorOid }: VectorExtension,
  room?: Buffer,
): BinaryParameter {
  const vectors = rows.map(({ row }) => row.vector);
  return { typeOid: vectorArrayOid, bytes: encodeVectorArray(vectors, vectorOid, room) };
}

/** The database counts places from 1. */
function placeOf(rows: readonly Placed[], answer: Row): Placed {
  const row = rows[Number(cell(answer, "place")) - 1];
  if (row === undefined) throw new Error("the database answered for a row that was not asked");
  return row;
}

async function explainRefusal<T>(
  database: Database,
  context: Omit<FailureContext, "label">,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { target } = context;
    const cause = isMissing(error) ? await whatIsMissing(database, target, error) : error;
    throw explainFailure(cause, { label: database.label, ...context });
  }
}

/** The catalogue knows the names that a missing table or column might have been meant for. */
async function whatIsMissing(database: Database, target: Target, error: unknown): Promise<unknown> {
  try {
    await readCatalogue(database, target);
    return error;
  } catch (better) {
    return better;
  }
}
