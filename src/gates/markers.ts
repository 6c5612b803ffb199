/**
 * Which keys are of one project nobody at Google tells. So each key, where there are several, leaves a file of one
 * byte under its own name, a new one each day, as files live for two: a key that sees another one's file is of its
 * project. What is not seen proves nothing.
 */
import { type UserError, usageError } from "../errors.ts";
import { type Batch, GeminiError } from "../gemini/port.ts";
import { projectOf, type StageServices } from "../jobs-folder/stage-services.ts";
import { withThrowAwayFile } from "../jobs-folder/throw-away-file.ts";
import { DEFAULT_PROJECT, keysVariable, keyVariable } from "../row/project.ts";
import { explain } from "../words/explain.ts";

/** Whether the key that the list was read with is of the project of the other one: it shows what that one sent, or sees its marker. */
export async function seesProjectOf(
  services: StageServices,
  keyId: string | undefined,
  listed: readonly Batch[],
): Promise<boolean> {
  if (keyId === undefined || keyId === services.keyId) return true;
  const sent = services.manifest.jobs().filter((job) => job.keyId === keyId);
  const known = new Set(sent.map(({ batch }) => batch));
  return listed.some(({ name }) => known.has(name)) || seesMarker(services, keyId);
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** As many days as a file lives, begun ones too. */
const DAYS = 3;

async function seesMarker(services: StageServices, keyId: string): Promise<boolean> {
  const { gemini, manifest, signal } = services;
  for (let day = 0; day < DAYS; day += 1) {
    const file = `files/${markerOf(manifest.id, keyId, today(services) - day)}`;
    if (await gemini.hasFile(file, signal).catch(unanswered)) return true;
  }
  return false;
}

function unanswered(error: unknown): never {
  throw error instanceof GeminiError ? explain(error, "finding out a key's project") : error;
}

function markerOf(manifest: string, keyId: string, day: number): string {
  return `vecfill-${manifest}-${keyId}-${day}`;
}

function today({ clock }: Pick<StageServices, "clock">): number {
  return Math.floor(clock.now().getTime() / DAY_MS);
}

/** Of one key: leaves its marker, and looks whether keys that are called otherwise, here or elsewhere, are of the same project. */
export class KeyCheck {
  readonly #services: StageServices;
  /** Of which it is known. */
  readonly #checked = new Set<string>();
  #markedOn = -Infinity;

  constructor(services: StageServices) {
    this.#services = services;
  }

  /** To be called before anything is sent. Throws a UserError (usage) where the key has a wrong name. */
  async check(): Promise<void> {
    const services = this.#services;
    const own = projectOf(services);
    const known = this.#known();
    if (known.every(([, project]) => project === DEFAULT_PROJECT)) return;
    await this.#leaveMarker();
    for (const [keyId, project] of known) {
      if (project === own || this.#checked.has(keyId)) continue;
      if (keyId === services.keyId || (await seesMarker(services, keyId)))
        throw renamed(own, project);
      this.#checked.add(keyId);
    }
  }

  /** Keys and their projects, those that are here and those that sent something anywhere. */
  #known(): readonly (readonly [string, string])[] {
    const { manifest, keys = [] } = this.#services;
    return [...keys.map(({ keyId, project }) => [keyId, project] as const), ...manifest.keys()];
  }

  async #leaveMarker(): Promise<void> {
    const services = this.#services;
    const { gemini, manifest, keyId, signal } = services;
    const day = today(services);
    if (day === this.#markedOn) return;
    const remoteName = markerOf(manifest.id, keyId, day);
    await withThrowAwayFile(manifest.folder, "1", (file) =>
      gemini.uploadFile({ ...file, remoteName }, signal).catch(unanswered),
    );
    this.#markedOn = day;
  }
}

function renamed(own: string, project: string): UserError {
  return usageError(
    `The key in ${keyVariable(own)} is of the project that is called ${project} here: under two names its quota would be counted twice.`,
    `Set it in ${keysVariable(project)}, which takes several keys with commas between, or leave it out.`,
  );
}
