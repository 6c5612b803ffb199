/** Stands in for `node:fs/promises` where vitest is not there to put it in: see torture/seeds.ts. */
import * as files from "node:fs/promises";
import { borderFiles } from "./outside.ts";

export * from "node:fs/promises";
export const { chmod, link, mkdir, open, readdir, readFile, rename, rm, stat, writeFile } =
  borderFiles(files);
