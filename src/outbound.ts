/**
 * The one way out: every socket that a tenant's words can aim is opened by a dialler. It reads no proxy from the
 * environment, follows no redirect, and reaches public addresses only, unless the operator opened a network.
 */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { buildConnector } from "undici";
import type { NetworkPolicy } from "./addresses.ts";
import { abortable, type DialContext, type DialOptions, dial, findAddresses, type TlsOptions } from "./dial.ts";
import { DialError } from "./dial-error.ts";
import { exchange, type HttpRequest, type HttpResponse } from "./exchange.ts";
import { HttpPool } from "./http-pool.ts";
import { createResolve } from "./resolve.ts";
import { checkUrl, type Forbidden, isHttp, portOf, webProtocols } from "./targets.ts";

export type { TlsOptions } from "./dial.ts";
export { DialError, type DialErrorCode } from "./dial-error.ts";
export type { HttpRequest, HttpResponse } from "./exchange.ts";
export type { HttpPool } from "./http-pool.ts";
export type { Forbidden } from "./targets.ts";

/** What a check without DNS can tell. */
export type SyntaxVerdict = { readonly kind: "allowed" } | Forbidden;

/** A name that has no address now may have one later, so that is told apart from a forbidden one. */
export type Verdict =
  | SyntaxVerdict
  | {
      readonly kind: "unresolved";
      readonly reason: string;
      readonly ours: boolean;
    };

/** What a dialler is built with. */
export interface DiallerOptions extends NetworkPolicy {
  /** `address` or `address:port`; default those of `/etc/resolv.conf`. */
  readonly dnsServers?: readonly string[];
  /** For TCP and TLS together, without DNS; default 5000 ms. */
  readonly connectTimeoutMs?: number;
}

/** What a pool of HTTP connections is built with. */
export interface PoolOptions {
  /** How many connections there may be at once. */
  readonly connections: number;
  /** A destination's own authorities or client certificate. */
  readonly tls?: TlsOptions;
}

/** The guarded way to the network. Destination types get one and open nothing by other means. */
export interface Dialler {
  /**
   * The rules for a URL that need no network.
   *
   * @param protocols which it may have, with their colon; default `https:`, and `http:` where the operator allows it
   */
  readonly checkSyntax: (url: URL, protocols?: readonly string[]) => SyntaxVerdict;
  /** As `checkSyntax`, and the name is resolved: for the moment at which a destination is created. */
  readonly check: (url: URL, protocols?: readonly string[]) => Promise<Verdict>;
  /**
   * A connection for any protocol, TLS if asked for, with an `error` listener already on it. The caller owns it.
   *
   * @throws DialError
   */
  readonly socket: (host: string, port: number, options?: Omit<DialOptions, "http">) => Promise<Socket | TLSSocket>;
  /**
   * The addresses of a host that may be dialled, for SDKs that can only dial by themselves: told one of exactly these, an
   * SDK finds no other.
   *
   * @throws DialError
   */
  readonly addresses: (host: string, port: number, options?: Pick<DialOptions, "signal">) => Promise<readonly string[]>;
  /** What undici opens its connections with, for HTTP clients other than `pool`. */
  readonly connector: (tls?: TlsOptions) => buildConnector.connector;
  /** Keep-alive connections to one origin. Each destination has its own: sharing would hand a warm socket to others. */
  readonly pool: (origin: URL, options: PoolOptions) => HttpPool;
  /**
   * Sends a request and reads its answer within the limits.
   *
   * @throws DialError when no answer's headers came before the signal's end
   */
  readonly request: (pool: HttpPool, request: HttpRequest) => Promise<HttpResponse>;
}

const connectTimeoutMsDefault = 5_000;
/** Shorter than the 5 s after which Node's servers hang up, so that we rarely write into a closing connection. */
const keepAliveTimeoutMs = 4_000;
/** Servers may ask for longer. */
const keepAliveTimeoutMsMax = 60_000;
const connectionAgeMsMax = 300_000;

const allowed = Object.freeze({ kind: "allowed" });

const createConnector =
  (context: DialContext, tls: TlsOptions | undefined): buildConnector.connector =>
  ({ hostname, protocol, port }, callback) => {
    const secure = protocol === "https:";
    const options = {
      http: true,
      tls: secure && { ...tls, ALPNProtocols: ["http/1.1"] },
    };
    const work = webProtocols(context.policy).includes(protocol)
      ? dial(hostname, Number(port || (secure ? 443 : 80)), options, context)
      : Promise.reject(new DialError("blocked_address", "the URL must start with https://"));
    work.then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error, null),
    );
  };

const createPool = (origin: URL, options: PoolOptions, context: DialContext): HttpPool =>
  new HttpPool(origin.origin, {
    connections: options.connections,
    ageMsMax: connectionAgeMsMax,
    client: {
      connect: createConnector(context, options.tls),
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: keepAliveTimeoutMs,
      keepAliveMaxTimeout: keepAliveTimeoutMsMax,
      // The signal of each exchange ends it; these would only add timers.
      headersTimeout: 0,
      bodyTimeout: 0,
    },
  });

const check = async (url: URL, context: DialContext, protocols?: readonly string[]): Promise<Verdict> => {
  const target = checkUrl(url, context.policy, protocols);
  if (target.kind === "forbidden") return target;
  try {
    await findAddresses(url.hostname, portOf(url), isHttp(url.protocol), context);
    return allowed;
  } catch (error) {
    if (!(error instanceof DialError)) throw error;
    if (error.code === "blocked_address") return { kind: "forbidden", reason: error.message };
    return { kind: "unresolved", reason: error.message, ours: error.ours };
  }
};

/**
 * Creates the dialler of this process.
 *
 * @param options the operator's policy; a tenant has no say in it
 */
export const createDialler = (options: DiallerOptions): Dialler => {
  const context: DialContext = {
    policy: { allowHttp: options.allowHttp, allowedNetworks: options.allowedNetworks },
    resolve: createResolve(options.dnsServers),
    connectTimeoutMs: options.connectTimeoutMs ?? connectTimeoutMsDefault,
  };
  return Object.freeze<Dialler>({
    checkSyntax: (url, protocols) => {
      const target = checkUrl(url, context.policy, protocols);
      return target.kind === "forbidden" ? target : allowed;
    },
    check: (url, protocols) => check(url, context, protocols),
    socket: (host, port, socketOptions = {}) => dial(host, port, { ...socketOptions, http: false }, context),
    addresses: (host, port, { signal } = {}) => abortable(findAddresses(host, port, false, context), signal),
    connector: (tls) => createConnector(context, tls),
    pool: (origin, poolOptions) => createPool(origin, poolOptions, context),
    request: exchange,
  });
};
