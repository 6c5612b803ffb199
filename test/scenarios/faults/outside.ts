/**
 * The border between the process and everything outside of it: database, Gemini, file system. A
 * plan makes the Nth call over the border go wrong: before it took effect, after, or in the middle
 * (half of a file's block is written, half of an answer arrives), as an error or as the death of the
 * process: from then on every further call fails, as nothing that a dead process would have done may
 * happen. Calls already under way finish, as they would. It dies because the power goes: what was written and not
 * synced is lost.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { existsSync, statSync, truncateSync } from "node:fs";
import files, { type FileHandle } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { z } from "zod";
import type { Database } from "../../../src/store/database.ts";

export type Fault = Readonly<{
  /** Counts from 1. */
  nth: number;
  /** A call that has no middle goes wrong after it took effect. */
  when: "before" | "middle" | "after";
  how: "error" | "kill";
  /** Only calls whose name begins with it are counted. */
  kind: Kind | `database ${string}` | `gemini ${string}` | `file ${string}`;
}>;

export type Struck = Readonly<{ hit: string; fault: Fault }>;

export type Kind = "database" | "gemini" | "file" | "";

class Killed extends Error {
  override readonly name = "Killed";
}

/** The process under test runs within; the emulator and the test itself run without. */
export const underTest = new AsyncLocalStorage<Border>();

/** One call over the border. `half` takes part of its effect, where there is such a thing. */
type Crossing<T> = Readonly<{
  name: string;
  make: () => Promise<T>;
  half?: (() => Promise<unknown>) | undefined;
  /** Lets go of a result that nobody will get. */
  drop?: ((result: T) => Promise<unknown>) | undefined;
  /** What the caller sees where it goes wrong. */
  failure: () => Error;
}>;

export class Border {
  readonly #faults: readonly { fault: Fault; calls: number }[];
  #calls = 0;
  readonly #death = new AbortController();
  #underWay = new Set<Promise<unknown>>();
  /** The calls that went wrong, and what struck them. */
  readonly struck: Struck[] = [];
  /** The texts of each call of the sync lane that was tried. */
  readonly asked: string[][] = [];

  constructor(faults: readonly Fault[]) {
    this.#faults = faults.map((fault) => ({ fault, calls: 0 }));
  }

  /** Names of the calls that went wrong. */
  get hits(): readonly string[] {
    return this.struck.map(({ hit }) => hit);
  }

  /** Calls of every kind so far. */
  get calls(): number {
    return this.#calls;
  }

  /** True once the process has been killed. */
  get isDead(): boolean {
    return this.#death.signal.aborted;
  }

  /** Aborted then, so that what waits for better times in a dead process does not wait for ever. */
  get death(): AbortSignal {
    return this.#death.signal;
  }

  async cross<T>(call: Crossing<T>): Promise<T> {
    const { name, make, drop } = call;
    if (this.isDead) throw new Killed(`${name} by a dead process`);
    const fault = this.#next(name);
    if (fault !== undefined) return this.#goWrong(fault, call);
    const result = await this.#awaited(make());
    if (!this.isDead) return result;
    await drop?.(result);
    throw new Killed(`${name} answered to a dead process`);
  }

