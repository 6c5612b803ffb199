/** Export to synced request files, beside COPY of the same rows, which are dropped as they arrive. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { systemClock } from "../src/clock.ts";
import { exportAll } from "../src/export/export.ts";
import { openManifest } from "../src/jobs-folder/open.ts";
import type { Database } from "../src/store/database.ts";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { createSqlStore } from "../src/store/postgres/sql-store.ts";
import { CopyOut } from "./copy.ts";
import { TARGET, emptyTable } from "./questions.ts";
import { alternate, type Contestant, type Figure, secondsOf } from "./rounds.ts";

const COPY = `COPY (SELECT id::text, question_text,
    left(encode(sha256(convert_to(question_text, 'UTF8')), 'hex'), 32) FROM questions
  WHERE embedding IS NULL ORDER BY id) TO STDOUT`;
const BOUNDS = { maxRows: 50_000, maxTokens: 200_000, maxBytes: 500_000_000 };

export type ExportSizes = Readonly<{ rows: number; rounds: number }>;

export async function measureExport(
  url: string,
  folder: string,
  { rows, rounds }: ExportSizes,
): Promise<Figure> {
  const client = new pg.Client({ connectionString: url });
  const database = connectPostgres(url);
  await client.connect();
  const contestant = (name: string, work: () => Promise<number>): Contestant => ({
    name,
    run: async () => ({ value: rows / (await work()), size: `${rows} rows` }),
  });
  try {
    await emptyTable(database, rows);
    return await alternate({ name: "export", unit: "rows/s", rounds }, [
      contestant("vecfill: screened, cut, hashed, synced", () =>
        exportOnce(database, folder, rows),
      ),
      contestant("COPY (SELECT …) TO STDOUT", () =>
        secondsOf(async () => requireAll(rows, await client.query(new CopyOut(COPY)).done)),
      ),
    ]);
  } finally {
    await client.end();
    await database.close();
  }
}

/** In seconds; connecting, which COPY has done before as well, and taking the files away aside. */
async function exportOnce(database: Database, folder: string, rows: number): Promise<number> {
  const jobs = await mkdtemp(join(folder, "export-"));
  const store = createSqlStore(database, TARGET, { where: undefined });
  const manifest = await openManifest(jobs, systemClock);
  try {
    return await secondsOf(async () => {
      const { exported } = await exportAll(
        { store, manifest, report: () => {}, signal: new AbortController().signal },
        { target: TARGET, bounds: BOUNDS, limit: undefined, onTooLong: "skip" },
      );
      requireAll(rows, exported);
    });
  } finally {
    await manifest.close();
    await rm(jobs, { recursive: true, force: true });
  }
}

function requireAll(rows: number, found: number): void {
  if (found !== rows) throw new Error(`there were ${found} of ${rows} rows`);
}
