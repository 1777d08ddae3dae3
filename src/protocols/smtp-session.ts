/** One login to an SMTP server: nodemailer speaks, over a socket of the dialler. */
import type { EventEmitter } from "node:events";
import { Readable } from "node:stream";
import type { NodemailerError } from "nodemailer";
import type SMTPConnection from "nodemailer/lib/smtp-connection";
import { abortable } from "../dial.ts";
import { abortError, connectError, DialError } from "../dial-error.ts";
import type { Dialler } from "../outbound.ts";
import { cleanText } from "../text.ts";

/** Where the server is, and what protects the way to it. */
export interface SmtpTarget {
  /** IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: "implicit" | "starttls" | "none";
  /** Authorities instead of the public ones, as PEM. */
  readonly ca?: string | undefined;
}

/** Who sends. */
export interface SmtpLogin {
  readonly user: string;
  readonly password: string;
}

/** A message on its way. */
export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly content: Buffer;
}

/** What the server was asked when it said no. */
export type SmtpStage = "greeting" | "login" | "size" | "sender" | "recipient" | "message";

/** The server says no. What the network does is a DialError. */
export class SmtpError extends Error {
  override readonly name = "SmtpError";
  readonly stage: SmtpStage;
  /** RFC 5321, 4.2; 0 where there was no reply, because the server lacks what is needed. */
  readonly replyCode: number;
  /** The server's words. */
  readonly reply: string;

  constructor(stage: SmtpStage, replyCode: number, reply: string) {
    super(`SMTP ${replyCode} (${stage})`);
    this.stage = stage;
    this.replyCode = replyCode;
    this.reply = reply;
  }
}

/** A message that was taken, perhaps not for everybody. */
export interface Accepted {
  readonly reply: string;
  readonly refusals: readonly SmtpError[];
}

const replyBytesMax = 65_536;
const replyShownMax = 2_000;
const quitMsMax = 500;

const stages: readonly (readonly [pattern: RegExp, stage: SmtpStage])[] = [
  [/^AUTH/, "login"],
  [/^MAIL/, "sender"],
  [/^RCPT/, "recipient"],
  [/^DATA/, "message"],
];

/** What stands behind the code, fit to be stored. */
const wordsOf = (reply: string): string => cleanText(reply.replace(/^\d{3}[ -]/, ""), replyShownMax);

const replyError = ({ command = "", response = "", responseCode = 0 }: NodemailerError): SmtpError => {
  const [, stage] = stages.find(([pattern]) => pattern.test(command)) ?? [];
  return new SmtpError(stage ?? "greeting", responseCode, wordsOf(response));
};

/** An error of the library's, by its cause. */
const failureOf = (error: NodemailerError, isUpgrading: boolean, signal: AbortSignal): Error => {
  if (signal.aborted) return abortError(signal);
  if (error instanceof DialError) return error;
  if (error.code === "ETLS") return new DialError("tls", "the server offers no TLS", { cause: error });
  if (error.responseCode !== undefined) return replyError(error);
  if (error.code === "EMESSAGE") return new SmtpError("size", 0, "");
  if (error.code === "ETIMEDOUT") return new DialError("timeout", "the server said nothing for too long");
  if (error.code === "EPROTOCOL") return new DialError("protocol", "the answer is not SMTP", { cause: error });
  const judged = connectError(Object.assign(new Error(error.message), { code: error.originalCode ?? "" }), isUpgrading);
  return judged.code === "tls" ? judged : new DialError("reset", "the connection was closed before the answer");
};

/** A connection that is logged in, and takes one message after another. */
export class SmtpSession {
  readonly openedAt = performance.now();
  /** Messages that it was given. */
  count = 0;
  readonly #smtp: SMTPConnection;

  private constructor(smtp: SMTPConnection) {
    this.#smtp = smtp;
    // What happens between two steps is seen when the next one begins.
    smtp.on("error", () => {});
  }

