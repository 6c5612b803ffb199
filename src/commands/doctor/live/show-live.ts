import { join } from "node:path";
import { secretsIn } from "../../../settings/access.ts";
import type { CommandContext } from "../../../cli/command.ts";
import { explain } from "../../../words/explain.ts";
import { GeminiError } from "../../../gemini/port.ts";
import { counted } from "../../../words/figures.ts";
import { compareWithEmulator, type Comparison } from "./compare.ts";
import { redactor } from "../../../settings/environment/secret.ts";
import { rawBodies } from "./raw-bodies.ts";

/** A batch of a few lines is done in minutes on most days. */
const POLL_MS = 10_000;
const TIMEOUT_MS = 3_600_000;

export type LiveReport = Readonly<{ folder: string; comparisons: readonly Comparison[] }>;

/** Throws a UserError where the service refuses, or does not come to an end in time. */
export async function live(context: CommandContext): Promise<LiveReport> {
  const { services, settings, environment, clock, signal, output } = context;
  const stamp = clock.now().toISOString().replace(/[:.]/g, "-");
  const folder = join(settings.jobsDir, `live-${stamp}`);
  const keep = rawBodies(folder, redactor(secretsIn(environment)));
  const { pollIntervalMs: pollMs = POLL_MS, timeoutMs = TIMEOUT_MS } = settings;
  const [service, emulator] = [await services.probe(), await services.emulatorProbe()];
  output.notice(
    `Sending a few tiny batches to ${service.label}, for less than a cent. They may take minutes.`,
  );
  try {
    const comparisons = await compareWithEmulator(
      { service, emulator, keep, clock, signal },
      { model: settings.model, pollMs, timeoutMs },
    );
    return { folder, comparisons };
  } catch (error) {
    throw error instanceof GeminiError ? explain(error, "asking the service itself") : error;
  }
}

export function liveText({ folder, comparisons }: LiveReport): string {
  const different = comparisons.filter(({ differs }) => differs).length;
  return [
    "What the service answers:",
    ...comparisons.map(comparisonLine),
    `${counted(different, "answer")} other than the emulator's. The raw answers are in ${folder}.`,
  ].join("\n");
}

function comparisonLine({ question, service, emulator, differs }: Comparison): string {
  const line = `${differs ? "differs" : "as expected"}: ${question} ${service}`;
  return differs ? `${line}; the emulator: ${emulator ?? "was not asked"}` : line;
}
