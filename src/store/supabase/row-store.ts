/**
 * The store through the API alone, without SQL functions of ours: a select for a page, a PATCH for
 * a row. A PATCH knows no fingerprint; so a row is read once more just before it is written, with the
 * version that Postgres gives to each change of a row (`xmin`), and the PATCH asks for that version: a
 * row that was changed in between is read again. A view has no versions; there, a text that is short
 * enough to stand in an address is asked for instead, and a change of a longer one between the two
 * requests, a second at the most in good conditions, goes unseen.
 */
import { untried } from "./untried.ts";
import type { IdType } from "../../row/target-description.ts";
import { createHash } from "node:crypto";
import { z } from "zod";
import { UserError } from "../../errors.ts";
import {
  type EmbeddedQuestion,
  fingerprintOf,
  isFingerprintOf,
  MAX_TEXT_CHARS,
  type PendingQuestion,
  type RowOutcome,
} from "../../row/question.ts";
import { parseRecipe } from "../../row/recipe.ts";
import { tableName, type Target } from "../../row/target.ts";
import { checkColumn, checkTarget } from "../../row/target-check.ts";
import { vectorText } from "./function-store.ts";
import { roundToHalf } from "./half.ts";
import { type ApiDescription, describeByOpenApi } from "./open-api.ts";
import {
  type Holding,
  type Look,
  type LookOptions,
  type PendingPage,
  type Store,
  TEXT_HASH_DIGITS,
  VECTOR_HASH_DIGITS,
  type VectorFlaw,
} from "../port.ts";
import { RestError } from "./rest-failure.ts";
import {
  CAN_BE_ID,
  MAX_APPLY_ROUNDS,
  nothingIsWritten,
  once,
  type Placed,
  rowCalls,
  type RowWork,
  LENGTH_TOLERANCE,
} from "../rows.ts";
import type { Api, Filter } from "./supabase.ts";

/** The server gives no more at once, whatever is asked for. */
const MAX_PAGE_ROWS = 1_000;
/** Rows in flight at once; the API has about ten connections for everybody. */
const MAX_PATCHES = 8;
const CHUNK_ROWS = 100;
/** Ids in one address. Servers take 8 kB at the least, and ours come back in a header. */
const MAX_IDS_BYTES = 4_000;
/** A text in an address, encoded; for rows without versions. */
const MAX_TEXT_BYTES = 2_000;

/** Rejects with RestErrors and UserErrors. */
export function createRowStore(api: Api, target: Target): Store {
  const describe = async (): Promise<ApiDescription> =>
    describeByOpenApi(target, await api.openApi(target.schema), api.label);
  const opened = (check: typeof checkTarget) => async () => {
    const described = await describe();
    checkKeyColumn(target, described);
    check(target, described.description);
    const found = await narrowed(tableOf(api, target, described), described);
    return { ...found, versions: await firstLook(found) };
  };
  const table = once(opened(checkTarget));
  const looked = once(opened(checkColumn));
  return {
    indexes: undefined,
    describe: async () => (await describe()).description,
    readPending: async (page) => readPending(await table(), page),
    ...rowCalls(target, async () => rowWork(await table())),
    // the API takes nothing back
    tryWrite: async () => untried("its SQL functions are not installed"),
    count: async () => count(await table()),
    look: async (asked) => lookAtPage(await looked(), asked),
    close: async () => {},
  };
}

/** Everything a request needs to know. Column names are quoted as PostgREST wants them. */
type Table = Readonly<{
  api: Api;
  target: Target;
  address: Readonly<{ schema: string; table: string }>;
  id: string;
  text: string;
  embedding: string;
  canBeId: (id: string) => boolean;
  /** The id as the database prints it. */
  printed: (id: string) => string;
  half: boolean;
  /** The text can be compared in a filter as it is. */
  comparable: boolean;
  /** Rows tell their version: those of a view do not. */
  versions: boolean;
}>;

const VERSION = "xmin";

