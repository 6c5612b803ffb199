/** What the check found, for people: printed, and kept in the journal for the report page. */
import type { Checked } from "../manifest/migration/table-migration.ts";
import { count, counted } from "../words/figures.ts";
import type { Gate } from "./gate.ts";

export function gateFigures(gate: Gate): Checked[] {
  const { rows, lacking, left, flawed, sampled, off, recall, agreement, queries, against } = gate;
  const figures: readonly (readonly [what: string, found: string])[] = [
    ["rows with a vector", count(rows)],
    [
      "with a text and no vector",
      `${count(lacking)}${lacking > left ? ` (${count(lacking - left)} just changed)` : ""}`,
    ],
    ["of a wrong width or length", count(flawed)],
    ["embedded again", `${count(sampled)}, ${off === 0 ? "all alike" : `${count(off)} off`}`],
    ["recall@10 of the index", share(recall)],
    ["same neighbours as before", share(agreement)],
    ...(queries === undefined ? [] : queryFigures(queries)),
    ...against.map((why): [string, string] => ["holds the swap back", why]),
  ];
  return figures.map(([what, found]) => ({ what, found }));
}

function queryFigures({ count: number, old, next }: NonNullable<Gate["queries"]>) {
  return [
    [`nDCG@10, ${counted(number, "query")}`, beside(old.ndcg.toFixed(3), next.ndcg.toFixed(3))],
    ["recall@10 of these", beside(share(old.recall), share(next.recall))],
  ] as const;
}

function beside(before: string, now: string): string {
  return `${before} before, ${now} now`;
}

const PERCENT = 100;

function share(part: number | undefined): string {
  return part === undefined ? "-" : `${(part * PERCENT).toFixed(1)}%`;
}
