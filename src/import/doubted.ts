import { readLines } from "../disk/jsonl.ts";
import { ResultsDoubted, UserError } from "../errors.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import { type Job, linesOf } from "../manifest/job.ts";
import { parseJson } from "../row/json-value.ts";
import { isJsonObject, type JsonObject } from "../row/json-value.ts";
import { counted } from "../words/figures.ts";
import type { ScanSummary } from "./scan.ts";

/** Says what the results file holds, which was not believed. */
export async function doubted(
  files: JobFiles,
  job: Job,
  summary: ScanSummary,
): Promise<ResultsDoubted> {
  const what = summary.answered === 0 ? await strange(files, summary) : tooFew(job, summary);
  const error = new UserError(
    `${what} It is not taken for the job's results, and is kept as ${files.doubtful}.`,
    {
      hint: `Nothing is lost, and nothing is paid for again: Gemini keeps results for six weeks. Run this again later; where it stays so, look at that file: a proxy or a sign-in page may answer in Gemini's place. To pay for its rows again all the same: \`vecfill cancel ${job.id} --give-up\`.`,
      exit: "unfinished",
    },
  );
  return new ResultsDoubted(job.id, error);
}

function tooFew(job: Job, { answered, unreadable }: ScanSummary): string {
  const found = `${answered} of ${counted(linesOf(job), "request")}`;
  const more = unreadable === 0 ? "" : `, and ${counted(unreadable, "line")} cannot be read`;
  return `The file that came in place of its results has lines for ${found}, fewer than the batch counts${more}.`;
}

async function strange({ doubtful }: JobFiles, { lines }: ScanSummary): Promise<string> {
  if (lines === 0) return "The file that came in place of its results is empty.";
  const held = await membersOfFirst(doubtful);
  return `None of the ${counted(lines, "line")} that came in place of its results names a row of it; the first ${held}.`;
}

/** Names, never values: these may be anybody's. */
async function membersOfFirst(path: string): Promise<string> {
  for await (const lines of readLines(path)) {
    const line = lines.find(({ byteLength }) => byteLength > 0);
    if (line === undefined) continue;
    const value = line.bytes === undefined ? undefined : parseJson(line.bytes);
    return isJsonObject(value) ? `has ${namesIn(value)}` : "is no JSON object";
  }
  return "is empty";
}

const MAX_CHARS = 200;

function namesIn(value: JsonObject): string {
  const names = Object.entries(value).flatMap(([name, inner]) =>
    isJsonObject(inner) ? Object.keys(inner).map((each) => `${name}.${each}`) : [name],
  );
  if (names.length === 0) return "no members";
  return `the members ${names
    .join(", ")
    .replaceAll(/[^\w., -]/g, "?")
    .slice(0, MAX_CHARS)}`;
}
