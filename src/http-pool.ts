/**
 * Keep-alive connections to one origin, the last used first. undici's own pool looks at every connection for every
 * request: with 128 of them that costs as much as the request itself. Here an idle one lies on top of a stack.
 */
import { Client, type Dispatcher, errors } from "undici";

/** How the connections of a pool are made. */
export interface HttpPoolOptions {
  readonly client: Client.Options;
  /** How many connections there may be at once; further requests wait. */
  readonly connections: number;
  /** Connections are replaced after that, so that a receiver that moves is followed to its new address. */
  readonly ageMsMax: number;
}

interface Connection {
  readonly client: Client;
  readonly openedAt: number;
  sentAt: number;
}

/** So many are opened at once, and more for a receiver that takes its time: with a fast one they would only cost. */
const connectionsAtOnce = 32;
/** A receiver is slow when its answers take so long in the mean, or when none comes for so long while requests wait. */
const slowMs = 10;
const silentMs = 100;
/** The weight of the latest answer in the mean of their times. */
const latestShare = 1 / 32;

interface Waiting {
  readonly options: Dispatcher.DispatchOptions;
  readonly handler: ExchangeHandler;
}

/** What a request is told of its answer; all of it, so that the pool learns of the end. */
export type ExchangeHandler = Required<
  Pick<Dispatcher.DispatchHandler, "onRequestStart" | "onResponseStart" | "onResponseData">
> & {
  readonly onResponseEnd: () => void;
  readonly onResponseError: (controller: Dispatcher.DispatchController | undefined, error: Error) => void;
};

/** Tells the pool when its connection is free again; everything else goes to the one who asked. */
class Returning implements Dispatcher.DispatchHandler {
  readonly #handler: ExchangeHandler;
  readonly #release: () => void;

  constructor(handler: ExchangeHandler, release: () => void) {
    this.#handler = handler;
    this.#release = release;
  }

  onRequestStart(...args: Parameters<ExchangeHandler["onRequestStart"]>): void {
    this.#handler.onRequestStart(...args);
  }

  onResponseStart(...args: Parameters<ExchangeHandler["onResponseStart"]>): void {
    this.#handler.onResponseStart(...args);
  }

  onResponseData(...args: Parameters<ExchangeHandler["onResponseData"]>): void {
    this.#handler.onResponseData(...args);
  }

  onResponseEnd(): void {
    this.#handler.onResponseEnd();
    this.#release();
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#handler.onResponseError(controller, error);
    // undici is not ready for the next request before it has told all of a connection that broke.
    queueMicrotask(this.#release);
  }
}

/** A pool for {@link exchange}: it dispatches, waits for a free connection, and closes. */
export class HttpPool {
  readonly #origin: string;
  readonly #options: HttpPoolOptions;
  readonly #all = new Set<Client>();
  readonly #idle: Connection[] = [];
  readonly #waiting: Waiting[] = [];
  #busy = 0;
  #meanAnswerMs = 0;
  #lastAnswerAt = 0;
  #watch: NodeJS.Timeout | undefined;
  #closed = false;
  #drained: PromiseWithResolvers<void> | undefined;

  constructor(origin: string, options: HttpPoolOptions) {
    this.#origin = origin;
    this.#options = options;
  }

  /** Sends a request as soon as a connection is free. */
  dispatch(options: Dispatcher.DispatchOptions, handler: ExchangeHandler): void {
    if (this.#closed) {
      handler.onResponseError(undefined, new errors.ClientClosedError());
      return;
    }
    const connection = this.#idle.pop() ?? this.#open();
    if (connection === undefined) {
      this.#waiting.push({ options, handler });
      this.#watch ??= setTimeout(this.#look, silentMs);
    } else this.#send(connection, { options, handler });
  }

  /** Waits until what was dispatched has ended, then closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#busy > 0) {
      this.#drained ??= Promise.withResolvers();
      await this.#drained.promise;
    }
    const open = [...this.#all];
    this.#all.clear();
    await Promise.all(open.map((client) => client.close()));
  }

  /** Breaks everything off. */
  async destroy(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((client) => client.destroy()));
  }

  #open(): Connection | undefined {
    const { connections } = this.#options;
    const max = this.#meanAnswerMs < slowMs ? Math.min(connectionsAtOnce, connections) : connections;
    if (this.#all.size >= max) return undefined;
    const client = new Client(this.#origin, this.#options.client);
    this.#all.add(client);
    return { client, openedAt: performance.now(), sentAt: 0 };
  }

  #send(connection: Connection, { options, handler }: Waiting): void {
    this.#busy += 1;
    connection.sentAt = performance.now();
    connection.client.dispatch(options, new Returning(handler, () => this.#release(connection)));
  }

  #release(connection: Connection): void {
    this.#busy -= 1;
    const now = performance.now();
    this.#lastAnswerAt = now;
    this.#meanAnswerMs += (now - connection.sentAt - this.#meanAnswerMs) * latestShare;
    if (now - connection.openedAt < this.#options.ageMsMax) this.#idle.push(connection);
    else this.#retire(connection);
    this.#sendWaiting();
    if (this.#busy === 0) this.#drained?.resolve();
  }

  #sendWaiting(): void {
    while (this.#waiting.length > 0) {
      const connection = this.#idle.pop() ?? this.#open();
      if (connection === undefined) return;
      this.#send(connection, this.#waiting.shift() as Waiting);
    }
  }

  readonly #look = (): void => {
    this.#watch = undefined;
    if (performance.now() - this.#lastAnswerAt >= silentMs) {
      this.#meanAnswerMs = Math.max(this.#meanAnswerMs, slowMs);
      this.#sendWaiting();
    }
    if (this.#waiting.length > 0 && this.#meanAnswerMs < slowMs) this.#watch = setTimeout(this.#look, silentMs);
  };

  #retire({ client }: Connection): void {
    this.#all.delete(client);
    client.close().catch(() => {});
  }
}
