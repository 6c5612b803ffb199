// What if the results that come are not the results: a sign-in page, nothing, a gateway's error, another
// job's file, a part of it? Are they waited for, is no row paid for twice, and is what the service itself
// has lost believed in the end?
import { readFile, stat } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cancelJob } from "../../src/commands/cancel/cancel.ts";
import { ResultsDoubted } from "../../src/errors.ts";
import { OTHER_ANSWERS, type Rewrite, rewriteResults } from "../gemini/rewriting-proxy.ts";
import { errorBody, type Reply } from "../gemini/stub-server.ts";
import { sized } from "../size.ts";
import { range, startProxiedTrial, texts, type Trial } from "../trial.ts";
import { openWorkshop, type Workshop } from "../workshop.ts";

let workshop: Workshop;

beforeAll(async () => {
  workshop = await openWorkshop();
});
afterAll(() => workshop.close());

const ROWS = 6;
const GRACE = { resultsGraceMs: 600_000 };

/** Two jobs of three rows, ended. The service tells nothing of its results files, unless `told`. */
async function ended({ told = false } = {}) {
  const behaviour = told ? "" : "get-output=refused";
  const options = { frozen: true, batchSeconds: 60, behaviour };
  const proxied = await startProxiedTrial(workshop, texts(ROWS), options);
  await proxied.trial.untilEnded({ bounds: { ...workshop.bounds, maxRows: 3 } });
  return proxied;
}

type Whole = Awaited<ReturnType<Parameters<Rewrite>[1]>>;
type Answer = Reply | ((whole: Whole) => Reply);

const whole: Answer = (came) => came;

/** Downloads of the first file that is asked for get another answer, `times` times, and then another one. */
function other(answer: Answer, times = Infinity, then = whole): Rewrite {
  let file: string | undefined;
  let given = 0;
  return async (call, send) => {
    const came = await send();
    if (call.kind !== "download") return came;
    file ??= fileOf(call.path);
    if (fileOf(call.path) !== file) return came;
    given += 1;
    const told = given <= times ? answer : then;
    return typeof told === "function" ? told(came) : told;
  };
}

/** Each download gets the file that another download asked for first. */
function othersFile(): Rewrite {
  const seen = new Map<string, Reply>();
  return async (call, send) => {
    const came = await send();
    if (call.kind !== "download") return came;
    seen.set(fileOf(call.path), came);
    return [...seen.values()][0] ?? came;
  };
}