  /** An answer whose body breaks off in the middle; every other goes through `cross`. */
  async crossWithBody(call: Crossing<Response>): Promise<Response> {
    const { name, make, failure } = call;
    const fault = this.isDead ? undefined : this.#peek(name);
    if (fault?.when !== "middle") return this.cross(call);
    this.#next(name);
    const answer = await this.#awaited(make());
    return brokenOff(answer, () => this.#strike(fault, name, failure));
  }

  /** Resolves when no call is under way any more. */
  async quiet(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  async #goWrong<T>(
    fault: Fault,
    { name, make, half, drop, failure }: Crossing<T>,
  ): Promise<never> {
    if (fault.when === "middle" && half !== undefined) await this.#awaited(half());
    else if (fault.when !== "before") {
      // a call that fails by itself goes wrong all the same
      const [end] = await Promise.allSettled([this.#awaited(make())]);
      if (end.status === "fulfilled") await drop?.(end.value);
    }
    throw this.#strike(fault, name, failure);
  }

  async #awaited<T>(call: Promise<T>): Promise<T> {
    this.#underWay.add(call);
    try {
      return await call;
    } finally {
      this.#underWay.delete(call);
    }
  }

  /** The fault that the next call of this name meets. */
  #peek(name: string): Fault | undefined {
    return this.#faults.find(
      ({ fault, calls }) => name.startsWith(fault.kind) && calls + 1 === fault.nth,
    )?.fault;
  }

  #next(name: string): Fault | undefined {
    const met = this.#peek(name);
    this.#calls += 1;
    for (const each of this.#faults) if (name.startsWith(each.fault.kind)) each.calls += 1;
    return met;
  }

  #strike(fault: Fault, name: string, failure: () => Error): Error {
    this.struck.push({ hit: name, fault });
    if (fault.how === "error") return failure();
    losePower();
    const killed = new Killed(name);
    this.#death.abort(killed);
    return killed;
  }
}

/** The same answer, of which half the body comes, and then the error. */
async function brokenOff(answer: Response, failure: () => Error): Promise<Response> {
  const body = new Uint8Array(await answer.arrayBuffer());
  const half = body.subarray(0, Math.floor(body.length / 2));
  let given = false;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (given || half.length === 0) controller.error(failure());
      else controller.enqueue(half);
      given = true;
    },
  });
  const { status, statusText, headers } = answer;
  const first = [204, 205, 304].includes(status) ? undefined : stream;
  return new Response(first, { status, statusText, headers });
}

export function borderDatabase(database: Database): Database {
  return {
    ...database,
    query: (sql, parameters) =>
      cross({
        name: `database ${sql.trim().split(/\s+/, 2).join(" ")}`,
        make: () => database.query(sql, parameters),
        failure: () => withCode("ECONNRESET"),
      }),
    script: (sql) =>
      cross({
        name: "database script",
        make: () => database.script(sql),
        failure: () => withCode("ECONNRESET"),
      }),
    session: (work) =>
      database.session((session) =>
        work({
          ...session,
          transaction: (statements) =>
            cross({
              name: `database transaction ${statements.at(-1)}`,
              make: () => session.transaction(statements),
              failure: () => withCode("ECONNRESET"),
            }),
          statement: (sql) =>
            cross({
              name: `database ${sql}`,
              make: () => session.statement(sql),
              failure: () => withCode("ECONNRESET"),
            }),
        }),
      ),
  };
}

/** An answer that never came, or broke off; but for `before`, the request took effect. */
export const borderFetch: typeof fetch = (input, init) => {
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  const make = () => fetch(input, init);
  const call: Crossing<Response> = {
    name: `gemini ${init?.method ?? "GET"} ${pathname}`,
    make,
    failure: () => new TypeError("fetch failed", { cause: withCode("ECONNRESET") }),
  };
  const border = underTest.getStore();
  if (border === undefined) return make();
  if (pathname.endsWith(":batchEmbedContents")) border.asked.push(textsIn(init?.body));
  return border.crossWithBody(call);
};

const embedBody = z.object({
  requests: z.array(
    z.object({ content: z.object({ parts: z.tuple([z.object({ text: z.string() })]) }) }),
  ),
});

function textsIn(body: unknown): string[] {
  const { requests } = embedBody.parse(JSON.parse(String(body)));
  return requests.map(({ content }) => content.parts[0].text);
}

/** Files with something that was not synced, and how much of each was. */
const unsynced = new Map<string, number>();

function losePower(): void {
  for (const [path, length] of unsynced) if (existsSync(path)) truncateSync(path, length);
  unsynced.clear();
}

