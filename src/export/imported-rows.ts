/**
 * Rows that are paid for and hold no vector any more: the database was restored from a backup, or lost its last commits
 * in a failover. Such a row waits with the very text that a job was imported with, and the job's results, which
 * hold a vector for that text, are here. No row of these is sent: a run and `import --again` write them, at no cost.
 */
import { readLines } from "../disk/jsonl.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import type { Job } from "../manifest/job.ts";
import type { ManifestView } from "../manifest/manifest.ts";
import { wasImported } from "../manifest/states.ts";
import { parseResultLine, roomForValues } from "../row/result-line/result-line.ts";
import { KeySet, KeyTable } from "../row/key-table.ts";
import { parseKey } from "../row/question.ts";
import { sameTarget, type Target } from "../row/target.ts";
import { checkVector } from "../row/vector.ts";
import { lacksRows } from "../jobs-folder/found-rows.ts";
import { readRequestKeys } from "../jobs-folder/request-file.ts";
import { hasResults } from "../jobs-folder/results-file.ts";

/**
 * The request files of imported jobs are read when the first row is looked at, up to 24 bytes a row; results
 * only of jobs that such a row is of.
 */
export class ImportedRows {
  readonly #manifest: ManifestView;
  /** The newest first: its results are the row's last ones. */
  readonly #jobs: readonly Job[];
  #places: Promise<KeyTable> | undefined;
  #placeOf: (key: string) => number | undefined = () => undefined;
  /** Fingerprints of the texts that the job at this place has a vector for. */
  readonly #answered = new Map<number, KeySet>();

  constructor(manifest: ManifestView, target: Target) {
    this.#manifest = manifest;
    this.#jobs = manifest
      .jobs()
      .filter((job) => wasImported(job) && sameTarget(job.target, target))
      // of other digests keys prove no text
      .filter(({ digest }) => digest === "sha256")
      .toReversed();
  }

  /** No job was imported: nothing is paid for. */
  get isNone(): boolean {
    return this.#jobs.length === 0;
  }

  /** To be awaited before `has` is asked of them. */
  async lookAt(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const places = await (this.#places ??= this.#readPlaces());
    this.#placeOf = (key) => places.get(key);
    for (const place of new Set(keys.map(this.#placeOf))) {
      if (place === undefined || this.#answered.has(place)) continue;
      this.#answered.set(place, await this.#answeredBy(this.#jobs[place]));
    }
  }

  /** Those whose results may have the vector of a row that was looked at. */
  get answering(): readonly Job[] {
    return this.#jobs.filter((_, place) => (this.#answered.get(place)?.size ?? 0) > 0);
  }

  has(key: string): boolean {
    const answered = this.#answered.get(this.#placeOf(key) ?? -1);
    return answered !== undefined && answered.has(parseKey(key)?.fingerprint ?? "");
  }

  async #readPlaces(): Promise<KeyTable> {
    const places = new KeyTable();
    for (const [place, job] of this.#jobs.entries()) {
      const files = this.#manifest.files(job.id);
      if (await lacksRows(files, job)) continue;
      for await (const keys of readRequestKeys(files, job)) {
        for (const key of keys) places.add(key, place);
      }
    }
    return places;
  }

  async #answeredBy(job: Job | undefined): Promise<KeySet> {
    if (job === undefined) return new KeySet();
    const files = this.#manifest.files(job.id);
    return (await hasResults(files, job)) ? textsWithVectors(files, job) : new KeySet();
  }
}

/** One line stands for all rows of the job with its text. */
async function textsWithVectors({ results }: JobFiles, { target }: Job): Promise<KeySet> {
  const texts = new KeySet();
  const room = roomForValues();
  for await (const lines of readLines(results)) {
    for (const { bytes } of lines) {
      const line = bytes === undefined ? undefined : parseResultLine(bytes, room);
      if (line?.kind !== "vector" || !checkVector(line.values, target.dimensions).ok) continue;
      texts.add(parseKey(line.key)?.fingerprint ?? "");
    }
  }
  return texts;
}
