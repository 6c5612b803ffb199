// A person and a script go all the way, by every command: is each word and figure that they are told as it was, or
// changed on purpose? (`npx vitest run test/scenarios/transcript.test.ts -u` writes the pages anew, to be read.)
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { type Folders, openFolders } from "../folders.ts";

const START = "2026-12-01T10:00:00.000Z";
const MINUTE_MS = 60_000;
/** What goes on by itself is told in the order in which it happens, which may be another one each time. */
const GOES_ON = /^(?:run|poll)(?!.*--(?:dry-run|once))/;
const TO_ACT_ON = /^(?:error|hint|next|warning)\b/i;

/** Types commands, a minute after each other, and keeps what was said. */
async function openTranscript(
  texts: readonly string[],
  options: Parameters<typeof openFolders>[1],
) {
  vi.useFakeTimers({ toFake: ["Date"], now: new Date(START) });
  onTestFinished(() => void vi.useRealTimers());
  const folders = await openFolders(texts, options);
  const said: string[] = [];
  const type = async (line: string) => {
    vi.setSystemTime(Date.now() + MINUTE_MS);
    const isLong = GOES_ON.test(line);
    const vecfill = isLong ? folders.vecfillInTime : folders.vecfill;
    const { code, stdout, stderr } = await vecfill("jobs", ...line.split(" "));
    const beside = stderr.split("\n").filter((each) => !isLong || TO_ACT_ON.test(each));
    said.push(`$ vecfill ${line}`, laidOut(stdout), ...beside.filter(Boolean), `(${code})`, "");
  };
  const both = async (line: string) => {
    await type(line);
    await type(`${line} --json`);
  };
  const neutral = (text: string) => withoutChance(folders, text);
  return { ...folders, type, both, neutral, page: () => neutral(`${said.join("\n")}\n`) };
}

/** Of JSON a member a line. */
function laidOut(text: string): string {
  if (!text.startsWith("{")) return text.trimEnd();
  const members: [string, unknown][] = Object.entries(JSON.parse(text));
  return members.map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`).join("\n");
}

/** Without what is another one each time. */
function withoutChance({ home, env, emulator }: Folders, text: string): string {
  return text
    .replaceAll(home, "~")
    .replaceAll(env["DATABASE_URL"] ?? "", "<database>")
    .replaceAll(emulator.url, "<emulator>")
    .replaceAll(/^Took .*$/gm, "Took <time>.")
    .replaceAll(/^ {2}seconds: \d+$/gm, "  seconds: <time>")
    .replaceAll(/\b[0-9a-f]{32,64}\b/g, "<hash>")
    .replaceAll(/\b(batches|files)\/[\w-]+/g, "$1/…")
    .replaceAll(/\bvecfill-\w{8}-(\d+-\d+)-\w+-\w+/g, "vecfill-…-$1-…")
    .replaceAll(/(?<=Postgres |pgvector +version |"version )\d[\d.]*/g, "<version>")
    .replaceAll(/[\d.]+ [MGT]B free|(?<="free":)\d+/g, "<free>");
}

const TEXTS = Array.from({ length: 8 }, (_, n) => `What is known of number ${n + 1}?`);

test("a table in three jobs, of which one dies", { timeout: 120_000 }, async () => {
  const { type, both, page, neutral, sql, endBatches, emulator, home } = await openTranscript(
    TEXTS,
    {
      faults: "permanent=0.2",
      seed: 4,
    },
  );
  await sql("INSERT INTO questions VALUES (9, ' '), (10, NULL), (11, repeat('word and ', 4000))");
  for (const line of ["jobs", "status", "run --dry-run", "verify"]) await type(line);
  for (const line of ["plan", "doctor"]) await both(line);
  for (const line of ["export --dry-run", "export"]) await type(line);
  for (const line of ["export", "jobs", "status", "jobs 0001"]) await both(line);
  await both("submit --dry-run");
  await type("submit --max-cost 0.0000001");
  await type("submit");
  for (const line of ["poll --once", "status", "jobs 0002", "plan"]) await both(line);
  await type("cancel 0003 --dry-run");
  await type("cancel 0003");
  await endBatches();
  await type("poll --once");
  await both("import --dry-run");
  await type("import");
  for (const line of ["jobs", "jobs 0002", "status"]) await both(line);
  for (const line of ["jobs --format csv", "jobs --state imported", "resubmit"]) await type(line);
  for (const line of ["resubmit --dry-run", "run --dry-run"]) await both(line);
  emulator.setFaults("");
  await both("run");
  await sql("UPDATE questions SET embedding = NULL WHERE id = 1");
  for (const line of ["status", "verify", "import --again --dry-run"]) await both(line);
  await type("plan");
  await type("import --again");
  for (const line of ["rollback 0001 --dry-run", "rollback 0001 --yes", "clean --dry-run"])
    await both(line);
  for (const line of ["clean --yes", "jobs", "jobs 0001", "verify", "run"]) await type(line);
  await type("report");
  await type("import --again 0003");
  await expect(page()).toMatchFileSnapshot("../fixtures/transcripts/one-table.txt");
  const report = await readFile(join(home, "jobs", "report.html"), "utf8");
  const lines = neutral(report.replace(/<style>[^]*?<\/style>/, "").replaceAll("><", ">\n<"));
  await expect(lines).toMatchFileSnapshot("../fixtures/transcripts/report.html");
});

test("two targets, at once, within a limit", { timeout: 120_000 }, async () => {
  const { type, both, page, sql, home } = await openTranscript(TEXTS.slice(0, 4), {});
  await sql(
    "CREATE TABLE answers (id bigint PRIMARY KEY, question_text text, embedding vector(128))",
  );
  // as long as the questions: of two tables at once either may have the next job's number
  await sql("INSERT INTO answers SELECT id, upper(question_text) FROM questions");
  const targets = [{ name: "questions" }, { name: "answers", table: "answers" }];
  await writeFile(join(home, "vecfill.config.json"), JSON.stringify({ targets }));
  for (const line of ["plan --target all", "status --target all", "run --dry-run --target all"])
    await both(line);
  await type("run");
  await type("run --target all --max-cost 0.0000001");
  await type("run --target all --yes --lane sync");
  for (const line of [
    "status --target all",
    "verify --target all",
    "jobs",
    "search known --target answers",
  ])
    await both(line);
  await type("migrate --target answers --to gemini-embedding-2 --dry-run");
  await type("report --target answers");
  await type("report --target all --report-file page.html");
  await expect(page()).toMatchFileSnapshot("../fixtures/transcripts/two-targets.txt");
});