const FILE_CALLS = ["chmod", "link", "mkdir", "readdir", "readFile", "rm", "stat"];
const HANDLE_CALLS = ["truncate"];

/** What is under test crosses the border with its calls to the disk until the function that this returns is called. */
export function borderFiles(): () => void {
  const original = { ...files };
  replaceFiles(bordered(original));
  return () => replaceFiles(original);
}

function replaceFiles(calls: object): void {
  Object.assign(files, calls);
  syncBuiltinESMExports();
}

/** `node:fs/promises` with its calls crossing the border: all that change a file, some that read. */
function bordered(disk: typeof files) {
  return {
    ...disk,
    ...crossing(disk, FILE_CALLS),
    writeFile: (...[path, data, options]: Parameters<typeof files.writeFile>) =>
      fileCall(
        "writeFile",
        () => disk.writeFile(path, data, options),
        () => disk.writeFile(path, typeof data === "string" ? firstHalf(data) : "", options),
      ),
    rename: (from: string, to: string) =>
      fileCall("rename", async () => {
        await disk.rename(from, to);
        const length = unsynced.get(from);
        unsynced.delete(from);
        if (length !== undefined) unsynced.set(to, length);
      }),
    open: async (...args: Parameters<typeof files.open>) => {
      const handle = await cross({
        name: "file open",
        make: () => disk.open(...args),
        drop: (opened) => opened.close(),
        failure: () => withCode("EIO"),
      });
      return Object.assign(
        handle,
        crossing(handle, HANDLE_CALLS),
        writing(handle, String(args[0])),
      );
    },
  };
}

/** A full disk takes part of what is to be written. */
function writing(handle: FileHandle, path: string) {
  const write = handle.write.bind(handle);
  const appendFile = handle.appendFile.bind(handle);
  const unsafely = <T>(make: () => Promise<T>) => {
    // Gemini's own disk does not lose its power
    const isUnderTest = underTest.getStore() !== undefined;
    if (isUnderTest && !unsynced.has(path))
      unsynced.set(path, statSync(path, { throwIfNoEntry: false })?.size ?? 0);
    return make();
  };
  const safely = (name: "sync" | "datasync") => {
    const sync = handle[name].bind(handle);
    return () => fileCall(name, () => sync().then(() => void unsynced.delete(path)));
  };
  return {
    write: (bytes: Buffer, offset: number, length: number, position: number) =>
      fileCall(
        "write",
        () => unsafely(() => write(bytes, offset, length, position)),
        () => unsafely(() => write(bytes, offset, Math.floor(length / 2), position)),
      ),
    appendFile: (bytes: Buffer) =>
      fileCall(
        "appendFile",
        () => unsafely(() => appendFile(bytes)),
        () => unsafely(() => appendFile(bytes.subarray(0, Math.floor(bytes.length / 2)))),
      ),
    sync: safely("sync"),
    datasync: safely("datasync"),
  };
}

function firstHalf(text: string): string {
  return text.slice(0, Math.floor(text.length / 2));
}

/** The methods of that name, each crossing the border. */
function crossing(owner: object, names: readonly string[]) {
  return Object.fromEntries(
    names.map((name) => {
      const method: unknown = Reflect.get(owner, name);
      if (typeof method !== "function") throw new Error(`there is no ${name}`);
      const call = (...args: unknown[]) =>
        fileCall(name, async (): Promise<unknown> => Reflect.apply(method, owner, args));
      return [name, call];
    }),
  );
}

function fileCall<T>(
  name: string,
  make: () => Promise<T>,
  half?: () => Promise<unknown>,
): Promise<T> {
  return cross({ name: `file ${name}`, make, half, failure: () => withCode("EIO") });
}

function cross<T>(call: Crossing<T>): Promise<T> {
  const border = underTest.getStore();
  return border === undefined ? call.make() : border.cross(call);
}

function withCode(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test`), { code });
}
