/**
 * Connections to a Postgres that is not ours: opened by the dialler, a few at most, each statement with an end. The server
 * belongs to a tenant and is not trusted: it may say only what an insert needs, and takes nothing from our environment.
 */
import type { Socket } from "node:net";
import pLimit from "p-limit";
import type { Client, ClientConfig } from "pg";
import { abortable } from "../dial.ts";
import { abortError, connectError, DialError } from "../dial-error.ts";
import { codeOf } from "../errors.ts";
import type { Dialler } from "../outbound.ts";
import { createFrameReader } from "./postgres-frames.ts";

/** A database of a tenant's. */
export interface PostgresTarget {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly tls: boolean;
  /** Authorities instead of the public ones, as PEM. */
  readonly ca?: string | undefined;
}

export interface PostgresLogin {
  readonly user: string;
  readonly password: string;
}

/** What the server answered instead of doing it. Holds none of its words: they may name users and addresses. */
export class PostgresError extends Error {
  override readonly name = "PostgresError";
  /** https://www.postgresql.org/docs/current/errcodes-appendix.html */
  readonly sqlstate: string;

  constructor(sqlstate: string, options?: ErrorOptions) {
    super(`SQLSTATE ${sqlstate}`, options);
    this.sqlstate = sqlstate;
  }
}

/** Connections to one database. */
export interface PostgresPool {
  /**
   * Runs a statement that returns no rows.
   * @param logins tried in turn while the server refuses them
   * @throws DialError, PostgresError
   */
  readonly run: (
    text: string,
    values: readonly unknown[],
    logins: readonly PostgresLogin[],
    signal: AbortSignal,
  ) => Promise<void>;
  /** Lets what runs end, and closes everything. */
  readonly close: () => Promise<void>;
}

const connectionsMax = 4;
/** After that a name may lead somewhere else. */
const connectionAgeMsMax = 300_000;
/** The server gives up by itself what we cannot tell it to any more. */
const statementTimeoutMs = 60_000;
const goodbyeMsMax = 1_000;
/** Protocol 3.0, SSLRequest. */
const sslRequest = Buffer.from("0000000804d2162f", "hex");

/** Asks for TLS. The answer is one byte: more would be text that somebody slipped in before the handshake. */
const startTls = (socket: Socket): Promise<void> => {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onClose = (): void => reject(new DialError("tls", "the server closed the connection when asked for TLS"));
  socket.once("close", onClose);
  socket.once("data", (answer: Buffer) => {
    socket.off("close", onClose);
    if (answer.length === 1 && answer[0] === 0x53) resolve();
    else reject(new DialError("tls", "the server does not speak TLS on this port"));
  });
  socket.write(sslRequest);
  return promise;
};

/** A connected socket as the library wants one: it connects by itself, and brings whole messages only. */
const asStream = (socket: Socket): Socket => {
  const on = socket.on.bind(socket) as (event: string, listener: (chunk: Buffer) => void) => Socket;
  const safely = (read: (chunk: Buffer) => void) => (chunk: Buffer) => {
    try {
      read(chunk);
    } catch (cause) {
      const known = cause instanceof DialError;
      socket.destroy(
        known ? cause : new DialError("protocol", "the answer is not the protocol of Postgres", { cause }),
      );
    }
  };
  return Object.assign(socket, {
    connect: () => process.nextTick(() => socket.emit("connect")) ?? socket,
    on: (event: string, listener: (chunk: Buffer) => void) =>
      on(event, event === "data" ? safely(createFrameReader(listener)) : listener),
  }) as Socket;
};

/** Everything is said here, because what is not the library takes from PG* variables. */
const configOf = ({ host, port, database }: PostgresTarget, login: PostgresLogin, socket: Socket): ClientConfig => ({
  ...login,
  host,
  port,
  database,
  ssl: false,
  sslnegotiation: "postgres",
  application_name: "postrider",
  options: `-c statement_timeout=${statementTimeoutMs}`,
  stream: () => asStream(socket),
});

interface Connection {
  readonly client: Client;
  readonly socket: Socket;
  readonly openedAt: number;
}

const sqlstatePattern = /^[0-9A-Z]{5}$/;

