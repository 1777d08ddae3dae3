/** A connection of a producer: nothing on it waits longer than it must, whatever the line does. */
import { hash } from "node:crypto";
import { Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { from as copyFrom } from "pg-copy-streams";

export interface Connection {
  readonly query: (sql: string, parameters?: readonly unknown[]) => Promise<pg.QueryResult>;
  /** Copies rows, given as lines of CSV. */
  readonly copy: (sql: string, lines: string) => Promise<void>;
  /** At once and for good. */
  readonly close: () => void;
  readonly isOpen: () => boolean;
}

const connectTimeoutMs = 3_000;
const answerTimeoutMs = 5_000;
const reconnectMs = 150;

/**
 * For transactions that are left behind on the server when the line breaks: a transaction that inserts the same again waits
 * for them.
 */
const serverLimits = [
  "statement_timeout=8s",
  "idle_in_transaction_session_timeout=6s",
  "client_connection_check_interval=1s",
]
  .map((limit) => `-c ${limit}`)
  .join(" ");

const copyAll = (client: pg.Client, sql: string, lines: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const stream = client.query(copyFrom(sql));
    stream.once("finish", resolve).on("error", reject);
    stream.end(lines);
  });

/** Connects, or rejects within seconds. */
export const connectSoon = async (databaseUrl: string): Promise<Connection> => {
  const socket = new Socket();
  const client = new pg.Client({
    connectionString: databaseUrl,
    stream: () => socket,
    connectionTimeoutMillis: connectTimeoutMs,
    application_name: "producer",
    options: serverLimits,
  });
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    socket.destroy();
  };
  client.on("error", close).on("end", close);
  const soon = async <T>(work: Promise<T>): Promise<T> => {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      close();
      reject(new Error(`no answer within ${answerTimeoutMs} ms`));
    }, answerTimeoutMs);
    return await Promise.race([work, promise]).finally(() => clearTimeout(timer));
  };
  try {
    await soon(client.connect());
  } catch (error) {
    close();
    throw error;
  }
  return {
    query: (sql, parameters) =>
      soon(
        parameters === undefined
          ? client.query(sql)
          : // With a name of its own the server parses it once.
            client.query({ name: hash("sha1", sql), text: sql, values: [...parameters] }),
      ),
    copy: (sql, lines) => soon(copyAll(client, sql, lines)),
    close,
    isOpen: () => isOpen,
  };
};

export interface Keeper {
  /** The connection, made anew as often as it takes; undefined when the signal aborts before it is there. */
  readonly connection: (signal: AbortSignal) => Promise<Connection | undefined>;
  readonly close: () => void;
}

/** Keeps one connection to a database that comes and goes. */
export const createKeeper = (databaseUrl: string): Keeper => {
  let kept: Connection | undefined;
  return {
    connection: async (signal) => {
      while (kept?.isOpen() !== true) {
        if (signal.aborted) return undefined;
        kept = await connectSoon(databaseUrl).catch(() => undefined);
        if (kept === undefined) await pause(reconnectMs, undefined, { signal }).catch(() => {});
      }
      return kept;
    },
    close: () => kept?.close(),
  };
};
