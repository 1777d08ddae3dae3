/** Publishes with the SDK over one connection, made anew when it is gone, by nobody but the engine a second time. */
import type { google } from "@google-cloud/pubsub/build/protos/protos.js";
import type { ServiceError } from "@grpc/grpc-js";
import { abortable } from "../dial.ts";
import { abortError } from "../dial-error.ts";
import { DialError, type Dialler } from "../outbound.ts";
import { cleanText } from "../text.ts";
import { closeLine, connectLine, createLine, isReady, type Line, targetsOf } from "./pubsub-line.ts";

/** The status codes of gRPC (statuscodes.md of its documentation). */
export const grpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  aborted: 10,
  outOfRange: 11,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
} as const;

/** One call. */
export interface PublishCall {
  readonly request: google.pubsub.v1.IPublishRequest;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** What came back. */
export interface PublishAnswer {
  /** A status code of gRPC. */
  readonly status: number;
  /** What the server says about the status, cut and cleaned. */
  readonly reason: string;
  /** Of the messages, in their order; empty unless the status is 0. */
  readonly ids: readonly string[];
}

/** For TCP, TLS and HTTP/2 together. */
const connectTimeoutMs = 5_000;
/** The signal of each call ends it; the SDK wants a limit too. */
const callTimeoutMs = 3_600_000;
const reasonCharactersMax = 2_000;
const isServiceError = (error: unknown): error is ServiceError =>
  error instanceof Error && "code" in error && typeof error.code === "number";

/** Statuses that gRPC makes up when a stream ends without one. What a server sends has headers at least. */
const isBrokenOff = ({ code, metadata }: ServiceError, line: Line): boolean =>
  (metadata === undefined || Object.keys(metadata.getMap()).length === 0) &&
  (code === grpcStatus.internal || !isReady(line));

const publishOn = async (line: Line, { request, headers, signal }: PublishCall): Promise<PublishAnswer> => {
  try {
    const options = { retry: null, timeout: callTimeoutMs, signal, otherArgs: { headers: { ...headers } } };
    const [{ messageIds }] = await abortable(line.client.publish(request, options), signal);
    return { status: grpcStatus.ok, reason: "", ids: messageIds ?? [] };
  } catch (error) {
    if (!isServiceError(error)) throw error;
    // Its message may hold an address.
    if (isBrokenOff(error, line)) throw new DialError("reset", "the connection was closed before the answer");
    return { status: error.code, reason: cleanText(error.details ?? "", reasonCharactersMax), ids: [] };
  }
};

/** Calls to one endpoint over one connection, made when it is needed and replaced when it no longer answers. */
export class PubsubPublisher {
  readonly #dialler: Dialler;
  readonly #endpoint: URL;
  readonly #closing = new AbortController();
  #line: Promise<Line> | undefined;

  /** @param endpoint `https:`, or `http:` for plain text where the operator allows it */
  constructor(dialler: Dialler, endpoint: URL) {
    this.#dialler = dialler;
    this.#endpoint = endpoint;
  }

  /**
   * Publishes messages to a topic.
   *
   * @throws DialError when no status came before the signal's end
   */
  async publish({ request, headers, signal }: PublishCall): Promise<PublishAnswer> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    if (until.aborted) throw abortError(until);
    const line = await this.#take(until);
    line.calls += 1;
    try {
      return await publishOn(line, { request, headers, signal: until });
    } finally {
      line.calls -= 1;
      // The next call finds out on a new connection whether it was the server or the way to it.
      if (until.aborted || !isReady(line)) this.#retire(line);
      else if (line.retired && line.calls === 0) closeLine(line);
    }
  }

  /** Breaks off what is in flight and frees the sockets. */
  close(): void {
    this.#closing.abort();
    this.#line?.then(
      (line) => this.#retire(line),
      () => {},
    );
  }

  async #take(signal: AbortSignal): Promise<Line> {
    this.#line ??= this.#open();
    const line = await abortable(this.#line, signal);
    if (isReady(line)) return line;
    // Left to itself the SDK would dial the same address again, which may not be the host's any more.
    this.#retire(line);
    this.#line ??= this.#open();
    return abortable(this.#line, signal);
  }

  #open(): Promise<Line> {
    const opening = this.#dial();
    opening.catch(() => {
      this.#line = undefined;
    });
    return opening;
  }

  /** @throws DialError */
  async #dial(): Promise<Line> {
    const { protocol, hostname, port: named } = this.#endpoint;
    const port = Number(named || (protocol === "https:" ? 443 : 80));
    const verdict = this.#dialler.checkSyntax(this.#endpoint);
    if (verdict.kind === "forbidden") throw new DialError("blocked_address", verdict.reason);
    const closing = this.#closing.signal;
    const addresses = await this.#dialler.addresses(hostname, port, { signal: closing });
    const signal = AbortSignal.any([closing, AbortSignal.timeout(connectTimeoutMs)]);
    for (const target of targetsOf(addresses, port)) {
      const line = await createLine(this.#endpoint, target, port);
      if (await connectLine(line, signal)) return line;
    }
    return this.#explain(port, closing);
  }

  /** The SDK tells only in prose why it could not connect. The dialler meets the same and has words for it. */
  async #explain(port: number, signal: AbortSignal): Promise<never> {
    const tls = this.#endpoint.protocol === "https:" && { ALPNProtocols: ["h2"] };
    const socket = await this.#dialler.socket(this.#endpoint.hostname, port, { tls, signal });
    socket.destroy();
    throw new DialError("protocol", "the server accepts connections and does not speak HTTP/2");
  }

  #retire(line: Line): void {
    if (!line.retired) this.#line = undefined;
    line.retired = true;
    if (line.calls === 0) closeLine(line);
  }
}
