// Do the documents still tell the truth? What they say about commands, options, exit codes, files,
// events, states and prices is compared with the program; their SQL is run; their links lead somewhere.
import { existsSync, readdirSync, statSync } from "node:fs";
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { Faults } from "../src/emulator/faults/faults.ts";
import { EXIT_CODES } from "../src/errors.ts";
import { PRICES, QUOTAS, TIERS } from "../src/cost/tariff.ts";
import { parseFailedLine } from "../src/row/failed-line.ts";
import { type IndexEvent, type JobEvent, parseEvent, parseHeader } from "../src/manifest/event.ts";
import { jobFiles } from "../src/manifest/file-names.ts";
import type { JobState } from "../src/manifest/job.ts";
import { contentOf } from "../src/disk/seal.ts";
import { readEvents, readHistory, readManifest } from "../src/jobs-folder/open.ts";
import { move } from "../src/manifest/transitions.ts";
import { COMMAND_NAMES } from "../src/settings/option.ts";
import { projectOfVariable } from "../src/row/project.ts";
import { OPTION_LIST, variableOf } from "../src/settings/options.ts";
import { manPage } from "../scripts/man-page.ts";
import { referencePage } from "../scripts/reference.ts";
import { parseRequestLine } from "../src/row/request-line.ts";
import { openDatabase } from "../src/store/postgres/open-database.ts";
import { balanced } from "../src/row/sums.ts";
import { runHere } from "./command-line.ts";
import {
  DOCUMENTS,
  ROOT,
  guideText,
  leadsSomewhere,
  linksOf,
  read,
  tableAfter,
  words,
} from "./page.ts";

/** The same events in both formats. */
const FIXTURES = ["test/fixtures/manifest-v1.ndjson", "test/fixtures/manifest-v2.ndjson"];

const readme = read("README.md");
const reference = read("docs/reference.md");
const jobsPage = read("jobs/README.md");
const guide = guideText();

describe("the reference", () => {
  test("has usage and options as the program has them; `npm run reference` writes them", async () => {
    const { stdout } = await runHere(["--help"]);
    expect(reference).toContain(`<!-- usage -->\n\n\`\`\`text\n${stdout}`);
    expect(referencePage(reference, stdout)).toBe(reference);
    expect(OPTION_LIST.filter(([, { flag }]) => !reference.includes(`| \`--${flag}\` |`))).toEqual(
      [],
    );
  });

  test("has every exit code, and no other", () => {
    const told = tableAfter(reference, "## Exit codes").map(([number]) => Number(number));
    expect(told).toEqual(Object.values(EXIT_CODES).sort((a, b) => a - b));
  });

  test("leaves no command out", async () => {
    const { stdout } = await runHere(["--help"]);
    expect(COMMAND_NAMES.filter((name) => !stdout.includes(`vecfill ${name}`))).toEqual([]);
    const used = `${readme}\n${reference}\n${guide}`;
    expect(COMMAND_NAMES.filter((name) => !used.includes(`vecfill ${name}`))).toEqual([]);
  });

  test("names variables that exist", () => {
    const known = OPTION_LIST.map(([, { flag }]) => variableOf(flag));
    const named = DOCUMENTS.flatMap((name) => read(name).match(/\bVECFILL_[A-Z_]+\b/g) ?? []);
    const others = ["VECFILL_TEST_DATABASE_URL", "VECFILL_EVENT", "VECFILL_KEY_"];
    expect(named.length).toBeGreaterThan(0);
    const isKnown = (name: string) => [...known, ...others].includes(name);
    const strange = named.filter((name) => !isKnown(name) && projectOfVariable(name) === undefined);
    expect(strange).toEqual([]);
  });

  test("has a man page of the same, which `npm run reference` writes", () => {
    const { version } = JSON.parse(read("package.json"));
    expect(read("man/vecfill.1")).toBe(manPage(version));
    for (const own of ["--top", "--tokenizer"])
      expect(manPage(version)).toContain(own.replaceAll("-", String.raw`\-`));
  });

  test("names npm scripts that exist, in every document", () => {
    const { scripts } = JSON.parse(read("package.json"));
    const builtIn = ["ci", "pack", "install", "test", "version", "publish"];
    const named = DOCUMENTS.flatMap((name) =>
      Array.from(read(name).matchAll(/\bnpm (?:run )?(?<script>[a-z]+)/g), ({ groups }) => groups),
    ).map((groups) => groups?.["script"] ?? "");
    expect(named).toContain("demo");
    expect(named.filter((name) => !(name in scripts) && !builtIn.includes(name))).toEqual([]);
  });
});

