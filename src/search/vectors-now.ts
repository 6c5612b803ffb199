/** Vectors of a few texts, at once, through the interactive API: of a query, and of rows to compare. */
import { explain } from "../words/explain.ts";
import { UserError } from "../errors.ts";
import { type Gemini, GeminiError, MAX_TEXTS_NOW } from "../gemini/port.ts";
import { MODELS, textPrefix } from "../row/models.ts";
import type { Target } from "../row/target.ts";
import { checkVector } from "../row/vector.ts";

/** What vectors are made for. */
export type Space = Pick<Target, "model" | "dimensions" | "taskType">;

export type NowServices = Readonly<{ gemini: Gemini; signal: AbortSignal }>;

/**
 * What finds rows of this space: documents are looked for by RETRIEVAL_QUERY, and all else by what is made
 * in the same way.
 */
export function queriesOf({ taskType, ...space }: Space): Space {
  return { ...space, taskType: taskType === "RETRIEVAL_DOCUMENT" ? "RETRIEVAL_QUERY" : taskType };
}

/** The text as the model gets it. */
export function sentText(text: string, { model, taskType }: Space): string {
  return textPrefix(MODELS[model], taskType) + text;
}

/** One a text, in order, as Gemini gives them. `doing` is said where it fails. */
export async function vectorsNow(
  { gemini, signal }: NowServices,
  space: Space,
  texts: readonly string[],
  doing: string,
): Promise<readonly (readonly number[])[]> {
  const { model, dimensions, taskType } = space;
  const vectors: (readonly number[])[] = [];
  for (let start = 0; start < texts.length; start += MAX_TEXTS_NOW) {
    const some = texts.slice(start, start + MAX_TEXTS_NOW).map((text) => sentText(text, space));
    try {
      const request = { model, dimensions, taskType, texts: some };
      vectors.push(...(await gemini.embedNow(request, { stop: signal })).vectors);
    } catch (error) {
      if (!(error instanceof GeminiError)) throw error;
      throw explain(error, doing);
    }
  }
  return vectors;
}

/** Of unit length, as rows have them: one a query, in order. `space`: of the rows that are looked for. */
export async function queryVectors(
  services: NowServices,
  space: Space,
  queries: readonly string[],
): Promise<Float32Array[]> {
  const vectors = await vectorsNow(services, queriesOf(space), queries, "embedding the query");
  return vectors.map((values) => {
    const checked = checkVector(values, space.dimensions);
    if (checked.ok) return checked.vector;
    throw new UserError(`Gemini's vector of the query cannot be used: ${checked.message}.`, {
      hint: "Check --model and --dimensions, then run the same command again.",
      exit: "unfinished",
    });
  });
}
