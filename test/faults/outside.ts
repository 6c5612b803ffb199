/**
 * The border between the process and everything outside of it: database, Gemini, file system. A
 * plan makes the Nth call over the border go wrong, either before or after it took effect, as an
 * error or as the death of the process: from then on every further call fails, as nothing that a
 * dead process would have done may happen. Calls already under way finish, as they would.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type * as Files from "node:fs/promises";
import type { Database } from "../../src/store/database.ts";

export type Fault = Readonly<{
  /** Counts from 1. */
  nth: number;
  when: "before" | "after";
  how: "error" | "kill";
  /** Only calls whose name begins with it are counted. */
  kind: Kind;
}>;

export type Kind = "database" | "gemini" | "file" | "";

export class Killed extends Error {
  override readonly name = "Killed";
}

/** The process under test runs within; the emulator and the test itself run without. */
export const underTest = new AsyncLocalStorage<Border>();

export class Border {
  readonly #fault: Fault | undefined;
  #calls = 0;
  #isDead = false;
  #underWay = new Set<Promise<unknown>>();
  /** Name of the call that went wrong. */
  hit: string | undefined;

  constructor(fault: Fault | undefined) {
    this.#fault = fault;
  }

  /** Calls counted so far. */
  get calls(): number {
    return this.#calls;
  }

  /** Makes one call over the border. `failure` is what the caller sees where it goes wrong. */
  async cross<T>(name: string, make: () => Promise<T>, failure: () => Error): Promise<T> {
    if (this.#isDead) throw new Killed(`${name} by a dead process`);
    const goesWrong = this.#isNext(name);
    if (goesWrong && this.#fault?.when === "before") throw this.#strike(name, failure);
    const call = make();
    this.#underWay.add(call);
    try {
      const result = await call;
      if (goesWrong) throw this.#strike(name, failure);
      if (this.#isDead) throw new Killed(`${name} answered to a dead process`);
      return result;
    } finally {
      this.#underWay.delete(call);
    }
  }

  /** Resolves when no call is under way any more. */
  async quiet(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  #isNext(name: string): boolean {
    if (this.#fault === undefined || !name.startsWith(this.#fault.kind)) return false;
    this.#calls += 1;
    return this.#calls === this.#fault.nth;
  }

  #strike(name: string, failure: () => Error): Error {
    this.hit = name;
    if (this.#fault?.how === "error") return failure();
    this.#isDead = true;
    return new Killed(name);
  }
}

export function borderDatabase(database: Database): Database {
  return {
    ...database,
    query: (sql, parameters) =>
      cross(
        `database ${sql.trim().split(/\s+/, 2).join(" ")}`,
        () => database.query(sql, parameters),
        () => withCode("ECONNRESET"),
      ),
  };
}

/** An answer that never came; with `after`, the request took effect. */
export const borderFetch: typeof fetch = (input, init) => {
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  return cross(
    `gemini ${init?.method ?? "GET"} ${pathname}`,
    () => fetch(input, init),
    () => new TypeError("fetch failed", { cause: withCode("ECONNRESET") }),
  );
};

const FILE_CALLS = ["link", "mkdir", "readdir", "rename", "rm", "writeFile"];
const HANDLE_CALLS = ["write", "truncate", "sync", "datasync"];

/** `node:fs/promises` with every call that changes a file crossing the border. */
export function borderFiles(files: typeof Files): typeof Files {
  return {
    ...files,
    ...crossing(files, FILE_CALLS),
    open: async (...args: Parameters<typeof files.open>) => {
      const opening = () => files.open(...args);
      const handle = await cross("file open", opening, () => withCode("EIO"));
      return Object.assign(handle, crossing(handle, HANDLE_CALLS));
    },
  };
}

/** The methods of that name, each crossing the border. */
function crossing(owner: object, names: readonly string[]) {
  return Object.fromEntries(
    names.map((name) => {
      const method: unknown = Reflect.get(owner, name);
      if (typeof method !== "function") throw new Error(`there is no ${name}`);
      const call = (...args: unknown[]) =>
        cross(
          `file ${name}`,
          async (): Promise<unknown> => Reflect.apply(method, owner, args),
          () => withCode("EIO"),
        );
      return [name, call];
    }),
  );
}

function cross<T>(name: string, make: () => Promise<T>, failure: () => Error): Promise<T> {
  const border = underTest.getStore();
  return border === undefined ? make() : border.cross(name, make, failure);
}

function withCode(code: string): Error {
  return Object.assign(new Error(`${code}: made by a test`), { code });
}
