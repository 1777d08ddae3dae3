/** Two versions of Postrider at one database: neither harms the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { migrate } from "../src/migrate.ts";
import { isNewer, version } from "../src/version.ts";
import { spawnWorker } from "./chaos/support/worker.ts";
import { type TestDatabase, testDatabase } from "./support/database.ts";
import { addDestination, addEvent, addEvents, deliveriesOf, deliveryOf } from "./support/factory.ts";
import { newerPreset, writeNewerJobs } from "./support/newer.ts";
import { startReceiver } from "./support/receiver.ts";
import { startTestWorker } from "./support/worker.ts";

const jobsSql = `select payload ->> 'v' as v, attempts, last_error,
  created_at = (select min(created_at) from outbox.deliveries) as of_its_deliveries
  from graphile_worker._private_jobs where locked_at is null`;

const newerTask = "select id from graphile_worker._private_tasks where identifier = 'outbox_deliver_v2'";

test("a worker leaves a newer version's job as it is, with all its attempts, and says so once", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await addDestination(db, { config: { url: receiver.url } });
  await writeNewerJobs(db);
  await using worker = await startTestWorker(db);
  await addEvent(db);
  const job = await db.until(`${jobsSql} and task_id = (${newerTask})`);
  assert.deepEqual(job, { v: "2", attempts: 0, last_error: null, of_its_deliveries: true });
  await addEvent(db);
  await db.until(
    `select count(*)::int as n from (${jobsSql} and task_id = (${newerTask})) as j`,
    [],
    ({ n }) => n === 2,
  );
  const [delivery] = await deliveriesOf(db);
  assert.deepEqual([delivery?.status, delivery?.attempt_count], ["pending", 0]);
  assert.equal(receiver.count, 0);
  const warnings = worker.lines.filter(({ msg }) => msg === "jobs of a newer Postrider are left to its workers");
  assert.deepEqual(
    warnings.map(({ level, v, known }) => ({ level, v, known })),
    [{ level: 40, v: 2, known: 1 }],
  );
});

test("a job that is put off runs again the more rarely the longer it has waited, and keeps its place", async () => {
  await using db = await testDatabase();
  for (const [age, least, most] of [
    [0, 1, 2],
    [100, 25, 50],
    [86_400, 60, 120],
  ] as const) {
    await db.query("delete from graphile_worker._private_jobs");
    const { id } = await db.one("select (graphile_worker.add_job('outbox_deliver', '{\"v\": 2}', priority => 7)).id");
    await db.query(
      "update graphile_worker._private_jobs set attempts = 1, locked_by = 'me', locked_at = now(), created_at = now() - make_interval(secs => $1)",
      [age],
    );
    await db.query("select outbox.put_off_job($1)", [id]);
    const { seconds, priority, attempts } = await db.one(
      `select extract(epoch from run_at - now())::float as seconds, priority, attempts
       from graphile_worker._private_jobs where id > $1`,
      [id],
    );
    assert.ok(seconds > least - 1 && seconds <= most, `${seconds} s after ${age} s`);
    assert.deepEqual([priority, attempts], [7, 0]);
  }
});

test("deliveries whose jobs wait for a newer version are not given more", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await db.one("select outbox.uuid_at(now() - interval '5 minutes') as id");
  await addEvent(db, { id });
  await db.query("select outbox.hand_over_job(id, 2) from graphile_worker._private_jobs");
  await db.query(`delete from graphile_worker._private_jobs where task_id <> (${newerTask})`);
  assert.deepEqual(await db.one("select outbox.reconcile() as n"), { n: 0 });
  await db.query(
    "update outbox.deliveries set next_attempt_at = now() - interval '1 hour', job_at = now() - interval '1 hour'",
  );
  await db.query("update graphile_worker._private_jobs set run_at = now() - interval '1 minute'");
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 0 });
  await db.query("delete from graphile_worker._private_jobs");
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 1 });
});

test("with workers of both versions each delivery is made once, by the newer", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await addDestination(db, { config: { url: receiver.url } });
  await writeNewerJobs(db);
  await using older = await startTestWorker(db);
  await addEvents(db, 150);
  await older.logged(({ msg }) => msg === "jobs of a newer Postrider are left to its workers");
  await using newer = await startTestWorker(db, { preset: newerPreset });
  await db.until(
    "select count(*)::int as n from outbox.deliveries where status <> 'delivered'",
    [],
    ({ n }) => n === 0,
  );
  const { workerId } = await newer.logged(({ msg }) => msg === "worker joined");
  assert.equal(receiver.count, 150);
  assert.deepEqual(await db.query("select worker_id, number, count(*)::int from outbox.attempts group by 1, 2"), [
    { worker_id: workerId, number: 1, count: 150 },
  ]);
});

test("a worker under which the database is migrated leaves its jobs to others, with all their attempts", async () => {
  await using db = await testDatabase();
  await using receiver = await startReceiver();
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startTestWorker(db);
  await db.query("alter function outbox.load_deliveries(uuid, uuid[], uuid[]) rename to load_deliveries_1");
  const { id } = await addEvent(db);
  const isTold = ({ msg }: { msg: string }) => /^the database was migrated by another Postrider/.test(msg);
  assert.equal((await worker.logged(isTold)).code, "42883");
  await db.until(`${jobsSql} and attempts = 0 and last_error is null and run_at > now()`);
  assert.equal((await deliveryOf(db, id)).attempt_count, 0);

  await db.query("alter function outbox.load_deliveries_1(uuid, uuid[], uuid[]) rename to load_deliveries");
  await receiver.waitFor(1);
  await db.until("select from outbox.deliveries where status = 'delivered' and attempt_count = 1");
  assert.equal(worker.lines.filter(isTold).length, 1);
});

const laterMigration =
  "insert into outbox.applied_files (path, checksum, version) values ('migrations/9999_later.sql', '', '99.0.0')";

const readyToDeliver = async (db: TestDatabase) => {
  await addDestination(db);
  return addEvent(db);
};

test("a worker that is older than the database's migrations does not start, says why, and touches nothing", async () => {
  await using db = await testDatabase();
  const { id } = await readyToDeliver(db);
  await db.query(laterMigration);
  for (const migrating of [true, false]) {
    await assert.rejects(
      startTestWorker(db, { migrate: migrating }),
      /has migrations\/9999_later\.sql, which this version of Postrider does not know: use the newer version here too/,
    );
  }
  await using refused = spawnWorker(db.url);
  const { code, stderr } = await refused.log.until(({ msg }) => msg === "the process ended");
  assert.notEqual(code, 0);
  assert.match(String(stderr), /migrations\/9999_later\.sql, which this version of Postrider does not know/);
  assert.equal((await deliveryOf(db, id)).attempt_count, 0);
  assert.deepEqual(await db.query("select from outbox.workers"), []);
  assert.deepEqual(await db.query("select from graphile_worker._private_jobs where attempts > 0"), []);
});

test("a worker that is not to migrate refuses a database that is behind it, and names what is missing", async () => {
  await using db = await testDatabase();
  const { id } = await readyToDeliver(db);
  await db.query("update outbox.applied_files set checksum = 'old' where path = 'functions/wake.sql'");
  await assert.rejects(
    startTestWorker(db, { migrate: false }),
    /lacks 1 change, the first is functions\/wake\.sql: run postrider migrate/,
  );
  assert.equal((await deliveryOf(db, id)).attempt_count, 0);
  assert.deepEqual(await db.query("select from outbox.workers"), []);
  await using _worker = await startTestWorker(db);
});

test("an older worker that is started again leaves the functions of a newer version as they are", async () => {
  await using db = await testDatabase();
  await db.query(
    `update outbox.applied_files set checksum = 'newer', version = '99.0.0' where path = 'functions/wake.sql'`,
  );
  await db.query("comment on function outbox.wake(uuid[], uuid[], timestamptz, integer) is 'newer'");
  const comment = `select obj_description('outbox.wake(uuid[], uuid[], timestamptz, integer)'::regprocedure, 'pg_proc') as text`;
  assert.deepEqual((await migrate({ connectionString: db.url })).pending, []);
  await using _worker = await startTestWorker(db, { migrate: false });
  assert.deepEqual(await db.one(comment), { text: "newer" });

  await db.query("update outbox.applied_files set version = '0.0.9' where path = 'functions/wake.sql'");
  assert.deepEqual((await migrate({ connectionString: db.url })).pending, ["functions/wake.sql"]);
  assert.notDeepEqual(await db.one(comment), { text: "newer" });
  assert.deepEqual(await db.query("select distinct version from outbox.applied_files"), [{ version }]);
});

test("versions are compared by their numbers", () => {
  const newer = [
    ["0.10.0", "0.9.1"],
    ["1.0.0", "0.99.99"],
    ["0.1.1", "0.1.0"],
    ["0.1.0", ""],
  ] as const;
  for (const [left, right] of newer) assert.deepEqual([isNewer(left, right), isNewer(right, left)], [true, false]);
  assert.deepEqual([isNewer("0.1.0", "0.1.0"), isNewer("0.1.0-beta.1", "0.1.0")], [false, false]);
});
