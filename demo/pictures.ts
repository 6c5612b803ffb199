/** Pictures of a page by a headless Chromium, where there is one. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);

const PICTURE_BYTES_MAX = 150_000;
const LIMIT_MS = 120_000;
const DARK = 0;
const LIGHT = 1;

const PICTURES = [
  { name: "report-light.png", size: "1000,975", scheme: LIGHT },
  { name: "report-dark.png", size: "1000,975", scheme: DARK },
  { name: "report-phone.png", size: "390,2250", scheme: LIGHT },
];

/** Without a window, and without asking anybody for anything. */
const QUIET = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars",
];

export async function takePictures(page: string, folder: string): Promise<void> {
  const profile = await mkdtemp(join(tmpdir(), "vecfill-chromium-"));
  try {
    for (const { name, size, scheme } of PICTURES) {
      const file = join(folder, name);
      await execute(
        process.env["CHROMIUM"] ?? "chromium",
        [
          ...QUIET,
          `--user-data-dir=${profile}`,
          `--blink-settings=preferredColorScheme=${scheme}`,
          `--window-size=${size}`,
          `--screenshot=${file}`,
          pathToFileURL(page).href,
        ],
        { timeout: LIMIT_MS },
      );
      const { size: bytes } = await stat(file);
      console.log(`docs/${name}: ${Math.round(bytes / 1000)} kB`);
      if (bytes > PICTURE_BYTES_MAX) throw new Error(`${name} is too large for the documents`);
    }
  } finally {
    await rm(profile, { recursive: true, force: true });
  }
}
