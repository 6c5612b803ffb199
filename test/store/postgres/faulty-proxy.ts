/** A TCP proxy before a database that loses answers: the statement takes effect, nobody hears of it. */
import { createServer, connect, type AddressInfo, type Socket } from "node:net";

export type FaultyProxy = Readonly<{
  /** The database's URL by way of the proxy. */
  url: string;
  /** From now on, drops connections instead of passing an answer on; as often as told. */
  loseAnswers(times: number): void;
  close(): Promise<void>;
}>;

export async function startFaultyProxy(databaseUrl: string): Promise<FaultyProxy> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let toLose = 0;
  const server = createServer((client) => {
    const database = connect(Number(target.port), target.hostname);
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => sockets.delete(socket));
    }
    client.pipe(database);
    database.on("data", (answer) => {
      if (toLose === 0) {
        client.write(answer);
        return;
      }
      toLose -= 1;
      client.resetAndDestroy();
      database.end();
    });
    database.on("close", () => client.destroy());
    client.on("close", () => database.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: throughPort(target, server.address()),
    loseAnswers: (times) => {
      toLose = times;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function throughPort(target: URL, address: AddressInfo | string | null): string {
  if (address === null || typeof address === "string") throw new Error("the proxy has no port");
  const url = new URL(target);
  url.port = String(address.port);
  return url.href;
}
