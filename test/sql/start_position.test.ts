import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents, deliveriesOf } from "../support/factory.ts";
import { delivered, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";
import { advance, finish, progress, step } from "../support/replays.ts";

const waiting = "transactions from before the subscription";

/** Makes a second subscription of a destination that starts there. */
const subscribe = async (db: Pick<TestDatabase, "query">, destinationId: string, start: string): Promise<string> =>
  (
    await db.query("select outbox.create_subscription($1, start => $2, actor => 'ada') as id", [destinationId, start])
  )[0]?.id ?? "";

/** The events that a subscription has deliveries of, in their order. */
const eventsOf = async (db: TestDatabase, subscriptionId: string): Promise<string[]> =>
  (await deliveriesOf(db)).filter((one) => one.subscription_id === subscriptionId).map(({ event_id }) => event_id);

/** So that what was committed so far counts as settled: the frontier passes over it. */
const settle = (db: TestDatabase): Promise<unknown> =>
  db.query("update outbox.instance set frontier = outbox.uuid_at(clock_timestamp() + interval '1 ms')");

test("a subscription starts now, unless it is told otherwise: it gets nothing of the past", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await addEvents(db, 3);
  const subscriptionId = await subscribe(db, id, "now");
  await db.query("select outbox.create_subscription($1)", [id]);
  assert.deepEqual(await db.query("select from outbox.replays"), []);
  assert.deepEqual(await eventsOf(db, subscriptionId), []);
});

test("from the beginning it gets every event that it wants, oldest first, and then the live ones; none twice", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const old = await addEvents(db, 3);
  const subscriptionId = await subscribe(db, id, "beginning");
  const live = await addEvents(db, 2);
  const { status, made } = await finish(db);
  assert.deepEqual([status, made], ["done", 3]);
  assert.deepEqual(
    await eventsOf(db, subscriptionId),
    [...old, ...live].map((event) => event.id),
  );
  const attempts = await (await startHandWorker(db)).attempt(delivered);
  assert.deepEqual(attempts, []);
  const triggers = await db.query(
    "select trigger, requested_by, count(*)::int as n from outbox.attempts where subscription_id = $1 group by 1, 2 order by 3",
    [subscriptionId],
  );
  assert.deepEqual(triggers, [
    { trigger: "event", requested_by: null, n: 2 },
    { trigger: "replay", requested_by: "ada", n: 3 },
  ]);
});

test("from a time it gets the events from that time on", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const { at, before, on } = await db.one(
    `select t::text as at, outbox.uuid_at(t - interval '1 ms') as before, outbox.uuid_at(t) as on
     from date_trunc('milliseconds', now() - interval '1 minute') as t`,
  );
  await addEvent(db, { id: before });
  await addEvent(db, { id: on });
  const subscriptionId = await subscribe(db, id, at);
  assert.equal((await finish(db)).status, "done");
  assert.deepEqual(await eventsOf(db, subscriptionId), [on]);
});

test("a new destination may start in the past too, by its topics and filter", async () => {
  await using db = await testDatabase();
  const wanted = await addEvent(db, { topic: "a.b", payload: '{"n": 2}' });
  await addEvent(db, { topic: "a.b", payload: '{"n": 1}' });
  await addEvent(db, { topic: "b", payload: '{"n": 2}' });
  await addEvent(db, { topic: "a.b", payload: '{"n": 2}', tenant_id: "other" });
  await db.query(
    `select outbox.create_destination('webhook', '{"url": "https://example.com"}', topics => '{a.*}', filter => '{"n": 2}',
       start => 'beginning')`,
  );
  assert.deepEqual([(await finish(db)).status, (await progress(db)).looked_at > 3], ["done", true]);
  assert.deepEqual(
    (await deliveriesOf(db)).map(({ event_id }) => event_id),
    [wanted.id],
  );
});

test("an event of a transaction that was open across the creation, committed long after history passed, arrives once", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await addEvents(db, 2);
  await settle(db);
  await using producer = await db.client();
  await producer.query("begin");
  const open = await addEvent(producer);
  // Takes the place of the portal that the insert has left, which would keep its snapshot: only the transaction's id shows.
  await producer.query("select");
  const subscriptionId = await subscribe(db, id, "beginning");
  assert.equal((await advance(db)).waits_for, waiting);
  assert.ok(!(await eventsOf(db, subscriptionId)).includes(open.id));
  await producer.query("commit");
  assert.equal((await finish(db)).status, "done");
  assert.equal((await eventsOf(db, subscriptionId)).filter((event) => event === open.id).length, 1);
  assert.equal((await eventsOf(db, subscriptionId)).length, 3);
});