describe("command lines in the documents", () => {
  const lines = DOCUMENTS.flatMap((name) =>
    commandLines(read(name)).map((line): [string, string] => [name, line]),
  );

  test("are there to be tested", () => {
    expect(lines.length).toBeGreaterThan(40);
    const used = new Set(lines.map(([, line]) => words(line)[0]));
    expect(COMMAND_NAMES.filter((name) => !used.has(name))).toEqual([]);
  });

  test.each(lines)("%s: %s", async (_document, line) => {
    expect(await complaintOf(words(line))).toBe(undefined);
  });

  test("ask the emulator for faults that it knows", () => {
    const faults = lines.flatMap(([, line]) => {
      const args = words(line);
      const at = args.indexOf("--faults");
      return at === -1 ? [] : [args[at + 1] ?? ""];
    });
    expect(faults.length).toBeGreaterThan(0);
    expect(() => faults.map((text) => new Faults(text, 1))).not.toThrow();
  });

  test.each([
    "vecfill fill",
    "vecfill run --tabel questions",
    "vecfill jobs 0001 0002",
    "vecfill poll --limit 3",
    "vecfill run --limit many",
    "vecfill run --quota-wait soon",
    "vecfill cancel",
  ])("would be found wrong: %s", async (line) => {
    expect(await complaintOf(words(line))).toMatch(/^error: /);
  });
});

describe("the SQL of the documents", () => {
  test("runs, in the order in which it stands there", { timeout: 120_000 }, async () => {
    const database = await openDatabase({ url: "pglite:memory" });
    await database.query("CREATE TABLE questions (id bigint PRIMARY KEY, question_text text)");
    const statements = sqlStatements(guide);
    expect(statements.length).toBeGreaterThan(8);
    for (const statement of statements) await database.query(statement);
    await database.close();
  });
});

describe("the guide's tables", () => {
  test("cost what the model costs", () => {
    const rows = tableAfter(guide, "<!-- cost -->").map((cells) => cells.map(figure));
    const { usdPerMillionTokens } = PRICES["gemini-embedding-001"].batch;
    expect(rows.length).toBeGreaterThan(4);
    for (const [questions = 0, each = 0, tokens = 0, usd = 0] of rows) {
      expect(tokens).toBe(questions * each);
      expect(Math.abs(usd - (tokens / 1_000_000) * usdPerMillionTokens)).toBeLessThanOrEqual(0.005);
    }
  });

  test("fill the queue as often as they say", () => {
    const [limits = [], ...rows] = tableAfter(guide, "<!-- queue -->", "with titles").map((cells) =>
      cells.map(figure),
    );
    const quotas = TIERS.map((tier) => QUOTAS[tier].enqueuedTokens["gemini-embedding-001"]);
    expect(limits.slice(1)).toEqual(quotas);
    expect(rows.length).toBeGreaterThan(2);
    for (const [tokens = 0, ...fillings] of rows) {
      expect(fillings).toEqual(limits.slice(1).map((limit) => Math.ceil(tokens / limit)));
    }
  });
});

