/** Import into a column that has an HNSW index: with the index left as it is, and with --rebuild-index. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../src/clock.ts";
import { importJob } from "../src/import/import-job.ts";
import { IndexKeeper } from "../src/import/index-keeper.ts";
import { openManifest } from "../src/jobs-folder/open.ts";
import type { Report } from "../src/progress.ts";
import type { Database } from "../src/store/database.ts";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { createSqlStore } from "../src/store/postgres/sql-store.ts";
import { copyJobs, makeEndedJob } from "./ended-job.ts";
import { countWritten, DIMENSIONS, emptyTable, fillTable, TARGET } from "./questions.ts";
import { alternate, type Contestant, type Figure, shown } from "./rounds.ts";

const MS = 1000;

export async function measureUnderIndex(
  url: string,
  folder: string,
  { rows, rounds }: Readonly<{ rows: number; rounds: number }>,
): Promise<Figure> {
  const database = connectPostgres(url);
  const jobs = await mkdtemp(join(folder, "index-"));
  const contestant = (name: string, rebuild: boolean): Contestant => ({
    name,
    run: async () => {
      await emptyTable(database, rows);
      await database.query(
        "CREATE INDEX ann ON questions USING hnsw (embedding vector_cosine_ops)",
      );
      const startMs = performance.now();
      const building = await importInto(url, jobs, `${jobs}-copy`, rebuild);
      const seconds = (performance.now() - startMs) / MS;
      await checkAll(database, rows);
      const ofIt = rebuild ? `, building ${shown(building)} s of it` : "";
      return { value: seconds, size: `${rows} rows${ofIt}` };
    },
  });
  try {
    await fillTable(database, rows);
    await makeEndedJob(jobs, createSqlStore(database, TARGET, { where: undefined }), {
      vectorOfLine: randomVector,
    });
    return await alternate({ name: "index", unit: "s", rounds, note: NOTE }, [
      contestant("with --rebuild-index: dropped, written, built", true),
      contestant("the index left as it is", false),
    ]);
  } finally {
    await database.close();
    await rm(jobs, { recursive: true, force: true });
    await rm(`${jobs}-copy`, { recursive: true, force: true });
  }
}

const NOTE =
  "HNSW with pgvector's defaults, no two vectors alike; the time of the build is in the first figure.";

/** The seconds that the build took. */
async function importInto(
  url: string,
  from: string,
  to: string,
  rebuild: boolean,
): Promise<number> {
  await copyJobs(from, to);
  const database = connectPostgres(url);
  const store = createSqlStore(database, TARGET, { where: undefined });
  const manifest = await openManifest(to, systemClock);
  const { signal } = new AbortController();
  let building = 0;
  const report: Report = (event) => {
    if (event.type === "indexBuilt") building += event.seconds ?? 0;
  };
  const storeOf = async () => store;
  const indexes = new IndexKeeper({
    manifest,
    report,
    clock: systemClock,
    signal,
    storeOf,
    rebuild,
  });
  try {
    await indexes.around(
      async () => {
        const services = { manifest, store, report, signal, indexes };
        for (const job of manifest.jobs()) await importJob(services, job);
      },
      () => true,
    );
    return building;
  } finally {
    await manifest.close();
    await database.close();
  }
}

async function checkAll(database: Database, rows: number): Promise<void> {
  const written = await countWritten(database);
  const [index] = await database.query(
    "SELECT indisvalid::text AS valid FROM pg_index WHERE indexrelid = 'ann'::regclass",
  );
  if (written !== rows || index?.["valid"] !== "true")
    throw new Error("not all is as it should be");
}

/** A graph over vectors that follow a curve would be built too easily. */
function randomVector(line: number): string {
  let state = line + 1;
  return Array.from({ length: DIMENSIONS }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 32 - 0.5).toFixed(9);
  }).join(",");
}
