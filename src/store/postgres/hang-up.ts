/**
 * An interrupted command ends within seconds, although a statement may wait for another transaction's lock
 * for hours: the server is asked to cancel what runs, and hung up on where it stays silent.
 */
import { connect } from "node:net";

/** What is in hand may be finished until then: a chunk takes moments. */
const CANCEL_AFTER_MS = 2_000;
const HANG_UP_AFTER_MS = 3_500;
/** Of the protocol: in place of a version. */
const CANCEL_REQUEST = 80_877_102;

export type HangUp = Readonly<{
  /** True once statements were cancelled: what fails then fails for that reason. */
  hasBegun(): boolean;
  /** Takes the waiting back. */
  release(): void;
}>;

export function hangUpWhenAborted(
  signal: AbortSignal,
  { cancel, hangUp }: Readonly<{ cancel: () => void; hangUp: () => void }>,
): HangUp {
  const timers: NodeJS.Timeout[] = [];
  let begun = false;
  const onAbort = () => {
    const cancelling = setTimeout(() => {
      begun = true;
      cancel();
    }, CANCEL_AFTER_MS);
    timers.push(cancelling.unref(), setTimeout(hangUp, HANG_UP_AFTER_MS).unref());
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return {
    hasBegun: () => begun,
    release: () => {
      signal.removeEventListener("abort", onAbort);
      for (const timer of timers) clearTimeout(timer);
    },
  };
}

/** Over a connection of its own, as the protocol has it. Without a sound where that cannot be made. */
export function cancelStatement(client: Readonly<{ host: string; port: number }>): void {
  const id: unknown = Reflect.get(client, "processID");
  const secret: unknown = Reflect.get(client, "secretKey");
  if (typeof id !== "number" || typeof secret !== "number") return;
  const request = Buffer.alloc(16);
  [request.length, CANCEL_REQUEST, id, secret].forEach((word, place) =>
    request.writeInt32BE(word, place * 4),
  );
  const { host, port } = client;
  const socket = host.startsWith("/") ? connect(`${host}/.s.PGSQL.${port}`) : connect(port, host);
  // the connection is hung up on soon, whatever becomes of this
  socket.on("error", () => {});
  socket.on("connect", () => socket.end(request));
}
