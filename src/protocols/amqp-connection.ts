/**
 * amqplib's connection to an AMQP 0-9-1 broker, over a socket of the dialler.
 *
 * amqplib's `connect` opens sockets by itself and lets nobody listen before it is done: a broker that greets and hangs up
 * in one breath throws an uncaught exception there. Hence its `Connection` is taken from inside the package, where it
 * takes any stream; the package must therefore be pinned to one version.
 */
import type { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ChannelModel, ConfirmChannel } from "amqplib";
import { abortError, DialError, exchangeError } from "../dial-error.ts";

/** Who logs in, and where. */
export interface AmqpLogin {
  readonly virtualHost: string;
  readonly username: string;
  readonly password: string;
}

/** Where an AMQP failure came from. */
export type AmqpFailure = "login" | "connection" | "channel" | "blocked" | "header_too_large";

/** The broker, or the protocol, says no. What the network does is a DialError. */
export class AmqpError extends Error {
  override readonly name = "AmqpError";
  readonly failure: AmqpFailure;
  /** The reply code (AMQP 0-9-1, 1.2), 0 where the broker gave none. */
  readonly replyCode: number;
  /** Nothing else was under way on the channel, so that this message is the reason. */
  readonly alone: boolean;

  constructor(failure: AmqpFailure, replyCode = 0, alone = false) {
    super(`AMQP ${failure} ${replyCode}`);
    this.failure = failure;
    this.replyCode = replyCode;
    this.alone = alone;
  }
}

/** The broker shuts down, or has run out of something: 320 connection forced, 506 resource error, 541 internal error. */
export const goingAwayCodes: readonly number[] = [320, 506, 541];

/** Whether the broker closed the connection for reasons of its own. */
export const isGoingAway = (error: unknown): error is AmqpError =>
  error instanceof AmqpError && error.failure === "connection" && goingAwayCodes.includes(error.replyCode);

/** Hears what the broker says unasked. */
export interface AmqpListener {
  readonly onBlocked: () => void;
  readonly onUnblocked: () => void;
  /** The connection is over. */
  readonly onEnd: (error: Error) => void;
}

/** A frame as amqplib decodes it; the rest of a body has no id. */
interface Frame {
  readonly id?: number;
  /** Bytes of the body that follows a content header. */
  readonly size?: number;
  readonly fields?: { readonly mechanisms?: Buffer; readonly replyCode?: number; readonly deliveryTag?: number };
}

/** What we use of amqplib's `lib/connection.js`. */
interface LibraryConnection extends EventEmitter {
  /** Octets that a frame may have, all of it; negotiated. */
  readonly frameMax: number;
  readonly heartbeater: EventEmitter | null;
  recvFrame(): Frame | false;
  open(fields: object, callback: (error: Error | null) => void): void;
}

/** The parts of amqplib. */
export interface AmqpLibrary {
  readonly Connection: new (stream: Duplex) => LibraryConnection;
  readonly ChannelModel: new (connection: LibraryConnection) => ChannelModel;
}

/** Loads amqplib, which only those who use it pay for. */
export const loadAmqp = async (): Promise<AmqpLibrary> => {
  const part = (path: string) => import(new URL(path, import.meta.resolve("amqplib")).href);
  const [{ Connection }, { ChannelModel }] = await Promise.all([
    part("lib/connection.js"),
    part("lib/channel_model.js"),
  ]);
  return { Connection, ChannelModel };
};

/** Numbers of methods, `class * 65536 + method`, and of the content header of class basic. */
const ids = { start: 0x0a000a, tune: 0x0a001e, close: 0x0a0032, ack: 0x3c0050, nack: 0x3c0078, header: 60 } as const;

const frameBytesMax = 131_072;
/** Both sides send one in this time, and give up after two of silence. */
const heartbeatSeconds = 10;
const closeTimeoutMs = 500;
/** Frames that each of amqplib's two buffers keeps until the socket takes them: 8 MiB, and a last message, at most. */
const framesUnsentMax = 32;

const openFields = ({ virtualHost, username, password }: AmqpLogin): object => ({
  clientProperties: {
    product: "Postrider",
    capabilities: {
      publisher_confirms: true,
      "basic.nack": true,
      "connection.blocked": true,
      // Without it a broker says nothing when it refuses a login.
      authentication_failure_close: true,
    },
  },
  mechanism: "PLAIN",
  response: Buffer.from(`\0${username}\0${password}`),
  locale: "en_US",
  channelMax: 1,
  frameMax: frameBytesMax,
  maxFrameSize: frameBytesMax,
  heartbeat: heartbeatSeconds,
  virtualHost,
  capabilities: "",
  insist: 0,
});

const cut = (): DialError => new DialError("reset", "the broker closed the connection before it confirmed");
/** What came is not AMQP 0-9-1. */
export const unintelligible = (cause: unknown): DialError =>
  new DialError("protocol", "the broker does not speak AMQP 0-9-1", { cause });

