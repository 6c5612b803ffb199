/**
 * A few rows that wait are offered a vector in the statement of the import, each in a subtransaction that
 * always raises: nothing of it stays, though triggers fire. The same body runs by itself and as a function.
 */
import { z } from "zod";
import type { Target } from "../row/target.ts";
import { explainFailure, type FailureContext } from "./failure.ts";
import { TableRefusal, type WriteTrial } from "./port.ts";
import { nothingIsWritten } from "./rows.ts";
import {
  applySql,
  compareSql,
  dollarQuoted,
  quoteIdentifier,
  quoteLiteral,
  type TableShape,
  trialRowsSql,
  withoutKeySql,
} from "./sql.ts";
import { undoneWrite } from "./undone-write.ts";

/** What a row whose vector was not refused is taken back with; the message says what it held then. */
const TAKEN_BACK = "VFTRY";

type Trial = Readonly<{
  dimensions: string;
  /** A text array: ids of rows that are passed over. */
  except: string;
  where: string | undefined;
  /** The statement that gives the jsonb that `trialOf` reads. */
  tell: (told: string) => string;
}>;

/** In PL/pgSQL. It ends with the first row that takes its vector. */
export function trialBody(
  target: Target,
  shape: TableShape,
  { dimensions, except, where, tell }: Trial,
): string {
  return `
#variable_conflict use_column
declare
  vecfill_vector constant text := (${vectorSql(shape, dimensions)});
  vecfill_row record;
  vecfill_offer jsonb;
  vecfill_holding text;
  vecfill_code text;
  vecfill_message text;
  vecfill_constraint text;
  vecfill_where text;
  vecfill_hint text;
  vecfill_raised jsonb := '[]';
begin
  perform pg_catalog.set_config('lock_timeout', '2s', true);
  for vecfill_row in ${trialRowsSql(target, { except, where })}
  loop
    vecfill_offer := jsonb_build_array(jsonb_build_object('id', vecfill_row.id,
      'fingerprint', vecfill_row.fingerprint, 'vector', vecfill_vector));
    begin
      set constraints all immediate;${applySql(target, shape, "vecfill_offer")} into vecfill_holding;
      select c.holding into vecfill_holding from (${compareSql(target, shape, "vecfill_offer")}
      ) as c;
      raise exception using errcode = '${TAKEN_BACK}', message = vecfill_holding;
    exception when others then
      get stacked diagnostics vecfill_code = returned_sqlstate, vecfill_message = message_text,
        vecfill_constraint = constraint_name, vecfill_where = pg_exception_context,
        vecfill_hint = pg_exception_hint;
    end;
    vecfill_raised := vecfill_raised || jsonb_build_object('id', vecfill_row.id, 'code', vecfill_code,
      'message', vecfill_message, 'constraint', vecfill_constraint, 'where', vecfill_where, 'hint', vecfill_hint);
    exit when vecfill_code = '${TAKEN_BACK}' and vecfill_message = 'same';
  end loop;
  ${tell(`jsonb_build_object('raised', vecfill_raised, 'withoutKey', (${withoutKeySql(target)}))`)}
end`;
}

/** Of unit length. Its numbers follow no pattern: one that compresses would fit into an index that takes no other. */
function vectorSql({ vectorSchema }: TableShape, dimensions: string): string {
  return `
    select array_agg((v.value / v.length)::real order by v.place)::${quoteIdentifier(vectorSchema)}.vector::text
    from (
      select n as place, sin(n * n::float8) as value, sqrt(sum(power(sin(n * n::float8), 2)) over ()) as length
      from generate_series(1, ${dimensions}) as n
    ) as v`;
}

/** To be sent as one. Its last statement gives a row with what `trialOf` reads, as `trial`. */
export function trialScript(
  target: Target,
  shape: TableShape,
  { except, where }: Readonly<{ except: readonly string[]; where: string | undefined }>,
): string {
  const body = trialBody(target, shape, {
    dimensions: String(target.dimensions),
    except: `array[${except.map(quoteLiteral).join(", ")}]::text[]`,
    where,
    tell: (told) => `perform pg_catalog.set_config('vecfill.trial', (${told})::text, true);`,
  });
  return `do ${dollarQuoted(body)};\nselect pg_catalog.current_setting('vecfill.trial') as trial`;
}

type Raised = Readonly<Partial<Record<string, string>>>;
const TOLD = z.object({
  raised: z.array(z.record(z.string(), z.string())),
  withoutKey: z.number(),
});

/** Throws where it is nothing of a row's own. */
export function trialOf(told: unknown, context: FailureContext): WriteTrial {
  const { raised, withoutKey } = TOLD.parse(told);
  const refusals = raised.map((each) => refusalOf(each, context));
  const refusal = refusals.includes(undefined) ? undefined : refusals[0];
  return { tried: raised.length, refusal, withoutKey, untried: undefined };
}

function refusalOf(
  { id = "", message = "", constraint, ...words }: Raised,
  context: FailureContext,
): TableRefusal | undefined {
  if (words["code"] === TAKEN_BACK) {
    if (message === "same") return undefined;
    if (message === "empty") return nothingIsWritten(context.target, [{ row: { id } }]);
    return undoneWrite(context.target, "values", id);
  }
  const named = constraint === "" ? {} : { constraint };
  const error = Object.assign(new Error(message), words, named, { severity: "ERROR" });
  const refusal = explainFailure(error, { ...context, writes: true });
  if (refusal instanceof TableRefusal && refusal.isOfARow) return refusal;
  throw refusal;
}
