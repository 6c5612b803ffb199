/**
 * API keys of several projects, a queue each. What must hold at any moment:
 * - what a job has at Gemini is asked for with the key that sent it or, where that is not here, with one of its project;
 * - whoever says that something is not there has a key that is known to see that project (`markers.ts`);
 * - a job goes to another project only while nothing of it is at Gemini, and is uploaded anew;
 * - a key keeps the name by which it sent something first.
 */
import { JobBlocked, usageError } from "../errors.ts";
import {
  type Key,
  type Keyed,
  projectOf,
  type StageServices,
} from "../jobs-folder/stage-services.ts";
import type { Job } from "../manifest/job.ts";
import { isImported, needs } from "../manifest/states.ts";
import { DEFAULT_PROJECT, keyVariable } from "../row/project.ts";
import type { World } from "./world.ts";

/** With each project's key, the first of several. */
export function eachProject<S extends Keyed>(services: S): readonly S[] {
  const byProject = Map.groupBy(services.keys ?? [], ({ project }) => project);
  if (byProject.size === 0) return [services];
  return [...byProject.values()].map(([key]) => ({ ...services, ...key }));
}

/** With the key that sees what the job has at Gemini. Throws JobBlocked where there is none here. */
export function withKeyOf<S extends Keyed>(services: S, job: Job): S {
  const { keys } = services;
  if (keys === undefined) return services;
  const key = keyFor(keys, job);
  if (key === undefined) throw noKey(job);
  return { ...services, ...key };
}

/** Whether a key of the job's project is here. */
export function hasKeyOf({ keys }: Keyed, job: Job): boolean {
  return keys === undefined || job.project === undefined || keyFor(keys, job) !== undefined;
}

function keyFor(keys: readonly Key[], { project, keyId }: Job): Key | undefined {
  const sender = keys.find((key) => key.keyId === keyId);
  return sender ?? keys.find((key) => key.project === project);
}

/** What only a key that is not here could go on with is said: it is left to others, where there may be some. */
export function blockKeyless(world: Keyed & Pick<World, "manifest" | "blocked" | "report">): void {
  const { manifest, blocked, report } = world;
  const isKeyless = (job: Job) => !hasKeyOf(world, job);
  if (!manifest.isShared)
    return manifest
      .needing("settle")
      .filter(isKeyless)
      .forEach((job) => blocked.add(noKey(job)));
  const [first, ...more] = manifest.needing("settle", "poll", "fetch").filter(isKeyless);
  if (first === undefined) return;
  const others =
    more.length === 0 ? "" : `, and so ${more.length === 1 ? "is" : "are"} ${more.length} more`;
  const { message, hint } = noKey(first);
  report({ type: "warning", message: `${message} It is left to others${others}.`, hint });
}

function noKey(job: Job): JobBlocked {
  const what = `it is of the project ${job.project ?? ""}, of which no key is set here.`;
  return new JobBlocked(job.id, usageError(what, missingKeyHint(job)));
}

/** What to do where no key here sees what the job has at Gemini. */
export function missingKeyHint({ id, project = DEFAULT_PROJECT, state }: Job): string {
  const otherwise = isImported({ state })
    ? "`vecfill run --beside` pays for its rows again"
    : `give the job up with \`vecfill cancel ${id} --give-up\``;
  return `Set ${keyVariable(project)} to a key of the project that submitted the job. Where there is none any more, ${otherwise}. Nothing was changed.`;
}

/** Whether the job's batch is, or would be, in the queue that the services send to. */
export function isOfProject({ keys, ...services }: Keyed, job: Job): boolean {
  return keys === undefined || job.project === projectOf(services);
}

type Choosing = Keyed & Pick<StageServices, "manifest" | "clock">;

/** Of several who send from one manifest each begins with other jobs: else both would upload the same one. */
export function isOwnTurn({ manifest, ...services }: Choosing, { id }: Job): boolean {
  if (!manifest.isShared) return true;
  const own = projectOf(services);
  const projects = [...new Set([own, ...manifest.keys().values()])].toSorted();
  return projects[Number(id) % projects.length] === own;
}

/** With its file uploaded and nothing said against it, a job is soon sent by whoever has uploaded it. */
const OTHERS_SEND_WITHIN_MS = 10 * 60 * 1000;

/** Whether a job that waits to be sent may go to the project: to another one when its own takes it not, or not soon. */
export function mayGoTo(services: Choosing, job: Job): boolean {
  if (needs(job) !== "send") return false;
  if (isOfProject(services, job) || job.project === undefined || job.error !== undefined)
    return true;
  const { manifest, clock } = services;
  const ageMs = clock.now().getTime() - Date.parse(job.updatedAt);
  return ageMs >= OTHERS_SEND_WITHIN_MS || (!manifest.isShared && !hasKeyOf(services, job));
}
