/**
 * Makes jobs of the batches of other folders for this table, such as of one that is lost: each is one line of the
 * journal, so that a crash leaves those that are made, and the next try makes the rest. Nothing is sent. From then
 * on they are looked at and imported like any other; what fails of them waits for a person, since the other
 * folder may send it again itself.
 */
import type { Batch } from "../gemini/port.ts";
import { correctionBy } from "../cost/correction.ts";
import { parseBatchName } from "../jobs-folder/batch-names.ts";
import type { Job } from "../manifest/job.ts";
import type { Target } from "../row/target.ts";
import { estimateTokens } from "../row/tokens.ts";
import type { Store } from "../store/port.ts";
import { otherBatches, type OtherServices } from "./others.ts";
import { senderOf, type StageServices } from "../jobs-folder/stage-services.ts";

/** Oldest first; none that was made for another task, whose vectors do not go with these. */
export async function recoverable(services: OtherServices, mark: string): Promise<Batch[]> {
  const { underWay, ended } = await otherBatches(services, mark);
  return [...underWay, ...ended]
    .filter(({ displayName }) => parseBatchName(displayName)?.target === mark)
    .toSorted((a, b) => madeMs(a) - madeMs(b));
}

function madeMs({ createdAt }: Batch): number {
  return Date.parse(createdAt ?? "") || 0;
}

type RecoverServices = StageServices & Readonly<{ store: Store }>;

/** Records each as a job. */
export async function recoverBatches(
  services: RecoverServices,
  batches: readonly Batch[],
  target: Target,
): Promise<readonly Job[]> {
  const { manifest, store, clock, signal } = services;
  const tokensARow = await meanTokens(services, target);
  const jobs: Job[] = [];
  for (const { name: batch, displayName, counts, createdAt } of batches) {
    if (signal.aborted) break;
    // where the service does not say, it cannot be more than all that wait
    const requests = counts?.requests || (await store.count()).pending;
    const tokens = Math.round(requests * tokensARow);
    const told = new Date(createdAt ?? "");
    const made = Number.isNaN(told.getTime()) ? clock.now() : told;
    const job = await manifest.reserveJobId();
    const its = { job, target, batch, displayName, requests, tokens, ...senderOf(services) };
    jobs.push(await manifest.recordRecovered({ ...its, createdAt: made.toISOString() }));
  }
  return jobs;
}

const SAMPLE_ROWS = 1_000;
/** Where no row waits that would tell. */
const TOKENS_A_ROW = 100;

/** Of the rows that wait: nobody here has seen the texts. */
async function meanTokens({ store, manifest }: RecoverServices, target: Target): Promise<number> {
  const rows = await store.readPending({ after: undefined, limit: SAMPLE_ROWS });
  if (rows.length === 0) return TOKENS_A_ROW;
  const { ratio } = correctionBy(manifest.billed(target), manifest.counted(target));
  const tokens = rows.reduce((sum, { text }) => sum + estimateTokens(text), 0);
  return (tokens * ratio) / rows.length;
}
