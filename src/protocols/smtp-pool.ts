/** Sessions with one SMTP server: a few at most, kept for the next message, each replaced after a while. */
import pLimit from "p-limit";
import { abortable } from "../dial.ts";
import { abortError, DialError } from "../dial-error.ts";
import type { Dialler } from "../outbound.ts";
import { type Accepted, type Mail, SmtpError, type SmtpLogin, SmtpSession, type SmtpTarget } from "./smtp-session.ts";

export type { Mail, SmtpLogin, SmtpTarget } from "./smtp-session.ts";
export { SmtpError } from "./smtp-session.ts";

/** The sessions of one destination. */
export interface SmtpPool {
  /**
   * Sends a message over a session that is free.
   *
   * @param logins tried in turn while the server refuses them; without any, nobody logs in
   * @throws DialError, SmtpError
   */
  readonly send: (mail: Mail, logins: readonly SmtpLogin[], signal: AbortSignal) => Promise<Accepted>;
  /** Lets what is being sent end, and takes leave of the server. */
  readonly close: () => Promise<void>;
}

/** Mail servers count the connections of a client, and the messages of a connection. */
const sessionsMax = 8;
const messagesMax = 100;
/** After that a name may lead somewhere else. */
const sessionAgeMsMax = 300_000;

const isRefusedLogin = (error: unknown): boolean =>
  error instanceof SmtpError && error.stage === "login" && error.replyCode >= 500;

/** The server had ended the session, or ends it now, whatever it was asked. */
const isSessionOver = (error: unknown): boolean =>
  (error instanceof DialError && error.code === "reset") || (error instanceof SmtpError && error.replyCode === 421);

/** Creates the sessions with a server; none is opened before the first message. */
export const createSmtpPool = (target: SmtpTarget, dialler: Dialler): SmtpPool => {
  const limit = pLimit(sessionsMax);
  const idle: SmtpSession[] = [];
  const running = new Set<Promise<unknown>>();
  let closed = false;

  const open = async (logins: readonly SmtpLogin[], signal: AbortSignal): Promise<SmtpSession> => {
    const [login, ...others] = logins;
    try {
      return await SmtpSession.open(target, login, dialler, signal);
    } catch (error) {
      if (others.length === 0 || !isRefusedLogin(error)) throw error;
      return open(others, signal);
    }
  };

  const takeIdle = (): SmtpSession | undefined => {
    const found = idle.pop();
    return found === undefined || !found.ended ? found : takeIdle();
  };

  const giveBack = async (session: SmtpSession): Promise<void> => {
    const used = session.count >= messagesMax || performance.now() - session.openedAt > sessionAgeMsMax;
    if (closed || used) await session.close();
    else if (!session.ended) idle.push(session);
  };

  const sendOver = async (session: SmtpSession, mail: Mail, signal: AbortSignal, onContent: () => void) => {
    try {
      return await session.send(mail, signal, onContent);
    } finally {
      await giveBack(session);
    }
  };

  const send: SmtpPool["send"] = async (mail, logins, signal) => {
    const waiting = takeIdle();
    if (waiting === undefined) return sendOver(await open(logins, signal), mail, signal, () => {});
    let mayHaveIt = false;
    try {
      return await sendOver(waiting, mail, signal, () => {
        mayHaveIt = true;
      });
    } catch (error) {
      if (mayHaveIt || !isSessionOver(error)) throw error;
      // The server had grown tired of the session before it was asked: that is no failure of the message.
      return sendOver(await open(logins, signal), mail, signal, () => {});
    }
  };

  const sendInTurn: SmtpPool["send"] = (mail, logins, signal) => {
    let begun = false;
    /** Time spent in our queue is not the server's. */
    const reason = (): DialError =>
      begun
        ? abortError(signal)
        : new DialError("timeout", "no connection to the server was free before the deadline", { ours: true });
    const work = limit(() => {
      if (signal.aborted) throw reason();
      begun = true;
      return send(mail, logins, signal);
    });
    running.add(work);
    void work.catch(() => {}).finally(() => running.delete(work));
    return abortable(work, signal, reason);
  };

  return {
    send: sendInTurn,
    close: async () => {
      closed = true;
      await Promise.allSettled(running);
      await Promise.all(idle.splice(0).map((session) => session.close()));
    },
  };
};
