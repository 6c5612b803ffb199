/** What is off, row by row, for the file that `verify` leaves in the jobs folder. */
import { rm } from "node:fs/promises";
import { replaceFileUnlocked } from "../../disk/durable-file.ts";
import { prepareFolder } from "../../jobs-folder/files.ts";

type Problem = "dimensions" | "length" | "notFinite" | "identical" | "sample" | "text" | "lost";

export type Finding = Readonly<{ id: string; problem: Problem; detail: string }>;

/** More help nobody, and would fill the memory where every row is off. */
const MAX_LISTED = 100_000;

export class Findings {
  readonly #listed: Finding[] = [];
  #count = 0;

  add(finding: Finding): void {
    this.#count += 1;
    if (this.#listed.length < MAX_LISTED) this.#listed.push(finding);
  }

  /** All there were, also those over the limit. */
  get count(): number {
    return this.#count;
  }

  get listed(): number {
    return this.#listed.length;
  }

  /** The file with these findings; without any there is none, nor one of an earlier time. */
  async write(folder: string, path: string): Promise<void> {
    if (this.#count === 0) return rm(path, { force: true });
    await prepareFolder(folder);
    await replaceFileUnlocked(
      path,
      this.#listed.map((each) => `${JSON.stringify(each)}\n`).join(""),
    );
  }
}