describe("the page on the jobs folder", () => {
  const written = read("test/fixtures/manifest-v2.ndjson").trimEnd().split("\n");
  const fixture = written.map(contentOf);
  const events = fixture.slice(1).map(parseEvent);
  const types = [...new Set(events.map(({ type }) => type))].sort();

  test("describes every event, and no other", () => {
    const described = tableAfter(jobsPage, "<!-- events -->").map(
      ([type = ""]) => code(type)[0] ?? "",
    );
    expect(described.toSorted()).toEqual(types);
    expect(types).toEqual(
      [
        "target",
        "counted",
        "limited",
        "trial",
        "migration",
        ...keysOf(INDEX_EVENTS),
        ...keysOf(JOB_EVENTS),
      ].sort(),
    );
  });

  test("names every member of every event", () => {
    const shared = ["type", "at", "job"];
    for (const [type = "", members = ""] of tableAfter(jobsPage, "<!-- events -->")) {
      const named = code(members).flatMap((name) => (name === "ending" ? ENDING : [name]));
      const found = events
        .filter((event) => event.type === code(type)[0])
        .flatMap((event) => Object.keys(event))
        .filter((name) => !shared.includes(name));
      expect([...new Set(found)].filter((name) => !named.includes(name))).toEqual([]);
    }
  });

  test("shows the header and an example of each event, as they stand in the fixture", () => {
    const shown = jsonLines(jobsPage).filter((line) => line.includes('"type":'));
    expect(shown.filter((line) => !fixture.includes(line))).toEqual([]);
    expect(shown.map((line) => parseEvent(line).type).sort()).toEqual(types);
    expect(jobsPage).toContain(written[0]);
    expect(parseHeader(fixture[0] ?? "")).toMatchObject({ version: 2 });
  });

  test("has a script that finds the line that is not as it was written", async () => {
    const folder = await mkdtemp(join(tmpdir(), "vecfill-test-"));
    const script = join(folder, "check.mjs");
    const manifest = join(folder, "manifest.ndjson");
    await writeFile(script, /```js\n(?<script>.*?)```/s.exec(jobsPage)?.groups?.["script"] ?? "");
    const check = async (lines: readonly string[]) => {
      await writeFile(manifest, lines.map((line) => `${line}\n`).join(""));
      return (await promisify(execFile)(process.execPath, [script, manifest])).stdout;
    };
    expect(await check(written)).toBe("");
    const damaged = written.with(3, (written[3] ?? "").replace('"requests":', '"requests":1'));
    expect(await check(damaged)).toMatch(/^line 4: not "crc":"[0-9a-f]{8}"\n$/);
    expect(await check(written.toSpliced(3, 1))).toMatch(/^line 4: /);
  });

  test("shows request lines and failed lines as they are", () => {
    const shown = jsonLines(jobsPage).filter((line) => line.includes('"request":'));
    expect(shown).toHaveLength(2);
    expect(() => shown.map((line) => parseFailedLine(line))).not.toThrow();
    expect(parseRequestLine(shown[0] ?? "").key).toBe(parseFailedLine(shown[1] ?? "").key);
  });

  test("has the transitions as they are", () => {
    const told = tableAfter(jobsPage, "<!-- transitions -->").map(
      ([event = "", from, to = ""]) => ({
        event: code(event)[0],
        from: code(from ?? "").sort(),
        to: code(to)[0] ?? to,
      }),
    );
    expect(told).toEqual(keysOf(JOB_EVENTS).map(transitionsOf));
  });

  test("names every file of a job", () => {
    const names = Object.values(jobFiles("", "0001"));
    expect(names.filter((name) => !jobsPage.includes(`\`${name}\``))).toEqual([]);
  });
});

describe("a manifest that was committed", () => {
  test.each(FIXTURES)("%s reads to the same jobs as ever", async (name) => {
    const folder = await mkdtemp(join(tmpdir(), "vecfill-test-"));
    await copyFile(join(ROOT, name), join(folder, "manifest.ndjson"));
    const manifest = await readManifest(folder);
    expect(manifest).toMatchObject({ id: "k3x9w2ma", warnings: [] });
    expect(manifest.jobs().map(({ id, state }) => [id, state])).toEqual([
      ["0001", "imported"],
      ["0002", "expired"],
      ["0003", "failed"],
      ["0004", "cancelled"],
      ["0005", "rolledBack"],
      ["0006", "exported"],
      ["0007", "embedding"],
      ["0008", "exported"],
      // only version 2 could be revoked or recovered
      ...(name.includes("v2") ? [["0009", "exported"], RECOVERED] : []),
    ]);
    expect(manifest.fences("9f2c41d07be3")).toBe(name.includes("v2") ? true : undefined);
    expect(manifest.jobs()[8]?.remoteFile).toBeUndefined();
    expect(manifest.job("0001")).toMatchObject({
      submissions: 2,
      billedTokens: 13870,
      sums: { requests: 1000, written: 993, failed: 2, stale: 3, filled: 1, gone: 1 },
      outstanding: { lines: 1, retryable: 0 },
      children: ["0006"],
    });
    expect(manifest.job("0001").copies).toBeUndefined();
    expect(manifest.job("0008")).toMatchObject({ requests: 1000, copies: { rows: 300 } });
    expect(manifest.job("0002")).toMatchObject({
      batch: "batches/bbbb00000000000000000000000000000002",
      duplicateBatches: ["batches/bbbb00000000000000000000000000000001"],
    });
    expect(manifest.job("0006")).toMatchObject({ parents: ["0001"], attempt: 2, requests: 1 });
    expect(manifest.jobs().filter(({ sums }) => sums && !balanced(sums))).toEqual([]);
    expect(manifest.droppedIndexes()).toEqual([]);
    expect(
      (
        await readHistory(
          (on) => readEvents(folder, on),
          "0002",
          () => undefined,
        )
      ).map(({ event }) => event),
    ).toContain("duplicate");
  });
});

