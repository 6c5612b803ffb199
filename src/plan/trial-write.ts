/**
 * The table is asked whether it takes a vector before anything is sent for its rows: a few of them are
 * offered one, and it is taken back. What a row has against it by itself costs that row at its import;
 * where all are refused it is the table, and a person has to do something before money is spent.
 */
import { refusedIds } from "../jobs-folder/failed-file.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import type { Store } from "../store/port.ts";
import { tableName, type Target } from "../row/target.ts";
import { checkTarget } from "../row/target-check.ts";
import { counted } from "../words/figures.ts";

type Warning = Readonly<{ message: string; hint: string }>;

/** `rows` were offered a vector. Throws a UserError where none can be written, whatever the row. */
export async function tryTable(
  store: Store,
  target: Target,
  manifest: ManifestView,
): Promise<Readonly<{ rows: number; warnings: readonly Warning[] }>> {
  const description = await store.describe();
  checkTarget(target, description);
  const except = await refusedIds(manifest, target);
  const { tried, refusal, withoutKey, untried } = await store.tryWrite(except);
  if (refusal !== undefined) throw refusal;
  const warnings = untried === undefined ? [] : [notTried(target, untried)];
  if (withoutKey > 0) warnings.push(keyless(target, withoutKey));
  warnings.push(...(description.printedTexts ?? []).map(printed));
  return { rows: tried, warnings };
}

export function notTried(target: Target, why: string): Warning {
  return {
    message: `Whether ${tableName(target)} takes a vector was not tried: ${why}.`,
    hint: "`vecfill doctor` tells what can be known of the table and the way to it.",
  };
}

function keyless(target: Target, rows: number): Warning {
  const { id } = target;
  return {
    message: `${counted(rows, "row")} of ${tableName(target)} ${rows === 1 ? "has" : "have"} no key (${id} is NULL) and cannot be filled.`,
    hint: `Give them keys, then: alter table ${tableName(target)} alter column ${id} set not null;`,
  };
}

function printed(column: string): Warning {
  return {
    message: `The text column ${column} is embedded as the database prints it, with its brackets and quotes.`,
    hint: "If that is not meant, give --text another column, or make one of plain text from it.",
  };
}
