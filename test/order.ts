import { BaseSequencer, type TestSpecification } from "vitest/node";

/**
 * Sweeps first. A file that was not timed yet is taken by its size, and the sweeps' files are the smallest: begun last,
 * they keep one core busy for minutes when there is nothing left for the others.
 */
export class SweepsFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => Number(isSweep(other)) - Number(isSweep(one)));
  }
}

function isSweep({ moduleId }: TestSpecification): boolean {
  return moduleId.endsWith(".full.test.ts");
}
