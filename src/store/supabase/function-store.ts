/** The store through the SQL functions of `supabase-functions.ts`. */
import { untried } from "./untried.ts";
import { z } from "zod";
import { UserError } from "../../errors.ts";
import type { PendingQuestion } from "../../row/question.ts";
import { tableName, type Target } from "../../row/target.ts";
import type { IdType } from "../../row/target-description.ts";
import { checkColumn, checkTarget } from "../../row/target-check.ts";
import { type Catalogue, catalogueOf } from "../catalogue.ts";
import { ChunkSize } from "./chunk-size.ts";
import { parseLook, requireWritable } from "../port.ts";
import type { Look, LookOptions, PendingPage, Store, WriteTrial } from "../port.ts";
import { isTooMuch } from "./rest-failure.ts";
import {
  CAN_BE_ID,
  HOLDING,
  once,
  OUTCOME,
  type Placed,
  rowCalls,
  type RowWork,
  LENGTH_TOLERANCE,
} from "../rows.ts";
import { RowChunks } from "./row-chunks.ts";
import type { TableShape } from "../sql.ts";
import type { Api } from "./supabase.ts";
import {
  functionFaults,
  type FunctionName,
  functionName,
  FUNCTIONS_VERSION,
} from "../supabase-functions.ts";
import { trialOf } from "../trial.ts";

/** What the functions say of the table and of themselves. */
export type Described = Readonly<{
  catalogue: Catalogue;
  shape: TableShape;
  /** What is wrong with the functions themselves, in words. */
  faults: readonly string[];
}>;

const SHAPE = z.object({
  idType: z.enum(["integer", "uuid", "text"]),
  vectorSchema: z.string(),
  embeddingType: z.enum(["vector", "halfvec"]),
});
const VERSIONED = z.object({ version: z.number() });
const DESCRIBED = z.object({
  shape: SHAPE,
  functions: z.record(
    z.string(),
    z.object({ body: z.string(), plain: z.boolean(), mayExecute: z.boolean() }),
  ),
  facts: z.unknown(),
});
const PAGE = z.object({
  rows: z.array(z.object({ id: z.string(), text: z.string(), fingerprint: z.string() })),
  until: z.string().nullable(),
});
const COUNTS = z.object({ total: z.number(), pending: z.number(), until: z.string().nullable() });
type Counts = Readonly<z.infer<typeof COUNTS>>;
const PLACES = z.array(z.number());

/** Rows that one call looks at. An index of ids takes it through about a million in a second. */
const WINDOW = { start: 20_000, max: 1_000_000, targetMs: 1_500 };

/** The same where vectors are read: some kilobytes each. */
const LOOK_WINDOW = { start: 2_000, max: 50_000, targetMs: 1_500 };

/** Throws a UserError where the functions are too old, or row level security hides rows from the key. */
export async function describeByFunction(api: Api, target: Target): Promise<Described> {
  const described = await readDescribed(api, target);
  if ("version" in described) throw otherVersion(target, described.version);
  if (described.faults.length > 0) throw faulty(target, described.faults);
  const { role, rowSecurity } = described.catalogue.session;
  if (rowSecurity) throw hidden(target, role);
  return described;
}

/** The same without judging it; of functions of another version their version only. */
export async function readDescribed(
  api: Api,
  target: Target,
): Promise<Described | Readonly<{ version: number }>> {
  const told = await call(api, target, "describe", {});
  const { version } = VERSIONED.parse(told);
  if (version !== FUNCTIONS_VERSION) return { version };
  const { shape, functions, facts } = DESCRIBED.parse(told);
  const faults = functionFaults(target, shape, functions);
  return { shape, faults, catalogue: catalogueOf(target, facts, api.label) };
}

/** The functions name types, so that they fit the columns they were made for only. */
export function fitsColumns({ shape, catalogue }: Described): boolean {
  const { description, extension } = catalogue;
  return (
    description.idType === shape.idType &&
    extension?.schema === shape.vectorSchema &&
    description.embedding.typeName === shape.embeddingType
  );
}

/** Rejects with RestErrors and UserErrors. */
export function createFunctionStore(api: Api, target: Target): Store {
  const checking = (check: typeof checkTarget) =>
    once(async () => {
      const described = await describeByFunction(api, target);
      check(target, described.catalogue.description);
      return checkShape(target, described);
    });
  const shape = checking(checkTarget);
  const window = new ChunkSize(WINDOW);
  const column = checking(checkColumn);
  const lookWindow = new ChunkSize(LOOK_WINDOW);
  const chunks = new RowChunks(target.dimensions);
  return {
    indexes: undefined,
    describe: async () => (await describeByFunction(api, target)).catalogue.description,
    async readPending(page) {
      await shape();
      return readPending(api, target, window, page);
    },
    async count() {
      await describeByFunction(api, target);
      return count(api, target, window);
    },
    ...rowCalls(target, async () => rowWork(api, target, (await shape()).idType, chunks)),
    async tryWrite(except) {
      await shape();
      const { session } = (await describeByFunction(api, target)).catalogue;
      requireWritable(target, session);
      return tryWrite(api, target, except);
    },
    look: async (asked) =>
      lookOnce(api, target, { shape: await column(), window: lookWindow }, asked),
    close: async () => {},
  };
}

function call(
  api: Api,
  target: Target,
  name: FunctionName,
  parameters: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  return api.call(target.schema, functionName(target, name), parameters);
}

function checkShape(target: Target, described: Described): TableShape {
  if (fitsColumns(described)) return described.shape;
  throw new UserError(
    `The columns of ${tableName(target)} have other types than when its SQL functions were made.`,
    { hint: "Run `vecfill init` and apply the new migration." },
  );
}

