/** A receiver of the demo: a real HTTP server that verifies, remembers and answers. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

/** A request that came in, and what it was answered. */
export interface Arrival {
  readonly at: number;
  readonly eventId: string;
  readonly body: string;
  readonly verified: boolean;
  readonly status: number;
}

/** What a receiver answers to its nth request, counted from 1. */
export type Answer = (n: number) => { readonly status: number; readonly headers?: Record<string, string> };

export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly arrivals: readonly Arrival[];
}

const headersOf = ({ headers }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );

/** Starts a receiver on this machine. */
export const startReceiver = async (
  verify: (headers: Readonly<Record<string, string>>, body: string) => boolean,
  answer: Answer,
): Promise<Receiver> => {
  const arrivals: Arrival[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const headers = headersOf(request);
      const reply = answer(arrivals.length + 1);
      const eventId = headers["webhook-id"] ?? "";
      arrivals.push({ at: Date.now(), eventId, body, verified: verify(headers, body), status: reply.status });
      response.writeHead(reply.status, reply.headers).end();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/hooks`,
    arrivals,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
};
