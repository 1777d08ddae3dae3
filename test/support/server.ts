import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { type EmbeddedPostgres, startPostgres } from "../../src/embedded.ts";

/** Both the temporary directories and the databases of tests begin so. */
const prefix = "postrider_test_";

/** The server of a test run: where it is, and the word that the names of all its databases begin with. */
export interface RunServer extends AsyncDisposable {
  readonly url: string;
  readonly run: string;
  /** For people: which server this is. */
  readonly description: string;
}

/** Opens the server for a test run: the one at the given URL, else an embedded one that is deleted afterwards. */
export async function openServer(databaseUrl: string | undefined): Promise<RunServer> {
  await removeAbandoned();
  const run = `${prefix}${randomBytes(4).toString("hex")}`;
  if (databaseUrl !== undefined && databaseUrl !== "") return await foreignServer(databaseUrl, run);
  const server = await testServer();
  const description = `an embedded ${await versionOf(server.url)}`;
  return { url: server.url, run, description, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

async function foreignServer(url: string, run: string): Promise<RunServer> {
  const version = await versionOf(url);
  const { host } = new URL(url);
  const [role] = await ask(
    url,
    "select rolname, (rolcreatedb or rolsuper) as fit from pg_roles where rolname = current_user",
  );
  if (role?.fit !== true) {
    const name = String(role?.rolname);
    throw new Error(`The tests make databases of their own on ${host}: run "alter role ${name} createdb".`);
  }
  const description = `the ${version} at ${host}, in databases of its own named ${run}_*`;
  return { url, run, description, [Symbol.asyncDispose]: () => dropDatabases(url, run) };
}

async function dropDatabases(url: string, run: string): Promise<void> {
  const names = await ask(url, "select quote_ident(datname) as name from pg_database where starts_with(datname, $1)", [
    run,
  ]);
  for (const { name } of names) await ask(url, `drop database if exists ${name} with (force)`);
}

async function versionOf(url: string): Promise<string> {
  const [row] = await ask(url, "select current_setting('server_version') as version");
  return `Postgres ${row?.version}`;
}

/** Runs one statement on a connection of its own. */
export async function ask(url: string, sql: string, params: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query(sql, params)).rows;
  } catch (error) {
    const { host } = new URL(url);
    const reason = error instanceof AggregateError ? error.errors.map(String).join("; ") : String(error);
    throw new Error(`The Postgres for the tests at ${host} refused: ${reason}`, { cause: error });
  } finally {
    await client.end();
  }
}

/** A private server, for tests that crash it, restart it or need its settings. */
export interface TestServerOptions {
  /** Whether commits survive a crash. Default: false. */
  readonly durable?: boolean;
  /** The programs of another Postgres than the embedded one. */
  readonly binDir?: string;
  readonly settings?: Readonly<Record<string, string>>;
}

/** Starts a private embedded server in a new directory; both are gone when it is disposed of. */
export async function testServer(options: TestServerOptions = {}): Promise<EmbeddedPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), `${prefix}${process.pid}_`));
  const remove = () => rm(dataDir, { recursive: true, force: true, maxRetries: 10 });
  try {
    const server = await startPostgres({ durable: false, ...options, dataDir });
    const dispose = async () => {
      await server.stop("immediate");
      await remove();
    };
    return Object.defineProperty(server, Symbol.asyncDispose, { value: dispose });
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Removes the directories of runs that were killed. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = Number(new RegExp(`^${prefix}(\\d+)_`).exec(name)?.[1] ?? process.pid);
    if (!isAlive(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
