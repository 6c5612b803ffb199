/**
 * I cloned somebody's repository and typed a command of vecfill in it: can a file of theirs run a
 * command of theirs, write where it likes, or get a key or password of mine sent to them?
 */
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type Ended, runHere } from "../command-line.ts";
import { temporaryFolder } from "../manifest/sample.ts";

const MINE = "AIza-my-own-key-of-the-real-environment";
const SECRET_KEY = "sb_secret_my_own_key";
const PASSWORD = "my-own-password";
const FATAL = 3;
const USAGE = 2;
const DONE = 0;
/** 28P01, as a server says that a password is wrong: nothing is tried again. */
const REFUSED = Buffer.from("SFATAL\0C28P01\0Mpassword authentication failed\0\0");

let folder: string;
/** What has reached servers of the repository's author. */
let stolen: string[];
let web: string;
/** Of mine, and it sends everybody on to theirs. */
let redirecting: string;
/** Address of a database without a password, and one with. */
let database: string;
let own: string;

beforeAll(async () => {
  const http = createHttpServer((request, response) => {
    stolen.push(JSON.stringify(request.headers) + String(request.url));
    response.writeHead(403).end("{}");
  }).listen(0, "127.0.0.1");
  const sendsOn = createHttpServer((request, response) => {
    response.writeHead(307, { location: `${web}${String(request.url)}` }).end();
  }).listen(0, "127.0.0.1");
  const postgres = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      stolen.push(bytes.toString("latin1"));
      // the start-up message has no letter in front: ask for the password in the clear
      if (bytes[0] === 0) socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]));
      else socket.end(Buffer.from([0x45, 0, 0, 0, REFUSED.length + 4, ...REFUSED]));
    });
  }).listen(0, "127.0.0.1");
  await Promise.all([http, sendsOn, postgres].map((server) => once(server, "listening")));
  redirecting = `http://127.0.0.1:${portOf(sendsOn.address())}`;
  web = `http://127.0.0.1:${portOf(http.address())}`;
  database = `postgresql://me@127.0.0.1:${portOf(postgres.address())}/theirs`;
  own = `postgresql://me:word@127.0.0.1:${portOf(postgres.address())}/mine`;
  return () => {
    http.close();
    sendsOn.close();
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

async function config(content: object): Promise<void> {
  await writeFile(join(folder, "vecfill.config.json"), JSON.stringify(content));
}

function hook(): string {
  return `touch ${join(folder, "hooked")}`;
}

function vecfill(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  return runHere([...args, "--jobs-dir", join(folder, "jobs")], { env, folder });
}

async function there(name: string): Promise<boolean> {
  return readFile(resolve(folder, name)).then(
    () => true,
    () => false,
  );
}

describe("a secret of mine", () => {
  type Attack = Readonly<{
    secret: () => Readonly<Record<string, string>>;
    found: () => Readonly<Record<string, string>>;
    args: readonly string[];
    exit: number;
    says: readonly string[];
  }>;
  const attacks: Readonly<Record<string, Attack>> = {
    "Gemini's key": {
      secret: () => ({ GEMINI_API_KEY: MINE, DATABASE_URL: own }),
      found: () => ({ GOOGLE_GEMINI_BASE_URL: web }),
      args: ["doctor"],
      exit: FATAL,
      says: ["GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL in .env"],
    },
    "Supabase's key": {
      secret: () => ({ SUPABASE_SECRET_KEY: SECRET_KEY }),
      found: () => ({ SUPABASE_URL: web }),
      args: ["plan"],
      exit: USAGE,
      says: ["SUPABASE_SECRET_KEY", "SUPABASE_URL in .env"],
    },
    PGPASSWORD: {
      secret: () => ({ PGPASSWORD: PASSWORD }),
      found: () => ({ DATABASE_URL: database }),
      args: ["plan"],
      exit: USAGE,
      says: ["PGPASSWORD", "DATABASE_URL in .env"],
    },
  };

  for (const [name, { secret, found, args, exit, says }] of Object.entries(attacks)) {
    it(`${name} is not sent to an address that a found .env names, whatever is done`, async () => {
      await file(".env", found());
      const { code, stdout, stderr } = await vecfill(args, secret());
      expect(code).toBe(exit);
      for (const words of says) expect(stdout + stderr).toContain(words);
      expect(stdout + stderr).toContain("--env-file .env");
      expect(stolen.join()).not.toMatch(new RegExp(`${MINE}|${SECRET_KEY}|${PASSWORD}`));
    });

    it(`${name} is sent there once I have named the file`, async () => {
      await file(".env", found());
      vi.stubEnv("PGPASSWORD", PASSWORD);
      await vecfill([...args, "--env-file", ".env"], secret());
      expect(stolen.join()).toMatch(new RegExp(`${MINE}|${SECRET_KEY}|${PASSWORD}`));
    });
  }

  it("of .pgpass is not read for an address that a found .env names", async () => {
    const pgpass = join(folder, "pgpass");
    await writeFile(pgpass, `*:*:*:*:${PASSWORD}\n`, { mode: 0o600 });
    vi.stubEnv("PGPASSFILE", pgpass);
    await file(".env", { DATABASE_URL: database });
    const { code, stderr } = await vecfill(["plan"], {});
    expect({ code, stderr }).toEqual({
      code: USAGE,
      stderr: expect.stringContaining("--env-file"),
    });
    expect(stolen.join()).not.toContain(PASSWORD);
    await vecfill(["plan", "--env-file", ".env"], {});
    expect(stolen.join()).toContain(PASSWORD);
  });

  it("does not follow a redirect", async () => {
    const env = {
      GEMINI_API_KEY: MINE,
      GOOGLE_GEMINI_BASE_URL: redirecting,
      SUPABASE_URL: redirecting,
      SUPABASE_SECRET_KEY: SECRET_KEY,
    };
    const { code, stdout } = await vecfill(["doctor"], env);
    expect(code).toBe(FATAL);
    expect(stdout.match(/redirect/g)).toHaveLength(2);
    expect(stolen).toEqual([]);
  });

  it("goes where another file of the same folder says: both are as trusted", async () => {
    await file(".env", { GOOGLE_GEMINI_BASE_URL: web });
    await file(".env.local", { GEMINI_API_KEY: MINE, DATABASE_URL: own });
    await vecfill(["doctor"], {});
    expect(stolen.join()).toContain(MINE);
  });
});

describe("the real environment outranks every file, whatever a variable is called", () => {
  it("SUPABASE_DB_URL of mine is used, not DATABASE_URL of a file", async () => {
    await file(".env", { DATABASE_URL: database });
    await vecfill(["plan"], { SUPABASE_DB_URL: own });
    expect(stolen.join()).toContain("mine");
    expect(stolen.join()).not.toContain("theirs");
  });

  it("GOOGLE_API_KEY of mine is used, not GEMINI_API_KEY of a file", async () => {
    await file(".env", { GEMINI_API_KEY: "AIza-theirs" });
    const env = { GOOGLE_API_KEY: MINE, GOOGLE_GEMINI_BASE_URL: web, DATABASE_URL: own };
    await vecfill(["doctor"], env);
    expect(stolen.join()).toContain(MINE);
    expect(stolen.join()).not.toContain("AIza-theirs");
  });
});

describe("a command or a place to write to", () => {
  const places: readonly (readonly [string, () => Promise<void>, string])[] = [
    [
      "onEvent in the config file",
      () => config({ onEvent: hook() }),
      "--config vecfill.config.json",
    ],
    [
      "VECFILL_ON_EVENT in .env",
      () => file(".env", { VECFILL_ON_EVENT: hook() }),
      "--env-file .env",
    ],
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
      "metricsFile behind a link that leads out of it",
      async () => {
        await mkdir(join(folder, "jobs"));
        await symlink(folder, join(folder, "jobs", "link"));
        await config({ metricsFile: join(folder, "jobs", "link", "hooked") });
      },
      "--config vecfill.config.json",
    ],
    [
      "metricsFile that leads out of it",
      () => config({ metricsFile: join(folder, "jobs", "..", "hooked") }),
      "--config vecfill.config.json",
    ],
  ];

  for (const [name, prepare, mend] of places) {
    it(`is not taken from ${name}`, async () => {
      await prepare();
      const { code, stderr } = await vecfill(["export"], { DATABASE_URL: own });
      expect({ code, stderr }).toEqual({ code: USAGE, stderr: expect.stringContaining(mend) });
      expect(await there("hooked")).toBe(false);
      await vecfill(["export", ...mend.split(" ")], { DATABASE_URL: own });
      expect(await there("hooked")).toBe(true);
    });
  }

  it("does not stop commands that do not use it", async () => {
    await config({ onEvent: hook() });
    expect((await vecfill(["jobs"], { DATABASE_URL: own })).code).toBe(DONE);
  });

  it("may be in the jobs folder", async () => {
    await config({ metricsFile: join(folder, "jobs", "vecfill.prom") });
    expect((await vecfill(["export"], { DATABASE_URL: own })).code).toBe(FATAL);
    expect(await there("jobs/vecfill.prom")).toBe(true);
  });

  it("is not in the jobs folder where the same file says where that is, outside of mine", async () => {
    const elsewhere = await temporaryFolder();
    const metricsFile = join(elsewhere, "hooked");
    await config({ jobsDir: elsewhere, metricsFile });
    expect((await runHere(["export"], { env: { DATABASE_URL: own }, folder })).code).toBe(USAGE);
    expect(await there(metricsFile)).toBe(false);
    const named = ["export", "--config", "vecfill.config.json"];
    expect((await runHere(named, { env: { DATABASE_URL: own }, folder })).code).toBe(FATAL);
    expect(await there(metricsFile)).toBe(true);
  });

  it("is not used in a dry run, whoever gave it", async () => {
    await vecfill(["export", "--dry-run", "--on-event", hook()], { DATABASE_URL: own });
    expect(await there("hooked")).toBe(false);
  });

  it("is not taken for the report's page either", async () => {
    await config({ reportFile: join(folder, "hooked") });
    expect((await vecfill(["report"], { DATABASE_URL: own })).code).toBe(USAGE);
  });
});