function fileOf(path: string): string {
  return path.replace(/^.*files\//, "");
}

function cutAtLine({ body }: Whole): Reply {
  const lines = body.toString().split("\n");
  return { body: `${lines.slice(0, 2).join("\n")}\n` };
}

const once = Object.fromEntries(range(1, ROWS).map((id) => [id, 1]));

async function expectAllRight(trial: Trial): Promise<void> {
  expect(await trial.rightIds()).toEqual(range(1, ROWS));
  expect(await trial.paid()).toEqual(once);
  expect(trial.emulator.batches()).toHaveLength(2);
}

/** The sweep of other answers has all of them. */
const ANSWERS: Readonly<Record<string, Answer>> = sized({
  quick: { html: OTHER_ANSWERS.html, cutAtLine },
  full: { ...OTHER_ANSWERS, cutAtLine },
});

describe.each(Object.entries(ANSWERS))("%s", (_, answer) => {
  test("once: it is fetched again, and nothing is paid for twice", async () => {
    const { trial, proxy } = await ended();
    proxy.rewrite(other(answer, 2));
    expect(await trial.import(GRACE)).toMatchObject({ written: ROWS, failed: 0 });
    await expectAllRight(trial);
  });

  test("always: the job waits, the other is written, and what came is kept", async () => {
    const { trial, proxy } = await ended();
    proxy.rewrite(other(answer));
    const doubted = await trial.import(GRACE).catch((error: unknown) => error);
    expect(doubted).toBeInstanceOf(ResultsDoubted);
    expect(doubted).toMatchObject({ exit: "unfinished", job: "0001" });
    expect(await trial.states()).toEqual(["0001 succeeded", "0002 imported"]);
    expect(await trial.files()).not.toContain("0001.results.jsonl");
    expect((await stat(trial.path("0001.results.jsonl.doubtful-1"))).mode & 0o777).toBe(0o600);
    proxy.rewrite();
    expect(await trial.import(GRACE)).toMatchObject({ written: 3, failed: 0 });
    await expectAllRight(trial);
  });

  test("for a while, in a run: it waits longer and longer, and ends with all rows", async () => {
    const { trial, proxy } = await ended();
    proxy.rewrite(other(answer, 8));
    expect(await trial.run({}, GRACE)).toMatchObject({ written: ROWS, failed: 0 });
    await expectAllRight(trial);
  });
});

test("another job's file is not this one's", async () => {
  const { trial, proxy } = await ended();
  proxy.rewrite(othersFile());
  await expect(trial.import(GRACE)).rejects.toMatchObject({ exit: "unfinished", job: "0002" });
  expect(await trial.states()).toEqual(["0001 imported", "0002 succeeded"]);
  proxy.rewrite();
  expect(await trial.import(GRACE)).toMatchObject({ written: 3, failed: 0 });
  await expectAllRight(trial);
});

test("a run that gets nothing else ends after an hour, and says what came by its members' names", async () => {
  const { trial, proxy } = await ended();
  proxy.rewrite(other({ body: '{"error":{"secret":"value"},"code":504}\n' }));
  const begunMs = trial.clock.elapsedMs();
  const doubted = await trial.run({}, GRACE).catch((error: unknown) => error);
  expect(doubted).toMatchObject({
    exit: "unfinished",
    message: expect.stringContaining("the members error.secret, code"),
  });
  expect(String(doubted)).not.toContain("value");
  expect(trial.clock.elapsedMs() - begunMs).toBeGreaterThan(3_600_000);
  expect(trial.clock.elapsedMs() - begunMs).toBeLessThan(2 * 3_600_000);
  expect(await trial.paid()).toEqual(once);
  const giveUp = (insists: boolean) =>
    trial.services({}, ({ manifest, gemini, report }) =>
      cancelJob({ manifest, report, gemini: async () => gemini }, manifest.job("0001"), insists),
    );
  await expect(giveUp(false)).rejects.toMatchObject({ exit: "usage" });
  await giveUp(true);
  expect(await trial.run({}, GRACE)).toMatchObject({ written: 3, failed: 0 });
  expect(await trial.rightIds()).toEqual(range(1, ROWS));
});

describe("lines that the service itself has lost", () => {
  const lost = rewriteResults((lines) => lines.slice(1));

  test("are missing once the same file has come over the grace, by both routes", async () => {
    const { trial, proxy } = await ended();
    proxy.rewrite(lost);
    await expect(trial.import(GRACE)).rejects.toBeInstanceOf(ResultsDoubted);
    await trial.clock.sleep(GRACE.resultsGraceMs);
    expect(await trial.import(GRACE)).toMatchObject({ written: 4, failed: 2 });
    const byOther = proxy.calls("download").filter(({ path }) => path.startsWith("/download/"));
    expect(byOther.map(({ headers }) => headers["cache-control"])).toContain("no-cache");
  });

  test("are missing at once where the batch counts no more than came", async () => {
    const { trial, proxy } = await ended();
    proxy.rewrite(async (call, send) => {
      if (call.kind !== "get") return lost(call, send);
      const answer = await send();
      return { body: answer.body.toString().replace(/("successfulRequestCount": ?)"3"/, '$1"2"') };
    });
    expect(await trial.import(GRACE)).toMatchObject({ written: 4, failed: 2 });
    // once, and once more for these rows' sake, of each job
    expect(proxy.calls("download")).toHaveLength(4);
  });

  test("are not, where the service tells that its file has another size", async () => {
    const { trial, proxy } = await ended({ told: true });
    proxy.rewrite(lost);
    await expect(trial.import({ resultsGraceMs: 0 })).rejects.toBeInstanceOf(ResultsDoubted);
    expect(await trial.paid()).toEqual(once);
  });

  test("are not, while another file comes each time", async () => {
    const { trial, proxy } = await ended();
    proxy.rewrite(rewriteResults((lines, { before }) => lines.slice(1 + (before % 2))));
    await expect(trial.import(GRACE)).rejects.toBeInstanceOf(ResultsDoubted);
    await trial.clock.sleep(GRACE.resultsGraceMs);
    await expect(trial.import(GRACE)).rejects.toBeInstanceOf(ResultsDoubted);
    expect(await trial.paid()).toEqual(once);
  });
});

/** The first line in another form, the others as they are. */
function garbled(change: (line: string) => readonly string[]) {
  return ({ body }: Whole): Reply => {
    const [first = "", ...others] = body.toString().trimEnd().split("\n");
    return { body: [...change(first), ...others].map((line) => `${line}\n`).join("") };
  };
}

const cut = garbled((line) => [line.slice(0, 40)]);
const noVector = garbled((line) => [JSON.stringify({ ...JSON.parse(line), response: {} })]);
const contradicted = garbled((line) => [line, line.replace(/(\[\s*)-?[\d.e-]+/, "$10.7")]);

describe("a row without a line that can be used", () => {
  const garbles = { cut, noVector, contradicted };

  test.each(Object.entries(garbles))(
    "%s once: is in the file that is fetched once more",
    async (_, garble) => {
      const { trial, proxy } = await ended();
      proxy.rewrite(other(garble, 1));
      expect(await trial.import(GRACE)).toMatchObject({ written: ROWS, failed: 0 });
      expect(proxy.calls("download")).toHaveLength(3);
      await expectAllRight(trial);
      expect(await trial.files()).not.toContain("0001.results.jsonl.incoming.part");
    },
  );

  test.each(Object.entries(garbles))("%s always: fails, and is sent again", async (_, garble) => {
    const { trial, proxy } = await ended();
    proxy.rewrite(other(garble));
    expect(await trial.import(GRACE)).toMatchObject({ written: 5, failed: 1 });
    expect(proxy.calls("download")).toHaveLength(3);
    expect(proxy.calls("download").at(1)).toMatchObject({
      path: expect.stringMatching(/^\/download\//),
      headers: { "cache-control": "no-cache" },
    });
    proxy.rewrite();
    expect(await trial.run({}, GRACE)).toMatchObject({ written: 1, failed: 0 });
    expect(await trial.rightIds()).toEqual(range(1, ROWS));
  });

  test("costs none that the file at hand has, where each time another line is cut", async () => {
    const { trial, proxy } = await ended();
    let times = 0;
    proxy.rewrite(
      other(({ body }) => {
        const lines = body.toString().split("\n");
        const place = times++ % 3;
        return {
          body: lines.map((line, at) => (at === place ? line.slice(0, 40) : line)).join("\n"),
        };
      }),
    );
    expect(await trial.import(GRACE)).toMatchObject({ written: 5, failed: 1 });
    expect(proxy.calls("download")).toHaveLength(4);
    expect(await trial.paid()).toEqual(once);
  });

  test("is not settled while Gemini cannot be asked, and no other job waits for it", async () => {
    const { trial, proxy } = await ended();
    const refused = { status: 401, body: errorBody(401, "UNAUTHENTICATED", "The key is revoked") };
    proxy.rewrite(other(cut, 1, refused));
    const blocked = await trial.import(GRACE).catch((error: unknown) => error);
    expect(blocked).toMatchObject({ exit: "fatal", job: "0001" });
    expect(await trial.states()).toContain("0001 downloaded");
    proxy.rewrite();
    await trial.import(GRACE);
    await expectAllRight(trial);
  });

  test("fails where Gemini has the file no more", async () => {
    const { trial, proxy } = await ended();
    const gone = { status: 404, body: errorBody(404, "NOT_FOUND", "no such file") };
    proxy.rewrite(other(cut, 1, gone));
    expect(await trial.import(GRACE)).toMatchObject({ written: 5, failed: 1 });
  });
});

test("of what came in place of results the last two that differ are kept", async () => {
  const { trial, proxy } = await ended();
  proxy.rewrite((call, send) =>
    call.kind === "download" ? { body: `${Math.min(call.before, 2)}\n` } : send(),
  );
  await trial.import(GRACE).catch(() => undefined);
  const kept = ["-1", "-2"].map((end) => trial.path(`0001.results.jsonl.doubtful${end}`));
  expect(await Promise.all(kept.map((path) => readFile(path, "utf8")))).toEqual(["2\n", "1\n"]);
});
