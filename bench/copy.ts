/** COPY through `pg`, which knows the messages but has no call for it. */
import type { Connection, Submittable } from "pg";

/** To be given to `client.query`; `done` with the rows that came. */
class Copy implements Submittable {
  readonly done: Promise<number>;
  readonly #sql: string;
  protected rows = 0;
  #resolve: (rows: number) => void = () => {};
  #reject: (error: Error) => void = () => {};

  constructor(sql: string) {
    this.#sql = sql;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  submit(connection: Connection): void {
    connection.query(this.#sql);
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#resolve(this.rows);
  }

  handleError(error: Error): void {
    this.#reject(error);
  }
}

/** COPY … TO STDOUT: counts the rows and drops them. */
export class CopyOut extends Copy {
  /** The server sends a message a row. */
  handleCopyData(): void {
    this.rows += 1;
  }
}

/** COPY … FROM STDIN. */
export class CopyIn extends Copy {
  readonly #chunks: readonly Buffer[];

  constructor(sql: string, chunks: readonly Buffer[]) {
    super(sql);
    this.#chunks = chunks;
  }

  handleCopyInResponse(connection: Connection): void {
    for (const chunk of this.#chunks) {
      connection.stream.write(messageHead("d", chunk.length));
      connection.stream.write(chunk);
    }
    connection.stream.write(messageHead("c", 0));
  }
}

const LENGTH_BYTES = 4;

/** Of the wire's own messages: a letter, and the length with that of the length itself. */
function messageHead(letter: string, bytes: number): Buffer {
  const head = Buffer.alloc(1 + LENGTH_BYTES);
  head.write(letter);
  head.writeInt32BE(LENGTH_BYTES + bytes, 1);
  return head;
}
