/**
 * Batches for this table that this folder knows nothing of: of another folder that is in use, or of one that is
 * lost. What must hold: nothing is exported or sent while such a batch may still fill rows that wait here, unless
 * a person said so. It may where it is under way, or where its results name a row that waits with that very text:
 * then they are paid for. A batch tells its table by its name; one whose name does not is nobody's.
 */
import { explain } from "../words/explain.ts";
import { splitLines } from "../disk/jsonl.ts";
import {
  type Batch,
  type Gemini,
  GeminiError,
  hasBatchEnded,
  isDeadBatch,
  isOutage,
} from "../gemini/port.ts";
import { RESULTS_KEPT_MS } from "../jobs-folder/batch-age.ts";
import { ANY_PREFIX, batchesOf, isSameColumn, parseBatchName } from "../jobs-folder/batch-names.ts";
import { holdingsOf } from "../jobs-folder/holdings.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { parseResultLine } from "../row/result-line/result-line.ts";
import { parseKey, type QuestionKey } from "../row/question.ts";
import { columnName, tableName, type Target } from "../row/target.ts";
import type { Store } from "../store/port.ts";
import { counted } from "../words/figures.ts";
import { readList } from "./adopt.ts";

export type OtherServices = Readonly<{
  gemini: Gemini;
  manifest: Pick<ManifestView, "id" | "jobs">;
  now: Date;
  signal: AbortSignal;
}>;

/** Newest first; of those that have ended, the ones whose results Gemini has. */
export type OtherBatches = Readonly<{ underWay: readonly Batch[]; ended: readonly Batch[] }>;

/** `mark`: of the target's column, see `targetMark`. Reads the whole list. */
export async function otherBatches(
  { gemini, manifest, now, signal }: OtherServices,
  mark: string,
): Promise<OtherBatches> {
  const known = batchesOf(manifest.jobs());
  const others = (await readList(gemini, ANY_PREFIX, signal)).filter(({ name, displayName }) => {
    const its = parseBatchName(displayName);
    if (its?.target === undefined || its.manifest === manifest.id || known.has(name)) return false;
    return isSameColumn(its.target, mark);
  });
  return {
    underWay: others.filter((batch) => !isOver(batch)),
    ended: others.filter((batch) => isOver(batch) && mayHaveResults(batch, now)),
  };
}

function isOver({ state }: Batch): boolean {
  return hasBatchEnded(state) || state === "ended";
}

function mayHaveResults({ state, resultsFile, endedAt, createdAt }: Batch, now: Date): boolean {
  if (resultsFile === undefined && (isDeadBatch(state) || !hasBatchEnded(state))) return false;
  // one that does not say when it ended may have done so just now
  return !(now.getTime() - Date.parse(endedAt ?? createdAt ?? "") > RESULTS_KEPT_MS);
}

/** What is to be said of them. `isInTheWay`: nothing is to be sent beside them unasked. */
export type Beside = Readonly<{ message: string; hint: string; isInTheWay: boolean }>;

/** Undefined where there are none. Results are read only where that decides whether they are in the way. */
export async function lookBeside(
  services: OtherServices & Readonly<{ store: Store }>,
  { target, mark, isAgreed }: Readonly<{ target: Target; mark: string; isAgreed: boolean }>,
): Promise<Beside | undefined> {
  const { underWay, ended } = await otherBatches(services, mark);
  const column = columnName(target);
  if (underWay.length > 0) {
    return {
      message: `At Gemini ${counted(underWay.length, "batch")} for ${column} ${underWay.length === 1 ? "is" : "are"} under way that this jobs folder has not sent, such as ${underWay[0]?.displayName}. What they fill would be paid for twice.`,
      hint: "If the folder that has sent them is lost, `vecfill recover` takes them over. If it is in use, let it finish first, or send beside it all the same with --beside.",
      isInTheWay: true,
    };
  }
  const awaited = isAgreed ? undefined : await firstAwaited(services, ended, target);
  if (awaited !== undefined) {
    return {
      message: `The results of ${awaited.displayName}, which this jobs folder has not sent, name rows of ${tableName(target)} that wait for a vector: they are paid for, and Gemini still has them.`,
      hint: "`vecfill recover` fetches them at no cost. If another folder is about to, let it; or pay for them again with --beside.",
      isInTheWay: true,
    };
  }
  if (ended.length === 0) return undefined;
  return {
    message: `Gemini has the results of ${counted(ended.length, "batch")} for ${column} that another jobs folder has sent.`,
    hint: "`vecfill recover --dry-run` lists them.",
    isInTheWay: false,
  };
}

/** The newest are imported last, and so are missing first. A line is ten kilobytes. */
const MAX_RESULTS_READ = 50;
const LINES_READ = 100;

async function firstAwaited(
  services: OtherServices & Readonly<{ store: Store }>,
  ended: readonly Batch[],
  target: Target,
): Promise<Batch | undefined> {
  for (const batch of ended.slice(0, MAX_RESULTS_READ)) {
    const rows = await firstRows(services, batch);
    if ((await holdingsOf(services.store, rows, target)).includes("empty")) return batch;
  }
  return undefined;
}

/** None where the results are gone. */
async function firstRows(
  { gemini, signal }: OtherServices,
  { name, resultsFile }: Batch,
): Promise<QuestionKey[]> {
  const rows = new Map<string, QuestionKey>();
  let lines = 0;
  try {
    const file = resultsFile ?? (await gemini.getBatch(name, signal))?.resultsFile;
    for await (const some of file ? splitLines(gemini.openResults(file, { signal })) : []) {
      for (const { bytes } of some) {
        const line = bytes && parseResultLine(bytes);
        // a row that failed there was not paid for
        const key = line?.kind === "vector" ? parseKey(line.key) : undefined;
        if (key !== undefined) rows.set(key.id, key);
      }
      lines += some.length;
      if (lines >= LINES_READ) break;
    }
  } catch (error) {
    if (!(error instanceof GeminiError)) throw error;
    if (isOutage(error)) throw explain(error, `reading the results of ${name}`);
  }
  return [...rows.values()];
}
