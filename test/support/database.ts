/** A fresh database for a test: `await using db = await testDatabase();` */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import type { EmbeddedPostgres } from "../../src/embedded.ts";
import { ask } from "./server.ts";

export { testServer } from "./server.ts";

type Row = pg.QueryResultRow;

/** Generous: what takes longer will not come. */
const untilTimeoutMs = 30_000;
const untilPauseMs = 15;

export interface TestDatabaseOptions {
  /** Whether graphile-worker's and our schema are in it. Default: true. */
  readonly migrated?: boolean;
  /** A private server, from `testServer()`. Default: the server of the test run. */
  readonly server?: EmbeddedPostgres;
}

/** A database that is dropped when it is disposed of. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly pool: pg.Pool;
  /** The rows of a statement. */
  query<R extends Row = Row>(sql: string, params?: unknown[]): Promise<R[]>;
  /** The only row of a statement; none or several are an error. */
  one<R extends Row = Row>(sql: string, params?: unknown[]): Promise<R>;
  /** Waits until the statement's first row is there, and (if given) satisfies the predicate. */
  until<R extends Row = Row>(sql: string, params?: unknown[], predicate?: (row: R) => boolean): Promise<R>;
  /** A connection of its own, closed when it is disposed of. */
  client(): Promise<pg.Client & AsyncDisposable>;
  /** The jobs that a worker holds, or has left behind. */
  lockedJobs(): Promise<{ id: string; locked_by: string }[]>;
}

/** Makes a database for one test, as a copy of a migrated one: some 50 ms. */
export async function testDatabase({ migrated = true, server }: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const shared = sharedServer();
  const serverUrl = server?.url ?? shared.url;
  const name = `${shared.run}_${randomBytes(6).toString("hex")}`;
  const url = urlOf(serverUrl, name);
  if (migrated && server === undefined) {
    await ask(serverUrl, `create database ${name} template ${await template(shared)}`);
    await ask(url, "select outbox.confirm_instance()");
  } else {
    await ask(serverUrl, `create database ${name}`);
    if (migrated) await migrateDatabase(url);
  }
  const drop = async () => {
    if (server === undefined) await ask(serverUrl, `drop database ${name} with (force)`);
  };
  return databaseAt(url, drop);
}

function databaseAt(url: string, drop: () => Promise<void>): TestDatabase {
  const pool = new pg.Pool({ connectionString: url });
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  const query = async <R extends Row>(sql: string, params?: unknown[]) => (await pool.query<R>(sql, params)).rows;
  return {
    url,
    pool,
    query,
    one: async <R extends Row>(sql: string, params?: unknown[]) => onlyRow(sql, await query<R>(sql, params)),
    until: <R extends Row>(sql: string, params?: unknown[], predicate: (row: R) => boolean = () => true) =>
      waitForRow(sql, () => query<R>(sql, params), predicate),
    client: () => connect(url),
    lockedJobs: () => query("select id, locked_by from graphile_worker._private_jobs where locked_by is not null"),
    async [Symbol.asyncDispose]() {
      await pool.end();
      await drop();
    },
  };
}

function onlyRow<R>(sql: string, [row, ...others]: R[]): R {
  if (row !== undefined && others.length === 0) return row;
  throw new Error(`Expected one row, not ${row === undefined ? 0 : 1 + others.length}, of: ${sql}`);
}

async function waitForRow<R>(sql: string, read: () => Promise<R[]>, fits: (row: R) => boolean): Promise<R> {
  const giveUpAt = Date.now() + untilTimeoutMs;
  for (;;) {
    const [row] = await read();
    if (row !== undefined && fits(row)) return row;
    if (Date.now() > giveUpAt) {
      throw new Error(`Waited ${untilTimeoutMs} ms for: ${sql}\nThe last row was: ${JSON.stringify(row)}`);
    }
    await pause(untilPauseMs);
  }
}

async function connect(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client(url);
  client.on("error", () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

/** The name of the migrated database that is copied: the first test of a run that needs it makes it. */
async function template({ url, run }: SharedServer): Promise<string> {
  const name = `${run}_template`;
  await using client = await connect(url);
  await client.query("select pg_advisory_lock(hashtext($1))", [name]);
  const { rowCount } = await client.query("select from pg_database where datname = $1", [name]);
  if (rowCount === 0) {
    await client.query(`drop database if exists ${name}_unfinished with (force)`);
    await client.query(`create database ${name}_unfinished`);
    const unfinished = urlOf(url, `${name}_unfinished`);
    await migrateDatabase(unfinished);
    await addDeliveryRules(unfinished);
    await client.query(`alter database ${name}_unfinished with allow_connections false`);
    await client.query(`alter database ${name}_unfinished rename to ${name}`);
  }
  return name;
}

async function migrateDatabase(url: string): Promise<void> {
  const { migrate } = await import("../../src/migrate.ts");
  await migrate({ connectionString: url });
}

async function addDeliveryRules(url: string): Promise<void> {
  await using client = await connect(url);
  await client.query(await readFile(new URL("delivery_rules.sql", import.meta.url), "utf8"));
}

interface SharedServer {
  readonly url: string;
  readonly run: string;
}

function sharedServer(): SharedServer {
  const { POSTRIDER_TEST_SERVER: url, POSTRIDER_TEST_RUN: run } = process.env;
  if (url === undefined || run === undefined) throw new Error("Tests run with: npm test -- test/name.test.ts");
  return { url, run };
}

function urlOf(serverUrl: string, database: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${database}`;
  return url.href;
}
