/**
 * The door to Postgres: one pool, and Kysely over it. The queries stand in `queries/`, one file for each thing asked about;
 * nothing else in `src/` holds SQL.
 */
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { codeOf, messageOf, PostriderError } from "./errors.ts";

/** A connection pool with a query builder over it. */
export interface Database extends AsyncDisposable {
  readonly kysely: Kysely<unknown>;
  readonly pool: pg.Pool;
}

/** How to reach the database. */
export interface DatabaseOptions {
  readonly connectionString: string;
  /** Connections at most. */
  readonly connectionsMax?: number;
  readonly applicationName?: string;
  /** Told of connections that break while idle. The pool replaces them. */
  readonly onError?: (error: Error) => void;
}

/** Opens a pool. No connection is made before the first query. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.connectionsMax ?? 4,
    application_name: options.applicationName ?? "postrider",
    connectionTimeoutMillis: 10_000,
    statement_timeout: 55_000,
    query_timeout: 60_000,
    keepAlive: true,
  });
  pool.on("error", (error) => options.onError?.(error));
  pool.on("connect", (client) => client.on("error", () => {}));
  const kysely = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  return { kysely, pool, [Symbol.asyncDispose]: () => kysely.destroy() };
};

/**
 * graphile-worker takes SQLSTATE 57P03 ("the database system is starting up") for a reason to ask again after 1.5 to 4.5 s,
 * then 7, then 10, up to two minutes. An error without a code it answers with the next poll.
 */
class JobClient extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: (error?: Error) => void): void;
  override connect(callback?: (error?: Error) => void): Promise<pg.Client> | undefined {
    if (callback === undefined) return super.connect();
    super.connect((error?: Error) => callback(error && withoutCode(error)));
    return undefined;
  }
}

const withoutCode = (cause: Error): Error => new Error(messageOf(cause), { cause });

/** Opens the pool that graphile-worker takes jobs with. Queries may take long: they are the users' tasks' as well. */
export const openJobPool = (options: DatabaseOptions): pg.Pool => {
  const pool = new pg.Pool({
    connectionString: options.connectionString,
    max: options.connectionsMax ?? 10,
    application_name: options.applicationName ?? "postrider jobs",
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    Client: JobClient,
    // graphile-worker 0.18 leaves a pool open after an end with an error: that must not keep the process alive.
    allowExitOnIdle: true,
  });
  pool.on("error", (error) => options.onError?.(error));
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
};

/** SQLSTATE classes and system codes after which the same statement may work on another connection. */
const transient = /^(08|53|57P|40|ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)/;

/** Whether a failed query is the connection's or the server's fault, not the statement's. */
export const isTransient = (error: unknown): boolean =>
  transient.test(codeOf(error) ?? "") ||
  /connection|timeout exceeded|terminated|Query read timeout/i.test(messageOf(error));

/** Whether a query names a function, table or column that is not there: another version of Postrider has migrated the database. */
export const isOfOtherVersion = (error: unknown): boolean => /^(42883|42P01|42703)$/.test(codeOf(error) ?? "");

/**
 * Checks that the server answers and is new enough.
 * @throws PostriderError POSTRIDER_DATABASE_UNREACHABLE or POSTRIDER_SERVER_UNSUPPORTED
 */
export const connect = async (connectionString: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 10_000, application_name: "postrider" });
  client.on("error", () => {});
  try {
    await client.connect();
  } catch (cause) {
    throw new PostriderError("POSTRIDER_DATABASE_UNREACHABLE", `the database does not answer: ${messageOf(cause)}`, {
      cause,
    });
  }
  const { rows } = await client.query<{ server_version_num: string }>("show server_version_num");
  if (Number(rows[0]?.server_version_num) < 150_000) {
    await client.end();
    throw new PostriderError("POSTRIDER_SERVER_UNSUPPORTED", "Postrider needs Postgres 15 or newer");
  }
  return client;
};
