/** A private Postgres that can be killed, filled up, and moved in time: `await using cluster = await openCluster(...)`. */
import type { ChildProcess } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { findBinaries } from "../../../src/embedded/binaries.ts";
import { holderOf, openCluster as openData } from "../../../src/embedded/cluster.ts";
import { prepareRunner } from "../../../src/embedded/runner.ts";
import { startServer, stopServer } from "../../../src/embedded/server.ts";
import { ask } from "../../support/server.ts";
import type { Cluster } from "../stage.ts";
import { mountDisk } from "./disk.ts";
import { lastingPort } from "./ports.ts";
import { clockLagMs, createServerClock } from "./server_clock.ts";

const settings = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  timezone: "UTC",
  log_timezone: "UTC",
  max_connections: "200",
  // Processes are killed here, the machine never is: what was written stays, whether it was flushed or not.
  fsync: "off",
  synchronous_commit: "on",
};

/** Old backends hold on to the data directory for a moment, and crash recovery takes its time. */
const startMsMax = 60_000;
const retryPauseMs = 50;

export interface TortureCluster extends Cluster, AsyncDisposable {
  /** To the database `postgres`, as the superuser. */
  readonly serverUrl: string;
}

const isRunning = (server: ChildProcess): boolean => server.exitCode === null && server.signalCode === null;

/** Tries again until it succeeds; after a minute it fails with the last reason. */
const insist = async <T>(attempt: () => Promise<T>): Promise<T> => {
  for (const startedAt = performance.now(); ; await pause(retryPauseMs)) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() - startedAt > startMsMax) throw error;
    }
  }
};

/** Makes and starts a cluster below the folder, with an empty database `torture`; private: on a disk of its own. */
export const openCluster = async (folder: string, given: { readonly isPrivate: boolean }): Promise<TortureCluster> => {
  await using opened = new AsyncDisposableStack();
  const home = join(folder, "disk");
  await mkdir(folder, { recursive: true });
  const disk = given.isPrivate ? opened.use(await mountDisk(home)) : undefined;
  const runner = await prepareRunner(await findBinaries(), home);
  if (disk === undefined) opened.defer(() => rm(runner.home, { recursive: true, force: true, maxRetries: 10 }));
  const { data, password } = await openData(runner, false);
  const clock = await createServerClock(join(runner.home, "clock"));
  const timed = { ...runner, wrapper: [...runner.wrapper, ...(clock?.wrapper ?? [])] };
  const logFile = join(folder, "postgres.log");
  // Its last lines may come when it is closed already.
  const log = createWriteStream(logFile, { flags: "a" }).on("error", () => {});
  opened.defer(() => void log.end());
  const port = await lastingPort();
  const serverUrl = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;

  const launch = async (): Promise<ChildProcess> => {
    const holder = await holderOf(data);
    if (holder !== undefined) throw new Error(`A server still holds ${data}: process ${holder}.`);
    const write = (line: string): void => void log.write(`${line}\n`);
    const started = await startServer({ runner: timed, data, port, settings, log: write });
    if (started.kind === "failed") throw new Error(`Postgres does not start. Its log ends with:\n${started.log}`);
    return started.server;
  };
  let server = await insist(launch);
  const start = async (): Promise<void> => {
    if (!isRunning(server)) server = await insist(launch);
    await insist(() => ask(serverUrl, "select 1"));
  };
  const stop = (mode: "fast" | "immediate" | "kill"): Promise<void> => stopServer(server, mode);
  opened.defer(() => stop("immediate"));
  await ask(serverUrl, "create database torture");

  const shiftTo = async (seconds: number): Promise<void> => {
    await clock?.shift(seconds);
    await pause(clockLagMs);
  };
  const parts = opened.move();
  return {
    url: serverUrl.replace(/postgres$/, "torture"),
    serverUrl,
    port,
    logFile,
    get pid() {
      return server.pid ?? 0;
    },
    stop,
    start,
    fill: disk?.fill,
    free: async () => disk?.free(),
    shiftClock: clock && shiftTo,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
};
