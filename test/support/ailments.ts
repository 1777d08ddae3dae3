/** Ways in which an installation can be ill, and what the doctor says of each. */
import type { Level } from "../../src/finding.ts";
import { ailmentsOfWork } from "./ailments_of_work.ts";
import type { TestDatabase } from "./database.ts";
import { addDestination, addEvent, addOldEvent } from "./factory.ts";
import { failedWith, startHandWorker } from "./hand_worker.ts";

const key = `k1:${Buffer.alloc(32, 7).toString("base64")}`;
const withKey = { POSTRIDER_KEYS: key };

/** The server says that it is another time. */
const shiftClock = async (db: TestDatabase, shift: string) => {
  await db.query("create schema another_time");
  await db.query(`create function another_time.clock_timestamp() returns timestamptz
    language sql return pg_catalog.clock_timestamp() ${shift}`);
  const { name } = await db.one("select current_database() as name");
  await db.query(`alter database ${name} set search_path = another_time, pg_catalog, public`);
};

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
  ...ailmentsOfWork,
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
    check: "clock",
    finds: "that the server and this machine do not have the same time",
    level: "problem",
    message: /^the server's clock is (119|120)\d{3} ms behind this machine's/,
    given: (db) => shiftClock(db, "- interval '2 minutes'"),
  },
  {
    check: "clock",
    finds: "that the two clocks begin to part",
    level: "warning",
    message: /^the server's clock is \d{4} ms ahead of this machine's/,
    given: (db) => shiftClock(db, "+ interval '5 seconds'"),
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
    check: "circuits",
    finds: "a destination whose circuit does not close",
    level: "warning",
    message: /^erp \(tenant default\) fails, its circuit is open since 3 h: failed: http_status$/,
    given: async (db) => {
      const policy = { schedule_seconds: [0], jitter: 0, circuit: { failures: 1, span_seconds: 0 } };
      await addDestination(db, { name: "erp", policy });
      await addEvent(db);
      await (await startHandWorker(db)).attempt(failedWith());
      await db.query("update outbox.holds set since = now() - interval '3 hours' where reason = 'circuit_open'");
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
];
