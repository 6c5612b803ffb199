/** The protocol that decides what is paid for is checked as a model: is the model still of this program? */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { type JobEvent, parseEvent } from "../src/manifest/event.ts";
import { contentOf } from "../src/disk/seal.ts";
import { move } from "../src/manifest/transitions.ts";
import { IN_FULL, onlyWhere } from "./size.ts";

const MODEL = readFileSync(new URL("../model/submission.pml", import.meta.url), "utf8");
const RUNNER = fileURLToPath(new URL("../model/model.ts", import.meta.url));

/** One of each. */
const EVENTS = readFileSync(new URL("fixtures/manifest-v2.ndjson", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .slice(1)
  .map((line) => parseEvent(contentOf(line)));

/** What may happen to a job that was not submitted for sure, but for other lanes and a person's wish. */
function protocolEvents(): JobEvent["type"][] {
  const types = new Set(EVENTS.flatMap((event) => ("job" in event ? [event.type] : [])));
  return [...types].filter(
    (event) => isUnsure(event) && event !== "embedding" && event !== "cancelled",
  );
}

function isUnsure(event: JobEvent["type"]): boolean {
  return canMove("exported", event) || canMove("submitting", event);
}

function canMove(from: "exported" | "submitting", event: JobEvent["type"]): boolean {
  try {
    return move("0001", from, event) !== undefined;
  } catch {
    return false; // not a legal move
  }
}

test("its steps are the journal's events, all of them", () => {
  const named = /mtype = \{(?<names>[^}]+)\}/.exec(MODEL)?.groups?.["names"] ?? "";
  const events = named.split(",").map((name) => name.trim());
  // a job begins as exported; a second batch is told of one that has its batch
  expect(events.toSorted()).toEqual(["exported", "duplicate", ...protocolEvents()].toSorted());
  const recorded = MODEL.matchAll(/\b(?:record|say)\((?<event>\w+)\)/g);
  const steps = new Set(Array.from(recorded, ({ groups }) => groups?.["event"]));
  expect(events.filter((event) => event !== "exported" && !steps.has(event))).toEqual([]);
});

const hasSpin = spawnSync("spin", ["-V"]).error === undefined;

test(
  "it holds in every state, and no part of it can be left out",
  { timeout: 600_000, ...("skip" in IN_FULL ? IN_FULL : onlyWhere(hasSpin, "need spin")) },
  () => {
    const { status, stdout } = spawnSync(process.execPath, [RUNNER], { encoding: "utf8" });
    expect(status, stdout).toBe(0);
    expect(stdout.match(/^[^ ].*: a breach/gm)).toHaveLength(11);
    expect(stdout).toContain("create 2 makes a batch");
  },
);
