/**
 * Opens one guarded connection: find the addresses of the host, refuse unless all of them are allowed, connect to one of
 * exactly these, and look again at who answered before the first byte goes out.
 */
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import { type NetworkPolicy, unmapped } from "./addresses.ts";
import { abortError, connectError, DialError } from "./dial-error.ts";
import type { Resolve } from "./resolve.ts";
import { openedLoopback, readHost, remedy, type Target, vetAddress } from "./targets.ts";

/** What a destination may choose about TLS. Verification is not among it. */
export type TlsOptions = Pick<ConnectionOptions, "ca" | "cert" | "key" | "passphrase" | "ALPNProtocols">;

/** Where to dial, and how. */
export interface DialOptions {
  /** `true` for the defaults; absent or `false` for plain TCP. */
  readonly tls?: TlsOptions | boolean;
  /** For protocols that begin in plain text: asks the server to go on with TLS, and rejects when it will not. */
  readonly startTls?: (socket: Socket) => Promise<void>;
  /** Gives up when it aborts. */
  readonly signal?: AbortSignal;
  /** HTTP keeps off the ports of other protocols. */
  readonly http?: boolean;
}

/** What dialling needs to know of its surroundings. */
export interface DialContext {
  readonly policy: NetworkPolicy;
  readonly resolve: Resolve;
  /** For TCP and TLS together, shared by the addresses that are tried one after another. */
  readonly connectTimeoutMs: number;
}

/** How many of a name's addresses are tried; all of them are checked. */
const addressesTriedMax = 4;
const tcpOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };

const blocked = (reason: string): DialError => new DialError("blocked_address", reason);

const candidates = async (
  target: Target,
  port: number,
  { policy, resolve }: DialContext,
): Promise<readonly string[]> => {
  if (target.kind === "address") return [target.address];
  if (target.name !== "localhost") return resolve(target.name);
  const loopback = openedLoopback(port, policy);
  if (loopback.length === 0) throw blocked(`the host is this machine; ${remedy}`);
  return loopback;
};

/**
 * The addresses that may be dialled for a host; none of them is forbidden.
 *
 * @throws DialError `blocked_address` when any address is forbidden (a mixed answer is an attack), `dns` when there is none
 */
export const findAddresses = async (
  host: string,
  port: number,
  http: boolean,
  context: DialContext,
): Promise<readonly string[]> => {
  const target = readHost(host);
  if (target.kind === "forbidden") throw blocked(target.reason);
  const addresses = await candidates(target, port, context);
  for (const address of addresses) {
    const refused = vetAddress(address, port, http, context.policy);
    if (refused === undefined) continue;
    // Which address a name leads to is not the tenant's to learn.
    throw blocked(target.kind === "address" ? refused.reason : `the host resolves to a forbidden address; ${remedy}`);
  }
  return addresses;
};

/** Encrypts a connection that stands. The name, not the address, is sent as SNI and looked for in the certificate. */
const encrypt = (socket: Socket, host: string, options: TlsOptions | true): TLSSocket => {
  const target = readHost(host);
  const name = target.kind === "name" ? target.name : "";
  // Field by field, so that nothing else of what a caller was given gets through.
  const { ca, cert, key, passphrase, ALPNProtocols } = options === true ? ({} as TlsOptions) : options;
  return connectTls({
    ca,
    cert,
    key,
    passphrase,
    ALPNProtocols,
    socket,
    host: target.kind === "address" ? target.address : name,
    // RFC 6066, 3: an address is no server name.
    servername: name,
    // Said here so that no environment variable can say otherwise.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
  });
};

/** One attempt at one address. */
interface Attempt extends DialOptions {
  readonly host: string;
  readonly port: number;
  readonly address: string;
  readonly timeoutMs: number;
}

/** Resolves with a socket that has an `error` listener already, so that none can go unheard. */
const connectOnce = (attempt: Attempt, policy: NetworkPolicy): Promise<Socket> => {
  const { host, port, address, timeoutMs, signal, tls = false, startTls, http = false } = attempt;
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const socket = connectTcp({ ...tcpOptions, host: address, port });
  let encrypted: TLSSocket | undefined;
  const fail = (error: unknown): void => {
    settle();
    encrypted?.destroy();
    socket.destroy();
    reject(connectError(error, encrypted !== undefined));
  };
  const onAbort = (): void => fail(signal && abortError(signal));
  const timer = setTimeout(() => fail(new DialError("timeout", `no connection within ${timeoutMs} ms`)), timeoutMs);
  const settle = (): void => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  };
  const done = (connected: Socket): void => {
    settle();
    resolve(connected);
  };
  const secure = (): void => {
    if (tls === false || socket.destroyed) return;
    try {
      encrypted = encrypt(socket, host, tls);
      encrypted.on("error", fail).once("secureConnect", () => encrypted !== undefined && done(encrypted));
    } catch (cause) {
      fail(new DialError("tls", "the certificates or the key of the config cannot be used", { cause }));
    }
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  socket.on("error", fail).once("connect", () => {
    // Without an address the other side is gone already.
    if (socket.remoteAddress === undefined) return fail(new Error("closed at once"));
    const refused = vetAddress(unmapped(socket.remoteAddress), port, http, policy);
    if (refused !== undefined) return fail(blocked(`the host resolves to a forbidden address; ${remedy}`));
    if (tls === false) return done(socket);
    return startTls === undefined ? secure() : void startTls(socket).then(secure, fail);
  });
  return promise;
};

/**
 * Rejects as soon as the signal aborts, whatever `work` still waits for.
 * @param reason makes what it rejects with then
 */
export const abortable = <T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  reason: (aborted: AbortSignal) => Error = abortError,
): Promise<T> => {
  if (signal === undefined) return work;
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(reason(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return Promise.race([work, promise]).finally(() => signal.removeEventListener("abort", onAbort));
};

/** Whether another address of the same name could fare better. */
const isWorthAnotherAddress = (error: DialError, signal: AbortSignal | undefined): boolean =>
  error.code !== "blocked_address" && error.code !== "tls" && signal?.aborted !== true;

/**
 * Opens a connection to a host, the addresses of a name one after another.
 *
 * @throws DialError
 */
export const dial = async (
  host: string,
  port: number,
  options: DialOptions,
  context: DialContext,
): Promise<Socket | TLSSocket> => {
  const found = await abortable(findAddresses(host, port, options.http ?? false, context), options.signal);
  const addresses = found.slice(0, addressesTriedMax);
  const timeoutMs = Math.ceil(context.connectTimeoutMs / addresses.length);
  const errors: DialError[] = [];
  for (const address of addresses) {
    try {
      return await connectOnce({ ...options, host, port, address, timeoutMs }, context.policy);
    } catch (error) {
      if (!(error instanceof DialError) || !isWorthAnotherAddress(error, options.signal)) throw error;
      errors.push(error);
    }
  }
  // A fault of ours is one only if no address failed for a reason of its own.
  throw errors.find((error) => !error.ours) ?? errors[0] ?? new DialError("dns", "the host has no addresses");
};
