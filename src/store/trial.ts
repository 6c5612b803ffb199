import { z } from "zod";
import type { Target } from "../row/target.ts";
import { explainFailure, type FailureContext } from "./failure.ts";
import { TableRefusal, type WriteTrial } from "./port.ts";
import { nothingIsWritten } from "./rows.ts";
import { dollarQuoted, quoteLiteral, TAKEN_BACK, type TableShape, trialBody } from "./sql.ts";
import { undoneWrite } from "./undone-write.ts";

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
