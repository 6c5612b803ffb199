/**
 * Small JSON records, a file each, written beside and renamed. What a record says was durable
 * before the answer that tells of it: a killed process loses nothing that it answered (a power cut
 * is not promised for, so nothing is synced). Writing is synchronous, hence in order.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";

const SUFFIX = ".json";

export class Records<T extends object> {
  readonly #folder: string;
  readonly #byId = new Map<string, T>();

  /** Loads what is there; throws where it is none of ours. */
  constructor(folder: string, shape: z.ZodType<T>) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(folder)) {
      if (!name.endsWith(SUFFIX)) continue;
      const parsed: unknown = JSON.parse(readFileSync(join(folder, name), "utf8"));
      this.#byId.set(name.slice(0, -SUFFIX.length), shape.parse(parsed));
    }
  }

  get(id: string): T | undefined {
    return this.#byId.get(id);
  }

  all(): T[] {
    return [...this.#byId.values()];
  }

  put(id: string, record: T): void {
    const path = this.path(id, SUFFIX);
    writeFileSync(`${path}.new`, JSON.stringify(record));
    renameSync(`${path}.new`, path);
    this.#byId.set(id, record);
  }

  remove(id: string): void {
    rmSync(this.path(id, SUFFIX), { force: true });
    this.#byId.delete(id);
  }

  /** A file of this record's own, beside it. */
  path(id: string, suffix: string): string {
    return join(this.#folder, `${id}${suffix}`);
  }
}
