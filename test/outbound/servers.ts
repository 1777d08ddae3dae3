/** Servers on the loopback address that behave as badly as a test needs, and a dialler whose operator opened it. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { parseAllowedNetworks } from "../../src/addresses.ts";
import { createDialler, DialError, type Dialler, type DiallerOptions, type HttpRequest } from "../../src/outbound.ts";

export interface RawServer extends AsyncDisposable {
  readonly port: number;
  readonly origin: URL;
  /** Connections that are open now. */
  readonly open: ReadonlySet<Socket>;
  /** Connections that there have been. */
  readonly accepted: () => number;
  /** Resolves when no connection is open. */
  readonly idle: () => Promise<void>;
}

/** Starts a TCP server. `respond` is called for each connection. */
export const startServer = async (respond: (socket: Socket) => void): Promise<RawServer> => {
  const open = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    accepted += 1;
    open.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => open.delete(socket));
    respond(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  return {
    port,
    origin: new URL(`http://127.0.0.1:${port}`),
    open,
    accepted: () => accepted,
    idle: async () => {
      const closing = [...open].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
      await Promise.all(closing);
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};

/** Answers each request head (requests of these tests have no body) with the same bytes. */
export const answering =
  (answer: string | Buffer) =>
  (socket: Socket): void => {
    let head = "";
    socket.on("data", (chunk) => {
      head += chunk.toString("latin1");
      for (let end = head.indexOf("\r\n\r\n"); end !== -1; end = head.indexOf("\r\n\r\n")) {
        head = head.slice(end + 4);
        socket.write(answer);
      }
    });
  };

/** A dialler that may reach 127.0.0.0/8, and what else the test says. */
export const openDialler = (options: Partial<DiallerOptions> = {}): Dialler =>
  createDialler({ allowHttp: true, allowedNetworks: parseAllowedNetworks("127.0.0.0/8"), ...options });

/** A GET of `/` that has `ms` to end, far more than it needs unless the test is about the deadline. */
export const getWithin = (ms = 10_000): HttpRequest => ({
  method: "GET",
  path: "/",
  headers: {},
  signal: AbortSignal.timeout(ms),
});

/** The {@link DialError} that a promise rejects with; anything else fails the test. */
export const dialErrorOf = async (work: Promise<unknown>): Promise<DialError> => {
  const outcome = await work.then(
    () => new Error("it did not reject"),
    (error: unknown) => error,
  );
  if (outcome instanceof DialError) return outcome;
  throw outcome;
};
