/**
 * What was paid for: every request line of every batch that was accepted, except lines answered
 * with an error and what a batch had not done when it ended or was deleted. A lost or garbled line
 * was paid for all the same. Computed from the batches' own files, so that it cannot drift.
 */
import { existsSync } from "node:fs";
import type { BatchRecord } from "./batch-record.ts";
import { lineBlocks } from "../faults/lines.ts";
import { isJsonObject, parseJson } from "../../row/json-value.ts";
import { inputPath, type State, unpaidPath } from "./state.ts";

/** How often each key was paid for, of one model where it is named. A batch that still waits or runs counts as paid. */
export async function billing(state: State, model?: string): Promise<ReadonlyMap<string, number>> {
  const bill = new Map<string, number>();
  const batches = state.batches.all().filter((each) => model === undefined || each.model === model);
  for (const batch of batches.filter(isPaid)) {
    const done = batch.end === undefined ? Infinity : batch.end.successful + batch.end.failed;
    await charge(inputPath(state, batch.id), keyOfRequest, 1, bill, done);
    if (batch.end === undefined || !existsSync(unpaidPath(state, batch.id))) continue;
    await charge(unpaidPath(state, batch.id), keyOfUnpaid, -1, bill);
  }
  for (const [key, times] of bill) if (times === 0) bill.delete(key);
  return bill;
}

function isPaid(batch: BatchRecord): boolean {
  if (batch.end === undefined) return batch.deletedAtMs === undefined;
  return batch.end.successful > 0;
}

async function charge(
  path: string,
  keyOf: (line: string) => string | undefined,
  times: number,
  bill: Map<string, number>,
  linesMax = Infinity,
): Promise<void> {
  let lines = 0;
  for await (const block of lineBlocks(path)) {
    for (const line of block) {
      if (++lines > linesMax) return;
      const key = keyOf(line);
      if (key !== undefined) bill.set(key, (bill.get(key) ?? 0) + times);
    }
  }
}

/** A line that is no JSON was not embedded either. Inline requests have a key only where their metadata holds one. */
function keyOfRequest(line: string): string | undefined {
  const request = parseJson(line);
  if (!isJsonObject(request)) return undefined;
  const { key, metadata } = request;
  const named = key ?? (isJsonObject(metadata) ? metadata["key"] : undefined);
  return typeof named === "string" && named !== "" ? named : undefined;
}

function keyOfUnpaid(line: string): string | undefined {
  const key = parseJson(line);
  return typeof key === "string" ? key : undefined;
}
