/**
 * The journal: an append-only file, an event a line, each sealed (see `seal.ts`) and synced before the call returns.
 *
 * A process that dies while it appends leaves a torn last line. Readers leave it out with a warning;
 * the next writer cuts it off. Whatever is damaged elsewhere is refused with its line number: a
 * journal that cannot be trusted must not decide what is paid for. An append that fails is taken
 * back.
 */
import { crc32 } from "node:zlib";
import { openAppendFile } from "../../disk/append-file.ts";
import { crcOfStart } from "../../disk/durable-file.ts";
import { UserError, usageError } from "../../errors.ts";
import { readTextLines } from "../../disk/jsonl.ts";
import {
  FORMAT_VERSION,
  type JournalEvent,
  type JournalHeader,
  MOVED_VERSION,
  parseEvent,
  parseHeader,
  UNSEALED_VERSION,
} from "../event.ts";
import { exists } from "../../disk/presence.ts";
import { contentOf, FIRST_SEAL, hasMoreThanALine, sealed, sealOf } from "../../disk/seal.ts";
import { upgradeJournal } from "./upgrade.ts";

/** Up to where a journal was read or written, the last whole line, and what stands there. */
export type Place = Readonly<{
  /** Undefined when there is no journal yet, or only the torn start of one. */
  header: JournalHeader | undefined;
  /** Bytes: where the next event goes. */
  endsAt: number;
  lines: number;
  /** Of the last line. */
  seal: number;
  /** Of all bytes: it tells what was damaged, not what was forged. */
  crc: number;
}>;

export type JournalContent = Place & Readonly<{ warnings: readonly string[] }>;

export type JournalWriter = {
  append(event: JournalEvent): Promise<void>;
  /** Says where it ends. */
  close(): Promise<Place>;
};

/** Hands each event after `from` to `onEvent`, in order; without it, from the start. */
export async function readJournal(
  path: string,
  onEvent: (event: JournalEvent) => void,
  from?: Place,
): Promise<JournalContent> {
  let { header, endsAt = 0, lines: number = 0, seal = FIRST_SEAL, crc = 0 } = from ?? {};
  const soFar = () => ({ header, endsAt, lines: number, seal, crc });
  if (!(await exists(path))) return { ...soFar(), warnings: [] };
  const isSealed = () => header?.version !== UNSEALED_VERSION;
  const unsealed = (text: string): string => {
    seal = sealOf(text, seal) ?? brokenSeal(path, number);
    return contentOf(text);
  };
  for await (const lines of readTextLines(path, endsAt)) {
    if (lines.texts === "too long") throw damaged(path, number + 1, "the line is far too long");
    if (lines.texts === "torn") {
      if (isSealed() && hasMoreThanALine(lines.tail, seal)) brokenSeal(path, number + 1);
      return { ...soFar(), warnings: [tornWarning(path, number + 1)] };
    }
    for (const text of lines.texts) {
      number += 1;
      header ??= readHeader(path, text);
      const json = isSealed() ? unsealed(text) : text;
      if (number > 1) checked(path, number, () => onEvent(parseEvent(json)));
    }
    endsAt += lines.bytes.length;
    crc = crc32(lines.bytes, crc);
  }
  return { ...soFar(), warnings: [] };
}

/** Of whatever format, also one that is refused otherwise; undefined where there is no journal, or only the torn start of one. */
export async function readHeaderOf(path: string): Promise<JournalHeader | undefined> {
  if (!(await exists(path))) return undefined;
  for await (const { texts } of readTextLines(path)) {
    const [first] = typeof texts === "string" ? [] : texts;
    return first === undefined ? undefined : checked(path, 1, () => parseHeader(first));
  }
  return undefined;
}

/** A whole journal, a line after the other, each without its LF. */
export function* journalLines(
  header: JournalHeader,
  events: readonly JournalEvent[],
): Generator<string> {
  let seal = FIRST_SEAL;
  for (const each of [header, ...events]) {
    const next = sealed(JSON.stringify(each), seal);
    seal = next.seal;
    yield next.line;
  }
}

/** Opens for appending after `endsAt`; what stands behind it is the torn line, and is cut off. */
export async function openJournal(
  path: string,
  content: JournalContent,
  newHeader: JournalHeader,
): Promise<JournalWriter> {
  const start = await startOf(path, content);
  const file = await openAppendFile(path, start.endsAt);
  let { endsAt, lines, seal, crc } = start;
  const append = async (event: JournalEvent | JournalHeader) => {
    const next = sealed(JSON.stringify(event), seal);
    const bytes = Buffer.from(`${next.line}\n`);
    try {
      await file.append(bytes);
    } catch (error) {
      throw cannotWrite(path, error);
    }
    [endsAt, lines, seal] = [endsAt + bytes.length, lines + 1, next.seal];
    crc = crc32(bytes, crc);
  };
  try {
    if (start.header === undefined) await append(newHeader);
  } catch (error) {
    await file.close();
    throw error;
  }
  const header = start.header ?? newHeader;
  const soFar = () => ({ header, endsAt, lines, seal, crc });
  return { append, close: () => file.close().then(soFar) };
}

async function startOf(path: string, content: JournalContent): Promise<Place> {
  const { header } = content;
  if (header?.version !== UNSEALED_VERSION) return content;
  const upgraded = await upgradeJournal(path, header);
  const crc = await crcOfStart(path, upgraded.endsAt);
  return { ...content, ...upgraded, header: { ...header, version: FORMAT_VERSION }, crc };
}

function readHeader(path: string, text: string): JournalHeader {
  const header = checked(path, 1, () => parseHeader(text));
  if (header.version === FORMAT_VERSION || header.version === UNSEALED_VERSION) return header;
  if (header.version === MOVED_VERSION) throw hasMoved(path);
  throw new UserError(
    `The manifest ${path} has format version ${header.version}; this vecfill knows version ${FORMAT_VERSION}.`,
    {
      hint: "Use the vecfill that wrote it, or the newest: `npm install --global vecfill@latest`. Nothing was changed.",
    },
  );
}

function hasMoved(path: string): UserError {
  return usageError(
    `The manifest ${path} has moved to the database of its table, where several may share it.`,
    "Add --manifest postgres, or set VECFILL_MANIFEST=postgres. `vecfill manifest move --to folder` brings it back. Or name another folder with --jobs-dir.",
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
