/**
 * Publishes messages on one confirm channel of an AMQP 0-9-1 connection, side by side, and hears what became of each. The
 * channel is opened at the first message, and again after the broker closed it.
 */
import type { Socket } from "node:net";
import type { ConfirmChannel } from "amqplib";
import { abortable } from "../dial.ts";
import { abortError, DialError } from "../dial-error.ts";
import {
  AmqpConnection,
  AmqpError,
  type AmqpLibrary,
  type AmqpLogin,
  isGoingAway,
  unintelligible,
} from "./amqp-connection.ts";

/** The properties of a message that we set (AMQP 0-9-1, 1.8.1, class basic); all messages are persistent. */
interface Properties {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly messageId: string;
  /** Seconds since 1970. */
  readonly timestamp: number;
  readonly type: string;
  readonly appId: string;
}

/** A message for an exchange. */
export interface AmqpMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly properties: Properties;
  readonly body: Buffer;
}

/** What the broker said of a message: taken; refused; or taken and thrown away, as no queue wants it. */
export type Confirmation = "acked" | "nacked" | "returned";

interface Published {
  readonly messageId: string;
  readonly confirmed: PromiseWithResolvers<Confirmation>;
  returned: boolean;
}

/** What a content header holds besides `headers` at most: four short strings of 256 octets, numbers, and the frame. */
const otherPropertiesBytesMax = 1_100;
/** amqplib encodes a table in a buffer of this size. */
const tableBytesMax = 65_536;

/** A table has a length, and fields of length and name, type, length and text (AMQP 0-9-1, 4.2.5.5). */
const tableBytesOf = (headers: Properties["headers"]): number =>
  Object.entries(headers)
    .map(([name, text]) => 6 + Buffer.byteLength(name) + Buffer.byteLength(text))
    .reduce((sum, bytes) => sum + bytes, 4);

/** What was sent may have been taken although the broker went away before it said so. */
const unconfirmed = ({ replyCode }: AmqpError): DialError =>
  new DialError("reset", `the broker closed the connection before it confirmed the message (AMQP ${replyCode})`);

/** A logged-in connection with its channel. */
export class AmqpPublisher {
  readonly #connection: AmqpConnection;
  readonly #inFlight = new Set<Published>();
  #channel: ConfirmChannel | undefined;
  #opening: Promise<void> | undefined;
  #unblocked: PromiseWithResolvers<void> | undefined;
  #drained: PromiseWithResolvers<void> | undefined;
  /** A message was given up whose confirmation may still come. */
  #hasAbandoned = false;

