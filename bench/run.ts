/** The whole pipeline against the emulator: rows a second, CPU of this process a row, and its memory. */
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { connectPostgres } from "../src/store/postgres/postgres.ts";
import { withEmulator } from "./emulator.ts";
import { buildInstalled, INSTALLED, type Used, vecfill } from "./process.ts";
import { countWritten, emptyTable } from "./questions.ts";
import { type Figure, once, type Row } from "./rounds.ts";

const OPTIONS = ["--yes", "--quiet", "--json", "--poll-interval", "0.05", "--quota-wait", "1"];
/** The emulator has no quota: jobs as large as tier 1 lets them be, and several under way. */
const TOKENS = ["--max-enqueued-tokens", "5000000"];

const MICROS = 1_000_000;

/** Each size once: a run is long enough to be its own average. */
export async function measureRun(
  url: string,
  folder: string,
  sizes: readonly number[],
): Promise<Figure> {
  await buildInstalled();
  const rows: Row[] = [];
  for (const size of sizes) {
    const { seconds, cpuSeconds, peakMb } = await wholeRun(url, folder, size);
    const line = (name: string, value: number, unit: string) =>
      once(name, `${size} rows`, value, unit);
    rows.push(
      line("run, against the emulator", size / seconds, "rows/s"),
      line("CPU of this process, its start included", (cpuSeconds * MICROS) / size, "µs a row"),
      line("its peak memory", peakMb, "MB"),
    );
  }
  return { name: "run", unit: "", rows, note: NOTE };
}

const NOTE =
  "The emulator and the server are processes of their own on the same CPUs, and take most of them.";

/** One run over a table of so many rows, from the export to the last vector. */
async function wholeRun(url: string, folder: string, rows: number): Promise<Used> {
  const scratch = await mkdtemp(join(folder, "run-"));
  const database = connectPostgres(url);
  try {
    await emptyTable(database, rows);
    const used = await withEmulator(join(scratch, "emulator"), (emulator) =>
      vecfill(
        ["run", "--jobs-dir", join(scratch, "jobs"), ...TOKENS, ...OPTIONS],
        { DATABASE_URL: url, GEMINI_API_KEY: "bench", GOOGLE_GEMINI_BASE_URL: emulator },
        INSTALLED,
      ),
    );
    const written = await countWritten(database);
    if (written !== rows) throw new Error(`the run wrote ${written} of ${rows} rows`);
    return used;
  } finally {
    await database.close();
    await rm(scratch, { recursive: true, force: true });
  }
}
