/** What graphile-worker 0.18.0 says, and what it must be helped with. */
import { type Job, Logger } from "graphile-worker";
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

/** What of graphile-worker 0.18.0's local queue is replaced or used. */
interface LocalQueue {
  fetch: () => void;
  fetchTimer: NodeJS.Timeout | null;
  getJobBatchSize: number;
  jobQueue: readonly Job[];
  receivedJobs: (jobs: readonly Job[]) => void;
  readonly returnJobs: () => void;
  readonly workerQueue: readonly unknown[];
}

/** So much of the workers is kept for jobs of the highest priority: those of others bring up to 100 deliveries each. */
const urgentShare = 3 / 4;
/** After a fetch that brought some, the next waits for as long as that one took, and for so long at least. */
const fetchPauseMsMin = 5;
const fetchPauseMsMax = 15;

/** Each number of jobs to fetch is a prepared statement of its own: 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on are enough. */
const fetchSizeOf = (wanted: number): number => {
  const power = 2 ** Math.floor(Math.log2(wanted));
  return Math.floor(wanted >= power * 1.5 ? power * 1.5 : power);
};

/**
 * Its local queue fetches as many jobs as it is large, and looks for no others until all of them have run: those of a flood
 * stand before everything that comes later, whatever its priority. So it is made to fetch only for workers that are idle, and
 * to give back those jobs of a task that have a low priority (above 0) that would take more than a quarter of the workers.
 * @param jobsMax how many workers there are
 */
export const keepUrgentFirst = (localQueue: unknown, jobsMax: number, task: string): void => {
  const queue = localQueue as LocalQueue;
  const { fetch, getJobBatchSize: sizeMax } = queue;
  const receivedJobs = queue.receivedJobs.bind(queue);
  const reserved = Math.floor(jobsMax * urgentShare);
  let size = sizeMax;
  let pausedUntil = 0;
  let fetchedAt = 0;
  queue.fetch = () => {
    if (queue.fetchTimer !== null) clearTimeout(queue.fetchTimer);
    queue.fetchTimer = null;
    const pauseMs = pausedUntil - performance.now();
    if (pauseMs > 0) {
      queue.fetchTimer = setTimeout(queue.fetch, pauseMs);
      return;
    }
    const wanted = Math.max(Math.min(queue.workerQueue.length, size), 1);
    queue.getJobBatchSize = Math.min(fetchSizeOf(wanted), sizeMax);
    fetchedAt = performance.now();
    fetch();
  };
  queue.receivedJobs = (jobs) => {
    const { true: urgent = [], false: others = [] } = Object.groupBy(jobs, (job) =>
      job.priority > 0 && job.task_identifier === task ? "false" : "true",
    );
    const room = Math.max(queue.workerQueue.length - urgent.length - reserved, 0);
    const given = others.slice(room);
    receivedJobs([...urgent, ...others.slice(0, room)]);
    size = given.length > 0 ? jobs.length - given.length : Math.min(size * 1.5 + 1, sizeMax);
    const now = performance.now();
    if (jobs.length > 0) pausedUntil = now + Math.min(Math.max(now - fetchedAt, fetchPauseMsMin), fetchPauseMsMax);
    if (given.length === 0) return;
    const kept = queue.jobQueue;
    queue.jobQueue = given;
    queue.returnJobs();
    queue.jobQueue = kept;
  };
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
