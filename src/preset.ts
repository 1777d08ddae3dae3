/**
 * Postrider as a graphile-worker preset. `extends: [postrider()]` in a graphile.config.ts makes the plain graphile-worker
 * CLI deliver; `startWorker` uses the same preset. Users keep their own tasks beside ours.
 */
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import type { TaskList, WorkerPool } from "graphile-worker";
import type { ClientBase } from "pg";
import { type Config, readConfig } from "./config.ts";
import type { DestinationType } from "./destination.ts";
import { createEngine, type Engine } from "./engine.ts";
import { codeOf, messageOf, PostriderError } from "./errors.ts";
import { createFetchWatch, createGraphileLogger, keepOpen, keepUrgentFirst } from "./graphile.ts";
import { createLog, type Log } from "./log.ts";
import { migrate } from "./migrate.ts";
import { requireSameInstance } from "./queries/migrations.ts";
import { createDeliverTask, taskIdentifier } from "./tasks/deliver.ts";
import { version } from "./version.ts";

/** What the preset can be told. */
export interface PostriderOptions {
  /** Configuration; default: read from environment variables. */
  readonly config?: Config;
  /** Where attempts are logged; default: JSON lines on standard output. */
  readonly log?: Log;
  /** Destination types beside the built-in ones. */
  readonly destinations?: readonly DestinationType[];
  /** Bring the database up to date when the worker starts. Default true; false leaves it to `postrider migrate`, and refuses to start before. */
  readonly migrate?: boolean;
}

/** A preset whose engine outlives graphile-worker's pools. */
export interface LastingPreset {
  readonly preset: GraphileConfig.Preset;
  /** The end of the next pool is an orderly one: starts nothing more. */
  readonly stop: () => Promise<void>;
  /** Ends the engine, once what it is sending has ended. */
  readonly close: () => Promise<void>;
}

/** The engine serves whichever pool graphile-worker has at the moment: a worker that is started again gets a new one. */
const createEngineHolder = (options: PostriderOptions, config: Config, log: Log, onBroken?: () => void) => {
  let engine: Promise<Engine> | undefined;
  let joined: Promise<void> | undefined;
  let present: WorkerPool | undefined;
  let stopping = false;
  /** Ends the jobs of the present pool, not their deliveries. */
  const letGo = new Set<() => void>();
  return {
    /** A pool that breaks is no reason to stop sending: its jobs end, their deliveries go on beside the next pool. */
    outlives: (): boolean => onBroken !== undefined && !stopping,
    letGo: (): void => {
      for (const end of letGo) end();
      onBroken?.();
    },
    /** The present pool will never take a job again: its owner starts another, or its process ends and is started again. */
    giveUp: (reason: string): void => {
      log.error({ reason }, "the worker cannot take jobs any more");
      if (onBroken === undefined) void present?.gracefulShutdown(reason);
      else onBroken();
    },
    join: (pool: WorkerPool, connectionString: string, jobsMax: number): void => {
      present = pool;
      engine ??= createEngine({ ...options, connectionString, config, log, jobsMax });
      // One after the other, so that the jobs of a pool that broke while it joined are freed as well.
      const before = joined?.catch(() => {});
      joined = Promise.all([engine, before]).then(([ready]) => ready.join(pool.id));
      joined.catch((error) => {
        log.error({ reason: messageOf(error) }, "the worker cannot join");
        void pool.gracefulShutdown(messageOf(error));
      });
    },
    deliver: createDeliverTask(async (keys) => {
      await joined;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const deliveries = (await engine)?.deliver(keys) ?? Promise.resolve();
      deliveries.then(resolve, reject);
      letGo.add(resolve);
      await promise.finally(() => letGo.delete(resolve));
    }, log),
    stop: async (): Promise<void> => {
      stopping = true;
      await engine?.then(
        (ready) => ready.stop(),
        () => {},
      );
    },
    close: async (): Promise<void> => {
      const closing = engine;
      engine = undefined;
      await joined?.catch(() => {});
      await (await closing)?.[Symbol.asyncDispose]();
    },
  };
};

