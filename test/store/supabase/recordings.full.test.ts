/**
 * Is the double either PostgREST, whatever it is asked? And does it keep to the limits of time that a server has,
 * as the newer one was recorded to: those need timers, and a server.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { hasNativeServer } from "../postgres/native-database.ts";
import type { PostgrestOptions } from "./postgrest.ts";
import { openNativeProject, openProject, type Project } from "./project.ts";
import {
  exchangesOf,
  KINDS_SQL,
  prepareQuestions,
  recorded,
  resetQuestions,
  seen,
  type Recorded,
} from "./recordings.ts";

function open(options: PostgrestOptions): Promise<Project> {
  return (hasNativeServer ? openNativeProject : openProject)(options);
}

const NEEDS_TIMERS = /timeout|cancelled|cut|terminated/;
/** It took less than the 8 s of a hosted project where it was recorded; a machine with other work takes longer. */
const LARGE = /-(?:500|2500)x768-/;
const LARGE_MS = 240_000;
const OLD = exchangesOf("13.0.8").map(({ name }) => name);

describe.each(["13.0.8", "14.17"] as const)("the double answers as PostgREST %s did", (version) => {
  const asked = exchangesOf(version).filter(
    ({ name }) => OLD.includes(name) && (hasNativeServer || !NEEDS_TIMERS.test(name)),
  );

  describe.each([
    ["as it comes", asked.filter(({ name }) => !LARGE.test(name)), {}],
    [
      "large bodies",
      asked.filter(({ name }) => LARGE.test(name)),
      { statementTimeout: `${LARGE_MS}ms` },
    ],
  ] as const)("%s", (_, exchanges, options) => {
    let project: Project;
    beforeAll(async () => {
      project = await prepareQuestions(await open({ version, ...options }));
    });
    afterAll(() => project.close());

    it.each(exchanges)("$name: $what", { timeout: LARGE_MS }, async (exchange) => {
      await resetQuestions(project, exchange);
      expect(await seen(project, exchange)).toEqual(recorded(exchange));
    });
  });
});

function recordingOf(name: string): Recorded {
  const found = exchangesOf("14.17").find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no recording ${name}`);
  return found;
}

describe.runIf(hasNativeServer)("the limits of a server", () => {
  let project: Project;
  beforeAll(async () => {
    project = await openNativeProject({ version: "14.17", lockTimeout: "500ms" });
    await project.runScript(KINDS_SQL);
  });
  afterEach(() => setTimeoutOfRole("RESET statement_timeout"));
  afterAll(() => project.close());

  async function setTimeoutOfRole(change: string): Promise<void> {
    const [{ name } = { name: "" }] = await project.database.query(
      "SELECT quote_ident(current_database()) AS name",
    );
    await project.database.query(`ALTER ROLE service_role IN DATABASE ${name} ${change}`);
  }

  async function expectAsRecorded(name: string): Promise<void> {
    expect(await seen(project, recordingOf(name))).toEqual(recorded(recordingOf(name)));
  }

  it("a function's own holds", () => expectAsRecorded("err-function-own-timeout"));

  it("a role's own holds once the API has read it", async () => {
    await setTimeoutOfRole("SET statement_timeout = '1s'");
    await expectAsRecorded("ok-role-timeout-not-reloaded");
    await project.api.reloadConfig();
    await expectAsRecorded("err-role-timeout");
    await setTimeoutOfRole("SET statement_timeout = '25s'");
    await project.api.reloadConfig();
    await expectAsRecorded("ok-role-timeout-25s");
  });

  it("a lock is waited for so long, and no longer", async () => {
    await project.database.session(async ({ statement }) => {
      await statement("BEGIN");
      await statement("SELECT FROM d_big WHERE id = 8 FOR UPDATE");
      await expectAsRecorded("err-lock-timeout-real");
      await statement("ROLLBACK");
    });
  });

  it.each([
    ["err-cancelled-57014", "pg_cancel_backend"],
    ["err-terminated-mid-call", "pg_terminate_backend"],
  ])("a call that is ended by somebody: %s", async (name, end) => {
    const answer = expectAsRecorded(name);
    await endTheCall(end);
    await answer;
  });

  async function endTheCall(end: string): Promise<void> {
    for (;;) {
      const ended = await project.database.query(
        `SELECT ${end}(pid) FROM pg_stat_activity WHERE datname = current_database()
         AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%d_slow%'`,
      );
      if (ended.length > 0) return;
    }
  }
});
