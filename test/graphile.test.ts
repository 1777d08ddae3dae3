/** graphile-worker's local queue, as we make it behave: a stand-in for it, to be asked at the right moment. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { keepUrgentFirst } from "../src/graphile.ts";

const task = "outbox_deliver";
const job = (priority: number, task_identifier = task) => ({ priority, task_identifier });
type FakeJob = ReturnType<typeof job>;

/** What graphile-worker 0.18.0's LocalQueue has of what is used, and what was done with it. */
const fakeQueue = (idle: number) => {
  const seen = { started: [] as FakeJob[], returned: [] as FakeJob[], fetched: [] as number[] };
  const fetching = Promise.withResolvers<void>();
  const queue = {
    fetchTimer: null as NodeJS.Timeout | null,
    getJobBatchSize: 16,
    jobQueue: [] as FakeJob[],
    workerQueue: Array.from({ length: idle }),
    fetch: () => {
      seen.fetched.push(queue.getJobBatchSize);
      fetching.resolve();
    },
    receivedJobs: (jobs: readonly FakeJob[]) => {
      seen.started.push(...jobs);
      queue.workerQueue.splice(0, jobs.length);
    },
    returnJobs: () => {
      seen.returned.push(...queue.jobQueue.splice(0));
    },
  };
  keepUrgentFirst(queue, 16, task);
  return { queue, seen, nextFetch: fetching.promise };
};

test("no more jobs are fetched than workers are idle", () => {
  const { queue, seen } = fakeQueue(11);
  queue.fetch();
  queue.workerQueue.length = 7;
  queue.fetch();
  queue.workerQueue.length = 0;
  queue.fetch();
  assert.deepEqual(seen.fetched, [8, 6, 1]);
});

test("jobs of low priority leave three quarters of the workers to urgent ones, and to other tasks", () => {
  const { queue, seen } = fakeQueue(14);
  queue.receivedJobs([job(1), job(2), job(3)]);
  assert.deepEqual(seen, { started: [job(1), job(2)], returned: [job(3)], fetched: [] });
  queue.receivedJobs([job(0), job(9, "another_task"), job(4)]);
  assert.deepEqual(seen.started.slice(2), [job(0), job(9, "another_task")]);
  assert.deepEqual(seen.returned, [job(3), job(4)]);
});

test("after jobs were given back, the next fetch waits a moment, and asks for as many as were of use", async () => {
  const { queue, seen, nextFetch } = fakeQueue(16);
  queue.receivedJobs([job(0), job(0), job(0), ...Array.from({ length: 4 }, () => job(1))]);
  assert.deepEqual(seen.returned, [job(1), job(1), job(1)]);
  queue.workerQueue.length = 16;
  queue.fetch();
  assert.deepEqual(seen.fetched, []);
  await nextFetch;
  assert.deepEqual(seen.fetched, [4]);
  assert.equal(queue.fetchTimer, null);
});
