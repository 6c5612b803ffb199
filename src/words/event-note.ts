import type { JobEvent } from "../manifest/event.ts";
import { count, counted } from "./figures.ts";

/** A few words on what an event holds. */
export function eventNote(event: JobEvent): string | undefined {
  switch (event.type) {
    case "exported":
      return counted(event.requests, "request");
    case "recovered":
      return `${event.batch}, which another folder sent as ${event.displayName}`;
    case "uploaded":
      return event.remoteFile.name;
    case "submitting":
      return event.displayName;
    case "submitted":
      return event.adopted ? `${event.batch}, found after an uncertain create` : event.batch;
    case "duplicate":
      return `${event.batch}: a second batch of this job, not used`;
    case "succeeded":
      return event.resultsName;
    case "revoking":
      return `${event.file ?? "no file"}: ${event.fences ? "to be deleted, so that no create comes late" : "to expire first, since its deletion would keep no create out"}`;
    case "absent":
      return `not at Gemini after ${counted(event.reads, "reading")} of the batch list`;
    case "refused":
    case "failed":
    case "expired":
    case "cancelled":
      return event.error.message;
    case "downloaded":
      return counted(event.file.bytes, "byte");
    case "rowsFound":
      return `${counted(event.requests, "row")}, of which ${count(event.copies)} by the text of another`;
    case "imported":
      return `${count(event.sums.written)} written, ${count(event.sums.failed)} failed`;
    case "resubmitted":
      return event.children.map((child) => child.job).join(", ") || "settled without a new job";
    case "rollingBack":
      return `${counted(event.rows, "row")} about to be emptied`;
    case "rolledBack":
      return counted(event.rows, "row");
    case "writtenAgain":
      return `${counted(event.rows, "row")} that had lost ${event.rows === 1 ? "its vector" : "their vectors"}, at no cost`;
    case "cleaned":
      return event.files.join(", ");
    case "embedding":
      return "at once, at the interactive price";
  }
}
