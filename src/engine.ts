/**
 * The composition root of a worker process: database, registry, dialler, connections, deliverer and clock, and the
 * worker's place in the fleet. graphile-worker gives it jobs; see `preset.ts`.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { startClock } from "./clock.ts";
import type { Config } from "./config.ts";
import { createConnections } from "./connections.ts";
import { openDatabase } from "./database.ts";
import { createDeliverer, type Deliverer } from "./deliverer.ts";
import type { DestinationType } from "./destination.ts";
import { createDuties } from "./duties.ts";
import { codeOf } from "./errors.ts";
import type { Log } from "./log.ts";
import { createDialler } from "./outbound.ts";
import { beat, changePool, leaveWorker, registerWorker } from "./queries/workers.ts";
import { createRegistry } from "./registry.ts";
import { version } from "./version.ts";

/** A worker process's engine. */
export interface Engine extends AsyncDisposable {
  readonly deliver: Deliverer["deliver"];
  /**
   * Takes a place in the fleet for graphile-worker's pool, or moves to a new pool.
   * @throws an error with SQLSTATE PR004 in a restored copy of a database
   */
  readonly join: (poolId: string) => Promise<void>;
  /** Starts nothing more, and breaks off after a while what is still in flight. */
  readonly stop: () => void;
}

/** What an engine is made of. */
export interface EngineOptions {
  readonly connectionString: string;
  readonly config: Config;
  readonly log: Log;
  /** Jobs that graphile-worker runs at the same time. */
  readonly jobsMax: number;
  /** Destination types beside the built-in ones. */
  readonly destinations?: readonly DestinationType[];
}

/** How long what is in flight may take to end after a stop. */
const stopGraceMs = 7_000;
const connectionsMax = 8;

/** Creates the engine of this process. Nothing runs before `join`. */
export const createEngine = async (options: EngineOptions): Promise<Engine> => {
  const { connectionString, config, log, destinations, jobsMax } = options;
  const database = openDatabase({
    connectionString,
    connectionsMax,
    onError: (error) => log.warn({ code: codeOf(error) }, "a database connection broke"),
  });
  const { kysely } = database;
  // The heartbeat waits behind nothing else.
  const pulse = openDatabase({ connectionString, connectionsMax: 1, applicationName: "postrider heartbeat" });
  const dialler = createDialler(config);
  const registry = await createRegistry(destinations);
  const parts = { database, dialler, registry, operator: config, keys: config.keys };
  const connections = createConnections(parts);
  let workerId: string = randomUUID();
  const deliverer = createDeliverer({
    database,
    connections,
    dialler,
    log,
    workerId: () => workerId,
    inFlightMax: config.inFlightMax,
    jobsMax,
  });

  let poolId: string | undefined;
  const register = (pool: string): Promise<void> =>
    registerWorker(kysely, { workerId, poolId: pool, hostname: hostname(), pid: process.pid, version });
  const stayAlive = async (): Promise<void> => {
    if (poolId === undefined || (await beat(pulse.kysely, workerId))) return;
    log.warn({ workerId }, "this worker was silent for too long and was given up; it goes on under a new id");
    workerId = randomUUID();
    await register(poolId);
  };

  const duties = createDuties({ ...parts, connections, config, log, stayAlive });
  const ending = new AbortController();
  let clock: Promise<void> | undefined;
  let breakOff: NodeJS.Timeout | undefined;
  const stop = (): void => {
    deliverer.stop();
    breakOff ??= setTimeout(deliverer.abort, stopGraceMs);
  };
  return {
    deliver: deliverer.deliver,
    join: async (pool) => {
      const moved = poolId !== undefined && (await changePool(kysely, workerId, pool));
      if (!moved) {
        if (poolId !== undefined) workerId = randomUUID();
        await register(pool);
      }
      poolId = pool;
      clock ??= startClock(duties, log, ending.signal);
      log.info({ workerId, poolId }, "worker joined");
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      stop();
      await deliverer.ended();
      ending.abort();
      await clock;
      clearTimeout(breakOff);
      await connections[Symbol.asyncDispose]();
      if (poolId !== undefined) {
        await leaveWorker(kysely, workerId).catch((error) => log.warn({ code: codeOf(error) }, "could not leave"));
      }
      await pulse[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      log.info({ workerId }, "worker left");
    },
  };
};
