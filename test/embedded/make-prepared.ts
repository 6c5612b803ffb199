/** `node make-prepared.ts FOLDER` writes the data folder of a new embedded database, and its archive, into FOLDER. */
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";

/** A start writes to all of it: with the usual 128 MB that is the larger half of what a start costs. */
const SMALL = "\nshared_buffers = 16MB\n";

const [folder = "."] = process.argv.slice(2);
const data = join(folder, "data");
await (await PGlite.create(data)).close();
await appendFile(join(data, "postgresql.conf"), SMALL);
const database = await PGlite.create(data);
const archive = await database.dumpDataDir("none");
await database.close();
await writeFile(join(folder, "data.tar"), new Uint8Array(await archive.arrayBuffer()));