function tableOf(
  api: Api,
  target: Target,
  { description, typeOf }: ApiDescription,
): Omit<Table, "versions"> {
  const [part, ...others] = parseRecipe(target.text);
  if (part === undefined || !("column" in part) || others.length > 0) {
    throw needsFunctions("a text made of several columns", target);
  }
  const { idType, embedding } = description;
  if (idType === undefined) throw new Error("checkTarget let an unknown key type through");
  return {
    api,
    target,
    address: { schema: target.schema, table: target.table },
    id: column(target, target.id),
    text: column(target, part.column),
    embedding: column(target, target.embedding),
    canBeId: (id) => CAN_BE_ID[idType](id) && fitsInteger(idType, typeOf(target.id), id),
    printed: PRINTED[idType],
    half: embedding.typeName === "halfvec",
    comparable: /^(text|character varying)/.test(typeOf(part.column)),
  };
}

const INTEGER_BITS: Readonly<Partial<Record<string, number>>> = {
  smallint: 16,
  integer: 32,
  // a smallint as well: `firstLook` tells
  int32: 32,
};
const SMALLINT_BITS = 16;

/** In a filter, an integer that the column cannot hold is an error. */
function fitsInteger(idType: IdType, typeName: string, id: string): boolean {
  const bits = INTEGER_BITS[typeName];
  return (
    idType !== "integer" || bits === undefined || BigInt.asIntN(bits, BigInt(id)) === BigInt(id)
  );
}

/** One API name may stand for two types: the smaller refuses a number that it cannot hold. */
async function narrowed(
  table: Omit<Table, "versions">,
  { typeOf }: ApiDescription,
): Promise<Omit<Table, "versions">> {
  const { api, address, id, target } = table;
  if (typeOf(target.id) !== "int32") return table;
  const beyond: Filter = [id, "eq", String(2 ** (SMALLINT_BITS - 1))];
  try {
    await api.select({ ...address, columns: id, filters: [beyond], order: undefined, limit: 1 });
    return table;
  } catch (error) {
    if (!(error instanceof RestError) || error.code !== "22003") throw error;
    const fits = (each: string) => BigInt.asIntN(SMALLINT_BITS, BigInt(each)) === BigInt(each);
    return { ...table, canBeId: (each) => table.canBeId(each) && fits(each) };
  }
}

const PRINTED: Readonly<Record<IdType, (id: string) => string>> = {
  integer: (id) => String(BigInt(id)),
  uuid: (id) => id.toLowerCase(),
  text: (id) => id,
};

function needsFunctions(what: string, target: Target): UserError {
  return new UserError(`Without its SQL functions, vecfill cannot use ${what}.`, {
    hint: `Run \`vecfill init\` for ${tableName(target)} and apply its migration, or set DATABASE_URL.`,
  });
}

/** Of unique indexes other than the primary key's the API says nothing. */
function checkKeyColumn(target: Target, { description }: ApiDescription): void {
  if (description.idType === undefined || description.idUnique) return;
  throw new UserError(
    `The key column ${tableName(target)}.${target.id} is not unique on its own, as far as the API tells: it is not the primary key.`,
    {
      hint: "Give another --id; or, if it has a unique index, run `vecfill init` and apply its migration.",
    },
  );
}

/** What PostgREST takes for no column where it stands alone in an address. */
const PARAMETERS = ["select", "columns", "order", "limit", "offset", "on_conflict", "and", "or"];

