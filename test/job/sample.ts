import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NewJob } from "../../src/job/job.ts";
import type { Target } from "../../src/target.ts";

export const TARGET: Target = {
  schema: "public",
  table: "questions",
  id: "id",
  text: "question_text",
  embedding: "embedding",
  model: "gemini-embedding-001",
  dimensions: 768,
  taskType: "RETRIEVAL_DOCUMENT",
};

export function newJob(job: string, changes: Partial<NewJob> = {}): NewJob {
  return {
    job,
    target: TARGET,
    requests: 3,
    tokens: 30,
    file: { bytes: 300, sha256: "a".repeat(64) },
    parent: undefined,
    attempt: 1,
    ...changes,
  };
}

export function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), "vecfill-test-"));
}
