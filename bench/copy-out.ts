/** COPY … TO STDOUT through `pg`, which knows the messages but has no call for it. */
import type { Connection, Submittable } from "pg";

/** To be given to `client.query`; counts the rows and drops them. */
export class CopyOut implements Submittable {
  readonly done: Promise<number>;
  readonly #sql: string;
  #rows = 0;
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

  /** The server sends a message a row. */
  handleCopyData(): void {
    this.#rows += 1;
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.#resolve(this.#rows);
  }

  handleError(error: Error): void {
    this.#reject(error);
  }
}