describe("an env file", () => {
  const SETS = "VECFILL_DIMENSIONS=odd\r\nOTHER=1\r\n";
  const encodings: Readonly<Record<string, Buffer>> = {
    "UTF-8 with a mark": Buffer.from(`\uFEFF${SETS}`),
    "UTF-16": Buffer.from(`\uFEFF${SETS}`, "utf16le"),
    "UTF-16, the other way round": Buffer.from(`\uFEFF${SETS}`, "utf16le").swap16(),
  };
  for (const [name, bytes] of Object.entries(encodings)) {
    it(`in ${name} is read from its first variable on`, async () => {
      await writeFile(join(folder, ".env"), bytes);
      const { code, stderr } = await vecfill(["plan"], {});
      const said = expect.stringContaining("VECFILL_DIMENSIONS in .env is wrong");
      expect({ code, stderr }).toEqual({ code: USAGE, stderr: said });
    });
  }

  it("in UTF-16 without a mark is refused by name", async () => {
    await writeFile(join(folder, ".env"), Buffer.from(SETS, "utf16le"));
    const { code, stderr } = await vecfill(["plan"], {});
    expect({ code, stderr }).toEqual({ code: USAGE, stderr: expect.stringContaining(".env") });
  });

  it("that others can read, with a key in it, is warned of", async () => {
    await file(".env.local", { GEMINI_API_KEY: MINE, VECFILL_TABLE: "odd" });
    const env = { DATABASE_URL: own };
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
    expect(stderr).toContain(".env.local (not there), .env (sets DATABASE_ULR, GEMINI_KEY)");
    expect(stderr).not.toContain(MINE);
  });
});
