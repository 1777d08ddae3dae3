/** How producers write: anything that inserts rows, in a transaction that is theirs. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { test } from "node:test";
import { from as copyFrom } from "pg-copy-streams";
import { testDatabase, testServer } from "../support/database.ts";
import {
  addDestination,
  addEvent,
  addEvents,
  deliveriesOf,
  deliveryOf,
  insertEvent,
  jobsOf,
} from "../support/factory.ts";
import { refusalOf } from "../support/refusal.ts";

const countsSql = `select (select count(*) from outbox.events)::int as events,
  (select count(*) from outbox.deliveries)::int as deliveries, (select count(*) from graphile_worker.jobs)::int as jobs`;

test("a committed event has its delivery and its job at once", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  const { id } = await addEvent(db);
  const { status, attempt_count } = await deliveryOf(db, id);
  assert.deepEqual([status, attempt_count], ["pending", 0]);
  assert.deepEqual(
    (await jobsOf(db)).map(({ deliveries }) => deliveries),
    [{ [subscriptionId]: [id] }],
  );
});

test("a transaction that rolls back leaves no event, no delivery and no job", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await addEvents(client, 3);
  await client.query("rollback");
  assert.deepEqual(await db.one(countsSql), { events: 0, deliveries: 0, jobs: 0 });
});

test("an open transaction shows nothing to others", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await addEvent(client);
  assert.deepEqual(await db.one(countsSql), { events: 0, deliveries: 0, jobs: 0 });
  await client.query("commit");
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 1, jobs: 1 });
});

test("a savepoint that is rolled back takes its events with it, and only those", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  const first = await addEvent(client);
  await client.query("savepoint a");
  await addEvent(client);
  await client.query("rollback to a");
  const third = await addEvent(client);
  await client.query("commit");
  const delivered = (await deliveriesOf(db)).map(({ event_id }) => event_id);
  assert.deepEqual(delivered, [first.id, third.id]);
  assert.deepEqual(
    (await jobsOf(db)).flatMap(({ deliveries }) => Object.values(deliveries).flat()),
    delivered,
  );
});

test("a producer that is refused may go on after its savepoint", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await client.query("savepoint a");
  await refusalOf(insertEvent(client, { topic: "NOT A TOPIC" }));
  await client.query("rollback to a");
  await addEvent(client);
  await client.query("commit");
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 1, jobs: 1 });
});

test("an insert of many rows has a delivery for each and a job for each hundred, in order", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  const events = await addEvents(db, 250);
  const jobs = (await jobsOf(db)).map(({ deliveries }) => deliveries[subscriptionId] ?? []);
  assert.deepEqual(
    jobs.map((ids) => ids.length),
    [100, 100, 50],
  );
  assert.deepEqual(
    jobs.flat(),
    events.map(({ id }) => id),
  );
  assert.equal((await deliveriesOf(db)).length, 250);
});

test("COPY is fanned out like an insert", async () => {
  await using db = await testDatabase();
  await addDestination(db, { filter: { total: { $gte: 500 } } });
  await using client = await db.client();
  const lines = Array.from({ length: 1000 }, (_, n) => `order.paid\t{"total": ${n}}\n`);
  await pipeline(Readable.from(lines), client.query(copyFrom("copy outbox.events (topic, payload) from stdin")));
  assert.deepEqual(await db.one(countsSql), { events: 1000, deliveries: 500, jobs: 5 });
});

test("one bad row of COPY refuses them all", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  const lines = ["order.paid\t{}\n", "Order.Paid\t{}\n"];
  const copy = pipeline(Readable.from(lines), client.query(copyFrom("copy outbox.events (topic, payload) from stdin")));
  assert.equal((await refusalOf(copy)).constraint, "topic_is_dotted_lower_case");
  assert.deepEqual(await db.one(countsSql), { events: 0, deliveries: 0, jobs: 0 });
});

test("an insert from a query, and one in a CTE, are fanned out", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query("insert into outbox.events (topic, payload) select 'a.b', to_json(n) from generate_series(1, 3) as n");
  await db.query(`with paid as (select 7 as id)
    insert into outbox.events (topic, key, payload) select 'order.paid', id::text, '{}' from paid`);
  assert.deepEqual(await db.one(countsSql), { events: 4, deliveries: 4, jobs: 2 });
});

test("an insert of no rows is no event", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query("insert into outbox.events (topic, payload) select 'a.b', '{}' where false");
  assert.deepEqual(await db.one(countsSql), { events: 0, deliveries: 0, jobs: 0 });
});

test("an event that nobody wants has neither delivery nor job", async () => {
  await using db = await testDatabase();
  await addDestination(db, { topics: ["user.*"] });
  await addEvent(db);
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 0, jobs: 0 });
});

test("deferred, a transaction commits the bare event, and a worker fans it out later", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await client.query("set local outbox.fan_out = 'deferred'");
  const events = await addEvents(client, 2500);
  await client.query("commit");
  assert.deepEqual(await db.one(countsSql), { events: 2500, deliveries: 0, jobs: 0 });
  assert.deepEqual(await db.query("select cardinality(event_ids) as n from outbox.deferred_events order by id"), [
    { n: 1000 },
    { n: 1000 },
    { n: 500 },
  ]);
  assert.deepEqual(await db.one("select outbox.fan_out_deferred() as n"), { n: 2500 });
  assert.deepEqual(await db.one("select outbox.fan_out_deferred() as n"), { n: 0 });
  assert.deepEqual(await db.one(countsSql), { events: 2500, deliveries: 2500, jobs: 25 });
  assert.deepEqual(
    (await deliveriesOf(db)).map(({ event_id }) => event_id),
    events.map(({ id }) => id),
  );

  await addEvent(client);
  assert.deepEqual(await db.one(countsSql), { events: 2501, deliveries: 2501, jobs: 26 });
});

test("deferred events of a transaction that rolls back are forgotten", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await client.query("set local outbox.fan_out = 'deferred'");
  await addEvent(client);
  await client.query("rollback");
  assert.deepEqual(await db.query("select from outbox.deferred_events"), []);
});

test("deferred inserts can be prepared for a two-phase commit", async () => {
  await using server = await testServer({ settings: { max_prepared_transactions: "2" } });
  await using db = await testDatabase({ server });
  await addDestination(db);
  await using client = await db.client();
  await client.query("begin");
  await client.query("set local outbox.fan_out = 'deferred'");
  await addEvent(client);
  await client.query("prepare transaction 'order 7'");
  assert.deepEqual(await db.one("select outbox.fan_out_deferred() as n"), { n: 0 });
  await client.query("commit prepared 'order 7'");
  assert.deepEqual(await db.one("select outbox.fan_out_deferred() as n"), { n: 1 });
});

test("a mode of fan-out that does not exist is refused with the two that do", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("set outbox.fan_out = 'later'");
  const { code, message, hint } = await refusalOf(insertEvent(client));
  assert.deepEqual([code, message], ["PR001", 'outbox.fan_out: must be immediate or deferred, not "later"']);
  assert.match(hint, /set local outbox\.fan_out = 'deferred'/);
});

test("a transaction that stays open does not keep later ones from waking the workers", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using open = await db.client();
  await open.query("begin");
  await addEvent(open);
  await using listener = await db.client();
  const notified = once(listener, "notification", { signal: AbortSignal.timeout(10_000) });
  await listener.query('listen "jobs:insert"');
  const inserting = new AbortController();
  const inserts = (async () => {
    while (!inserting.signal.aborted) await addEvent(db);
  })();
  await notified.finally(() => inserting.abort());
  await inserts;
});

test("of two open transactions that began in the same moment one wakes the workers, so that commits do not queue up", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using first = await db.client();
  await using second = await db.client();
  const locks = "select count(*)::int as n from pg_locks where locktype = 'advisory' and pid = any ($1)";
  let together = false;
  while (!together) {
    const began = [];
    for (const client of [first, second]) {
      await client.query("begin");
      began.push(
        (await client.query("select floor(extract(epoch from now()) * 10) as tenth, pg_backend_pid() as pid")).rows[0],
      );
      await addEvent(client);
    }
    together = began[0].tenth === began[1].tenth;
    const { n } = await db.one<{ n: number }>(locks, [began.map(({ pid }) => pid)]);
    assert.equal(n, together ? 1 : 2);
    for (const client of [first, second]) await client.query("rollback");
  }
});
