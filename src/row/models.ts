/**
 * The embedding models: widths, limits, how the task is told. What they cost is in `tariff.ts`.
 * Source: ai.google.dev/gemini-api/docs/embeddings, as of 2026-11-22.
 */
export type ModelName = "gemini-embedding-001" | "gemini-embedding-2";

export type EmbeddingModel = Readonly<{
  name: ModelName;
  minDimensions: number;
  maxDimensions: number;
  /** Longer texts are truncated silently by the service. */
  inputTokenLimit: number;
  /** The task is a field of the request, or a prefix of the text. */
  taskBy: "field" | "prefix";
  taskTypes: readonly string[];
  /** Widths below this one do not come as unit vectors. */
  normalisedFromDimensions: number;
}>;

const TASK_TYPES = [
  "SEMANTIC_SIMILARITY",
  "CLASSIFICATION",
  "CLUSTERING",
  "RETRIEVAL_DOCUMENT",
  "RETRIEVAL_QUERY",
  "CODE_RETRIEVAL_QUERY",
  "QUESTION_ANSWERING",
  "FACT_VERIFICATION",
] as const;

export const MODELS: Readonly<Record<ModelName, EmbeddingModel>> = {
  "gemini-embedding-001": {
    name: "gemini-embedding-001",
    minDimensions: 128,
    maxDimensions: 3072,
    inputTokenLimit: 2048,
    taskBy: "field",
    taskTypes: TASK_TYPES,
    normalisedFromDimensions: 3072,
  },
  "gemini-embedding-2": {
    name: "gemini-embedding-2",
    minDimensions: 128,
    maxDimensions: 3072,
    inputTokenLimit: 8192,
    taskBy: "prefix",
    taskTypes: TASK_TYPES,
    normalisedFromDimensions: 128,
  },
};

export function isModelName(name: string): name is ModelName {
  return Object.hasOwn(MODELS, name);
}

const PREFIXES: Readonly<Record<string, string>> = {
  RETRIEVAL_DOCUMENT: "title: none | text: ",
  RETRIEVAL_QUERY: "task: search result | query: ",
  QUESTION_ANSWERING: "task: question answering | query: ",
  FACT_VERIFICATION: "task: fact checking | query: ",
  CODE_RETRIEVAL_QUERY: "task: code retrieval | query: ",
  CLASSIFICATION: "task: classification | query: ",
  CLUSTERING: "task: clustering | query: ",
  SEMANTIC_SIMILARITY: "task: sentence similarity | query: ",
};

/** What stands before the text where the model takes its task that way; else nothing. */
export function textPrefix(model: EmbeddingModel, taskType: string): string {
  return model.taskBy === "prefix" ? (PREFIXES[taskType] ?? "") : "";
}