function otherVersion(target: Target, version: number): UserError {
  return new UserError(
    `The SQL functions for ${tableName(target)} are of version ${version}; this vecfill needs ${FUNCTIONS_VERSION}.`,
    {
      hint:
        version < FUNCTIONS_VERSION
          ? "Run `vecfill init` and apply the new migration."
          : "Use the version of vecfill that made them, or a newer one.",
    },
  );
}

function faulty(target: Target, faults: readonly string[]): UserError {
  return new UserError(
    `The SQL functions for ${tableName(target)} are not as vecfill made them: ${faults.join("; ")}.`,
    {
      hint: "Apply the newest migration of `vecfill init` once more; it may be run again at any time.",
    },
  );
}

function hidden(target: Target, role: string): UserError {
  return new UserError(
    `Row level security applies to the role ${role} on ${tableName(target)}: rows that it hides would look as if they were not there.`,
    {
      hint: "Set SUPABASE_SECRET_KEY to the project's secret key; its role, service_role, is not subject to row level security.",
    },
  );
}

/** Window by window, until there are enough rows or no more. */
async function readPending(
  api: Api,
  target: Target,
  window: ChunkSize,
  { after, limit }: PendingPage,
): Promise<PendingQuestion[]> {
  const found: PendingQuestion[] = [];
  for (let cursor = after ?? null; ;) {
    const max_rows = limit - found.length;
    const { rows, until } = await inWindow(window, async (scan_rows) =>
      PAGE.parse(await call(api, target, "read", { after: cursor, max_rows, scan_rows })),
    );
    found.push(...rows);
    if (until === null || found.length >= limit) return found;
    cursor = until;
  }
}

async function count(
  api: Api,
  target: Target,
  window: ChunkSize,
): Promise<Readonly<{ total: number; pending: number }>> {
  let [total, pending] = [0, 0];
  const look = async (after: string | null, scan_rows: number): Promise<Counts> =>
    COUNTS.parse(await call(api, target, "count", { after, scan_rows }));
  for (let cursor: string | null = null; ;) {
    const after: string | null = cursor;
    const counts: Counts = await inWindow(window, (rows) => look(after, rows));
    total += counts.total;
    pending += counts.pending;
    if (counts.until === null) return { total, pending };
    cursor = counts.until;
  }
}

/** With a smaller window, down to a single row, where the server stops the statement. */
async function inWindow<T>(window: ChunkSize, look: (rows: number) => Promise<T>): Promise<T> {
  for (;;) {
    const { rows } = window;
    const started = performance.now();
    try {
      const result = await look(rows);
      window.took(rows, performance.now() - started);
      return result;
    } catch (error) {
      if (!isTooMuch(error) || rows === 1) throw error;
      window.tooMuch(rows);
    }
  }
}

function rowWork(api: Api, target: Target, idType: IdType, chunks: RowChunks): RowWork {
  const ask = (name: FunctionName, chunk: readonly Placed[]) =>
    call(api, target, name, { rows: chunk.map(given) });
  const askWords = <Word extends string>(
    name: FunctionName,
    rows: readonly Placed[],
    word: z.ZodType<Word>,
    say: (row: Placed, word: Word) => void,
  ): Promise<void> =>
    chunks.each(rows, async (chunk) => {
      const words = z
        .array(word)
        .length(chunk.length)
        .parse(await ask(name, chunk));
      for (const [index, row] of chunk.entries()) {
        const told = words[index];
        if (told !== undefined) say(row, told);
      }
    });
  return {
    canBeId: CAN_BE_ID[idType],
    apply: (rows, say) => askWords("apply", rows, OUTCOME, say),
    compare: (rows, say) => askWords("compare", rows, HOLDING, say),
    clear: (rows, say) =>
      chunks.each(rows, async (chunk) => {
        for (const place of PLACES.parse(await ask("clear", chunk))) {
          const row = chunk[place - 1];
          if (row === undefined) throw new Error("the function cleared a row that was not asked");
          say(row, "cleared");
        }
      }),
  };
}

async function tryWrite(api: Api, target: Target, except: readonly string[]): Promise<WriteTrial> {
  const { dimensions } = target;
  try {
    const told = await call(api, target, "try_write", { dimensions, except_ids: except });
    return trialOf(told, { label: api.label, target });
  } catch (error) {
    if (isTooMuch(error))
      return untried("no row that waits was found in the time that the API gives");
    throw error;
  }
}

function lookOnce(
  api: Api,
  target: Target,
  { shape, window }: Readonly<{ shape: TableShape; window: ChunkSize }>,
  { after, wanted, picks }: LookOptions,
): Promise<Look> {
  const { dimensions } = target;
  const tolerance = LENGTH_TOLERANCE[shape.embeddingType];
  return inWindow(window, async (scan_rows) =>
    parseLook(
      await call(api, target, "look", {
        after: after ?? null,
        scan_rows,
        dimensions,
        tolerance,
        wanted,
        picks,
      }),
    ),
  );
}

/** As a string inside the JSON: as numbers it takes the server three times as long. */
function given({ row }: Placed): Readonly<Record<"id" | "fingerprint" | "vector", string>> {
  return { id: row.id, fingerprint: row.fingerprint, vector: vectorText(row.vector) };
}

/** So many digits give every float32 again. */
const FLOAT32_DIGITS = 9;

/** pgvector's text form. */
export function vectorText(vector: Float32Array): string {
  const parts = Array.from(vector, (value) => value.toPrecision(FLOAT32_DIGITS));
  return `[${parts.join(",")}]`;
}
