/** A TCP way to a server that can be stalled, cut, or told to keep a create back and to bring it late. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Until the whole request has left the process, which may be killed then. */
const REQUEST_LEAVES_MS = 20;
const MOST_WAITS = 100;
const ANSWER_COMES_MS = 5_000;
const CREATE = ":asyncBatchEmbedContent";
const WRITE = "vecfill_written";

type Keeping = Readonly<{ ms: number; onKept: () => void; onAnswer: (status: number) => void }>;

export class Way {
  readonly #server: Server;
  readonly #target: URL;
  readonly #sockets = new Set<Socket>();
  #isStalled = false;
  #keeping: Keeping | undefined;
  #meanwhile: (() => Promise<unknown>) | undefined;

  private constructor(target: URL) {
    this.#target = target;
    this.#server = createServer({ pauseOnConnect: true }, (client) => this.#lead(client));
  }

  static async to(address: string): Promise<Way> {
    const way = new Way(new URL(address));
    await new Promise<void>((resolve) => way.#server.listen(0, "127.0.0.1", resolve));
    return way;
  }

  /** The same address, by this way. */
  get url(): string {
    const url = new URL(this.#target);
    const address = this.#server.address();
    url.port = String(isAddress(address) ? address.port : "");
    url.hostname = "127.0.0.1";
    return url.href;
  }

  /** Nothing passes, and nobody is told. */
  async stall(ms: number): Promise<void> {
    this.#isStalled = true;
    for (const socket of this.#sockets) socket.pause();
    await delay(ms);
    this.#isStalled = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** The next statement that writes vectors arrives once that is done. */
  holdNextWrite(meanwhile: (() => Promise<unknown>) | undefined): void {
    this.#meanwhile = meanwhile;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** The next create arrives so much later, whatever became of who sent it. */
  keepNextCreate(keeping: Keeping | undefined): void {
    this.#keeping = keeping;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #lead(client: Socket): void {
    const server = connect(Number(this.#target.port), this.#target.hostname);
    let isKept = false;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#sockets.delete(socket));
    }
    client.on("data", (data) => {
      const keeping = isKept || !data.includes(CREATE) ? undefined : this.#keeping;
      if (keeping !== undefined) {
        isKept = true;
        this.#keeping = undefined;
        void this.#bringLate(client, data, keeping);
      } else if (!isKept) this.#pass(client, data, server);
    });
    server.on("data", (data) => client.writable && client.write(data));
    client.on("close", () => server.destroy());
    server.on("close", () => client.destroy());
    if (!this.#isStalled) client.resume();
    else server.pause();
  }

  #pass(client: Socket, data: Buffer, server: Socket): void {
    const meanwhile = data.includes(WRITE) ? this.#meanwhile : undefined;
    if (meanwhile === undefined) return void server.write(data);
    this.#meanwhile = undefined;
    client.pause();
    void meanwhile().finally(() => {
      server.write(data);
      client.resume();
    });
  }

  async #bringLate(client: Socket, first: Buffer, keeping: Keeping): Promise<void> {
    const parts = [first];
    client.on("data", (data) => parts.push(data));
    for (let waits = 0; waits < MOST_WAITS && !isWhole(Buffer.concat(parts)); waits += 1)
      await delay(REQUEST_LEAVES_MS);
    keeping.onKept();
    await delay(keeping.ms);
    // the first one would be closed by now: nothing came on it
    const server = connect(Number(this.#target.port), this.#target.hostname);
    server.on("error", () => server.destroy());
    server.once("data", (answer) => keeping.onAnswer(Number(answer.toString("latin1", 9, 12))));
    server.write(Buffer.concat(parts));
    await delay(ANSWER_COMES_MS);
    server.destroy();
  }
}

function isWhole(request: Buffer): boolean {
  const text = request.toString("latin1");
  const bodyAt = text.indexOf("\r\n\r\n") + "\r\n\r\n".length;
  const bytes = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? Infinity);
  return text.includes("\r\n\r\n") && text.length - bodyAt >= bytes;
}

function isAddress(address: AddressInfo | string | null): address is AddressInfo {
  return address !== null && typeof address === "object";
}
