/** `node make-prepared.ts FOLDER` writes the data folder of a new embedded database, and its archive, into FOLDER. */
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";

/** A start reads and writes all of it: the usual 128 MB, 16 MB of log and two templates are most of what it costs. */
const SMALL = "\nshared_buffers = 16MB\nmin_wal_size = 2MB\nmax_wal_size = 16MB\n";
const NO_TEMPLATES = `
  UPDATE pg_database SET datistemplate = false;
  DROP DATABASE template0;
  DROP DATABASE template1;
  CHECKPOINT`;

const [folder = "."] = process.argv.slice(2);
const data = join(folder, "data");
await (await PGlite.create(data, { initDbStartParams: ["--wal-segsize=1"] })).close();
await appendFile(join(data, "postgresql.conf"), SMALL);
const database = await PGlite.create(data);
for (const statement of NO_TEMPLATES.split(";")) await database.exec(statement);
const archive = await database.dumpDataDir("none");
await database.close();
await writeFile(join(folder, "data.tar"), new Uint8Array(await archive.arrayBuffer()));
