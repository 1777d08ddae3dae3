/** A worker inside your own process: graphile-worker with the postrider() preset, started again whenever it ends. */
import { setTimeout as wait } from "node:timers/promises";
import { type Runner, run } from "graphile-worker";
import { readConfig } from "./config.ts";
import { openJobPool } from "./database.ts";
import { codeOf, messageOf, PostriderError } from "./errors.ts";
import { createLog } from "./log.ts";
import { createPreset, type PostriderOptions } from "./preset.ts";

/** How to start a worker. */
export interface WorkerOptions extends PostriderOptions {
  /** Default: DATABASE_URL. */
  readonly connectionString?: string | undefined;
  /** Your own graphile-worker preset: tasks, crontab, concurrency. Its settings win. */
  readonly preset?: GraphileConfig.Preset;
}

/** A running worker. */
export interface Worker extends AsyncDisposable {
  /** Stops taking jobs, lets what is in flight end (7 s at most), and resolves when nothing is locked any more. */
  readonly stop: () => Promise<void>;
}

const restartDelayMsMin = 100;
const restartDelayMsMax = 500;
/** What is in flight has ended by then; graphile-worker 0.18.0 may hang when the database breaks off at the same time. */
const stopMsMax = 9_000;
/** A runner that lived for that long has earned a quick start. */
const steadyMs = 10_000;

/**
 * Starts a worker. When its runner ends for any reason (a lost database, most likely) it is started again, with growing
 * pauses up to half a second, until `stop`.
 * @throws PostriderError when the first start fails
 */
export const startWorker = async (options: WorkerOptions = {}): Promise<Worker> => {
  const config = options.config ?? readConfig();
  const log = options.log ?? createLog(config.logLevel);
  const connectionString = options.connectionString ?? config.databaseUrl;
  if (connectionString === undefined) {
    throw new PostriderError("POSTRIDER_DATABASE_URL_MISSING", "set DATABASE_URL, or give a connectionString");
  }
  let broken = Promise.withResolvers<void>();
  const lasting = createPreset({ ...options, config, log }, () => broken.resolve());
  const preset: GraphileConfig.Preset = {
    extends: [lasting.preset, options.preset ?? {}],
    worker: { connectionString },
  };
  const connectionsMax = options.preset?.worker?.maxPoolSize ?? lasting.preset.worker?.maxPoolSize ?? 10;
  const start = async (): Promise<Runner> => {
    const pgPool = openJobPool({
      connectionString,
      connectionsMax,
      onError: (error) => log.warn({ code: codeOf(error) }, "a database connection for jobs broke"),
    });
    const close = (): void => void pgPool.end().catch(() => {});
    broken = Promise.withResolvers<void>();
    try {
      const started = await run({ preset, pgPool, noHandleSignals: true });
      started.promise.then(close, close);
      return started;
    } catch (error) {
      close();
      throw error;
    }
  };

  const stopping = new AbortController();
  const pause = (ms: number) => wait(ms, undefined, { signal: stopping.signal }).catch(() => {});
  let runner = await start();
  const restart = async (): Promise<void> => {
    for (
      let delayMs = restartDelayMsMin;
      !stopping.signal.aborted;
      delayMs = Math.min(delayMs * 2, restartDelayMsMax)
    ) {
      try {
        runner = await start();
        return;
      } catch (error) {
        log.error({ reason: messageOf(error), delayMs }, "the worker cannot start, trying again");
        await pause(delayMs);
      }
    }
  };
  /** Resolves with the reason. A runner whose pool breaks may hang for ever (graphile-worker 0.18.0), so nobody waits for it. */
  const endOf = (present: Runner): Promise<string> =>
    Promise.race([
      present.promise.then(() => "it ended by itself", messageOf),
      broken.promise.then(() => "its pool broke"),
    ]);
  const keepRunning = async (): Promise<void> => {
    for (let delayMs = restartDelayMsMin; ; delayMs = Math.min(delayMs * 2, restartDelayMsMax)) {
      const startedAt = performance.now();
      const reason = await endOf(runner);
      if (stopping.signal.aborted) return;
      if (performance.now() - startedAt > steadyMs) delayMs = restartDelayMsMin;
      log.error({ reason, delayMs }, "the worker's runner ended, starting it again");
      void runner.stop("its pool broke").catch(() => {});
      await pause(delayMs);
      await restart();
      // The stop came during the start.
      if (stopping.signal.aborted) await runner.stop("stopped by its owner").catch(() => {});
    }
  };
  const running = keepRunning();

  const stop = async (): Promise<void> => {
    if (stopping.signal.aborted) return running;
    stopping.abort();
    await lasting.stop();
    await Promise.race([
      runner.stop("stopped by its owner").catch(() => {}),
      wait(stopMsMax, undefined, { ref: false }),
    ]);
    broken.resolve();
    await running;
    await lasting.close();
  };
  return { stop, [Symbol.asyncDispose]: stop };
};
