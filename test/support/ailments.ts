/** Ways in which an installation can be ill, and what the doctor says of each. */
import type { Level } from "../../src/finding.ts";
import type { TestDatabase } from "./database.ts";
import { addDestination, addEvent, addOldEvent } from "./factory.ts";

const key = `k1:${Buffer.alloc(32, 7).toString("base64")}`;
const withKey = { POSTRIDER_KEYS: key };

const beat =
  "insert into outbox.workers (id, pool_id, hostname, pid, version) values (gen_random_uuid(), 'pool-1', 'here', 1, $1)";
const deadLetter = `update outbox.deliveries set status = 'dead', dead_at = now(), finished_at = now(), error_code = 'gone'`;

/** One way to be ill. */
export interface Ailment {
  readonly check: string;
  readonly finds: string;
  readonly level: Level;
  readonly message: RegExp;
  /** Breaks a healthy database. */
  readonly given: (db: TestDatabase) => Promise<unknown>;
  readonly env?: NodeJS.ProcessEnv;
  /** The remedy can be run as it stands, and mends it. */
  readonly mends?: boolean;
}

export const ailments: readonly Ailment[] = [
  {
    check: "migrations",
    finds: "a file that was not applied",
    level: "problem",
    message: /lacks 1 change, the first is functions\/wake\.sql/,
    given: (db) => db.query("delete from outbox.applied_files where path = 'functions/wake.sql'"),
  },
  {
    check: "migrations",
    finds: "a database that a newer Postrider migrated",
    level: "problem",
    message: /migrations\/9999_later\.sql/,
    given: (db) =>
      db.query("insert into outbox.applied_files (path, checksum) values ('migrations/9999_later.sql', '')"),
  },
  {
    check: "settings",
    finds: "commits that are not waited for",
    level: "warning",
    message: /synchronous_commit is off/,
    given: async (db) => {
      const { name } = await db.one("select current_database() as name");
      await db.query(`alter database ${name} set synchronous_commit = off`);
    },
  },
  {
    check: "instance",
    finds: "a restored copy",
    level: "problem",
    message: /is a copy/,
    given: (db) => db.query("update outbox.instance set system_identifier = 1"),
    mends: true,
  },
  {
    check: "instance",
    finds: "that nobody confirmed the database",
    level: "problem",
    message: /nobody has confirmed/,
    given: (db) => db.query("delete from outbox.instance"),
    mends: true,
  },
  {
    check: "triggers",
    finds: "a trigger that is disabled",
    level: "problem",
    message: /events\._500_fan_out is disabled/,
    given: (db) => db.query("alter table outbox.events disable trigger _500_fan_out"),
    mends: true,
  },
  {
    check: "triggers",
    finds: "a trigger that only fires on replicas",
    level: "problem",
    message: /events\._500_fan_out is disabled/,
    given: (db) => db.query("alter table outbox.events enable replica trigger _500_fan_out"),
    mends: true,
  },
  {
    check: "triggers",
    finds: "a trigger that is missing",
    level: "problem",
    message: /events\._500_fan_out is missing/,
    given: (db) => db.query("drop trigger _500_fan_out on outbox.events"),
  },
  {
    check: "partitions",
    finds: "that today has no partition",
    level: "problem",
    message: /missing: events_\d{8}$/,
    given: async (db) => {
      const { today } = await db.one("select to_char(now() at time zone 'UTC', 'YYYYMMDD') as today");
      await db.query(`drop table outbox.events_${today}`);
    },
    mends: true,
  },
  {
    check: "partitions",
    finds: "rows in a default partition",
    level: "warning",
    message: /default partitions hold rows of \d{4}-\d\d-\d\d, /,
    given: (db) => addOldEvent(db, 3),
    mends: true,
  },
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
    check: "secrets",
    finds: "that no key is configured",
    level: "warning",
    message: /no key is configured/,
    given: async () => {},
  },
  {
    check: "secrets",
    finds: "a secret that was not sealed",
    level: "warning",
    message: /1 secret not sealed/,
    given: (db) => addDestination(db),
    env: withKey,
  },
  {
    check: "secrets",
    finds: "a secret that is sealed with a key it does not have",
    level: "problem",
    message: /sealed with k0, which POSTRIDER_KEYS does not have/,
    given: async (db) => {
      await addDestination(db);
      await db.query("select outbox.seal_secret(id, value, 'sealed', 'k0') from outbox.destination_secrets");
    },
    env: withKey,
  },
  {
    check: "destinations",
    finds: "a destination with a problem",
    level: "problem",
    message: /^erp \(tenant default\): the address is private$/,
    given: async (db) => {
      const { id } = await addDestination(db, { name: "erp" });
      await db.query(
        "select outbox.mark_checked(id, version, 'the address is private') from outbox.destinations where id = $1",
        [id],
      );
    },
  },
  {
    check: "destinations",
    finds: "a destination that is disabled",
    level: "warning",
    message: /^erp \(tenant default\) is disabled: moved away$/,
    given: async (db) => {
      const { id } = await addDestination(db, { name: "erp" });
      await db.query("select outbox.disable_destination($1, 'moved away')", [id]);
    },
    mends: true,
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
];
