/** What `--progress-json` writes: an object a line on stderr. docs/progress.md describes each type. */
import type { ProgressEvent } from "../progress.ts";
import { decimal } from "../words/figures.ts";
import type { Standing } from "./standing.ts";

const SCHEMA_VERSION = 1;

type Members = Readonly<Record<string, unknown>>;

/** One line, without its end. What is not known is null. */
export function progressJson(type: string, at: Date, members: Members): string {
  return JSON.stringify(
    { schemaVersion: SCHEMA_VERSION, type, at: at.toISOString(), ...members },
    (_, value: unknown) => (value === undefined ? null : value),
  );
}

export function membersOf(event: ProgressEvent): Members {
  return "usd" in event ? { ...event, usd: decimal(event.usd) } : event;
}

/** The members of `progress`: where the whole stands. */
export function standingMembers(now: Standing): Members {
  const { outcomes, atGemini, waiting, ready, waits } = now;
  return {
    total: now.total,
    isTotalExact: now.isTotalExact,
    exported: now.exported,
    notSent: waiting.rows,
    atGemini: atGemini.rows,
    ended: ready.rows,
    ...outcomes,
    tokens: now.tokens,
    usd: decimal(now.usd),
    elapsedSeconds: Math.round(now.elapsedSeconds),
    rowsPerSecond: now.rowsPerSecond,
    etaSeconds: rounded(now.etaSeconds),
    oldestJob: atGemini.oldest,
    oldestSeconds: atGemini.oldest === undefined ? undefined : Math.round(atGemini.oldestSeconds),
    nextPollSeconds: rounded(now.nextPollSeconds),
    waitingFor: waits[0]?.why,
    waitingSeconds: rounded(waits[0]?.sinceSeconds),
  };
}

function rounded(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.round(seconds);
}
