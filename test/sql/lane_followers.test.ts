/** What a worker claims behind the head of a lane, what becomes of it, and what happens when several meet at a lane. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf, deliveryOf, jobsOf } from "../support/factory.ts";
import { type ClaimedRow, type DeliveryName, delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

const addLane = (db: TestDatabase, length: number): Promise<{ id: string }[]> =>
  db.query(
    "insert into outbox.events (topic, key, payload) select 'a', 'a', '{}' from generate_series(1, $1) returning id",
    [length],
  );

/** Claims up to so many behind each of these. */
const follow = (db: TestDatabase, workerId: string, heads: readonly DeliveryName[], count: number) =>
  db.query<ClaimedRow>(
    "select * from outbox.claim_followers($1, $2, $3, array_fill($4::integer, array[$5::integer]))",
    [workerId, heads.map((row) => row.event_id), heads.map((row) => row.subscription_id), count, heads.length],
  );
const unclaim = (db: TestDatabase, workerId: string, rows: readonly DeliveryName[]) =>
  db.query("select outbox.unclaim_deliveries($1, $2, $3)", [
    workerId,
    rows.map((row) => row.event_id),
    rows.map((row) => row.subscription_id),
  ]);

const idsOf = (rows: readonly { event_id: string }[]): string[] => rows.map((row) => row.event_id);
const statesOf = async (db: TestDatabase): Promise<string[]> =>
  (await deliveriesOf(db)).map((row) => row.held_reason ?? (row.claimed_by === null ? row.status : "claimed"));
const takeJobs = (db: TestDatabase) => db.query("delete from graphile_worker._private_jobs");
const wokenIn = async (db: TestDatabase): Promise<string[]> =>
  (await jobsOf(db)).flatMap(({ deliveries }) => Object.values(deliveries).flat());

test("those right behind a claimed head are claimed with it, in order", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const ids = (await addLane(db, 5)).map(({ id }) => id);
  const worker = await startHandWorker(db);
  const head = await worker.claim();
  const first = await follow(db, worker.id, head, 2);
  assert.deepEqual(idsOf(first), ids.slice(1, 3));
  assert.deepEqual(
    first.map(({ attempt }) => attempt),
    [1, 1],
  );
  assert.deepEqual(idsOf(await follow(db, worker.id, first.slice(1), 10)), ids.slice(3));
});

test("nobody else may follow: not another worker, not behind what is not claimed", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addLane(db, 3);
  const worker = await startHandWorker(db);
  const other = await startHandWorker(db);
  const all = await deliveriesOf(db);
  assert.deepEqual(await follow(db, worker.id, all.slice(0, 1), 10), []);
  const head = await worker.claim();
  assert.deepEqual(await follow(db, other.id, head, 10), []);
  assert.deepEqual(await follow(db, worker.id, all.slice(1, 2), 10), []);
});

test("what may not go yet is not claimed, nor anything behind it", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addLane(db, 2);
  await addEvent(db, { key: "a", deliver_after: new Date(Date.now() + 3_600_000) });
  await addLane(db, 1);
  const worker = await startHandWorker(db);
  const head = await worker.claim();
  assert.equal((await follow(db, worker.id, head, 10)).length, 1);
});

test("what was held in its lane before its time came keeps that time", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addLane(db, 1);
  const inAnHour = new Date(Date.now() + 3_600_000);
  const { id } = await addEvent(db, { key: "a", deliver_after: inAnHour });
  await db.query(
    "update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'lane', next_attempt_at = null where event_id = $1",
    [id],
  );
  const worker = await startHandWorker(db);
  const head = await worker.claim();
  assert.deepEqual(await follow(db, worker.id, head, 10), []);
  await takeJobs(db);
  await worker.record(head, delivered);
  const { status, next_attempt_at } = await deliveryOf(db, id);
  assert.deepEqual([status, next_attempt_at?.getTime()], ["pending", inAnHour.getTime()]);
  assert.deepEqual(await wokenIn(db), []);
});

