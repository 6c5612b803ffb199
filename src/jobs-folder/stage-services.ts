import type { Clock } from "../clock.ts";
import type { Gemini } from "../gemini/port.ts";
import { DEFAULT_PROJECT } from "../row/project.ts";
import type { Report } from "../progress.ts";
import type { Target } from "../row/target.ts";
import type { Manifest } from "../manifest/manifest.ts";

/** An API key. A project has a quota of its own, and perhaps several keys. */
export type Key = Readonly<{
  project: string;
  /** Names the key without telling it. */
  keyId: string;
  gemini: Gemini;
}>;

/** The key that is used for what is in hand. */
export type Keyed = Readonly<{
  gemini: Gemini;
  keyId: string;
  project?: string;
  /** All that there are here, those of a project together; undefined: the one, whatever job it is. */
  keys?: readonly Key[];
}>;

/** What a stage works with that sends to Gemini, or looks there. */
export type StageServices = Keyed &
  Readonly<{
    manifest: Manifest;
    report: Report;
    clock: Clock;
    signal: AbortSignal;
    /** A mark of the target's column, for the names of batches; see `targetMark`. */
    targetMarkOf?: (target: Target) => Promise<string | undefined>;
  }>;

export function projectOf({ project = DEFAULT_PROJECT }: Pick<Keyed, "project">): string {
  return project;
}

/** As the journal has it. */
export function senderOf({ keyId, project }: Keyed) {
  return { project: project === DEFAULT_PROJECT ? undefined : project, keyId };
}
