/**
 * I cloned somebody's repository and typed a command of vecfill in it: can a file of theirs run a
 * command of theirs, write where it likes, or get a key or password of mine sent to them?
 */
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { type Ended, runHere } from "./command-line.ts";
import { temporaryFolder } from "./job/sample.ts";

const MINE = "AIza-my-own-key-of-the-real-environment";
const SECRET_KEY = "sb_secret_my_own_key";
const PASSWORD = "my-own-password";
const FATAL = 3;
const USAGE = 2;
const DONE = 0;

let folder: string;
/** What has reached servers of the repository's author. */
let stolen: string[];
let web: string;
let database: string;

beforeAll(async () => {
  const http = createHttpServer((request, response) => {
    stolen.push(JSON.stringify(request.headers) + String(request.url));
    response.writeHead(403).end("{}");
  }).listen(0, "127.0.0.1");
  const postgres = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      stolen.push(bytes.toString("latin1"));
      // the start-up message has no letter in front: ask for the password in the clear
      if (bytes[0] === 0) socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
      else socket.destroy();
    });
  }).listen(0, "127.0.0.1");
  await Promise.all([once(http, "listening"), once(postgres, "listening")]);
  web = `http://127.0.0.1:${portOf(http.address())}`;
  database = `postgresql://me@127.0.0.1:${portOf(postgres.address())}/db`;
  return () => {
    http.close();
    postgres.close();
  };
});

beforeEach(async () => {
  folder = await temporaryFolder();
  stolen = [];
});

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

async function file(name: string, lines: Readonly<Record<string, string>>): Promise<void> {
  const content = Object.entries(lines).map(([key, value]) => `${key}=${value}\n`);
  await writeFile(join(folder, name), content.join(""), { mode: 0o600 });
}

function vecfill(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  return runHere([...args, "--jobs-dir", join(folder, "jobs")], { env, folder });
}

async function there(name: string): Promise<boolean> {
  return readFile(join(folder, name)).then(
    () => true,
    () => false,
  );
}

describe("a secret of mine", () => {
  type Attack = Readonly<{
    secret: Readonly<Record<string, string>>;
    found: () => Readonly<Record<string, string>>;
    args: readonly string[];
    says: readonly string[];
  }>;
  const attacks: Readonly<Record<string, Attack>> = {
    "Gemini's key": {
      secret: { GEMINI_API_KEY: MINE, DATABASE_URL: "pglite:memory" },
      found: () => ({ GOOGLE_GEMINI_BASE_URL: web }),
      args: ["doctor"],
      says: ["GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL in .env"],
    },
    "Supabase's key": {
      secret: { SUPABASE_SECRET_KEY: SECRET_KEY },
      found: () => ({ SUPABASE_URL: web }),
      args: ["plan"],
      says: ["SUPABASE_SECRET_KEY", "SUPABASE_URL in .env"],
    },
    PGPASSWORD: {
      secret: { PGPASSWORD: PASSWORD },
      found: () => ({ DATABASE_URL: database }),
      args: ["plan"],
      says: ["PGPASSWORD", "DATABASE_URL in .env"],
    },
  };

  for (const [name, { secret, found, args, says }] of Object.entries(attacks)) {
    it(`${name} is not sent to an address that a found .env names, whatever is done`, async () => {
      await file(".env", found());
      const { code, stdout, stderr } = await vecfill(args, secret);
      if (args[0] !== "doctor") expect(code).toBe(USAGE);
      for (const words of says) expect(stdout + stderr).toContain(words);
      expect(stdout + stderr).toContain("--env-file .env");
      expect(stolen.join()).not.toMatch(new RegExp(`${MINE}|${SECRET_KEY}|${PASSWORD}`));
    });

    it(`${name} is sent there once I have named the file`, async () => {
      await file(".env", found());
      process.env["PGPASSWORD"] = PASSWORD;
      onTestFinished(() => {
        delete process.env["PGPASSWORD"];
      });
      await vecfill([...args, "--env-file", ".env"], secret);
      expect(stolen.join()).toMatch(new RegExp(`${MINE}|${SECRET_KEY}|${PASSWORD}`));
    });
  }

  it("of .pgpass is not read for an address that a found .env names", async () => {
    const pgpass = join(folder, "pgpass");
    await writeFile(pgpass, `*:*:*:*:${PASSWORD}\n`, { mode: 0o600 });
    process.env["PGPASSFILE"] = pgpass;
    onTestFinished(() => {
      delete process.env["PGPASSFILE"];
    });
    await file(".env", { DATABASE_URL: database });
    const { code, stderr } = await vecfill(["plan"], {});
    expect({ code, stderr }).toEqual({ code: USAGE, stderr: expect.stringContaining("--env-file") });
    expect(stolen.join()).not.toContain(PASSWORD);
    await vecfill(["plan", "--env-file", ".env"], {});
    expect(stolen.join()).toContain(PASSWORD);
  });

  it("goes where another file of the same folder says: both are as trusted", async () => {
    await file(".env", { GOOGLE_GEMINI_BASE_URL: web });
    await file(".env.local", { GEMINI_API_KEY: MINE, DATABASE_URL: "pglite:memory" });
    await vecfill(["doctor"], {});
    expect(stolen.join()).toContain(MINE);
  });
});

