/** Why rows failed, in words. */
import type { FailureGroup, Failures } from "./failures.ts";
import { count, counted } from "./figures.ts";

const MAX_REASONS = 5;
const MAX_FILES = 3;

/** A line for each reason: how many rows, why, which ones, and in which file. */
export function failureLines({ groups, unread }: Failures): string[] {
  const rest = groups.slice(MAX_REASONS).reduce((rows, group) => rows + group.rows, unread);
  const more = rest === 0 ? [] : [`${counted(rest, "further failed row")}: see the failed files.`];
  return [...groups.slice(0, MAX_REASONS).map(failureLine), ...more];
}

/** What a person can do about rows of which the same text fails again; nothing where there are none. */
export function mendLines({ groups }: Failures): string[] {
  if (!groups.some((group) => group.class === "permanent")) return [];
  return [
    "Permanent: the same text fails again. Mend it in the table, and `vecfill run` takes the row; or mend the line in the file, and `vecfill resubmit` sends it.",
  ];
}

/** For scripts. */
export function failuresJson({ groups }: Failures): readonly Record<string, unknown>[] {
  return groups.map(({ code, ...group }) => ({ ...group, code: code ?? null }));
}

function failureLine({ rows, class: kind, reason, code, message, ids, files }: FailureGroup) {
  const why = code === undefined ? reason : `code ${code}`;
  const words = message === "" ? "" : ` (${message.replace(/\.$/, "")})`;
  const more = rows > ids.length ? " …" : "";
  const others = files.length > MAX_FILES ? ` and ${count(files.length - MAX_FILES)} more` : "";
  const where = `${files.slice(0, MAX_FILES).join(", ")}${others}`;
  return `${count(rows)} failed, ${kind}, ${why}${words}: ${rows === 1 ? "id" : "ids"} ${ids.join(", ")}${more}, in ${where}`;
}
