/** A TCP proxy before Postgres that loses the answers to certain statements: was it done, or not? */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface LossyProxy extends AsyncDisposable {
  /** The database URL through the proxy. */
  readonly url: string;
  /**
   * The next `times` statements that contain the text are carried out, their answers swallowed, and their connections cut.
   */
  readonly loseAnswersTo: (text: string, times: number) => void;
  /** Answers that were lost so far. */
  readonly lost: number;
}

/** ReadyForQuery: type Z, length 5, idle. It ends the answer of a statement that ran outside a transaction block. */
const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** Starts a proxy to the server of a database URL. */
export const startLossyProxy = async (databaseUrl: string): Promise<LossyProxy> => {
  const target = new URL(databaseUrl);
  const open = new Set<Socket>();
  const wanted = { text: "", times: 0 };
  let lost = 0;

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname);
    let losing = false;
    const cut = (): void => {
      client.resetAndDestroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.setNoDelay();
      socket.on("error", cut).on("close", () => {
        open.delete(socket);
        cut();
      });
    }
    client.on("data", (chunk) => {
      if (!losing && wanted.times > 0 && chunk.includes(wanted.text)) {
        wanted.times -= 1;
        losing = true;
      }
      upstream.write(chunk);
    });
    upstream.on("data", (chunk) => {
      if (!losing) client.write(chunk);
      else if (chunk.subarray(-readyForQuery.length).equals(readyForQuery)) {
        lost += 1;
        cut();
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
  return {
    url: url.href,
    loseAnswersTo: (text, times) => Object.assign(wanted, { text, times }),
    get lost() {
      return lost;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};
