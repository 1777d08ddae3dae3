/** Jobs of graphile-worker that vanish, are there twice, come too early, or are taken from workers that live. */

import type { Random } from "../random.ts";
import type { Fault, Stage } from "../stage.ts";
import { last } from "./support.ts";

/** Jobs for deliveries to sinks, and none else's: what is lost is found only after a minute. */
const jobsOfSinks = `
  from graphile_worker._private_jobs as j
  where j.payload::jsonb -> 'deliveries' ?| $1::text[]`;

const subscriptionsOf = ({ sinks }: Stage): readonly string[] => sinks.all.map(({ subscriptionId }) => subscriptionId);

const times = 5;

const again = async (random: Random, work: () => Promise<unknown>): Promise<void> => {
  for (let n = 0; n < times; n++) {
    await work();
    await last(random, 50, 250);
  }
};

const deletedMax = 20;
const deleteMsMax = 1_000;

/** Jobs wait for some milliseconds only: it takes many looks to find them before the workers do. */
const deleteJobs = async (stage: Stage): Promise<void> => {
  const since = performance.now();
  for (let deleted = 0; deleted < deletedMax && performance.now() - since < deleteMsMax; ) {
    const jobs = await stage.admin.query(
      `delete from graphile_worker._private_jobs
       where id in (select j.id ${jobsOfSinks} and j.locked_at is null limit 5 for update skip locked)
       returning id`,
      [subscriptionsOf(stage)],
    );
    deleted += jobs.length;
  }
};

const doubleJobs = (stage: Stage, random: Random): Promise<void> =>
  again(random, () =>
    stage.admin.query(
      `select graphile_worker.add_job('outbox_deliver', c.payload)
       from (select j.payload ${jobsOfSinks} order by random() limit 100) as c`,
      [subscriptionsOf(stage)],
    ),
  );

const runJobsEarly = (stage: Stage, random: Random): Promise<void> =>
  again(random, () =>
    stage.admin.query(
      `update graphile_worker._private_jobs set run_at = now()
       where id in (select j.id ${jobsOfSinks} and j.locked_at is null and j.run_at > now() limit 500)`,
      [subscriptionsOf(stage)],
    ),
  );

const unlockJobs = (stage: Stage, random: Random): Promise<void> =>
  again(random, () =>
    stage.admin.query("select graphile_worker.force_unlock_workers(array_agg(w.pool_id)) from outbox.workers as w"),
  );

/** The database takes a worker that lives for a lost one: others take over what it is sending. */
const giveUpWorker = ({ admin }: Stage): Promise<unknown> =>
  admin.query(
    `update outbox.workers set heartbeat_at = now() - interval '1 hour'
     where id = (select w.id from outbox.workers as w order by random() limit 1)`,
  );

export const jobFaults: readonly Fault[] = [
  { name: "jobs_deleted", lane: "database", weight: 0.5, strike: deleteJobs },
  { name: "jobs_doubled", lane: "database", strike: doubleJobs },
  { name: "jobs_run_early", lane: "database", strike: runJobsEarly },
  { name: "jobs_unlocked", lane: "database", strike: unlockJobs },
  {
    name: "worker_given_up_alive",
    lane: "database",
    strike: async (stage) => {
      await giveUpWorker(stage);
    },
  },
];
