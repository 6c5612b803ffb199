/** Test files that CI has run already when it comes to the rest on a native Postgres. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { importsOf, ROOT } from "./source.ts";

/** By these alone a test knows which run it is in. */
const TELLS_RUNS_APART = ["test/size.ts", "test/store/postgres/native-database.ts"];

/** Sweeps of calls that are none to the database: CI runs them on the embedded one, where a start is cheap. */
const SWEPT_EMBEDDED = ["before", "after", "halfway", "sync", "clean", "other-answers"];

export function runAlready(): string[] {
  return [
    ...sameInBothRuns(),
    ...SWEPT_EMBEDDED.map((name) => `test/scenarios/faults/${name}.full.test.ts`),
  ];
}

/** Those whose tests are the same in `npm test` and in the full run on a native Postgres. */
function sameInBothRuns(): string[] {
  const tests = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" })
    .map((path) => `test/${path}`)
    .filter((path) => path.endsWith(".test.ts") && !path.endsWith(".full.test.ts"));
  return tests.filter((path) => {
    const reached = reachedFrom(path);
    return !TELLS_RUNS_APART.some((each) => reached.has(each));
  });
}

function reachedFrom(file: string, reached = new Set<string>()): ReadonlySet<string> {
  if (reached.has(file) || !file.startsWith("test/") || !existsSync(join(ROOT, file))) {
    return reached;
  }
  reached.add(file);
  const source = readFileSync(join(ROOT, file), "utf8");
  for (const { to } of importsOf(file, source)) reachedFrom(to, reached);
  return reached;
}
