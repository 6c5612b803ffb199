/** `node make-prepared.ts FOLDER` writes the data folder of a new embedded database, and its archive, into FOLDER. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";

const [folder = "."] = process.argv.slice(2);
const database = await PGlite.create(join(folder, "data"));
const archive = await database.dumpDataDir("none");
await database.close();
await writeFile(join(folder, "data.tar"), new Uint8Array(await archive.arrayBuffer()));