test("lanes go one by one where a limit counts each delivery, and where the destination was disabled", async () => {
  for (const policy of [{ rate_per_second: 5 }, { in_flight_max: 2 }, {}]) {
    await using db = await testDatabase();
    const { id } = await addDestination(db, { ordered: true, policy });
    await addLane(db, 3);
    const worker = await startHandWorker(db);
    const head = await worker.claim();
    if (Object.keys(policy).length === 0) await db.query("select outbox.disable_destination($1)", [id]);
    assert.deepEqual(await follow(db, worker.id, head, 10), []);
  }
});

test("those that are given back wait in their lane again and have used no attempt", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addLane(db, 3);
  const worker = await startHandWorker(db);
  const head = await worker.claim();
  const followers = await follow(db, worker.id, head, 10);
  await takeJobs(db);
  await unclaim(db, worker.id, followers);
  assert.deepEqual(await statesOf(db), ["claimed", "lane", "lane"]);
  assert.deepEqual(await wokenIn(db), []);
  assert.deepEqual(
    (await deliveriesOf(db)).map(({ attempt_count }) => attempt_count),
    [1, 0, 0],
  );
  await worker.record(head, failedWith());
  assert.deepEqual(await statesOf(db), ["pending", "lane", "lane"]);
});

test("followers whose claim was never answered are found and given back", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addLane(db, 3);
  const worker = await startHandWorker(db);
  const [head] = await worker.claim();
  await follow(db, worker.id, head === undefined ? [] : [head], 10);
  await db.query("select outbox.unclaim_followers($1, array[$2::uuid], array[$3::uuid])", [
    worker.id,
    head?.event_id,
    head?.subscription_id,
  ]);
  assert.deepEqual(await statesOf(db), ["claimed", "lane", "lane"]);
});

test("recording the head while its followers are claimed gives nobody a job", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await addLane(db, 3);
  const worker = await startHandWorker(db);
  const head = await worker.claim();
  await follow(db, worker.id, head, 1);
  await takeJobs(db);
  await worker.record(head, delivered);
  assert.deepEqual(await wokenIn(db), []);
  assert.deepEqual(await statesOf(db), ["delivered", "claimed", "lane"]);
});

test("what a lost worker had claimed of a lane is closed as unknown and goes on in order", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const ids = (await addLane(db, 4)).map(({ id }) => id);
  const worker = await startHandWorker(db);
  const heir = await startHandWorker(db);
  const head = await worker.claim();
  await follow(db, worker.id, head, 2);
  await worker.record(head, delivered);
  await worker.fallSilent();
  await takeJobs(db);
  await db.query("select outbox.sweep_workers()");
  assert.deepEqual(await wokenIn(db), ids.slice(1, 3));
  const claimed = await heir.claim((await deliveriesOf(db)).slice(1, 3));
  assert.deepEqual(
    claimed.map(({ event_id, attempt }) => [event_id, attempt]),
    [[ids[1], 2]],
  );
  assert.deepEqual(await statesOf(db), ["delivered", "claimed", "lane", "lane"]);
  const { n } = await db.one("select count(*)::integer as n from outbox.attempts where outcome = 'unknown'");
  assert.equal(n, 2);
  assert.deepEqual(idsOf(await follow(db, heir.id, claimed, 10)), ids.slice(2));
});

test("a delivery that is put behind while the head is being recorded is put to work by the record", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const [, second] = [await addEvent(db, { key: "a" }), await addEvent(db, { key: "a" })];
  const worker = await startHandWorker(db);
  const [head] = await worker.claim((await deliveriesOf(db)).slice(0, 1));
  const { subscription_id } = head as ClaimedRow;

  // The other is looked at in a transaction that is still open while the head is recorded.
  await using looking = await db.client();
  await looking.query("begin");
  await looking.query("select * from outbox.load_deliveries($1, array[$2::uuid], array[$3::uuid])", [
    worker.id,
    second.id,
    subscription_id,
  ]);
  const recorded = worker.record([head as ClaimedRow], delivered);
  await db.until("select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'");
  await looking.query("commit");
  await recorded;
  assert.equal((await deliveryOf(db, second.id)).status, "pending");
});

