/** Everything an emulator knows, put together from its folder. */
import type { ModelName } from "../../row/models.ts";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { BATCH_RECORD, type BatchRecord } from "./batch-record.ts";
import { Behaviour } from "../faults/behaviour.ts";
import type { Embedder } from "../vectors/embed-request.ts";
import { Faults } from "../faults/faults.ts";
import { FILE_RECORD, type FileRecord } from "./file-record.ts";
import type { Settings } from "../faults/emulator-options.ts";
import { PaidTexts } from "../faults/paid-texts.ts";
import { Records } from "./records.ts";
import type { EmulatorTime } from "../faults/time.ts";
import { UPLOAD_SESSION, type UploadSession } from "./open-upload.ts";

/** A call, as it counts. */
export type MinuteUse = Readonly<{
  atMs: number;
  project: string;
  model: ModelName;
  requests: number;
  tokens: number;
}>;

export type State = {
  readonly settings: Settings;
  readonly time: EmulatorTime;
  readonly embedder: Embedder;
  readonly files: Records<FileRecord>;
  readonly uploads: Records<UploadSession>;
  readonly batches: Records<BatchRecord>;
  /** Replaced as a whole when a test asks for others. */
  faults: Faults;
  /** Upload sessions that are being written to: one request at a time. */
  readonly receiving: Set<string>;
  /** Creates refused since the start because their input file is not there. */
  createsOfGoneFiles: number;
  /** Texts embedded through the interactive API since the start. */
  embeddedNow: number;
  /** The same, kept in the folder, by text. */
  readonly paidTexts: PaidTexts;
  /** Interactive calls of the last minute, as far as they count. */
  lastMinute: MinuteUse[];
};

export function loadState(settings: Settings, time: EmulatorTime): State {
  mkdirSync(settings.folder, { recursive: true });
  return {
    settings,
    time,
    embedder: { behaviour: new Behaviour(settings.behaviour), tokenizer: settings.tokenizer },
    files: new Records(join(settings.folder, "files"), FILE_RECORD),
    uploads: new Records(join(settings.folder, "uploads"), UPLOAD_SESSION),
    batches: new Records(join(settings.folder, "batches"), BATCH_RECORD),
    faults: new Faults(settings.faults, settings.seed),
    receiving: new Set(),
    createsOfGoneFiles: 0,
    embeddedNow: 0,
    paidTexts: new PaidTexts(settings.folder),
    lastMinute: [],
  };
}

/** The bytes of an uploaded file. */
export function uploadedPath(state: State, fileId: string): string {
  return state.files.path(fileId, ".bin");
}

/** A batch's own link to its input, which outlives the file's record. */
export function inputPath(state: State, batchId: string): string {
  return state.batches.path(batchId, ".input.jsonl");
}

export function resultsPath(state: State, batchId: string): string {
  return state.batches.path(batchId, ".results.jsonl");
}

/** Keys of rows that were answered with an error, one JSON text a line. */
export function unpaidPath(state: State, batchId: string): string {
  return state.batches.path(batchId, ".unpaid.jsonl");
}
