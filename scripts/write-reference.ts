/** Writes what is made of docs/reference.md anew. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { configSchema } from "./config-schema.ts";
import { packageVersion } from "../src/disk/package-version.ts";
import { manPage } from "./man-page.ts";
import { referencePage } from "./reference.ts";

const PAGE = new URL("../docs/reference.md", import.meta.url);
const CLI = fileURLToPath(new URL("../src/cli.ts", import.meta.url));

const usage = execFileSync(process.execPath, [CLI, "--help"], { encoding: "utf8" });
writeFileSync(PAGE, referencePage(readFileSync(PAGE, "utf8"), usage));
writeFileSync(new URL("../vecfill.config.schema.json", import.meta.url), configSchema());
writeFileSync(new URL("../man/vecfill.1", import.meta.url), manPage(packageVersion()));
