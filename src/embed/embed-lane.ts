/** The sync lane: jobs become results at once, at full price, one after the other. */
import { type CostLimit, withinLimit } from "../cost/cost.ts";
import { isForSync, type LaneChoice } from "../cost/lane.ts";
import type { Pause } from "../gates/outages.ts";
import { IDLE, type Lane } from "../gates/step.ts";
import type { World } from "../gates/world.ts";
import { isUnanswered } from "../gemini/port.ts";
import type { Job } from "../manifest/job.ts";
import { needs } from "../manifest/states.ts";
import { embedJob } from "./embed-job.ts";

type EmbedWorld = World &
  Readonly<{
    lane?: LaneChoice | undefined;
    costLimit?: CostLimit | undefined;
    /** Of batches, before a job is begun: it may have one. */
    readLists: () => Promise<void>;
  }>;

/** Attempts in a row of which nothing came back, each of which may have been charged. */
const MAX_LOST = 4;

type Embedding = EmbedWorld & { readonly pause: Pause; lost: number };

/** `onEmbedded` is told of each job that has its results. */
export function embedLane(world: EmbedWorld, onEmbedded: (job: Job) => void = () => {}): Lane {
  const embedding = { ...world, pause: {}, lost: 0 };
  return {
    next: () => {
      const restMs = world.outages.sendingRestMs(embedding.pause);
      if (restMs > 0) return restMs;
      const job = nextToEmbed(world);
      return job === undefined ? IDLE : () => beginCalls(embedding, job, onEmbedded);
    },
  };
}

/** What was begun first: it counts as paid for already. Then the oldest that the limit lets through. */
function nextToEmbed({ manifest, lane, costLimit, gate }: EmbedWorld): Job | undefined {
  const [begun] = manifest.needing("embed");
  if (begun !== undefined || lane === undefined || lane.lane === "batch") return begun;
  return withinLimit(manifest, costLimit, gate()).find((job) => isForSync(job, lane));
}

async function beginCalls(
  embedding: Embedding,
  first: Job,
  onEmbedded: (job: Job) => void,
): Promise<void> {
  const { outages, readLists, pause } = embedding;
  if (needs(first) === "send" && !(await outages.guarded(readLists, pause))) return;
  // what was found just now may be this very job's batch
  const job = nextToEmbed(embedding);
  if (job === undefined) return;
  const onAnswer = () => {
    outages.hasAnswered = true;
    embedding.lost = 0;
    pause.nextMs = undefined;
  };
  try {
    const embedded = await embedJob({ ...embedding, onAnswer }, job);
    if (embedded !== undefined) onEmbedded(embedded);
  } catch (error) {
    if (isUnanswered(error)) embedding.lost += 1;
    if (embedding.lost > MAX_LOST) throw error;
    outages.fail(error, pause);
  }
}
