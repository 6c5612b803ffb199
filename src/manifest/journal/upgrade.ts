/**
 * A journal of the format before this one becomes one of ours: the same events, sealed. The old file is kept beside
 * it; the new one takes its place in one step, so a crash leaves one of the two.
 */
import { readFile } from "node:fs/promises";
import { createDurableFile, hashFile, replaceFile } from "../../disk/durable-file.ts";
import { readTextLines } from "../../disk/jsonl.ts";
import { exists } from "../../disk/presence.ts";
import { FORMAT_VERSION, type JournalHeader } from "../event.ts";
import { FIRST_SEAL, sealed } from "../../disk/seal.ts";

type Upgraded = Readonly<{ endsAt: number; seal: number }>;

/** Needs the folder's lock. A torn last line is left out. */
export async function upgradeJournal(path: string, header: JournalHeader): Promise<Upgraded> {
  await keep(path);
  const file = await createDurableFile(path);
  let seal = FIRST_SEAL;
  const writeLine = async (json: string) => {
    const next = sealed(json, seal);
    seal = next.seal;
    await file.write(`${next.line}\n`);
  };
  try {
    await writeLine(JSON.stringify({ ...header, version: FORMAT_VERSION }));
    for await (const text of eventLines(path)) await writeLine(text);
    return { endsAt: (await file.commit()).bytes, seal };
  } finally {
    await file.abandon();
  }
}

/** As `manifest.v1.ndjson`, or with a number where another one has that name. */
async function keep(path: string): Promise<void> {
  const { sha256 } = await hashFile(path);
  for (let number = 1; ; number += 1) {
    const kept = path.replace(/\.ndjson$/, `.v1${number === 1 ? "" : `-${number}`}.ndjson`);
    if (!(await exists(kept))) await replaceFile(kept, await readFile(path));
    if ((await hashFile(kept)).sha256 === sha256) return;
  }
}

/** Whole ones, without the header and without what was white space at their ends. */
async function* eventLines(path: string): AsyncGenerator<string> {
  let isHeader = true;
  for await (const { texts } of readTextLines(path)) {
    if (typeof texts === "string") return;
    for (const text of texts) {
      if (!isHeader) yield text.trimEnd();
      isHeader = false;
    }
  }
}