  /**
   * Connects, encrypts and logs in.
   *
   * @throws DialError, SmtpError
   */
  static async open(
    { host, port, tls, ca }: SmtpTarget,
    login: SmtpLogin | undefined,
    dialler: Dialler,
    signal: AbortSignal,
  ): Promise<SmtpSession> {
    const { default: Smtp } = await import("nodemailer/lib/smtp-connection");
    const implicit = tls === "implicit";
    const connection = await dialler.socket(host, port, { signal, tls: implicit && (ca === undefined || { ca }) });
    const smtp = new Smtp({
      connection,
      host: host.replace(/^\[|\]$/g, ""),
      port,
      secure: implicit,
      secured: implicit,
      requireTLS: tls === "starttls",
      ignoreTLS: tls === "none",
      // Said here so that no environment variable can say otherwise; as in the dialler.
      tls: { rejectUnauthorized: true, minVersion: "TLSv1.2", ...(ca !== undefined && { ca }) },
      // The name of this machine is nobody's business (RFC 5321, 4.1.3).
      name: "[127.0.0.1]",
      maxResponseSize: replyBytesMax,
      socketCloseTimeout: 0,
    });
    const session = new SmtpSession(smtp);
    await session.#step(signal, (done) => smtp.connect((error) => done(error ?? null)));
    if (login !== undefined) await session.#logIn(login, signal);
    return session;
  }

  /** The connection is over, by whomever. */
  get ended(): boolean {
    return this.#smtp.destroyed;
  }

  /**
   * Sends a message.
   *
   * @param onContent is called when the server begins to get the message itself: from then on it may have it
   * @throws DialError, SmtpError; the session has ended then
   */
  async send({ from, to, content }: Mail, signal: AbortSignal, onContent: () => void): Promise<Accepted> {
    this.count += 1;
    const whole = Readable.from(
      (function* () {
        onContent();
        yield content;
      })(),
    );
    const envelope = { from, to: [...to], size: content.length };
    const sent = await this.#step<SMTPConnectionSent>(signal, (done) => this.#smtp.send(envelope, whole, done));
    return { reply: wordsOf(sent.response), refusals: (sent.rejectedErrors ?? []).map(replyError) };
  }

  /** Takes leave, for half a second at most. */
  async close(): Promise<void> {
    if (this.ended) return;
    const ended = Promise.withResolvers<void>();
    this.#smtp.once("end", () => ended.resolve());
    const timer = setTimeout(() => this.#smtp.close(), quitMsMax);
    this.#smtp.quit();
    await ended.promise;
    clearTimeout(timer);
  }

  async #logIn({ user, password }: SmtpLogin, signal: AbortSignal): Promise<void> {
    const smtp = this.#smtp;
    if (!smtp.allowsAuth) {
      smtp.close();
      throw new SmtpError("login", 0, "");
    }
    await this.#step(signal, (done) => smtp.login({ user, pass: password }, done));
  }

  /** One thing that the library does; the signal's end, and every failure, end the connection. */
  async #step<T>(signal: AbortSignal, start: (done: Done<T>) => void): Promise<T> {
    const smtp = this.#smtp;
    const emitter: EventEmitter = smtp;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    // Why it ended is told a moment later.
    const onEnd = () =>
      setImmediate(() => reject(new DialError("reset", "the connection was closed before the answer")));
    emitter.once("error", reject).once("end", onEnd);
    try {
      if (smtp.destroyed) onEnd();
      else start((error, value) => (error ? reject(error) : resolve(value as T)));
      return await abortable(promise, signal);
    } catch (error) {
      const isUpgrading = smtp.upgrading === true;
      smtp.close();
      throw failureOf(error as NodemailerError, isUpgrading, signal);
    } finally {
      emitter.off("error", reject).off("end", onEnd);
    }
  }
}

type Done<T> = (error: NodemailerError | null, value?: T) => void;
interface SMTPConnectionSent {
  readonly response: string;
  readonly rejectedErrors?: NodemailerError[] | undefined;
}