test("a delivery that is looked at while the head is being recorded is not held, but looked at again", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const first = await addEvent(db, { key: "a" });
  const worker = await startHandWorker(db);
  const [head] = await worker.claim();
  await using recording = await db.client();
  await recording.query("begin");
  await recording.query(
    "select outbox.record_delivered($1, array[$2::uuid], array[$3::uuid], '{1}', '{1}', '[null]', '{1}')",
    [worker.id, first.id, head?.subscription_id],
  );
  const second = await addEvent(db, { key: "a" });
  await takeJobs(db);
  assert.deepEqual(await worker.claim((await deliveriesOf(db)).slice(1)), []);
  await recording.query("commit");
  assert.equal((await deliveryOf(db, second.id)).status, "pending");
  assert.deepEqual(await wokenIn(db), [second.id]);
});

test("producers that take turns at a key are delivered in the order of their turns", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await db.query("create table orders (id integer primary key, n integer); insert into orders values (1, 0)");
  await using one = await db.client();
  await using two = await db.client();
  const change = "update orders set n = n + 1";
  await one.query("begin");
  await one.query(change);
  await two.query("begin");
  const waiting = two.query(change);
  await db.until("select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'");
  const first = await addEvent(one, { key: "a" });
  await one.query("commit");
  await waiting;
  const second = await addEvent(two, { key: "a" });
  await two.query("commit");
  const worker = await startHandWorker(db);
  const claimed = await worker.claim((await deliveriesOf(db)).toReversed());
  assert.deepEqual(idsOf(claimed), [first.id]);
  assert.deepEqual(idsOf(await follow(db, worker.id, claimed, 10)), [second.id]);
});

test("deferred events of an ordered subscription are fanned out by one worker at a time", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  await using producer = await db.client();
  await producer.query("set outbox.fan_out = 'deferred'");
  await addEvent(producer, { key: "a" });
  await using first = await db.client();
  await first.query("begin");
  await first.query("select outbox.fan_out_deferred()");
  await addEvent(producer, { key: "a" });
  assert.deepEqual(await db.one("select outbox.fan_out_deferred() as n"), { n: 0 });
  await first.query("commit");
  assert.deepEqual(await db.one("select outbox.fan_out_deferred() as n"), { n: 1 });
});

test("a lane that stands still although nothing is before its first is found", async () => {
  await using db = await testDatabase();
  await addDestination(db, { ordered: true });
  const [first] = await addLane(db, 2);
  await db.query(
    "update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'lane' where status = 'pending'",
  );
  await takeJobs(db);
  assert.deepEqual(await db.one("select outbox.tend_lanes(1) as n"), { n: 1 });
  assert.deepEqual(await wokenIn(db), [first?.id]);
  assert.deepEqual(await db.one("select outbox.tend_lanes(1) as n"), { n: 0 });
});

test("what is not ordered stays HOT when it is claimed and recorded", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addDestination(db, { ordered: true, topics: ["other"] });
  await db.query("insert into outbox.events (topic, key, payload) select 'a', 'a', '{}' from generate_series(1, 10)");
  const worker = await startHandWorker(db);
  await worker.attempt(delivered);
  await using flush = await db.client();
  await flush.query("select pg_stat_force_next_flush()");
  const row = await db.until<{ updates: number; hot: number }>(
    `select sum(n_tup_upd)::integer as updates, sum(n_tup_hot_upd)::integer as hot from pg_stat_user_tables
     where schemaname = 'outbox' and relname like 'deliveries_%'`,
    [],
    ({ updates }) => updates >= 20,
  );
  assert.equal(row.hot, row.updates);
});
