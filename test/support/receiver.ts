/** A real HTTP server that remembers what it got: `await using receiver = await startReceiver();` */
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import { TLSSocket } from "node:tls";
import { Arrivals } from "./arrivals.ts";

/** A request as it came in. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly rawBody: Buffer;
  readonly receivedAt: Date;
}

/**
 * What a request is answered with: a status, a whole answer, `reset` (the connection breaks), or `open` (it is left to
 * the function, which may write itself, or never). Nothing means 200.
 */
export type Reply =
  | number
  | { readonly status?: number; readonly headers?: Record<string, string>; readonly body?: string | Buffer }
  | "reset"
  | "open"
  | undefined;

// biome-ignore lint/suspicious/noConfusingVoidType: a function that returns nothing answers 200
export type Respond = (request: ReceivedRequest, response: ServerResponse) => Reply | void | Promise<Reply | void>;

export interface ReceiverOptions {
  /** Default: 200 without a body. */
  readonly respond?: Respond;
  /** `count` keeps neither requests nor bodies, for benchmarks. Default: `full`. */
  readonly record?: "full" | "count";
  /** A file that gets one JSON line for each request, on disk before it is answered. */
  readonly ledger?: string;
  /** Key and certificate, for https. */
  readonly tls?: ServerOptions;
  /** Default: a free one. */
  readonly port?: number;
}

export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** All requests so far, in the order of their arrival; none when they are only counted. */
  readonly requests: readonly ReceivedRequest[];
  readonly count: number;
  /** The requests that are not answered yet. */
  readonly openRequests: number;
  /** The connections that were ever made. */
  readonly connections: number;
  /** The first request that `next` has not returned before. */
  next(): Promise<ReceivedRequest>;
  /** All requests, as soon as there are n. */
  waitFor(n: number): Promise<readonly ReceivedRequest[]>;
  /** The first request, past or to come, that satisfies the predicate. */
  until(predicate: (request: ReceivedRequest) => boolean): Promise<ReceivedRequest>;
  respondWith(respond: Respond): void;
  /** Breaks all connections and stops listening; whoever still waits fails. */
  close(): Promise<void>;
}

/** Starts a receiver on 127.0.0.1. Each request is recorded before it is answered. */
export async function startReceiver(options: ReceiverOptions = {}): Promise<Receiver> {
  const { tls, record = "full", ledger } = options;
  const keepsBodies = record === "full" || ledger !== undefined;
  const arrivals = new Arrivals<ReceivedRequest>();
  const seen = { connections: 0, open: 0 };
  let respond: Respond = options.respond ?? (() => 200);

  const listener: RequestListener = (request, response) => {
    seen.open += 1;
    response.once("close", () => {
      seen.open -= 1;
    });
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => keepsBodies && chunks.push(chunk));
    request.on("end", () => {
      const received = requestOf(request, chunks);
      if (ledger !== undefined) writeLine(ledger, received);
      arrivals.add(record === "full" ? received : undefined);
      void Promise.resolve(respond(received, response)).then((reply) => send(response, reply ?? 200));
    });
  };

  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  server.keepAliveTimeout = 120_000;
  server.on(tls ? "secureConnection" : "connection", () => {
    seen.connections += 1;
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const close = async () => {
    arrivals.close();
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `${tls ? "https" : "http"}://127.0.0.1:${port}`,
    port,
    requests: arrivals.items,
    get count() {
      return arrivals.count;
    },
    get openRequests() {
      return seen.open;
    },
    get connections() {
      return seen.connections;
    },
    next: () => arrivals.next(),
    waitFor: (n) => arrivals.waitFor(n),
    until: (predicate) => arrivals.until(predicate),
    respondWith(next) {
      respond = next;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function requestOf({ method = "", url = "", headers }: IncomingMessage, chunks: Buffer[]): ReceivedRequest {
  return { method, path: url, headers, rawBody: Buffer.concat(chunks), receivedAt: new Date() };
}

/** One line of the ledger: what was received, so that it can be counted after this process was killed. */
function writeLine(ledger: string, { rawBody, ...request }: ReceivedRequest): void {
  appendFileSync(ledger, `${JSON.stringify({ ...request, body: rawBody.toString() })}\n`, { flush: true });
}

function send(response: ServerResponse, reply: NonNullable<Reply>): void {
  if (reply === "open" || response.destroyed) return;
  if (reply === "reset") breakConnection(response);
  else answer(response, reply);
}

function answer(response: ServerResponse, reply: Exclude<Reply, string | undefined>): void {
  const { status = 200, headers = {}, body = "" } = typeof reply === "number" ? { status: reply } : reply;
  const length = status === 204 ? {} : { "content-length": String(Buffer.byteLength(body)) };
  response.writeHead(status, { ...length, ...headers }).end(body);
}

/** With a TCP reset where the socket can: one below TLS cannot be asked for it. */
function breakConnection({ socket }: ServerResponse): void {
  if (socket instanceof TLSSocket) socket.destroy();
  else socket?.resetAndDestroy();
}
