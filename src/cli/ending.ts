/** The end of a long command, in one block: what was written, what failed and why, how long it took, what it cost. */
import type { Cost } from "../cost/cost.ts";
import { MS_PER_SECOND } from "../clock.ts";
import { readFailures } from "../words/failures.ts";
import type { Sums } from "../row/sums.ts";
import { failureLines, failuresJson, mendLines } from "../words/failures-text.ts";
import { count, dollars, duration, pace } from "../words/figures.ts";
import { sumsText } from "../words/sums-text.ts";
import type { CommandContext } from "./command.ts";

export type Ended = Sums &
  Readonly<{ copies: number; failedFiles: readonly string[]; cost?: Cost }>;

/** `startedMs` by the clock that only grows. `hasRetryable`: some of the failed rows may succeed as they are. */
export async function endingOf(
  { services, clock }: Pick<CommandContext, "services" | "clock">,
  ended: Ended,
  startedMs: number,
) {
  const manifest = await services.manifest();
  const { failedFiles, written, cost } = ended;
  const isListed = (id: string) => failedFiles.includes(manifest.files(id).failed);
  const jobs = failedFiles.length === 0 ? [] : manifest.jobs().filter(({ id }) => isListed(id));
  const failures = await readFailures(jobs, (job) => manifest.bring(job));
  const seconds = (clock.elapsedMs() - startedMs) / MS_PER_SECOND;
  return {
    json: { failedFiles, failures: failuresJson(failures), seconds: Math.round(seconds) },
    hasRetryable: jobs.some(({ outstanding }) => outstanding.retryable > 0),
    sums: [sumsText(ended), ...failureLines(failures), ...mendLines(failures)],
    figures: [tookText(seconds, written), ...(cost === undefined ? [] : [costText(cost)])],
  };
}

/** Of fewer, a rate says more about the waiting than about the work. */
const LEAST_FOR_A_RATE = 10;

function tookText(seconds: number, written: number): string {
  if (seconds < 1) return "Took less than a second.";
  const rate = written < LEAST_FOR_A_RATE ? "" : `, ${pace(written / seconds)}`;
  return `Took ${duration(seconds)}${rate}.`;
}

/** The interactive API may tell no counts; the estimate then stands for the bill. */
function costText({ tokens, usd, billedUsd }: Cost): string {
  if (tokens === 0) return "";
  const basis = billedUsd >= usd ? "" : ", in part estimated: Gemini did not count them all";
  return `Cost: about ${dollars(usd)} for ${count(tokens)} tokens${basis}.`;
}
