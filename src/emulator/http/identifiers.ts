/** Ids as the service makes them, and its rules for those that others make. */
import { randomBytes } from "node:crypto";

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";
const FILE_ID_LETTERS = 12;
const BATCH_ID_LETTERS = 36;
const SESSION_ID_LETTERS = 40;

export const FILE_ID_LETTERS_MAX = 40;
const FILE_ID = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
const BATCH_ID = /^[a-z0-9]{36}$/;
const RESULTS_FILE_ID = /^batch-(?<batch>[a-z0-9]{36})$/;

export function newFileId(): string {
  return randomLetters(FILE_ID_LETTERS);
}

export function newBatchId(): string {
  return randomLetters(BATCH_ID_LETTERS);
}

export function newSessionId(): string {
  return randomLetters(SESSION_ID_LETTERS);
}

export function isFileId(id: string): boolean {
  return FILE_ID.test(id);
}

export function isBatchId(id: string): boolean {
  return BATCH_ID.test(id);
}

/** `batch-` and the batch's id: longer than the service allows for any other file. */
export function resultsFileId(batchId: string): string {
  return `batch-${batchId}`;
}

export function batchOfResultsFile(fileId: string): string | undefined {
  return RESULTS_FILE_ID.exec(fileId)?.groups?.["batch"];
}

function randomLetters(count: number): string {
  return Array.from(randomBytes(count), (byte) => LETTERS[byte % LETTERS.length]).join("");
}
