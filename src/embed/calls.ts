import { MAX_TEXTS_NOW } from "../gemini/port.ts";
import type { Checkpoint } from "../jobs-folder/checkpoint.ts";
import type { JobFiles } from "../manifest/file-names.ts";
import { readLines } from "../disk/jsonl.ts";
import { parseRequestLine, type RequestLine } from "../row/request-line.ts";

/** The requests that have no answer yet, in the file's order, as many together as a call may hold. */
export async function* callsOf(
  files: Pick<JobFiles, "requests">,
  checkpoint: Pick<Checkpoint, "isAnswered">,
): AsyncGenerator<readonly RequestLine[], undefined> {
  let call: RequestLine[] = [];
  for await (const lines of readLines(files.requests)) {
    for (const { bytes } of lines) {
      if (bytes === undefined || bytes.length === 0) continue;
      const request = parseRequestLine(bytes);
      if (checkpoint.isAnswered(request.key)) continue;
      call.push(request);
      if (call.length < MAX_TEXTS_NOW) continue;
      yield call;
      call = [];
    }
  }
  if (call.length > 0) yield call;
  return undefined;
}