  private constructor(library: AmqpLibrary, socket: Socket) {
    this.#connection = new AmqpConnection(library, socket, {
      onBlocked: () => {
        this.#unblocked ??= Promise.withResolvers();
      },
      onUnblocked: () => this.#onUnblocked(),
      onEnd: (error) => this.#onEnd(error),
    });
  }

  /**
   * Logs in over a socket, which belongs to the publisher from now on.
   * @throws AmqpError or DialError; the socket is destroyed then
   */
  static async open(
    library: AmqpLibrary,
    socket: Socket,
    login: AmqpLogin,
    signal: AbortSignal,
  ): Promise<AmqpPublisher> {
    const publisher = new AmqpPublisher(library, socket);
    await publisher.#connection.logIn(login, signal);
    return publisher;
  }

  /** Whether it can no longer be used. */
  get failed(): boolean {
    return this.#connection.failure !== undefined;
  }

  /**
   * Publishes a persistent, mandatory message and waits for what the broker says of it. Messages are pipelined; while the
   * broker blocks publishers, or does not read, they wait here and are not encoded.
   * @throws AmqpError or DialError, at the latest when the signal aborts
   */
  async publish(message: AmqpMessage, signal: AbortSignal): Promise<Confirmation> {
    const reason = (): Error => this.#reasonOfAbort(signal);
    let channel = this.#ready();
    while (channel instanceof Promise) {
      await abortable(channel, signal, reason);
      channel = this.#ready();
    }
    if (signal.aborted) throw reason();
    this.#checkHeaders(message.properties);
    const published = this.#send(message, channel);
    return await abortable(published.confirmed.promise, signal, () => {
      this.#hasAbandoned ||= this.#inFlight.delete(published);
      // Blocked or not: it was sent, and the broker may take it later.
      return abortError(signal);
    });
  }

  /** Says goodbye and frees the socket, within half a second. */
  close(): Promise<void> {
    return this.#connection.close();
  }

  /** The channel, or what a message must wait for before it asks again. */
  #ready(): ConfirmChannel | Promise<void> {
    if (this.#connection.failure !== undefined) throw this.#connection.failure;
    if (this.#unblocked !== undefined) return this.#unblocked.promise;
    if (this.#drained !== undefined) return this.#drained.promise;
    if (this.#channel !== undefined) return this.#channel;
    this.#opening ??= this.#openChannel();
    return this.#opening;
  }

  async #openChannel(): Promise<void> {
    try {
      const channel = await this.#connection.createChannel();
      // First of all listeners: amqplib's own tells every message then that its channel was closed.
      channel.prependListener("close", () => this.#onChannelClosed());
      channel.on("error", (error) => this.#onChannelError(error));
      channel.on("return", ({ properties }) => this.#onReturned(properties.messageId));
      channel.on("drain", () => this.#onDrained());
      this.#connection.expected.tagMax = 0;
      this.#hasAbandoned = false;
      this.#channel = channel;
    } finally {
      this.#opening = undefined;
    }
  }

  #checkHeaders({ headers }: Properties): void {
    const fits = Math.min(this.#connection.frameBytesMax - otherPropertiesBytesMax, tableBytesMax);
    if (tableBytesOf(headers) > fits) throw new AmqpError("header_too_large");
  }

  #send({ exchange, routingKey, properties, body }: AmqpMessage, channel: ConfirmChannel): Published {
    const published = { ...properties, confirmed: Promise.withResolvers<Confirmation>(), returned: false };
    const options = { ...properties, mandatory: true, persistent: true };
    const onConfirmed = (error: unknown): void => this.#onConfirmed(published, error === null, channel);
    const { expected } = this.#connection;
    expected.tagMax += 1;
    expected.bodyBytesMax = Math.max(expected.bodyBytesMax, body.length);
    this.#inFlight.add(published);
    try {
      const hasRoom = channel.publish(exchange, routingKey, body, options, onConfirmed);
      if (!hasRoom) this.#drained = Promise.withResolvers();
    } catch (error) {
      // amqplib is closing the channel, as it could not make sense of a frame.
      this.#connection.fail(unintelligible(error));
    }
    return published;
  }

  #reasonOfAbort(signal: AbortSignal): Error {
    const error = abortError(signal);
    return this.#unblocked === undefined || error.ours ? error : new AmqpError("blocked");
  }

  /** A message that no queue wants comes back before it is acked, the oldest of those with one id first. */
  #onReturned(messageId: unknown): void {
    for (const published of this.#inFlight) {
      if (published.returned || published.messageId !== messageId) continue;
      published.returned = true;
      return;
    }
  }

  #onConfirmed(published: Published, isAcked: boolean, channel: ConfirmChannel): void {
    // What happened to the channel, or to the connection, is the better reason, and heard elsewhere.
    if (channel !== this.#channel) return;
    this.#inFlight.delete(published);
    const confirmation = isAcked ? "acked" : "nacked";
    published.confirmed.resolve(published.returned ? "returned" : confirmation);
  }

  #onChannelError(error: Error): void {
    const replyCode = "code" in error && typeof error.code === "number" ? error.code : 0;
    this.#rejectAll(new AmqpError("channel", replyCode, this.#inFlight.size === 1 && !this.#hasAbandoned));
  }

  #onChannelClosed(): void {
    this.#channel = undefined;
    this.#onDrained();
  }

  #rejectAll(error: Error): void {
    for (const { confirmed } of this.#inFlight) confirmed.reject(error);
    this.#inFlight.clear();
  }

  #onUnblocked(): void {
    this.#unblocked?.resolve();
    this.#unblocked = undefined;
  }

  #onDrained(): void {
    this.#drained?.resolve();
    this.#drained = undefined;
  }

  /** Who waits looks again, and finds the failure. */
  #onEnd(error: Error): void {
    this.#rejectAll(isGoingAway(error) ? unconfirmed(error) : error);
    this.#onUnblocked();
    this.#onDrained();
  }
}
