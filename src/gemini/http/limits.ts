import { MAX_TEXTS_NOW } from "../port.ts";

/** A bound on everything the client does. Times are milliseconds, for one request each. */
export const LIMITS = {
  callMs: 60_000,
  /** Two requests took the service four seconds; giving up early makes an uncertain create. */
  createMs: 180_000,
  /** One chunk: this allows for an uplink of 30 kB/s. */
  chunkMs: 300_000,
  /** Without a byte of a results file, the first one included. */
  idleMs: 60_000,

  /** Of an answer, results aside: a page of a list holds what its hundred batches hold. */
  maxAnswerBytes: 256 * 1024 * 1024,
  /** Of a results file: twice the largest job there may be, 200,000 rows of 3072 values. */
  maxResultsBytes: 20_000_000_000,
  /** From the first byte of a results file to its last; a trickle is no download. */
  downloadMs: 24 * 60 * 60 * 1000,

  pageSize: 100,
  /** A list keeps six weeks of batches; the service may send fewer a page than asked for. */
  maxPages: 2_000,

  /** A multiple of the granularity of 256 KiB that the service asks for; one chunk is in memory. */
  chunkBytes: 8 * 1024 * 1024,
  /** Failed steps of an upload session in a row, between which nothing more has arrived. */
  maxStumbles: 10,
  firstStumbleDelayMs: 1_000,
  maxStumbleDelayMs: 30_000,
  /** Sessions begun for one file: for a refused type, a taken name, a session that died. */
  maxSessions: 8,
  activePollMs: 2_000,
  maxActivePolls: 90,
  /** A file found at the service is used only if it outlives this: a batch may wait long for its turn. */
  minRemainingMs: 36 * 60 * 60 * 1000,

  maxTextsNow: MAX_TEXTS_NOW,
  /** Of the service's words in an error. */
  maxMessageChars: 600,
} as const;

export type Limits = Readonly<Record<keyof typeof LIMITS, number>>;