/** A connection. It never recovers: once there is a `failure`, the next message needs another. */
export class AmqpConnection {
  /** What the broker may refer to. amqplib would believe any number, and spend time and memory on it. */
  readonly expected = { tagMax: 0, bodyBytesMax: 0 };
  readonly #socket: Socket;
  readonly #connection: LibraryConnection;
  readonly #model: ChannelModel;
  readonly #listener: AmqpListener;
  readonly #ended = Promise.withResolvers<void>();
  #phase: "greeting" | "password sent" | "tuned" | "open" = "greeting";
  /** Why the socket ended, if not by us. */
  #lost: Error | undefined;
  #failure: Error | undefined;

  /** The socket belongs to the connection from now on. */
  constructor({ Connection, ChannelModel }: AmqpLibrary, socket: Socket, listener: AmqpListener) {
    this.#socket = socket;
    this.#listener = listener;
    // TLS 1.3: that the broker refuses our certificate shows only after the handshake.
    socket.on("error", (error) => this.#lose(exchangeError(error))).on("end", () => this.#lose(cut()));
    socket.on("close", () => this.fail(this.#reasonOf(undefined)));
    this.#connection = new Connection(socket);
    this.#model = new ChannelModel(this.#connection);
    const end = (error?: Error): void => this.fail(this.#reasonOf(error));
    this.#model.on("error", end).on("close", end);
    this.#model.on("blocked", listener.onBlocked).on("unblocked", listener.onUnblocked);
    const receive = this.#connection.recvFrame.bind(this.#connection);
    this.#connection.recvFrame = () => this.#receive(receive);
  }

  /** @throws AmqpError or DialError; the socket is destroyed then */
  async logIn(login: AmqpLogin, signal: AbortSignal): Promise<void> {
    const onAbort = (): void => this.fail(abortError(signal));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      await this.#open(login);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Why it can no longer be used, if so. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Octets that a frame may have, all of it. */
  get frameBytesMax(): number {
    return this.#connection.frameMax;
  }

  /** @throws AmqpError or DialError */
  async createChannel(): Promise<ConfirmChannel> {
    try {
      return await this.#model.createConfirmChannel({ highWaterMark: framesUnsentMax });
    } catch (error) {
      throw this.#failure ?? this.#reasonOf(error);
    }
  }

  /** Says goodbye, and frees the socket after half a second whatever the broker does. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    const timer = setTimeout(() => this.fail(cut()), closeTimeoutMs);
    this.#model.close().catch(() => {});
    await this.#ended.promise;
    clearTimeout(timer);
  }

  /** Ends the connection at once. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    // amqplib hears of the end from the error, and stops its heartbeat.
    this.#socket.destroy(error);
    this.#listener.onEnd(error);
    this.#ended.resolve();
  }

  async #open(login: AmqpLogin): Promise<void> {
    const opened = Promise.withResolvers<void>();
    this.#connection.open(openFields(login), (error) => {
      if (error !== null) this.fail(this.#reasonOf(error));
      opened.resolve();
    });
    await Promise.race([opened.promise, this.#ended.promise]);
    if (this.#failure !== undefined) throw this.#failure;
    this.#phase = "open";
    this.#connection.heartbeater?.prependListener("timeout", () =>
      this.fail(new DialError("timeout", "the broker has fallen silent")),
    );
  }

  /** What amqplib's errors mean: broker's words carry a reply code, those of the network came with the socket's end. */
  #reasonOf(error: unknown): Error {
    if (error instanceof AmqpError || error instanceof DialError) return error;
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (typeof code === "number") return new AmqpError("connection", code);
    if (this.#lost === undefined) return error === undefined ? cut() : unintelligible(error);
    // A broker may hang up instead of saying that it refuses a login (AMQP 0-9-1, 2.2.4).
    return this.#phase === "password sent" ? new AmqpError("login") : this.#lost;
  }

  #lose(error: Error): void {
    this.#lost ??= error;
  }

  /** amqplib calls itself for what it has just read, so that a frame, or its error, may come by twice. */
  #receive(receive: () => Frame | false): Frame | false {
    try {
      const frame = receive();
      if (frame !== false) this.#inspect(frame);
      return frame;
    } catch (error) {
      throw error instanceof AmqpError || error instanceof DialError ? error : unintelligible(error);
    }
  }

  /** Looks at a frame before amqplib acts on it; what it throws ends the connection. */
  #inspect({ id, size = 0, fields = {} }: Frame): void {
    if (id === ids.start) {
      if (fields.mechanisms?.toString().split(" ").includes("PLAIN") !== true) throw new AmqpError("login");
      this.#phase = "password sent";
    } else if (id === ids.tune) this.#phase = "tuned";
    else if (id === ids.close && this.#phase !== "open") throw new AmqpError("login", fields.replyCode);
    else if (id === ids.header && size > this.expected.bodyBytesMax)
      throw unintelligible("a body larger than any sent");
    else if (id === ids.ack || id === ids.nack) {
      const { deliveryTag = 0 } = fields;
      if (deliveryTag < 1 || deliveryTag > this.expected.tagMax) throw unintelligible("a tag that was never sent");
    }
  }
}
