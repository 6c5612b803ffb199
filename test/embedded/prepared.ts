/** The data folder of an embedded database as initdb leaves it, made once: initdb takes seconds each time. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PGlite } from "@electric-sql/pglite";

const modules = fileURLToPath(new URL("../../node_modules", import.meta.url));
const packageFile = join(modules, "@electric-sql", "pglite", "package.json");
const mark = createHash("sha1").update(readFileSync(packageFile)).digest("hex").slice(0, 12);

/** Another version of PGlite has another one. */
const cache = join(modules, ".cache", `vecfill-embedded-${mark}`);
export const preparedFolder = join(cache, "data");
export const preparedArchive = join(cache, "data.tar");

/** Vitest calls it before the first test. */
export async function setup(): Promise<void> {
  if (existsSync(cache)) return;
  const part = `${cache}.${process.pid}.part`;
  await mkdir(part, { recursive: true });
  const database = await PGlite.create(join(part, "data"));
  const archive = await database.dumpDataDir("none");
  await database.close();
  await writeFile(join(part, "data.tar"), new Uint8Array(await archive.arrayBuffer()));
  try {
    await rename(part, cache);
  } catch (error) {
    await rm(part, { recursive: true });
    // another run was as quick
    if (!existsSync(cache)) throw error;
  }
}
