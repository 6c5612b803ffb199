import type { StageContext } from "../cli/command.ts";
import { targetOf } from "../settings/config.ts";
import { previewManifest } from "../jobs-folder/open.ts";
import { jobBounds, tryTables } from "../stages.ts";
import { exportAll, type ExportOptions, type ExportSummary } from "./export.ts";

/** The stage as the settings have it. A dry run counts, takes no lock and writes nothing. */
export async function exportFromSettings(context: StageContext): Promise<ExportSummary> {
  const { services, settings, report, signal } = context;
  const options = exportOptions(context);
  const store = await services.store(options.target);
  const manifest = settings.dryRun
    ? await previewManifest(settings.jobsDir)
    : await services.manifest();
  if (!settings.dryRun) await tryTables(context, manifest, [options.target]);
  return exportAll({ store, manifest, report, signal }, options);
}

export function exportOptions({ settings }: Pick<StageContext, "settings">): ExportOptions {
  const { limit, onTooLong, dryRun } = settings;
  return { target: targetOf(settings), bounds: jobBounds(settings), limit, onTooLong, dryRun };
}
