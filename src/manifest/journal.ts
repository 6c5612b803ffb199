/**
 * The journal: an append-only file, an event a line, each synced before the call returns.
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
} from "./event.ts";
import { exists } from "../disk/presence.ts";

export type JournalContent = Readonly<{
  /** Undefined when there is no journal yet, or only the torn start of one. */
  header: JournalHeader | undefined;
  /** Bytes up to the last whole line: where the next event goes. */
  endsAt: number;
  warnings: readonly string[];
}>;

export type JournalWriter = {
  append(event: JournalEvent): Promise<void>;
  close(): Promise<void>;
};

/** Reads the journal from its start and hands each event to `onEvent`, in order. */
export async function readJournal(
  path: string,
  onEvent: (event: JournalEvent) => void,
): Promise<JournalContent> {
  let header: JournalHeader | undefined;
  let endsAt = 0;
  let number = 0;
  if (!(await exists(path))) return { header, endsAt, warnings: [] };
  for await (const { texts, bytes } of readTextLines(path)) {
    if (texts === "torn") return { header, endsAt, warnings: [tornWarning(path, number + 1)] };
    if (texts === "too long") throw damaged(path, number + 1, "the line is far too long");
    for (const text of texts) {
      number += 1;
      if (header === undefined) header = readHeader(path, text);
      else readEvent(path, number, text, onEvent);
    }
    endsAt += bytes;
  }
  return { header, endsAt, warnings: [] };
}

/** Opens for appending after `endsAt`; what stands behind it is the torn line, and is cut off. */
export async function openJournal(
  path: string,
  content: Pick<JournalContent, "endsAt">,
  header: JournalHeader | undefined,
): Promise<JournalWriter> {
  const file = await openAppendFile(path, content.endsAt);
  const append = async (line: JournalEvent | JournalHeader) => {
    try {
      await file.append(Buffer.from(`${JSON.stringify(line)}\n`));
    } catch (error) {
      throw cannotWrite(path, error);
    }
  };
  try {
    if (header !== undefined) await append(header);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { append, close: () => file.close() };
}

function readHeader(path: string, text: string): JournalHeader {
  const header = checked(path, 1, () => parseHeader(text));
  if (header.version === FORMAT_VERSION) return header;
  throw new UserError(
    `The manifest ${path} has format version ${header.version}; this vecfill knows version ${FORMAT_VERSION}.`,
    {
      hint: "Use the vecfill that wrote it, or the newest: `npm install --global vecfill@latest`. Nothing was changed.",
      exit: "fatal",
    },
  );
}

function readEvent(
  path: string,
  number: number,
  text: string,
  onEvent: (event: JournalEvent) => void,
): void {
  checked(path, number, () => onEvent(parseEvent(text)));
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
    hint: `Restore ${path} from a backup, or mend line ${number} by hand; nothing was changed.`,
    exit: "fatal",
  });
}

function tornWarning(path: string, number: number): string {
  return `${path}: line ${number} was torn by an interrupted write and does not count`;
}

function cannotWrite(path: string, error: unknown): UserError {
  const why = error instanceof Error ? `: ${error.message}` : "";
  return new UserError(`The manifest ${path} cannot be written${why}.`, {
    hint: "Free disk space or mend the folder, then run the same command again: it goes on where it stopped.",
    exit: "fatal",
    cause: error,
  });
}
