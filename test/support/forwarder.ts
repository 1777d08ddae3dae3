/** Forwards TCP connections to a port, counts them, cuts them, goes away and comes back: `await using ...`. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { Writable } from "node:stream";

export interface Forwarder extends AsyncDisposable {
  readonly port: number;
  /** Connections that are open now. */
  readonly open: ReadonlySet<Socket>;
  /** Connections that there have been. */
  readonly accepted: () => number;
  /** Brings nothing more of what the server says to the client. */
  readonly mute: () => void;
  /** Resets all connections. */
  readonly cut: () => void;
  /** Ends all connections and refuses others, as a server that is down. */
  readonly stop: () => Promise<void>;
  /** Listens again, on the same port. */
  readonly start: () => Promise<void>;
}

export interface ForwarderOptions {
  /** Default: 127.0.0.1. */
  readonly host?: string;
  /** Brings what the server says to the client. Default: as it is. */
  readonly answers?: (server: Socket, client: Writable) => void;
}

/** Starts on 127.0.0.1. */
export const startForwarder = async (port: number, options: ForwarderOptions = {}): Promise<Forwarder> => {
  const { host = "127.0.0.1", answers = (server, client) => void server.pipe(client) } = options;
  const open = new Set<Socket>();
  let accepted = 0;
  let ownPort = 0;
  let muted = false;
  const unlessMuted = (socket: Socket): Writable =>
    new Writable({
      write: (chunk, _encoding, done) => {
        if (!muted) socket.write(chunk);
        done();
      },
      final: (done) => {
        if (!muted) socket.end();
        done();
      },
    });
  const forward = (socket: Socket): void => {
    accepted += 1;
    open.add(socket);
    const onward = connect({ host, port });
    socket.on("error", () => socket.destroy()).on("close", () => onward.destroy());
    socket.on("close", () => open.delete(socket));
    onward.on("error", () => socket.destroy()).on("close", () => socket.destroySoon());
    socket.pipe(onward);
    answers(onward, unlessMuted(socket));
  };
  const server = createServer(forward);
  const start = async (): Promise<void> => {
    server.listen(ownPort, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    ownPort = typeof address === "object" ? (address?.port ?? 0) : 0;
  };
  const mute = (): void => {
    muted = true;
  };
  const cut = (): void => {
    for (const socket of open) socket.resetAndDestroy();
  };
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, "close");
    server.close();
    for (const socket of open) socket.destroy();
    await closed;
  };
  await start();
  return { port: ownPort, open, accepted: () => accepted, mute, cut, stop, start, [Symbol.asyncDispose]: stop };
};
