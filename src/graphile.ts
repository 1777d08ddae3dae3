/** What graphile-worker 0.18.0 says, and what it must be helped with. */
import { Logger } from "graphile-worker";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/**
 * It fails to shut down a local queue that holds jobs and does nothing else just then ("Cannot background something when the
 * queue is already released"), so the queue is given something to do until it has begun to return them.
 */
export const keepOpen = (localQueue: unknown): void => {
  const queue = localQueue as { readonly background?: (promise: Promise<void>) => void };
  queue.background?.(new Promise((resolve) => setImmediate(resolve)));
};

/**
 * It asks once which tasks there are, and keeps the answer even when that is an error: then it meets this same error at each
 * fetch, and never takes a job again.
 * @param onStuck called once when that has happened
 * @returns to be told of each error of a fetch
 */
export const createFetchWatch = (onStuck: (reason: string) => void): ((error: unknown) => void) => {
  let last: unknown;
  let times = 0;
  return (error) => {
    times = error === last ? times + 1 : 1;
    last = error;
    if (times === 2) onStuck(messageOf(error));
  };
};

/**
 * Its warnings and errors go to our log. Its job lines are left out: an attempt has one line, ours.
 * @param onFetchError told of each error of the local queue, which has no event for them
 */
export const createGraphileLogger = (log: Log, onFetchError: (error: unknown) => void): Logger =>
  new Logger(({ label, jobId }) => (level, message, meta) => {
    const method = level === "error" ? "error" : level === "warning" ? "warn" : "trace";
    log[method]({ scope: label, jobId }, message);
    if (message.startsWith("Error occurred fetching jobs")) onFetchError(meta?.error);
  });
