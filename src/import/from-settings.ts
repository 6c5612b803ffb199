import type { StageContext } from "../cli/command.ts";
import type { Manifest } from "../manifest/manifest.ts";
import type { Target } from "../row/target.ts";
import { importAll, type ImportSummary } from "./import.ts";
import { IndexKeeper } from "./index-keeper.ts";
import { createPacer } from "./pace.ts";

/** The stage as the settings have it. */
export async function importFromSettings(context: StageContext): Promise<ImportSummary> {
  const { services, settings, report, clock, signal } = context;
  const manifest = await services.manifest();
  const gemini = await services.gemini();
  const keyId = services.keyId();
  return importAll({
    gemini,
    manifest,
    report,
    clock,
    signal,
    keyId,
    storeOf: (target) => services.store(target),
    pacer: createPacer(settings.pace, clock),
    indexes: indexKeeper(context, manifest),
  });
}

export function indexKeeper(context: StageContext, manifest: Manifest): IndexKeeper {
  const { services, settings, report, clock, signal } = context;
  const storeOf = (target: Target) => services.store(target);
  const rebuild = settings.rebuildIndex;
  return new IndexKeeper({ manifest, report, clock, signal, storeOf, rebuild });
}
