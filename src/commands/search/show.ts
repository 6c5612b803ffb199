import type { CommandContext, CommandResult } from "../../cli/command.ts";
import { usageError } from "../../errors.ts";
import { SEARCH_OPTIONS } from "../../cli/search-options.ts";
import { fit } from "../../output/fit.ts";
import { otherSpace } from "../../gates/vector-space.ts";
import { queriesOf } from "../../search/vectors-now.ts";
import { type Flags, flagValues, targetOf } from "../../settings/config.ts";
import { queryVectorFromSettings, searchFromSettings } from "../../composition/stages.ts";
import type { NearRow } from "../../store/port.ts";
import { tableName } from "../../row/target.ts";

export async function showSearch(
  context: CommandContext,
  words: readonly string[],
  flags: Flags,
): Promise<CommandResult> {
  const target = targetOf(context.settings);
  const { top, printVector } = flagValues(SEARCH_OPTIONS, flags);
  const query = words.join(" ");
  if (!printVector) await refusePattern(context);
  const { model, dimensions, taskType } = queriesOf(target);
  const asked = { query, model, dimensions, taskType };
  const manifest = await context.services.view();
  // nothing fails then; the neighbours are just wrong
  const other = otherSpace(manifest.jobs(), target);
  if (other !== undefined)
    context.report({ type: "warning", message: other.message, hint: other.hint });
  if (printVector) {
    const vector = [...(await queryVectorFromSettings(context, query))];
    return { json: { ...asked, vector, rows: [] }, text: JSON.stringify(vector) };
  }
  const rows = await searchFromSettings(context, query, top);
  const none = `No row of ${tableName(target)} has a vector in ${target.embedding}.`;
  return {
    json: { ...asked, rows },
    text: rows.length === 0 ? none : rowsText(rows, context.width),
  };
}

/** A table may have such a name itself. */
async function refusePattern({ settings: { table }, services }: CommandContext): Promise<void> {
  const leaves = table.includes("*") ? (await services.leaves()).flat() : [];
  if (leaves.every((each) => each.table === table)) return;
  throw usageError(
    "`vecfill search` takes no pattern of tables.",
    "Name one table with --table; a partitioned one is asked as a whole.",
  );
}

const COLUMNS = 100;
const SIMILARITY_DIGITS = 4;

const HEAD = "similarity";

/** A line a row: its similarity, its id, the start of its text. */
function rowsText(rows: readonly NearRow[], columns = COLUMNS): string {
  const width = Math.max(...rows.map(({ id }) => id.length), "id".length);
  const lines = rows.map(({ id, similarity, text }) => {
    const near = similarity.toFixed(SIMILARITY_DIGITS).padEnd(HEAD.length);
    return fit(`${near}  ${id.padStart(width)}  ${text.replaceAll(/\s+/g, " ")}`, columns);
  });
  return [`${HEAD}  ${"id".padStart(width)}  text`, ...lines].join("\n");
}