/** Migrates the database, or refuses one that lacks something which this worker is not to apply. */
const bringUpToDate = async (connectionString: string, options: PostriderOptions): Promise<void> => {
  const dryRun = options.migrate === false;
  const { pending } = await migrate({ connectionString, destinations: options.destinations ?? [], dryRun });
  if (!dryRun || pending.length === 0) return;
  throw new PostriderError(
    "POSTRIDER_DATABASE_BEHIND",
    `the database lacks ${pending.length === 1 ? "1 change" : `${pending.length} changes`}, the first is ${pending[0]}: run postrider migrate`,
  );
};

const requireConfirmed = async (client: ClientBase): Promise<void> => {
  try {
    await requireSameInstance(client);
  } catch (cause) {
    if (codeOf(cause) !== "PR004") throw cause;
    throw new PostriderError(
      "POSTRIDER_INSTANCE_UNCONFIRMED",
      `${messageOf(cause)}. If it is to send: select outbox.confirm_instance();`,
      { cause },
    );
  }
};

/** What the parts of the preset share. */
interface Parts {
  readonly options: PostriderOptions;
  readonly config: Config;
  readonly holder: ReturnType<typeof createEngineHolder>;
  readonly onFetchError: (error: unknown) => void;
}

const createPlugin = ({ options, config, holder, onFetchError }: Parts): GraphileConfig.Plugin => {
  let keepQueueOpen = (): void => {};
  const connectionStringOf = (ctx: { resolvedPreset: { worker: { connectionString?: string | undefined } } }): string =>
    ctx.resolvedPreset.worker.connectionString ?? config.databaseUrl ?? "";
  return {
    name: "postrider",
    version,
    worker: {
      middleware: {
        init: (next, { ctx }) => {
          ctx.events.on("pool:create", ({ workerPool }) =>
            holder.join(workerPool, connectionStringOf(ctx), ctx.resolvedPreset.worker.concurrentJobs),
          );
          ctx.events.on("worker:getJob:error", ({ error }) => onFetchError(error));
          ctx.events.on("localQueue:init", ({ localQueue }) => {
            keepQueueOpen = () => keepOpen(localQueue);
            keepUrgentFirst(localQueue, ctx.resolvedPreset.worker.concurrentJobs, taskIdentifier);
          });
          return next();
        },
        migrate: async (next, { ctx, client }) => {
          await next();
          await bringUpToDate(connectionStringOf(ctx), options);
          await requireConfirmed(client);
        },
        poolGracefulShutdown: async (next) => {
          if (holder.outlives()) {
            holder.letGo();
            keepQueueOpen();
            return next();
          }
          await holder.stop();
          try {
            keepQueueOpen();
            return await next();
          } finally {
            await holder.close();
          }
        },
      },
      hooks: {
        startWorker: (_ctx, { tasks }) => {
          (tasks as { -readonly [name in keyof TaskList]: TaskList[name] })[taskIdentifier] = holder.deliver;
        },
      },
    },
  };
};

/**
 * The preset, and the ends of its engine. With onBroken it is for somebody who starts a new runner when one has broken, until
 * he stops and closes it.
 * @param onBroken called when a pool begins to shut down by itself; it may never come to an end
 */
export const createPreset = (options: PostriderOptions, onBroken?: () => void): LastingPreset => {
  const config = options.config ?? readConfig();
  const log = options.log ?? createLog(config.logLevel);
  const holder = createEngineHolder(options, config, log, onBroken);
  // Of a fetch that failed the answer may be lost: its jobs are locked by a pool that does not know them. Another pool frees them.
  const onFetchError =
    onBroken === undefined
      ? createFetchWatch(holder.giveUp)
      : (error: unknown) => holder.giveUp(`a fetch failed: ${messageOf(error)}`);
  const preset: GraphileConfig.Preset = {
    plugins: [createPlugin({ options, config, holder, onFetchError })],
    worker: {
      taskDirectory: fileURLToPath(new URL(`./task-list${extname(import.meta.url)}`, import.meta.url)),
      logger: createGraphileLogger(log, onFetchError),
      concurrentJobs: 128,
      maxPoolSize: 128,
      pollInterval: 100,
      localQueue: { size: 128 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      gracefulShutdownAbortTimeout: 10_000,
    },
  };
  return { preset, stop: holder.stop, close: holder.close };
};

/**
 * The preset: `export default { extends: [postrider()], worker: { taskDirectory: "tasks" } }`. Settings of the user's own
 * preset win over these.
 */
export const postrider = (options: PostriderOptions = {}): GraphileConfig.Preset => createPreset(options).preset;