describe("every document", () => {
  test.each(DOCUMENTS)("%s: links and files that are there", (name) => {
    const text = read(name);
    const local = linksOf(text).filter((to) => !/^https?:/.test(to));
    expect(local.filter((to) => !leadsSomewhere(name, to))).toEqual([]);
    const paths = text.match(/(?<=`)(?:src|test|docs|demo|jobs|\.ci)\/[\w./-]+(?=`)/g) ?? [];
    expect(
      paths.filter((path) => !MADE_BY_A_RUN.test(path) && !existsSync(join(ROOT, path))),
    ).toEqual([]);
  });

  test("of architecture names every folder of the source", () => {
    const folders = readdirSync(join(ROOT, "src"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => `src/${name}`);
    expect(folders.filter((folder) => !read("ARCHITECTURE.md").includes(folder))).toEqual([]);
  });

  test("of changes has Unreleased or this version on top, then versions with their dates", () => {
    const { version } = JSON.parse(read("package.json"));
    const headings = Array.from(read("CHANGELOG.md").matchAll(/^## (?<text>.+)$/gm), (match) =>
      String(match.groups?.["text"]),
    );
    const [top = "", ...released] = headings;
    expect(["Unreleased", version]).toContain(top.split(" ")[0]);
    const dated = top === "Unreleased" ? released : headings;
    expect(dated.filter((text) => !/^\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)$/.test(text))).toEqual([]);
  });
});

describe("the recordings that `npm run record` makes", () => {
  const names = readdirSync(join(ROOT, "docs/sessions"));

  test.each(names)("docs/sessions/%s is a terminal's text, and names no machine", (name) => {
    const lines = read(`docs/sessions/${name}`).trimEnd().split("\n");
    expect(lines.filter((line) => line.length > 80 || /\p{Cc}/u.test(line))).toEqual([]);
    expect(lines.filter((line) => /\/(?:tmp|home|root|work|usr)\/|AIza|@\w+:/.test(line))).toEqual(
      [],
    );
    expect(lines.some((line) => line.startsWith("$ vecfill "))).toBe(true);
  });

  test("show commands as they are still typed", async () => {
    const typed = names.flatMap((name) =>
      Array.from(
        read(`docs/sessions/${name}`).matchAll(/^\$ (?<line>vecfill .+)$/gm),
        ({ groups }) => String(groups?.["line"]),
      ),
    );
    expect(typed.length).toBeGreaterThan(5);
    for (const line of new Set(typed)) expect(await complaintOf(words(line)), line).toBe(undefined);
  });

  test("are linked from the guide, pictures too, which are small", () => {
    const pictures = readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".png"));
    expect(pictures).toHaveLength(3);
    const files = [...names.map((name) => `sessions/${name}`), ...pictures];
    expect(files.filter((file) => !guide.includes(`](${file})`))).toEqual([]);
    const sizes = pictures.map((name) => statSync(join(ROOT, "docs", name)).size);
    expect(sizes.filter((size) => size > PICTURE_BYTES_MAX)).toEqual([]);
  });
});

const RECOVERED = ["0010", "downloaded"];
const PICTURE_BYTES_MAX = 150_000;
const ENDING = ["sums", "outstanding", "failedFile"];

