/** What is left for later, and the priorities of jobs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvents, type Delivery, deliveriesOf } from "../support/factory.ts";
import { failedWith, startHandWorker } from "../support/hand_worker.ts";

const postpone = (db: TestDatabase, deliveries: readonly Delivery[], delaysMs: readonly number[]) =>
  db.one<{ postponed: number }>("select outbox.postpone_deliveries($1, $2, $3) as postponed", [
    deliveries.map(({ event_id }) => event_id),
    deliveries.map(({ subscription_id }) => subscription_id),
    delaysMs,
  ]);
const jobs = (db: TestDatabase) =>
  db.query<{ priority: number; seconds: number; deliveries: number }>(
    `select j.priority, round(extract(epoch from j.run_at - now()))::int as seconds,
       (select sum(json_array_length(d.value))::int from json_each(j.payload -> 'deliveries') as d) as deliveries
     from graphile_worker._private_jobs as j order by j.run_at, j.id`,
  );
const withDeliveries = async (count: number): Promise<TestDatabase> => {
  const db = await testDatabase();
  await addDestination(db);
  await addEvents(db, count);
  return db;
};

test("what is postponed waits for its own time, with a job if that is near, and has used no attempt", async () => {
  await using db = await withDeliveries(3);
  await db.query("delete from graphile_worker._private_jobs");
  assert.deepEqual(await postpone(db, await deliveriesOf(db), [2_000, 50_000, 600_000]), { postponed: 3 });
  const rows = await db.query(
    `select attempt_count, status::text, job_at is not null as has_job, round(extract(epoch from next_attempt_at - created_at))::int >= seconds as waits
     from outbox.deliveries join (values (1, 2), (2, 50), (3, 600)) as t (n, seconds) on n = (select count(*) from outbox.deliveries as d where d.seq <= deliveries.seq)
     order by seq`,
  );
  assert.deepEqual(
    rows,
    [true, true, false].map((has_job) => ({ attempt_count: 0, status: "pending", has_job, waits: true })),
  );
  assert.deepEqual(
    (await jobs(db)).map(({ priority, deliveries }) => ({ priority, deliveries })),
    [
      { priority: 1001, deliveries: 1 },
      { priority: 1001, deliveries: 1 },
    ],
  );
});

test("what is postponed far gets its job when its time is near", async () => {
  await using db = await withDeliveries(1);
  await db.query("delete from graphile_worker._private_jobs");
  await postpone(db, await deliveriesOf(db), [600_000]);
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 0 });
  await db.query("update outbox.deliveries set next_attempt_at = next_attempt_at - interval '10 minutes'");
  assert.deepEqual(await db.one("select outbox.schedule_due() as n"), { n: 1 });
});

test("what is claimed, finished, held or due later than the delay is not postponed", async () => {
  await using db = await withDeliveries(4);
  const worker = await startHandWorker(db);
  const [claimed, , held, later] = await deliveriesOf(db);
  await worker.claim([claimed as Delivery]);
  const [, cancelled] = await deliveriesOf(db);
  await db.query("update outbox.deliveries set status = 'cancelled', finished_at = now() where event_id = $1", [
    cancelled?.event_id,
  ]);
  await db.query(
    "update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'destination_disabled' where event_id = $1",
    [held?.event_id],
  );
  await db.query("update outbox.deliveries set next_attempt_at = now() + interval '1 hour' where event_id = $1", [
    later?.event_id,
  ]);
  const before = await deliveriesOf(db);
  assert.deepEqual(await postpone(db, before, [5_000, 5_000, 5_000, 5_000]), { postponed: 0 });
  assert.deepEqual(await deliveriesOf(db), before);
});

test("what somebody else has locked is passed over without waiting", async () => {
  await using db = await withDeliveries(2);
  const all = await deliveriesOf(db);
  await using other = await db.client();
  await other.query("begin");
  await other.query("select from outbox.deliveries where event_id = $1 for update", [all[0]?.event_id]);
  assert.deepEqual(await postpone(db, all, [5_000, 5_000]), { postponed: 1 });
});

test("retries come after first attempts, and before the rest of a flood", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvents(db, 1);
  const worker = await startHandWorker(db);
  await db.query("delete from graphile_worker._private_jobs");
  await worker.attempt(failedWith());
  await addEvents(db, 301);
  const priorities = (await db.query("select priority from graphile_worker._private_jobs order by priority, id")).map(
    ({ priority }) => priority,
  );
  assert.deepEqual(priorities, [0, 1, 1, 2, 3]);
  const [retry] = await db.query(
    "select priority from graphile_worker._private_jobs where run_at > now() + interval '1 second'",
  );
  assert.deepEqual(retry, { priority: 1 });
});

test("a flood of many statements in one transaction stands before nobody either, and a savepoint takes back its part of it", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await addEvents(client, 150);
  await addEvents(client, 100);
  await client.query("savepoint a");
  await addEvents(client, 500);
  await client.query("rollback to a");
  await addEvents(client, 1);
  await client.query("commit");
  await addEvents(client, 1);
  assert.deepEqual(
    (await db.query("select priority from graphile_worker._private_jobs order by id")).map(({ priority }) => priority),
    [0, 1, 1, 2, 0],
  );
});

test("a producer that sets the count of its transaction itself changes its own priority and breaks nothing", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  for (const count of ["many", "-1", "99999999999999999999", ""]) {
    await db.query(
      `begin; set local outbox.woken = '${count}'; insert into outbox.events (topic, payload) values ('a', '{}'); commit`,
    );
  }
  assert.deepEqual(await db.one("select count(*)::int as n from graphile_worker._private_jobs where priority = 0"), {
    n: 4,
  });
});

test("jobs of low priority get the highest when they are old, the oldest first, and never many at a time", async () => {
  await using db = await withDeliveries(1_001);
  assert.deepEqual(await db.one("select outbox.raise_old_jobs() as n"), { n: 0 });
  await db.query("update graphile_worker._private_jobs set run_at = now() - make_interval(secs => 10 + priority)");
  assert.deepEqual(await db.one("select outbox.raise_old_jobs(4) as n"), { n: 4 });
  const raised =
    "select array_agg(round(extract(epoch from now() - run_at))::int order by run_at) as ages from graphile_worker._private_jobs where priority = 0";
  assert.deepEqual(await db.one(raised), { ages: [20, 19, 18, 17, 10] });
  assert.deepEqual(await db.one("select outbox.raise_old_jobs(4) as n"), { n: 0 });

  await db.query(
    "delete from graphile_worker._private_jobs where priority = 0 and run_at < now() - interval '18 seconds'",
  );
  assert.deepEqual(await db.one("select outbox.raise_old_jobs(4) as n"), { n: 3 });
});