function column(target: Target, name: string): string {
  if (/^[a-z_][a-z0-9_]*$/i.test(name) && !PARAMETERS.includes(name)) return name;
  if (/["\\]/.test(name)) throw needsFunctions(`the column name ${name}`, target);
  return `"${name}"`;
}

/** Whether rows tell their version. An empty table and one whose rows are all hidden look the same. */
async function firstLook(table: Omit<Table, "versions">): Promise<boolean> {
  const [versions, rows] = await oneRow(table, VERSION).then(
    (found) => [true, found],
    async (error: unknown) => {
      if (!isWithoutVersion(error)) throw error;
      return [false, await oneRow(table, table.id)];
    },
  );
  if (Array.isArray(rows) && rows.length > 0) return versions === true;
  const { target } = table;
  throw new UserError(
    `The key sees no row in ${tableName(target)}: the table is empty, or row level security hides every row from it. Without the SQL functions the two look the same.`,
    {
      hint: "If it is not empty, set SUPABASE_SECRET_KEY to the project's secret key. `vecfill init` makes the functions that tell them apart.",
    },
  );
}

function oneRow({ api, address }: Omit<Table, "versions">, columns: string): Promise<unknown> {
  return api.select({ ...address, columns, filters: [], order: undefined, limit: 1 });
}

function isWithoutVersion(error: unknown): boolean {
  return error instanceof RestError && error.code === "42703" && error.message.includes(VERSION);
}

const PENDING = z.array(z.object({ vecfill_id: z.string(), vecfill_text: z.string().nullable() }));

/** An empty page is the end; a short one may be the server's limit. */
async function readPending(
  { api, address, id, text, embedding }: Table,
  { after, limit }: PendingPage,
): Promise<PendingQuestion[]> {
  const found: PendingQuestion[] = [];
  while (found.length < limit) {
    const cursor = found.at(-1)?.id ?? after;
    const rows = PENDING.parse(
      await api.select({
        ...address,
        // as text: JavaScript's numbers end at 2^53
        columns: `vecfill_id:${id}::text,vecfill_text:${text}::text`,
        filters: [
          [embedding, "is", "null"],
          cursor === undefined ? [id, "not.is", "null"] : [id, "gt", cursor],
        ],
        order: id,
        limit: Math.min(limit - found.length, MAX_PAGE_ROWS),
      }),
    );
    if (rows.length === 0) break;
    found.push(
      ...rows.map((row) => {
        const its = row.vecfill_text ?? "";
        return { id: row.vecfill_id, text: cut(its), fingerprint: fingerprintOf(its) };
      }),
    );
  }
  return found;
}

/** As the database's `left` cuts it. Half of a pair of surrogates is no character. */
function cut(text: string): string {
  if (text.length <= MAX_TEXT_CHARS) return text;
  return Array.from(text)
    .slice(0, MAX_TEXT_CHARS + 1)
    .join("");
}

async function count({
  api,
  address,
  id,
  embedding,
}: Table): Promise<Readonly<{ total: number; pending: number }>> {
  const query = { ...address, columns: id };
  const total = await api.count({ ...query, filters: [] });
  const pending = await api.count({ ...query, filters: [[embedding, "is", "null"]] });
  return { total, pending };
}

/** The version is asked for where it decides. */
const ROWS = z.array(
  z.object({
    vecfill_id: z.string(),
    vecfill_text: z.string().nullable(),
    vecfill_vector: z.string().nullable(),
    vecfill_version: z.string().optional(),
  }),
);

/** What a row holds now. */
type Current = Readonly<{ text: string; vector: string | null; version: string | undefined }>;

function rowWork(table: Table): RowWork {
  const { api, address, id, target, versions } = table;
  return {
    canBeId: table.canBeId,
    apply: (rows, say) =>
      untilSettled(table, rows, async (placed, current) => {
        const outcome = await applyRow(table, placed.row, current);
        if (outcome !== "open") say(placed, outcome);
        return outcome !== "open";
      }),
    async compare(rows, say) {
      for (const chunk of chunksOf(rows)) {
        const now = await readCurrent(table, chunk);
        for (const placed of chunk) {
          const { row } = placed;
          say(placed, holdingOf(table, now.get(table.printed(row.id)), row));
        }
      }
    },
    async clear(rows, say) {
      if (!versions) throw needsFunctions("a view to take vectors back", target);
      await untilSettled(table, rows, async (placed, current) => {
        if (current?.vector == null || !holds(table, current.vector, placed.row)) return true;
        const filters: Filter[] = [idFilter(id, [placed.row.id]), ...unchanged(table, current)];
        const changed = await api.update({ ...address, filters }, { [target.embedding]: null });
        if (changed === 1) say(placed, "cleared");
        return changed === 1;
      });
    },
  };
}

/** Offers rows to `work` as they are now, and again those that it does not settle. */
async function untilSettled(
  table: Table,
  rows: readonly Placed[],
  work: (row: Placed, current: Current | undefined) => Promise<boolean>,
): Promise<void> {
  const versions = new Map<number, string | undefined>();
  let open = rows;
  for (let round = 1; open.length > 0; round += 1) {
    const again: Placed[] = [];
    let changed = false;
    for (const chunk of chunksOf(open)) {
      await eachCurrent(table, chunk, async (placedRow, current) => {
        if (await work(placedRow, current)) return;
        again.push(placedRow);
        changed ||= current?.version !== versions.get(placedRow.place);
        versions.set(placedRow.place, current?.version);
      });
    }
    if (again.length > 0 && round === MAX_APPLY_ROUNDS) {
      throw changed ? contended(again.length) : nothingIsWritten(table.target, again);
    }
    open = again;
  }
}

/** As the database calls it when others are in the way: it passes. */
function contended(rows: number): RestError {
  const message = `${rows} rows changed again and again while they were written`;
  return new RestError({ code: "40001", message, status: 0 });
}

async function applyRow(
  table: Table,
  row: EmbeddedQuestion,
  current: Current | undefined,
): Promise<RowOutcome | "open"> {
  if (current === undefined) return "gone";
  if (current.vector !== null) return holds(table, current.vector, row) ? "written" : "filled";
  if (!isFingerprintOf(row.fingerprint, current.text)) return "stale";
  const { api, address, id, embedding } = table;
  const changed = await api.update(
    {
      ...address,
      filters: [idFilter(id, [row.id]), [embedding, "is", "null"], ...unchanged(table, current)],
    },
    { [table.target.embedding]: vectorText(row.vector) },
  );
  return changed === 1 ? "written" : "open";
}

/** That the row is as it was read; without versions the text itself, where it fits into an address. */
function unchanged({ comparable, text }: Table, current: Current): Filter[] {
  if (current.version !== undefined) return [[VERSION, "eq", current.version]];
  const fits = current.text !== "" && encodeURIComponent(current.text).length <= MAX_TEXT_BYTES;
  return comparable && fits ? [[text, "eq", current.text]] : [];
}

/** A vector's text is about ten bytes a number. */
const LOOK_ROWS = 200;

type Looked = z.infer<typeof ROWS>[number] & Readonly<{ vecfill_vector: string }>;

/** A page, looked at here: the API computes nothing. An empty one is the end. */
async function lookAtPage(table: Table, { after, wanted, picks }: LookOptions): Promise<Look> {
  const { api, address, id, text, embedding } = table;
  const rows = ROWS.parse(
    await api.select({
      ...address,
      columns: `vecfill_id:${id}::text,vecfill_text:${text}::text,vecfill_vector:${embedding}::text`,
      filters: [after === undefined ? [id, "not.is", "null"] : [id, "gt", after]],
      order: id,
      limit: LOOK_ROWS,
    }),
  );
  const filled = rows.filter((row): row is Looked => row.vecfill_vector !== null);
  const hashes = filled.map((row) => md5Digits(row.vecfill_vector, VECTOR_HASH_DIGITS));
  return {
    rows: rows.length,
    withEmbedding: filled.length,
    flawed: filled.flatMap((row) => flawsOf(row, table)),
    hashes: filled
      .map((row, at) => `${hashes[at]}${md5Digits(row.vecfill_text ?? "", TEXT_HASH_DIGITS)}`)
      .join(""),
    found: filled.flatMap((row, at) => {
      const hash = hashes[at] ?? "";
      if (!wanted.includes(hash)) return [];
      const words = (row.vecfill_text ?? "").replaceAll(/\s+/g, " ").trim();
      return [{ id: row.vecfill_id, hash, words }];
    }),
    picked: filled
      .filter((_, at) => picks.includes(at))
      .map((row) => ({
        id: row.vecfill_id,
        text: row.vecfill_text ?? "",
        vector: numbersOf(row.vecfill_vector),
      })),
    until: rows.at(-1)?.vecfill_id,
  };
}

function md5Digits(text: string, digits: number): string {
  return createHash("md5").update(text).digest("hex").slice(0, digits);
}

function flawsOf({ vecfill_id, vecfill_vector }: Looked, { target, half }: Table): Look["flawed"] {
  const values = numbersOf(vecfill_vector);
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  const of = (flaw: VectorFlaw, detail: number) => [
    { id: vecfill_id, flaw, detail: String(detail) },
  ];
  if (values.length !== target.dimensions) return of("dimensions", values.length);
  if (!Number.isFinite(length)) return of("notFinite", length);
  const tolerance = LENGTH_TOLERANCE[half ? "halfvec" : "vector"];
  return Math.abs(length - 1) > tolerance ? of("length", length) : [];
}

/** Of pgvector's text; what is no number in JSON is none here. */
function numbersOf(text: string): number[] {
  return text.slice(1, -1).split(",").map(Number);
}

function holdingOf(table: Table, current: Current | undefined, row: EmbeddedQuestion): Holding {
  if (current === undefined) return "gone";
  if (current.vector === null) {
    return isFingerprintOf(row.fingerprint, current.text) ? "empty" : "changed";
  }
  return holds(table, current.vector, row) ? "same" : "other";
}

/** The same vector, as the column rounds it. */
function holds({ half }: Table, text: string, { vector }: EmbeddedQuestion): boolean {
  const values: unknown = JSON.parse(text);
  if (!Array.isArray(values) || values.length !== vector.length) return false;
  return vector.every((value, index) => {
    const stored = Number(values[index]);
    // the text of a halfvec has just the digits that tell halves apart
    return half ? roundToHalf(stored) === roundToHalf(value) : Math.fround(stored) === value;
  });
}

function chunksOf(rows: readonly Placed[]): Placed[][] {
  const chunks: Placed[][] = [];
  let bytes = Infinity;
  for (const placedRow of rows) {
    const added = encodeURIComponent(quotedValue(placedRow.row.id)).length + 1;
    const last = chunks.at(-1);
    if (last === undefined || last.length >= CHUNK_ROWS || bytes + added > MAX_IDS_BYTES) {
      chunks.push([placedRow]);
      bytes = added;
    } else {
      last.push(placedRow);
      bytes += added;
    }
  }
  return chunks;
}

/**
 * The chunk's rows as they are now, by id. A server may cut an answer without a word, so a row is
 * gone only when a reading of nothing but missing rows gives none of them.
 */
async function readCurrent(
  { api, address, id, text, embedding, printed, versions }: Table,
  chunk: readonly Placed[],
): Promise<Map<string, Current>> {
  const version = versions ? `,vecfill_version:${VERSION}::text` : "";
  const now = new Map<string, Current>();
  for (let missing = chunk; missing.length > 0;) {
    const rows = ROWS.parse(
      await api.select({
        ...address,
        columns: `vecfill_id:${id}::text,vecfill_text:${text}::text,vecfill_vector:${embedding}::text${version}`,
        filters: [
          idFilter(
            id,
            missing.map(({ row }) => row.id),
          ),
        ],
        order: undefined,
        limit: missing.length,
      }),
    );
    for (const row of rows) {
      now.set(row.vecfill_id, {
        text: row.vecfill_text ?? "",
        vector: row.vecfill_vector,
        version: row.vecfill_version,
      });
    }
    const before = missing.length;
    missing = missing.filter(({ row }) => !now.has(printed(row.id)));
    if (missing.length === before) break;
  }
  return now;
}

/** Reads a chunk's rows as they are now, and works on each, several at once. */
async function eachCurrent(
  table: Table,
  chunk: readonly Placed[],
  work: (row: Placed, current: Current | undefined) => Promise<void>,
): Promise<void> {
  const { printed } = table;
  const now = await readCurrent(table, chunk);
  const left = [...chunk];
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      try {
        await work(next, now.get(printed(next.row.id)));
      } catch (error) {
        left.length = 0; // nobody takes more
        throw error;
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: MAX_PATCHES }, worker));
  for (const end of ended) if (end.status === "rejected") throw end.reason;
}

/**
 * The rows with these ids. PostgREST takes a list of nothing but the empty text for an empty list, so
 * an id alone is asked for by itself, where nothing in it needs quotes.
 */
export function idFilter(idColumn: string, ids: readonly string[]): Filter {
  const [only, ...others] = ids;
  if (only !== undefined && others.length === 0) return [idColumn, "eq", only];
  return [idColumn, "in", `(${ids.map(quotedValue).join(",")})`];
}

/** A value in a list. */
function quotedValue(value: string): string {
  return `"${value.replace(/["\\]/g, "\\$&")}"`;
}