/** One missing or one too many does not compile. */
const JOB_EVENTS: Readonly<Record<JobEvent["type"], true>> = {
  exported: true,
  uploaded: true,
  submitting: true,
  refused: true,
  revoking: true,
  absent: true,
  submitted: true,
  duplicate: true,
  recovered: true,
  succeeded: true,
  failed: true,
  expired: true,
  cancelled: true,
  downloaded: true,
  rowsFound: true,
  imported: true,
  resubmitted: true,
  rollingBack: true,
  rolledBack: true,
  writtenAgain: true,
  cleaned: true,
  embedding: true,
};
const INDEX_EVENTS: Readonly<Record<IndexEvent["type"], true>> = {
  indexDropping: true,
  indexDropped: true,
  indexSettled: true,
};
const STATES: Readonly<Record<JobState, true>> = {
  exported: true,
  embedding: true,
  submitting: true,
  submitted: true,
  succeeded: true,
  downloaded: true,
  imported: true,
  failed: true,
  expired: true,
  cancelled: true,
  rolledBack: true,
};
/** Names no file here: it is made by a run. */
const MADE_BY_A_RUN = /^jobs\/(?!README)/;

/** What stands in backquotes in a cell. */
function code(cell: string): string[] {
  return Array.from(
    cell.matchAll(/`(?<name>[^`]+)`/g),
    ({ groups }) => groups?.["name"] ?? "",
  ).filter((name) => name !== "-");
}

/** The last number in a cell: `tier 1: 500,000`, `$11.25`. */
function figure(cell: string): number {
  return Number(/(?<number>[\d,.]+)$/.exec(cell)?.groups?.["number"]?.replaceAll(",", ""));
}

function jsonLines(text: string): string[] {
  return text.split("\n").filter((line) => line.startsWith("{"));
}

function transitionsOf(event: string) {
  const moves = [undefined, ...keysOf(STATES)].flatMap((from) => {
    const to = isKeyOf(JOB_EVENTS, event) ? movedTo(from, event) : undefined;
    return to === undefined ? [] : [{ from, to }];
  });
  const states = moves.flatMap(({ from }) => (from === undefined ? [] : [from]));
  const stays = moves.every(({ from, to }) => from === to);
  return { event, from: states.sort(), to: stays ? "the same" : moves[0]?.to };
}

function movedTo(from: JobState | undefined, event: JobEvent["type"]): JobState | undefined {
  try {
    return move("0001", from, event);
  } catch {
    return undefined; // not a legal move
  }
}

function keysOf<T extends object>(record: T): (keyof T)[] {
  return Object.keys(record).filter((key) => isKeyOf(record, key));
}

function isKeyOf<T extends object>(record: T, key: PropertyKey): key is keyof T {
  return Object.hasOwn(record, key);
}

/** From blocks of shell and from the text: every line that starts vecfill. */
function commandLines(text: string): string[] {
  const blocks = Array.from(text.matchAll(/^```sh\n(?<code>.*?)^```/gms), ({ groups }) =>
    String(groups?.["code"]).split("\n"),
  ).flat();
  const inText = Array.from(text.matchAll(/`(?<line>vecfill [^`]+)`/g), ({ groups }) =>
    String(groups?.["line"]),
  );
  return [...blocks.filter((line) => /^(?:\w+=\S+ )*vecfill /.test(line)), ...inText];
}

/** Two settings that exclude each other: found out when all else is right, before anything is done. */
const STOPPER = { VECFILL_QUIET: "1", VECFILL_VERBOSE: "1" };

/** What is wrong with a command line; undefined when it would be carried out. */
async function complaintOf(args: readonly string[]): Promise<string | undefined> {
  const folder = args.includes("--target") ? join(ROOT, "test/fixtures/targets") : undefined;
  const { code: exitCode, stderr } = await runHere(args, {
    env: STOPPER,
    ...(folder && { folder }),
  });
  if (exitCode === EXIT_CODES.done) return undefined;
  return stderr.includes("Quiet and verbose exclude each other.") ? undefined : stderr;
}

function sqlStatements(text: string): string[] {
  return Array.from(text.matchAll(/^```sql\n(?<code>.*?)^```/gms), ({ groups }) =>
    String(groups?.["code"]).split(/;$/m),
  )
    .flat()
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}
