/** What can go wrong between us and an answer, told by cause, and whose fault it is. */
import { errors } from "undici";
import { codeOf } from "./errors.ts";

/** Why no answer came: words of `FailureCode`, so that a destination can put them into its outcome as they are. */
export type DialErrorCode = "blocked_address" | "dns" | "connect" | "tls" | "timeout" | "reset" | "protocol";

/**
 * What the network did to us. The message may be shown to a tenant: it holds no resolved address. `cause` may, and
 * belongs into the operator's log only.
 */
export class DialError extends Error {
  override readonly name = "DialError";
  readonly code: DialErrorCode;
  /** Our own fault (no DNS server answers, no file handles, no route at all, a shutdown): counts against nobody. */
  readonly ours: boolean;

  constructor(code: DialErrorCode, message: string, options: { ours?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.ours = options.ours ?? false;
  }
}

/** This machine has run out of something, or has no way out: nothing that the other side can mend. */
const oursPattern = /^(?:EMFILE|ENFILE|ENOBUFS|ENOMEM|EADDRNOTAVAIL|ENETUNREACH|ENETDOWN|EACCES|EPERM|EAFNOSUPPORT)$/;
const tlsPattern =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|CRL_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|PATH_LENGTH_|ERROR_IN_|OUT_OF_MEM$|EPROTO$)/;

/** An error of a socket that was being opened, as a {@link DialError}. */
export const connectError = (error: unknown, encrypting: boolean): DialError => {
  if (error instanceof DialError) return error;
  const word = codeOf(error) ?? "";
  const told = word === "" ? "" : `: ${word}`;
  if (oursPattern.test(word)) return new DialError("connect", `could not connect${told}`, { ours: true, cause: error });
  if (tlsPattern.test(word)) return new DialError("tls", `the TLS handshake failed${told}`, { cause: error });
  if (encrypting) return new DialError("tls", `the connection broke off in the TLS handshake${told}`, { cause: error });
  return new DialError("connect", `could not connect${told}`, { cause: error });
};

/** Why a signal stopped us: its deadline (`AbortSignal.timeout`), or else a decision of ours, such as a shutdown. */
export const abortError = (signal: AbortSignal): DialError => {
  const reason: unknown = signal.reason;
  const late = reason instanceof Error && reason.name === "TimeoutError";
  return late
    ? new DialError("timeout", "no complete answer before the deadline", { cause: reason })
    : new DialError("timeout", "stopped by this worker before the answer came", { ours: true, cause: reason });
};

/** What undici says of such answers besides its parser's error; `ERR_ASSERTION` is a status below 100. */
const unreadable = new Set(["UND_ERR_HEADERS_OVERFLOW", "UND_ERR_RES_CONTENT_LENGTH_MISMATCH", "ERR_ASSERTION"]);

/** An error of an HTTP exchange whose connection stood, as a {@link DialError}; a wrong argument of ours stays itself. */
export const exchangeError = (error: unknown): Error => {
  if (error instanceof DialError) return error;
  const word = codeOf(error) ?? "";
  if (word === "UND_ERR_INVALID_ARG" || word === "UND_ERR_NOT_SUPPORTED") return error as Error;
  if (word === "UND_ERR_DESTROYED" || word === "UND_ERR_CLOSED") {
    return new DialError("reset", "the connection pool was closed by this worker", { ours: true, cause: error });
  }
  if (error instanceof errors.HTTPParserError || unreadable.has(word)) {
    return new DialError("protocol", "the answer is not valid HTTP", { cause: error });
  }
  if (tlsPattern.test(word)) return new DialError("tls", `the TLS connection failed: ${word}`, { cause: error });
  return new DialError("reset", "the connection was closed before the answer", { cause: error });
};
