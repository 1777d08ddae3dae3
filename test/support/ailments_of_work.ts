/** Ways in which the work of an installation can be ill: its workers, its jobs, what waits and what failed. */
import { version } from "../../src/version.ts";
import type { Ailment } from "./ailments.ts";
import { addDestination, addEvent } from "./factory.ts";
import { writeNewerJobs } from "./newer.ts";

const beat =
  "insert into outbox.workers (id, pool_id, hostname, pid, version) values (gen_random_uuid(), 'pool-1', 'here', 1, $1)";
const deadLetter = `update outbox.deliveries set status = 'dead', dead_at = now(), finished_at = now(), error_code = 'gone'`;

export const ailmentsOfWork: readonly Ailment[] = [
  {
    check: "workers",
    finds: "that no worker runs",
    level: "problem",
    message: /no worker is running/,
    given: async () => {},
  },
  {
    check: "workers",
    finds: "workers that fell silent",
    level: "problem",
    message: /no worker is alive, 1 fell silent/,
    given: async (db) => {
      await db.query(beat, ["0.1.0"]);
      await db.query("update outbox.workers set heartbeat_at = now() - interval '1 minute'");
    },
  },
  {
    check: "workers",
    finds: "workers of different versions",
    level: "warning",
    message: /different versions: 0\.1\.0, 0\.2\.0/,
    given: async (db) => {
      await db.query(beat, ["0.1.0"]);
      await db.query(beat, ["0.2.0"]);
    },
  },
  {
    check: "workers",
    finds: "a worker that fell silent beside one that lives and does not take over",
    level: "warning",
    message: /^the worker pid 1 on here fell silent 6\d s ago/,
    given: async (db) => {
      await db.query(beat, [version]);
      await db.query("update outbox.workers set heartbeat_at = now() - interval '1 minute'");
      await db.query(beat, [version]);
    },
    mends: true,
  },
  {
    check: "workers",
    finds: "workers of another version than its own",
    level: "warning",
    message: /^the workers run version 99\.0\.0, this is \d/,
    given: (db) => db.query(beat, ["99.0.0"]),
  },
  {
    check: "workers",
    finds: "a worker whose clock is wrong",
    level: "problem",
    message: /^the clock of the worker pid 1 on here is (89|90|91) s behind the server's/,
    given: async (db) => {
      await db.query(beat, [version]);
      await db.query("select outbox.heartbeat(id, clock_timestamp() - interval '90 s') from outbox.workers");
    },
  },
  {
    check: "workers",
    finds: "a worker whose clock begins to go wrong",
    level: "warning",
    message: /^the clock of the worker pid 1 on here is 5 s ahead of the server's/,
    given: async (db) => {
      await db.query(beat, [version]);
      await db.query("select outbox.heartbeat(id, clock_timestamp() + interval '5 s') from outbox.workers");
    },
  },
  {
    check: "dead_letters",
    finds: "dead letters",
    level: "warning",
    message: /^1 dead letter with gone/,
    given: async (db) => {
      await addDestination(db);
      await addEvent(db);
      await db.query(deadLetter);
    },
    mends: true,
  },
  {
    check: "backlog",
    finds: "a delivery that waits for minutes",
    level: "warning",
    message: /^1 delivery due, the oldest since 5 min/,
    given: async (db) => {
      await addDestination(db);
      await addEvent(db);
      await db.query("update outbox.deliveries set created_at = now() - interval '5 minutes'");
    },
  },
  {
    check: "backlog",
    finds: "a retry that is overdue for hours",
    level: "problem",
    message: /^1 delivery due, the oldest since 5 h/,
    given: async (db) => {
      await addDestination(db);
      await addEvent(db);
      await db.query("update outbox.deliveries set next_attempt_at = now() - interval '5 hours'");
    },
  },
  {
    check: "backlog",
    finds: "events that nobody fans out",
    level: "warning",
    message: /^1 event .* not fanned out/,
    given: (db) =>
      db.query(
        "insert into outbox.deferred_events (event_ids) values (array[outbox.uuid_at(now() - interval '2 minutes')])",
      ),
  },
  {
    check: "jobs",
    finds: "jobs that failed for good",
    level: "warning",
    message: /^1 job of task send_mail failed for good: no route/,
    given: async (db) => {
      await db.query("select graphile_worker.add_job('send_mail', max_attempts => 1)");
      await db.query("update graphile_worker._private_jobs set attempts = 1, last_error = 'no route'");
    },
    mends: true,
  },
  {
    check: "jobs",
    finds: "jobs that a lost worker holds",
    level: "problem",
    message: /^1 job locked by pool-0, which is none of the workers/,
    given: async (db) => {
      await addDestination(db);
      await addEvent(db);
      await db.query(
        "update graphile_worker._private_jobs set locked_by = 'pool-0', locked_at = now() - interval '1 minute'",
      );
    },
    mends: true,
  },
  {
    check: "jobs",
    finds: "jobs that a worker holds for hours",
    level: "warning",
    message: /^1 job locked by the worker pid 1 on here for more than 60 min/,
    given: async (db) => {
      await db.query(beat, [version]);
      await addDestination(db);
      await addEvent(db);
      await db.query(
        "update graphile_worker._private_jobs set locked_by = 'pool-1', locked_at = now() - interval '2 hours'",
      );
    },
  },
  {
    check: "jobs",
    finds: "jobs that are of a newer version",
    level: "warning",
    message: /^1 job of version 2 for workers of a newer Postrider: this one \(\d.*\) reads 1$/,
    given: async (db) => {
      await writeNewerJobs(db);
      await addDestination(db);
      await addEvent(db);
    },
  },
  {
    check: "jobs",
    finds: "a job table full of dead rows",
    level: "warning",
    message: /^the job table has 1\d{5} dead rows beside 0 jobs/,
    given: async (db) => {
      await using client = await db.client();
      await client.query("alter table graphile_worker._private_jobs set (autovacuum_enabled = off)");
      await client.query(
        "select graphile_worker.add_jobs(array_agg(row('a', '{}', null, null, null, null, null, null)::graphile_worker.job_spec)) from generate_series(1, 100001)",
      );
      await client.query("delete from graphile_worker._private_jobs");
      await client.query("select pg_stat_force_next_flush()");
    },
    mends: true,
  },
];
