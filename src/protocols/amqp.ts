/**
 * Keeps one warm connection to an AMQP broker: opened by the first message that needs it, shared by all, replaced once it
 * broke, closed at the end.
 */
import { abortable } from "../dial.ts";
import { abortError, DialError } from "../dial-error.ts";
import type { Dialler, TlsOptions } from "../outbound.ts";
import { AmqpError, type AmqpLogin, loadAmqp } from "./amqp-connection.ts";
import { type AmqpMessage, AmqpPublisher, type Confirmation } from "./amqp-publisher.ts";

export { AmqpError, type AmqpLogin, goingAwayCodes } from "./amqp-connection.ts";
export type { AmqpMessage, Confirmation } from "./amqp-publisher.ts";

/** Where the broker is. */
export interface AmqpTarget {
  readonly host: string;
  readonly port: number;
  readonly tls: TlsOptions | false;
}

interface Opening {
  readonly publisher: Promise<AmqpPublisher>;
  readonly controller: AbortController;
  waiting: number;
}

/** For the connection and the login together. */
const openTimeoutMs = 15_000;
const accessRefused = 403;

const isLoginRefused = (error: unknown): boolean =>
  error instanceof AmqpError &&
  error.failure === "login" &&
  (error.replyCode === accessRefused || error.replyCode === 0);

/** The publisher of one destination. */
export class AmqpClient {
  readonly #dialler: Dialler;
  readonly #target: AmqpTarget;
  readonly #active = new Set<Promise<unknown>>();
  #publisher: AmqpPublisher | undefined;
  #opening: Opening | undefined;
  #closed = false;

  constructor(dialler: Dialler, target: AmqpTarget) {
    this.#dialler = dialler;
    this.#target = target;
  }

  /**
   * Publishes a message and waits for what the broker says of it.
   * @param logins tried one after another while the broker refuses them, for the time of a rotation
   * @throws AmqpError or DialError, at the latest when the signal aborts
   */
  async publish(message: AmqpMessage, logins: readonly AmqpLogin[], signal: AbortSignal): Promise<Confirmation> {
    if (this.#closed) throw new DialError("reset", "the connection was closed by this worker", { ours: true });
    const work = this.#connect(logins, signal).then((publisher) => publisher.publish(message, signal));
    this.#active.add(work);
    try {
      return await work;
    } finally {
      this.#active.delete(work);
    }
  }

  /** Waits until what is being published has ended, then closes the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#active);
    await this.#publisher?.close();
  }

  async #connect(logins: readonly AmqpLogin[], signal: AbortSignal): Promise<AmqpPublisher> {
    if (signal.aborted) throw abortError(signal);
    if (this.#publisher?.failed === false) return this.#publisher;
    this.#opening ??= this.#startOpening(logins);
    const opening = this.#opening;
    opening.waiting += 1;
    try {
      return await abortable(opening.publisher, signal);
    } finally {
      opening.waiting -= 1;
      if (opening.waiting === 0) this.#abandon(opening);
    }
  }

  /** Nobody is left whose deadline allows more time. */
  #abandon(opening: Opening): void {
    if (this.#opening === opening) this.#opening = undefined;
    opening.controller.abort();
  }

  #startOpening(logins: readonly AmqpLogin[]): Opening {
    const controller = new AbortController();
    const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(openTimeoutMs)]);
    const publisher = this.#open(logins, signal).then(async (opened) => {
      if (!controller.signal.aborted) this.#publisher = opened;
      else await opened.close();
      return opened;
    });
    const opening = { publisher, controller, waiting: 0 };
    const end = (): void => {
      if (this.#opening === opening) this.#opening = undefined;
    };
    publisher.then(end, end);
    return opening;
  }

  async #open(logins: readonly AmqpLogin[], signal: AbortSignal): Promise<AmqpPublisher> {
    const library = await loadAmqp();
    let refused: unknown;
    for (const login of logins) {
      const { host, port, tls } = this.#target;
      const socket = await this.#dialler.socket(host, port, { tls, signal });
      try {
        return await AmqpPublisher.open(library, socket, login, signal);
      } catch (error) {
        if (!isLoginRefused(error)) throw error;
        refused = error;
      }
    }
    throw refused ?? new AmqpError("login");
  }
}
