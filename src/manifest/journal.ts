/**
 * The journal: an append-only file, an event a line, each sealed (see `seal.ts`) and synced before the call returns.
 *
 * A process that dies while it appends leaves a torn last line. Readers leave it out with a warning;
 * the next writer cuts it off. Whatever is damaged elsewhere is refused with its line number: a
 * journal that cannot be trusted must not decide what is paid for. An append that fails is taken
 * back.
 */
import { openAppendFile } from "../disk/append-file.ts";
import { UserError } from "../errors.ts";
import { readTextLines } from "../disk/jsonl.ts";
import {
  FORMAT_VERSION,
  type JournalEvent,
  type JournalHeader,
  parseEvent,
  parseHeader,
  UNSEALED_VERSION,
} from "./event.ts";
import { exists } from "../disk/presence.ts";
import { contentOf, FIRST_SEAL, hasMoreThanALine, sealed, sealOf } from "../disk/seal.ts";
import { upgradeJournal } from "./upgrade.ts";

export type JournalContent = Readonly<{
  /** Undefined when there is no journal yet, or only the torn start of one. */
  header: JournalHeader | undefined;
  /** Bytes up to the last whole line: where the next event goes. */
  endsAt: number;
  /** Of the last whole line. */
  seal: number;
  warnings: readonly string[];
}>;

export type JournalWriter = { append(event: JournalEvent): Promise<void>; close(): Promise<void> };

/** Reads the journal from its start and hands each event to `onEvent`, in order. */
export async function readJournal(
  path: string,
  onEvent: (event: JournalEvent) => void,
): Promise<JournalContent> {
  let header: JournalHeader | undefined;
  let endsAt = 0;
  let number = 0;
  let seal = FIRST_SEAL;
  if (!(await exists(path))) return { header, endsAt, seal, warnings: [] };
  const isSealed = () => header?.version !== UNSEALED_VERSION;
  const unsealed = (text: string): string => {
    seal = sealOf(text, seal) ?? brokenSeal(path, number);
    return contentOf(text);
  };
  for await (const lines of readTextLines(path)) {
    if (lines.texts === "too long") throw damaged(path, number + 1, "the line is far too long");
    if (lines.texts === "torn") {
      if (isSealed() && hasMoreThanALine(lines.tail, seal)) brokenSeal(path, number + 1);
      return { header, endsAt, seal, warnings: [tornWarning(path, number + 1)] };
    }
    for (const text of lines.texts) {
      number += 1;
      header ??= readHeader(path, text);
      const json = isSealed() ? unsealed(text) : text;
      if (number > 1) checked(path, number, () => onEvent(parseEvent(json)));
    }
    endsAt += lines.bytes;
  }
  return { header, endsAt, seal, warnings: [] };
}

/** Opens for appending after `endsAt`; what stands behind it is the torn line, and is cut off. */
export async function openJournal(
  path: string,
  content: JournalContent,
  newHeader: JournalHeader,
): Promise<JournalWriter> {
  const start = await startOf(path, content);
  const file = await openAppendFile(path, start.endsAt);
  let { seal } = start;
  const append = async (event: JournalEvent | JournalHeader) => {
    const next = sealed(JSON.stringify(event), seal);
    try {
      await file.append(Buffer.from(`${next.line}\n`));
    } catch (error) {
      throw cannotWrite(path, error);
    }
    seal = next.seal;
  };
  try {
    if (content.header === undefined) await append(newHeader);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { append, close: () => file.close() };
}

async function startOf(path: string, content: JournalContent) {
  const { header } = content;
  return header?.version === UNSEALED_VERSION ? upgradeJournal(path, header) : content;
}

function readHeader(path: string, text: string): JournalHeader {
  const header = checked(path, 1, () => parseHeader(text));
  if (header.version === FORMAT_VERSION || header.version === UNSEALED_VERSION) return header;
  throw new UserError(
    `The manifest ${path} has format version ${header.version}; this vecfill knows version ${FORMAT_VERSION}.`,
    {
      hint: "Use the vecfill that wrote it, or the newest: `npm install --global vecfill@latest`. Nothing was changed.",
    },
  );
}

function brokenSeal(path: string, number: number): never {
  throw damaged(path, number, "it is not what was written after the line before it");
}

function checked<T>(path: string, number: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw damaged(path, number, error instanceof Error ? error.message : String(error));
  }
}

function damaged(path: string, number: number, why: string): UserError {
  return new UserError(`The manifest ${path} is damaged in line ${number}: ${why}.`, {
    hint: `Restore ${path} from a backup, or mend line ${number} by hand: jobs/README.md has a script that checks it. Nothing was changed.`,
  });
}

function tornWarning(path: string, number: number): string {
  return `${path}: line ${number} was torn by an interrupted write and does not count`;
}

function cannotWrite(path: string, error: unknown): UserError {
  const why = error instanceof Error ? `: ${error.message}` : "";
  return new UserError(`The manifest ${path} cannot be written${why}.`, {
    hint: "Free disk space or mend the folder, then run the same command again: it goes on where it stopped.",
    cause: error,
  });
}
