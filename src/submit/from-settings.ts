import type { StageContext } from "../cli/command.ts";
import type { Gemini } from "../gemini/port.ts";
import { type CostLimit, costStop } from "../cost/cost.ts";
import { isForSync, type LaneChoice } from "../cost/lane.ts";
import type { Manifest } from "../manifest/manifest.ts";
import { costLimit, laneChoice, queueWindow, tryTables } from "../stages.ts";
import type { Report } from "../progress.ts";
import { type EmbeddedAtOnce, submitAll, type SubmittedByLane } from "./submit.ts";

/** What the sync lane does with the jobs that are its own: another stage, handed in from outside. */
export type EmbedAtOnce = (
  services: Readonly<{ gemini: Gemini; manifest: Manifest; report: Report; signal: AbortSignal }>,
  options: Readonly<{ lane: LaneChoice; costLimit: CostLimit | undefined }>,
) => Promise<EmbeddedAtOnce>;

/** The stage as the settings have it: batches first, which work while the other lane is embedded. */
export async function submitFromSettings(
  context: StageContext,
  embedAtOnce: EmbedAtOnce,
): Promise<SubmittedByLane> {
  const { services, settings, report, clock, signal } = context;
  const gemini = await services.gemini();
  const manifest = await services.manifest();
  const targets = manifest.needing("send").map(({ target }) => target);
  await tryTables(context, manifest, targets, { mayLackDatabase: true });
  const keyId = services.keyId();
  const lane = laneChoice(settings);
  const limit = costLimit(settings);
  const summary = await submitAll(
    { gemini, manifest, report, clock, signal, keyId },
    {
      window: queueWindow(settings),
      reconcileGraceMs: settings.reconcileGraceMs,
      costLimit: limit,
      takes: (job) => !isForSync(job, lane),
    },
  );
  // begun at once or not: without that lane nothing is paid for at its price
  if (lane.lane === "batch") return { ...summary, embedded: [], left: [] };
  const around = { gemini, manifest, report, signal };
  const atOnce = await embedAtOnce(around, { lane, costLimit: limit });
  return { ...summary, ...atOnce, costStop: costStop(manifest.jobs(), limit) };
}