/** Why a login or a statement failed; `cause` may hold the server's words. */
const failureOf = (cause: unknown, socket: Socket, signal: AbortSignal, isServerError: boolean): Error => {
  if (signal.aborted) return abortError(signal);
  if (cause instanceof DialError) return cause;
  const word = codeOf(cause) ?? "";
  if (isServerError) return new PostgresError(sqlstatePattern.test(word) ? word : "XX000", { cause });
  // The library gave up although the connection stands: a login that it cannot, or will not, make.
  if (!socket.destroyed && !socket.readableEnded && word === "") return new PostgresError("28000", { cause });
  const { code } = connectError(cause, false);
  return new DialError(code === "tls" ? code : "reset", "the connection was closed before the answer", { cause });
};

/** Runs one step on a connection; the signal's end destroys its socket. */
const step = async <T>(socket: Socket, signal: AbortSignal, work: () => Promise<T>): Promise<T> => {
  const { default: pg } = await import("pg");
  const onAbort = (): void => void socket.destroy();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    if (socket.destroyed) throw new DialError("reset", "the connection was closed before the answer");
    return await work();
  } catch (error) {
    throw failureOf(error, socket, signal, error instanceof pg.DatabaseError);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
};

const open = async (
  target: PostgresTarget,
  login: PostgresLogin,
  dialler: Dialler,
  signal: AbortSignal,
): Promise<Connection> => {
  const { default: pg } = await import("pg");
  const tls = target.ca === undefined ? true : { ca: target.ca };
  const socket = await dialler.socket(target.host, target.port, { signal, ...(target.tls && { tls, startTls }) });
  try {
    const client = await step(socket, signal, async () => {
      const made = new pg.Client(configOf(target, login, socket));
      made.on("error", () => socket.destroy());
      await made.connect();
      return made;
    });
    return { client, socket, openedAt: performance.now() };
  } catch (error) {
    socket.destroy();
    throw error;
  }
};

const isRefusedLogin = (error: unknown): boolean => error instanceof PostgresError && error.sqlstate.startsWith("28");

/** Data that the server refuses leaves the connection as it was. */
const isHarmless = (error: unknown): boolean => error instanceof PostgresError && /^(22|23|54|P0)/.test(error.sqlstate);

const goodbye = async ({ client, socket }: Connection): Promise<void> => {
  const timer = setTimeout(() => socket.destroy(), goodbyeMsMax);
  await client.end().catch(() => {});
  clearTimeout(timer);
  socket.destroy();
};

/** Creates the connections to a database; none is opened before the first statement. */
export const createPostgresPool = (target: PostgresTarget, dialler: Dialler): PostgresPool => {
  const limit = pLimit(connectionsMax);
  const idle: Connection[] = [];
  let closed = false;

  const openFirst = async (logins: readonly PostgresLogin[], signal: AbortSignal): Promise<Connection> => {
    const [login, ...others] = logins;
    if (login === undefined) throw new PostgresError("28000");
    try {
      return await open(target, login, dialler, signal);
    } catch (error) {
      if (others.length === 0 || !isRefusedLogin(error)) throw error;
      return openFirst(others, signal);
    }
  };

  const takeIdle = (): Connection | undefined => {
    const found = idle.pop();
    return found === undefined || !found.socket.destroyed ? found : takeIdle();
  };

  const giveBack = async (connection: Connection): Promise<void> => {
    const old = performance.now() - connection.openedAt > connectionAgeMsMax;
    if (closed || old) await goodbye(connection);
    else if (!connection.socket.destroyed) idle.push(connection);
  };

  const run: PostgresPool["run"] = async (text, values, logins, signal) => {
    if (signal.aborted) throw abortError(signal);
    const connection = takeIdle() ?? (await openFirst(logins, signal));
    try {
      await step(connection.socket, signal, () => connection.client.query(text, [...values]));
    } catch (error) {
      if (!isHarmless(error)) connection.socket.destroy();
      throw error;
    } finally {
      await giveBack(connection);
    }
  };

  const running = new Set<Promise<void>>();
  return {
    run: (text, values, logins, signal) => {
      const work = limit(() => run(text, values, logins, signal));
      running.add(work);
      void work.catch(() => {}).finally(() => running.delete(work));
      return abortable(work, signal);
    },
    close: async () => {
      closed = true;
      await Promise.allSettled(running);
      await Promise.all(idle.splice(0).map(goodbye));
    },
  };
};
