/**
 * One HTTP exchange with an absolute end. It works on undici's dispatch handler instead of its streams: at ten thousand
 * exchanges a second most bodies are a few bytes in one chunk, and need no more than a `toString`.
 */
import type { Dispatcher } from "undici";
import { abortError, DialError, exchangeError } from "./dial-error.ts";
import type { ExchangeHandler, HttpPool } from "./http-pool.ts";
import { bodyText, compressedBytesMax, decompress, keepHeaders, responseBodyBytesMax } from "./response.ts";

/** What to send. */
export interface HttpRequest {
  readonly method: Dispatcher.HttpMethod;
  /** `url.pathname + url.search`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** The end of the whole exchange, from DNS to the last byte. Required, because idle timeouts never fire on a drip. */
  readonly signal: AbortSignal;
}

/** What came back. A status line with its headers makes an answer, however its body ended. */
export interface HttpResponse {
  readonly status: number;
  /** Those worth keeping, names in lower case, values cut. */
  readonly headers: Readonly<Record<string, string>>;
  /** The first 16 KiB after decompression, or as much as came; fit for a Postgres `text`. */
  readonly body: string;
}

/** Exchanges by the signal that ends them. One listener for all of them: a listener each costs more than the bookkeeping. */
const exchangesOf = new WeakMap<AbortSignal, Set<Exchange>>();

const watch = (signal: AbortSignal): Set<Exchange> => {
  const known = exchangesOf.get(signal);
  if (known !== undefined) return known;
  const exchanges = new Set<Exchange>();
  exchangesOf.set(signal, exchanges);
  const abort = (): void => {
    for (const exchange of [...exchanges]) exchange.abort();
  };
  signal.addEventListener("abort", abort, { once: true });
  return exchanges;
};

const enough = new DialError("reset", "as much of the body as is kept was read", { ours: true });

class Exchange implements ExchangeHandler {
  readonly #signal: AbortSignal;
  readonly #watched: Set<Exchange>;
  readonly #settle = Promise.withResolvers<HttpResponse>();
  #controller: Dispatcher.DispatchController | undefined;
  #settled = false;
  #status = 0;
  #headers: Readonly<Record<string, string | string[] | undefined>> = {};
  #chunks: Buffer[] = [];
  #size = 0;
  #sizeMax = responseBodyBytesMax;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    this.#watched = watch(signal);
    this.#watched.add(this);
    if (signal.aborted) this.abort();
  }

  get response(): Promise<HttpResponse> {
    return this.#settle.promise;
  }

  get settled(): boolean {
    return this.#settled;
  }

  /** The signal aborted. */
  abort(): void {
    const error = abortError(this.#signal);
    this.#end(error);
    this.#controller?.abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The request waited for a connection until after its end: nothing of it is sent any more.
    if (this.#settled) controller.abort(enough);
    else this.#controller = controller;
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    if (this.#encoding !== undefined) this.#sizeMax = compressedBytesMax;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    if (this.#size <= this.#sizeMax) return;
    this.#end();
    controller.abort(enough);
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#end(error);
  }

  get #encoding(): string | undefined {
    const encoding = this.#headers["content-encoding"];
    if (encoding === undefined || encoding === "identity") return undefined;
    return String(encoding);
  }

  /** Settles once. After the headers came, nothing that happens to the body changes the outcome. */
  #end(error?: unknown): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#watched.delete(this);
    if (this.#status === 0) this.#settle.reject(exchangeError(error));
    else this.#settle.resolve(this.#answer());
  }

  #answer(): HttpResponse | Promise<HttpResponse> {
    const headers = keepHeaders(this.#headers);
    const [only] = this.#chunks;
    if (only === undefined) return { status: this.#status, headers, body: "" };
    const bytes = this.#chunks.length === 1 ? only : Buffer.concat(this.#chunks, this.#size);
    const encoding = this.#encoding;
    if (encoding === undefined) return { status: this.#status, headers, body: bodyText(bytes) };
    return this.#decoded(bytes.subarray(0, compressedBytesMax), encoding, headers);
  }

  async #decoded(bytes: Buffer, encoding: string, headers: Record<string, string>): Promise<HttpResponse> {
    return { status: this.#status, headers, body: bodyText(await decompress(bytes, encoding)) };
  }
}

/**
 * Sends a request and reads its answer up to the limits. Redirects are answers like any other and never followed.
 *
 * @returns as soon as the answer is complete, 16 KiB of it are there, or the signal aborts after its headers
 * @throws DialError when no answer's headers came; any other error is a wrong argument, so a bug of the caller
 */
export const exchange = (pool: HttpPool, request: HttpRequest): Promise<HttpResponse> => {
  const handler = new Exchange(request.signal);
  if (handler.settled) return handler.response;
  const { method, path, headers, body = null } = request;
  // undici calls the handler, not us, for all that goes wrong later; a wrong argument is told to the handler as well.
  pool.dispatch({ method, path, headers, body }, handler);
  return handler.response;
};
