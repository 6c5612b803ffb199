/** What is claimed of a migration, what was found, and whether it holds. */
import { z } from "zod";
import type { CommandEnd } from "./command.ts";
import type { VectorsFound } from "./migrated-table.ts";
import type { Killed } from "./migration-kills.ts";
import type { Seen } from "./traffic.ts";

/** What the short wait for the table may leave of it. */
const LOCK_WAIT_MAX_MS = 200;

export class Claims {
  readonly say: (line: string) => void;
  checked = 0;
  breaches = 0;

  constructor(say: (line: string) => void) {
    this.say = say;
  }

  check(claim: string, holds: boolean, found: string): void {
    this.checked += 1;
    if (!holds) this.breaches += 1;
    this.say(`${holds ? "holds " : "BREACH"}  ${claim}: ${found}`);
  }
}

export function checkKilled(claims: Claims, what: string, { struck, missed, ended }: Killed): void {
  const isWell = ended.code === 0 && missed.length === 0;
  const not = missed.length === 0 ? "" : `, not met: ${missed.join("; ")}`;
  const told = ended.code === 0 ? "" : ` ${ended.stderr.slice(-500)}`;
  claims.check(
    `${what}, killed and started again, ends well`,
    isWell,
    `${struck.length} kills, exit code ${ended.code}${not}${told}`,
  );
}

/** From the swap on the new column is as the old one was: nothing empties it. */
export function checkFilled(
  claims: Claims,
  { empty, wrong }: VectorsFound,
  { edited, inserted }: Seen,
): void {
  const before = [...edited].filter(([, when]) => when === "otherwise").map(([id]) => id);
  const old = wrong.filter((id) => edited.get(id) !== "swapped");
  const waiting = before.filter((id) => empty.has(id)).length;
  claims.check(
    "no row that was edited before the swap keeps an old vector",
    old.length === 0,
    `${before.length} edited, ${inserted.size} new; ${old.length} have the vector of another text, ${waiting} wait for theirs`,
  );
  const untouched = [...empty].filter((id) => !edited.has(id) && !inserted.has(id));
  claims.check(
    "no row that nobody touched is left empty",
    untouched.length === 0,
    `${untouched.length} of ${empty.size} without a vector`,
  );
}

export function checkWaits(claims: Claims, { waits, answers, failures }: Seen): void {
  const [worst] = waits.filter(isReader).toSorted((a, b) => b.ms - a.ms);
  const longest = Math.round(worst?.ms ?? 0);
  claims.check(
    `no reader waits for a lock longer than ${LOCK_WAIT_MAX_MS} ms`,
    longest <= LOCK_WAIT_MAX_MS,
    `${waits.filter(isReader).length} waits in ${answers.filter(isReader).length} reads, the longest ${longest} ms (${worst?.stage ?? ""})`,
  );
  claims.check(
    "no reader and no writer fails",
    failures.length === 0,
    [`${failures.length} failures`, ...failures.slice(0, 1)].join(": "),
  );
  claims.say(
    `        the machine: SELECT 1 took up to ${slowest(answers, "who asks nothing")} ms; a reader up to ${slowest(answers, "reader")} ms; the writer waited for a lock up to ${slowest(waits, "writer")} ms`,
  );
}

function isReader({ who }: Readonly<{ who: string }>): boolean {
  return who.includes("reader");
}

function slowest(all: readonly Readonly<{ who: string; ms: number }>[], name: string): number {
  const its = all.filter(({ who }) => who === name);
  return Math.round(its.reduce((most, { ms }) => Math.max(most, ms), 0));
}

/** `before` and `after`: hashes of vectors by id. */
export function checkVectors(
  claims: Claims,
  [before, after]: readonly [ReadonlyMap<string, string>, ReadonlyMap<string, string>],
  { edited }: Seen,
): void {
  const kept = [...before].filter(([id]) => edited.get(id) !== "swapped");
  const other = kept.filter(([id, hash]) => after.get(id) !== hash).length;
  claims.check(
    "undone, every row that nobody touched since the swap has its old vector, bit for bit",
    other === 0,
    `${other} of ${kept.length} differ`,
  );
}

const LISTED = z.object({ edited: z.array(z.string()) });

export function checkListed(
  claims: Claims,
  { stdout }: CommandEnd,
  { edited, inserted }: Seen,
): void {
  const since = [...edited].filter(([, when]) => when === "swapped").map(([id]) => id);
  const touched = new Set([...inserted, ...since]);
  const listed = new Set(LISTED.parse(JSON.parse(stdout)).edited);
  const others = listed.symmetricDifference(touched).size;
  claims.check(
    "undo lists the rows that were edited since the swap, or are new",
    others === 0,
    `${listed.size} listed, ${touched.size} touched, ${others} in one of both alone`,
  );
}

/** `times`: of each request of a batch, and of each text at once. */
export function checkPaid(
  claims: Claims,
  times: Readonly<{ batch: Iterable<number>; now: Iterable<number> }>,
): void {
  const [batch, now] = [[...times.batch], [...times.now]];
  claims.check(
    "no request of a batch is paid for twice",
    twice(batch) === 0,
    `requests paid for: ${batch.length}, of these more than once: ${twice(batch)}`,
  );
  claims.say(
    `        at once, for late rows and for the check's sample: ${now.length} texts, of these more than once: ${twice(now)}`,
  );
}

function twice(times: readonly number[]): number {
  return times.filter((each) => each > 1).length;
}