test("so does one that a repeatable read transaction from before the creation inserts after it", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await using producer = await db.client();
  await producer.query("begin isolation level repeatable read; select from outbox.lag");
  const subscriptionId = await subscribe(db, id, "beginning");
  assert.equal((await advance(db)).waits_for, waiting);
  const hidden = await addEvent(producer);
  assert.equal((await advance(db)).waits_for, waiting);
  await producer.query("commit");
  assert.deepEqual(await eventsOf(db, subscriptionId), [], "its fan-out did not see the subscription");
  assert.equal((await finish(db)).status, "done");
  assert.deepEqual(await eventsOf(db, subscriptionId), [hidden.id]);
});

test("an owner without special rights sees old snapshots too, and does not wait for autovacuum", async () => {
  await using db = await testDatabase();
  const role = `${new URL(db.url).pathname.slice(1)}_owner`;
  await db.query(`create role ${role}; grant usage on schema outbox to ${role};
    grant execute on function outbox.has_snapshot_before(xid8) to ${role}`);
  await using reader = await db.client();
  await reader.query("begin isolation level repeatable read; select from outbox.lag");
  const { xid } = await db.one("select pg_current_xact_id()::text as xid");
  await using owner = await db.client();
  await owner.query(`set role ${role}`);
  const seen = async () => (await owner.query("select outbox.has_snapshot_before($1) as seen", [xid])).rows[0].seen;
  assert.equal(await seen(), true);
  await reader.query("commit");
  assert.equal(await seen(), false);
  await db.query(`drop owned by ${role}; drop role ${role}`);
});

test("so does one that was committed while the transaction that makes the subscription was still open", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await using person = await db.client();
  await person.query("begin");
  const { rows } = await person.query("select outbox.create_subscription($1, start => 'beginning') as id", [id]);
  const between = await addEvent(db);
  await using producer = await db.client();
  await producer.query("begin");
  const open = await addEvent(producer);
  await person.query("commit");
  assert.equal((await advance(db)).waits_for, waiting);
  await producer.query("commit");
  assert.equal((await finish(db)).status, "done");
  assert.deepEqual(await eventsOf(db, rows[0].id), [between.id, open.id]);
});

test("deferred events around the creation arrive once, whoever comes first", async (t) => {
  for (const first of ["history", "fan-out"]) {
    await t.test(`${first} first`, async () => {
      await using db = await testDatabase();
      const { id } = await addDestination(db);
      await using producer = await db.client();
      await producer.query("set outbox.fan_out = 'deferred'");
      const event = await addEvent(producer);
      const subscriptionId = await subscribe(db, id, "beginning");
      if (first === "fan-out") await db.query("select outbox.fan_out_deferred()");
      assert.equal((await finish(db)).status, "done");
      await db.query("select outbox.fan_out_deferred()");
      assert.deepEqual(await eventsOf(db, subscriptionId), [event.id]);
    });
  }
});

test("history never repeats what the subscription got already", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const subscriptionId = await subscribe(db, id, "beginning");
  const live = await addEvents(db, 3);
  await (await startHandWorker(db)).attempt(delivered);
  const { status, made, repeated, left_alone } = await finish(db);
  assert.deepEqual([status, made, repeated, left_alone], ["done", 0, 0, 0]);
  for (const event of live) {
    const all = await deliveriesOf(db, event.id);
    assert.deepEqual(
      all.map((each) => each.status),
      ["delivered", "delivered"],
    );
  }
  assert.equal((await eventsOf(db, subscriptionId)).length, 3);
});

test("the second pass looks only at what was not settled when the subscription was made", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await addEvents(db, 50);
  await settle(db);
  await db.query("select pg_sleep(0.005)");
  await addEvents(db, 5);
  await subscribe(db, id, "beginning");
  const { status, looked_at } = await finish(db);
  assert.deepEqual([status, looked_at], ["done", 60]);
});

test("a held subscription's history waits like a replay", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await addEvents(db, 1);
  await db.query("select outbox.disable_destination($1)", [id]);
  await subscribe(db, id, "beginning");
  await step(db);
  assert.equal((await progress(db)).waits_for, "the destination is disabled");
});

test("transaction ids from before a restore keep nobody waiting", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await addEvents(db, 1);
  await subscribe(db, id, "beginning");
  await db.query("update outbox.replays set created_xid = '4000000000', barrier_xid = '4000000001'");
  assert.equal((await finish(db)).status, "done");
});

test("a start that is none is refused, with what it can be", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  for (const [start, message] of [
    ["yesteryear", "start: must be now, beginning or a time"],
    ["", "start: must be now, beginning or a time"],
    ["infinity", "start: must not be in the future"],
    ["2999-01-01", "start: must not be in the future"],
  ] as const) {
    const refusal = await refusalOf(db.query("select outbox.create_subscription($1, start => $2)", [id, start]));
    assert.deepEqual([refusal.code, refusal.message], ["PR001", message]);
    assert.match(refusal.hint, /^start => /);
  }
  assert.equal((await db.query("select from outbox.subscriptions")).length, 1);
});