describe("the real environment outranks every file, whatever a variable is called", () => {
  it("SUPABASE_DB_URL of mine is used, not DATABASE_URL of a file", async () => {
    await file(".env", { DATABASE_URL: database });
    const { stderr } = await vecfill(["plan"], { SUPABASE_DB_URL: "pglite:memory" });
    expect(stderr).toContain("questions");
    expect(stolen).toEqual([]);
  });

  it("GOOGLE_API_KEY of mine is used, not GEMINI_API_KEY of a file", async () => {
    await file(".env", { GEMINI_API_KEY: "AIza-theirs" });
    const env = { GOOGLE_API_KEY: MINE, GOOGLE_GEMINI_BASE_URL: web, DATABASE_URL: "pglite:memory" };
    await vecfill(["doctor"], env);
    expect(stolen.join()).toContain(MINE);
    expect(stolen.join()).not.toContain("AIza-theirs");
  });
});

describe("a command or a place to write to", () => {
  const ENV = { DATABASE_URL: "pglite:memory" };
  const hook = () => `touch ${join(folder, "hooked")}`;
  const places: readonly (readonly [string, () => Promise<void>, string])[] = [
    ["onEvent in the config file", () => config({ onEvent: hook() }), "--config vecfill.config.json"],
    ["VECFILL_ON_EVENT in .env", () => file(".env", { VECFILL_ON_EVENT: hook() }), "--env-file .env"],
    [
      "onEvent in a config file that a found .env names",
      async () => {
        await file(".env", { VECFILL_CONFIG: "vecfill.config.json" });
        await config({ onEvent: hook() });
      },
      "--config vecfill.config.json",
    ],
    [
      "metricsFile outside of the jobs folder",
      () => config({ metricsFile: join(folder, "hooked") }),
      "--config vecfill.config.json",
    ],
    [
      "metricsFile that leads out of it",
      () => config({ metricsFile: join(folder, "jobs", "..", "hooked") }),
      "--config vecfill.config.json",
    ],
  ];

  async function config(content: object): Promise<void> {
    await writeFile(join(folder, "vecfill.config.json"), JSON.stringify(content));
  }

  for (const [name, prepare, mend] of places) {
    it(`is not taken from ${name}`, async () => {
      await prepare();
      const { code, stderr } = await vecfill(["export"], ENV);
      expect({ code, stderr }).toEqual({ code: USAGE, stderr: expect.stringContaining(mend) });
      expect(await there("hooked")).toBe(false);
      await vecfill(["export", ...mend.split(" ")], ENV);
      expect(await there("hooked")).toBe(true);
    });
  }

  it("does not stop commands that do not use it", async () => {
    await config({ onEvent: hook() });
    expect((await vecfill(["jobs"], ENV)).code).toBe(DONE);
  });

  it("may be in the jobs folder", async () => {
    await config({ metricsFile: join(folder, "jobs", "vecfill.prom") });
    expect((await vecfill(["export"], ENV)).code).toBe(FATAL);
    expect(await there("jobs/vecfill.prom")).toBe(true);
  });

  it("is not used in a dry run, whoever gave it", async () => {
    await vecfill(["export", "--dry-run", "--on-event", hook()], ENV);
    expect(await there("hooked")).toBe(false);
  });

  it("is not taken for the report's page either", async () => {
    await config({ reportFile: join(folder, "hooked") });
    expect((await vecfill(["report"], ENV)).code).toBe(USAGE);
  });
});

describe("an env file", () => {
  const SETS = "VECFILL_TABLE=odd\r\nOTHER=1\r\n";
  const encodings: Readonly<Record<string, Buffer>> = {
    "UTF-8 with a mark": Buffer.from(`\uFEFF${SETS}`),
    "UTF-16": Buffer.from(`\uFEFF${SETS}`, "utf16le"),
    "UTF-16, the other way round": Buffer.from(`\uFEFF${SETS}`, "utf16le").swap16(),
  };
  for (const [name, bytes] of Object.entries(encodings)) {
    it(`in ${name} is read from its first variable on`, async () => {
      await writeFile(join(folder, ".env"), bytes);
      const { stderr } = await vecfill(["plan"], { DATABASE_URL: "pglite:memory" });
      expect(stderr).toContain("public.odd");
    });
  }

  it("in UTF-16 without a mark is refused by name", async () => {
    await writeFile(join(folder, ".env"), Buffer.from(SETS, "utf16le"));
    const { code, stderr } = await vecfill(["plan"], { DATABASE_URL: "pglite:memory" });
    expect({ code, stderr }).toEqual({ code: USAGE, stderr: expect.stringContaining(".env") });
  });

  it("that others can read, with a key in it, is warned of", async () => {
    await file(".env.local", { GEMINI_API_KEY: MINE, VECFILL_TABLE: "odd" });
    const env = { DATABASE_URL: "pglite:memory" };
    expect((await vecfill(["plan"], env)).stderr).not.toContain("chmod");
    await chmod(join(folder, ".env.local"), 0o644);
    const { stderr } = await vecfill(["plan"], env);
    expect(stderr).toContain("holds GEMINI_API_KEY: chmod 600 .env.local");
    expect(stderr).not.toContain("VECFILL_TABLE");
    expect(stderr).not.toContain(MINE);
  });

  it("is named, with what it sets, where a variable is missing", async () => {
    await file(".env", { GEMINI_KEY: MINE, DATABASE_ULR: database });
    const { code, stderr } = await vecfill(["plan"], {});
    expect(code).toBe(USAGE);
    expect(stderr).toContain(".env.local (not there), .env (sets GEMINI_KEY, DATABASE_ULR)");
    expect(stderr).not.toContain(MINE);
  });
});
