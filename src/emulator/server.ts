/** The HTTP side: one request in, one answer out, and connections that break when asked to. */
import { MS_PER_SECOND } from "../clock.ts";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "../errors.ts";
import { projectOf } from "./http/api-keys.ts";
import type { BatchRuns } from "./batches/batch-runs.ts";
import { type Answer, type Call, refusal } from "./http/http.ts";
import { FAULT_AFTER, FAULT_BEFORE, type Match, matchRoute, type RouteKind } from "./routes.ts";
import { send } from "./http/sending.ts";
import { quotaExceeded, ServiceError, unavailable } from "./http/service-error.ts";
import type { State } from "./state/state.ts";

export class EmulatorServer {
  readonly calls = new Map<RouteKind, number>();
  readonly #state: State;
  readonly #runs: BatchRuns;
  readonly #server: Server;
  readonly #inFlight = new Set<Promise<void>>();
  readonly #closing = new AbortController();

  constructor(state: State, runs: BatchRuns) {
    this.#state = state;
    this.#runs = runs;
    this.#server = createServer((request, response) => this.#accept(request, response));
  }

  /** Resolves with the address once it listens; rejects when the port is taken. */
  listen(host: string, port: number): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", (cause) => reject(cannotListen(host, port, cause)));
      this.#server.listen(port, host, () => {
        const address = this.#server.address();
        const bound = typeof address === "object" && address !== null ? address.port : port;
        resolve(`http://${host.includes(":") ? `[${host}]` : host}:${bound}`);
      });
    });
  }

  /** Breaks every connection; resolves when no handler runs any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
    await Promise.all(this.#inFlight);
  }

  #accept(request: IncomingMessage, response: ServerResponse): void {
    const work = this.#serve(request, response).finally(() => this.#inFlight.delete(work));
    this.#inFlight.add(work);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Taken now: a request whose body was left unread lets go of its socket.
    const { socket } = request;
    try {
      const answer = await this.#answer(request);
      if (!this.#closing.signal.aborted) await send(answer, response, socket);
    } catch (error) {
      // A bug of ours must not look like a fault that was asked for.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      if (!response.headersSent) response.writeHead(599, { "content-type": "text/plain" });
      response.end(`the emulator has a bug: ${text}`);
    }
    request.resume();
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    try {
      const url = new URL(request.url ?? "/", `http://${request.headers.host ?? "localhost"}`);
      const match = matchRoute(request.method ?? "GET", url.pathname);
      const key = header(request, "x-goog-api-key") ?? url.searchParams.get("key") ?? undefined;
      const project = projectOf(key, this.#state.settings.keys);
      if (match === undefined) throw new ServiceError("NOT_FOUND", "Method not found.");
      this.calls.set(match.kind, (this.calls.get(match.kind) ?? 0) + 1);
      await this.#latency(match.kind);
      return await this.#handle(match, callOf(request, url, match, project));
    } catch (error) {
      if (error instanceof ServiceError) return refusal(error);
      throw error;
    }
  }

  async #handle(match: Match, call: Call): Promise<Answer> {
    const { faults } = this.#state;
    const before = FAULT_BEFORE[match.kind];
    const after = FAULT_AFTER[match.kind];
    if (before !== undefined && faults.strikes(before)) throw unavailable();
    if (match.kind !== "create" && faults.strikes("rate-429")) throw quotaExceeded();
    await this.#catchUp();
    const answer = await match.handle(call, match.id, this.#state, this.#runs);
    if (after !== undefined && faults.strikes(after)) throw unavailable();
    return answer;
  }

  /** Where no timer can run, what is due happens when somebody looks. */
  async #catchUp(): Promise<void> {
    if (this.#state.time.isVirtual) await this.#runs.settle();
    else this.#runs.tick();
  }

  async #latency(kind: RouteKind): Promise<void> {
    const { faults } = this.#state;
    const createMs = kind === "create" ? faults.amount("create-slow") * MS_PER_SECOND : 0;
    const syncMs = kind === "sync" ? faults.amount("sync-slow") : 0;
    const ms = faults.amount("slow") + createMs + syncMs;
    if (ms > 0) await delay(ms, undefined, { ref: false });
  }
}

function cannotListen(host: string, port: number, cause: Error): UserError {
  return new UserError(`The emulator cannot listen on ${host}, port ${port}: ${cause.message}.`, {
    hint: "Choose another --port, or 0 for any that is free.",
    exit: "usage",
    cause,
  });
}

function callOf(request: IncomingMessage, url: URL, match: Match, project: string): Call {
  return {
    method: request.method ?? "GET",
    version: match.version,
    query: url.searchParams,
    header: (name) => header(request, name),
    project,
    origin: url.origin,
    body: request,
  };
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}
