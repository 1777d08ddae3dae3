/** How long events are kept by topic, what keeps a day, and what is deleted of a day that others still need. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, type GivenEvent, type MadeEvent } from "../support/factory.ts";
import { delivered, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

/** A database with a destination for everything, and with the partitions of these days ago. */
async function openDatabase(...daysAgo: readonly number[]): Promise<TestDatabase> {
  const db = await testDatabase();
  await addDestination(db, { name: "orders" });
  await db.query(
    `select outbox.create_partition(parent, (now() at time zone 'UTC')::date - day)
     from unnest($1::int[]) as day, unnest('{events,deliveries,attempts}'::text[]) as parent`,
    [daysAgo],
  );
  return db;
}

/** An event in the middle of a day (UTC) that is over for so long. */
async function addPastEvent(db: TestDatabase, daysAgo: number, given: GivenEvent = {}): Promise<MadeEvent> {
  const { at, id } = await db.one(
    `select t.at, overlay(outbox.uuid_v7()::text placing left(outbox.uuid_at(t.at)::text, 13) from 1) as id
     from (select date_trunc('day', now(), 'UTC') - make_interval(days => $1, hours => -12) as at) as t`,
    [daysAgo],
  );
  return addEvent(db, { id, created_at: at, occurred_at: at, ...given });
}

const deliverAll = async (db: TestDatabase): Promise<void> => {
  const worker = await startHandWorker(db);
  await worker.attempt(delivered);
};
const keep = (db: TestDatabase, topics: string, time: string | null) =>
  db.query("select outbox.set_retention($1, $2, actor => 'ada')", [topics, time]);
const prune = (db: TestDatabase, retention = "30 days") =>
  db.query<{ dropped: boolean; reason: string | null }>(
    "select dropped, reason from outbox.prune($1::interval) order by partition",
    [retention],
  );
const pruneRows = async (db: TestDatabase, max = 1000): Promise<number> =>
  (await db.one<{ n: number }>("select outbox.prune_rows($1) as n", [max])).n;
/** Deletes rows until nothing is left to look at. */
async function sweep(db: TestDatabase): Promise<void> {
  for (let left = 1; left > 0; ) {
    await pruneRows(db, 2);
    ({ left } = await db.one("select count(*)::int as left from outbox.pruned_days where swept_at is null"));
  }
}
const topicsOf = async (db: TestDatabase): Promise<string> =>
  (await db.query<{ topic: string }>("select topic from outbox.events order by seq"))
    .map(({ topic }) => topic)
    .join(" ");
const countsSql = `select (select count(*)::int from outbox.events) as events,
  (select count(*)::int from outbox.deliveries) as deliveries, (select count(*)::int from outbox.attempts) as attempts`;
const gone = { dropped: true, reason: null };

test("the topic itself counts before its longest prefix, that before *, and that before the configuration", async () => {
  await using db = await testDatabase();
  const keptOf = async (topic: string) =>
    (await db.one("select extract(day from outbox.keep_of($1, '30 days'))::int as days", [topic])).days;
  assert.equal(await keptOf("order.paid"), 30);
  for (const [topics, days] of Object.entries({
    "*": 20,
    "order.*": 3,
    "order.item.*": 5,
    "order.paid": 7,
    "order.x": 9,
  })) {
    await keep(db, topics, `${days} days`);
  }
  const kept = ["order.paid", "order.item.sold", "order.item", "order.x", "order.x.y", "user.made"].map(keptOf);
  assert.deepEqual(await Promise.all(kept), [7, 5, 3, 9, 3, 20]);
  await keep(db, "order.paid", "8 days");
  assert.equal(await keptOf("order.paid"), 8);
  await keep(db, "order.paid", null);
  assert.equal(await keptOf("order.paid"), 3);
  const [last] = await db.query("select actor, detail from outbox.audit_log order by id desc offset 1 limit 1");
  assert.deepEqual(last, { actor: "ada", detail: { topics: "order.paid", keep: "8 days" } });
});

test("a retention that no partition can have, or of what is no topic, is refused", async () => {
  await using db = await testDatabase();
  for (const [topics, time] of [
    ["order.paid", "23 hours"],
    ["order.paid", "-3 days"],
    ["order.paid", "101 years"],
    ["Order", "3 days"],
    ["order*", "3 days"],
  ] as const) {
    assert.equal((await refusalOf(keep(db, topics, time))).code, "PR001", `${topics} ${time}`);
  }
});

test("a day is dropped as soon as every topic in it is past its retention", async () => {
  await using db = await openDatabase(5, 10);
  await keep(db, "cart.*", "3 days");
  await keep(db, "audit.*", "400 days");
  await addPastEvent(db, 5, { topic: "cart.seen" });
  await addPastEvent(db, 10, { topic: "cart.seen" });
  await deliverAll(db);
  assert.deepEqual(await prune(db), [gone, gone]);
  assert.deepEqual(await db.one(countsSql), { events: 0, deliveries: 0, attempts: 0 });
});

test("a day that some topics need is kept for them, and the rows of the others are deleted", async () => {
  await using db = await openDatabase(5, 2);
  await keep(db, "cart.*", "3 days");
  for (const topic of ["cart.seen", "order.paid", "cart.left", "cart.seen"]) await addPastEvent(db, 5, { topic });
  await addPastEvent(db, 2, { topic: "cart.seen" });
  await addEvent(db, { topic: "cart.seen" });
  await deliverAll(db);
  assert.deepEqual(await prune(db), []);
  assert.ok([1, 2].includes(await pruneRows(db, 2)));
  await sweep(db);
  assert.equal(await topicsOf(db), "order.paid cart.seen cart.seen");
  assert.deepEqual(await db.one(countsSql), { events: 3, deliveries: 3, attempts: 3 });
  assert.equal(await pruneRows(db), 0);

  await db.query("select outbox.prune('4 days')");
  assert.equal(await topicsOf(db), "cart.seen cart.seen");
  assert.deepEqual(await db.query("select from outbox.pruned_days"), []);
});

test("a topic that is kept longer than the rest outlives it in its day", async () => {
  await using db = await openDatabase(40);
  await keep(db, "audit.*", "400 days");
  for (const topic of ["order.paid", "audit.login", "order.sent"]) await addPastEvent(db, 40, { topic });
  await deliverAll(db);
  assert.deepEqual(await prune(db), []);
  await sweep(db);
  assert.equal(await topicsOf(db), "audit.login");
  await keep(db, "audit.*", "35 days");
  assert.deepEqual(await prune(db), [gone]);
});

test("what is not delivered is passed over, reported, and deleted once it is finished", async () => {
  await using db = await openDatabase(5);
  await keep(db, "cart.*", "3 days");
  for (const topic of ["order.paid", "cart.seen", "cart.left"]) await addPastEvent(db, 5, { topic });
  await deliverAll(db);
  await db.query(
    "select outbox.redrive(event_id => id, statuses => '{delivered}') from outbox.events where topic = 'cart.left'",
  );
  await prune(db);
  await sweep(db);
  assert.equal(await topicsOf(db), "order.paid cart.left");
  const reason = "1 events are past the retention of their topics, but not delivered";
  assert.deepEqual(await prune(db), [{ dropped: false, reason }]);
  await deliverAll(db);
  await db.query("update outbox.pruned_days set swept_at = swept_at - interval '61 minutes'");
  assert.deepEqual(await prune(db), []);
  await sweep(db);
  assert.equal(await topicsOf(db), "order.paid");
  assert.deepEqual(await prune(db), []);
});

test("rows that somebody reads or redrives are not waited for, and deleted later", async () => {
  await using db = await openDatabase(5);
  await keep(db, "cart.*", "3 days");
  for (const topic of ["order.paid", "cart.seen"]) await addPastEvent(db, 5, { topic });
  await deliverAll(db);
  await prune(db);
  await using person = await db.client();
  for (const sql of ["select from outbox.events", "select from outbox.deliveries for update"]) {
    await person.query("begin");
    await person.query(sql);
    assert.equal(await pruneRows(db), 0);
    await person.query("rollback");
  }
  assert.equal(await topicsOf(db), "order.paid cart.seen");
  assert.equal(await pruneRows(db), 1);
});

test("a day is kept while a producer's transaction is open, and dropped after it", async () => {
  await using db = await openDatabase(40);
  await addEvent(db);
  await using producer = await db.client();
  await producer.query("begin");
  await addEvent(producer);
  assert.deepEqual(await prune(db), [{ dropped: false, reason: "in use, tried again at the next run" }]);
  await addEvent(db);
  await producer.query("commit");
  assert.deepEqual(await prune(db), [gone]);
});

test("a day in which something was put back to work after it was looked at is not dropped", async () => {
  await using db = await openDatabase(40);
  await addPastEvent(db, 40);
  const drop = () => db.one("select cardinality(outbox.drop_days(array[(now() at time zone 'UTC')::date - 40])) as n");
  assert.deepEqual(await drop(), { n: 0 });
  await deliverAll(db);
  await db.query("select outbox.redrive(event_id => id, statuses => '{delivered}') from outbox.events");
  assert.deepEqual(await drop(), { n: 0 });
  await deliverAll(db);
  assert.deepEqual(await drop(), { n: 1 });
});

test("a day whose events wait for their deferred fan-out is kept", async () => {
  await using db = await openDatabase(40);
  await using producer = await db.client();
  await producer.query("set outbox.fan_out = 'deferred'");
  const { at, id } = await db.one(
    "select t.at, outbox.uuid_at(t.at) as id from (select now() - interval '40 days' as at) as t",
  );
  await addEvent(producer, { id, created_at: at, occurred_at: at });
  assert.deepEqual(await prune(db), [{ dropped: false, reason: "events wait for their deferred fan-out" }]);
});

test("what began before the end of a day and is still open keeps it, and is named", async () => {
  await using db = await testDatabase();
  const openBefore = async (until: string) => (await db.one("select outbox.open_before($1) as what", [until])).what;
  assert.equal(await openBefore("tomorrow"), null);
  await using reader = await db.client();
  await reader.query("begin");
  const { rows } = await reader.query("select pg_backend_pid() as pid");
  assert.equal(await openBefore("yesterday"), null);
  assert.match(
    await openBefore("tomorrow"),
    new RegExp(`^the transaction of process ${rows[0]?.pid} \\(.*\\) has been open since `),
  );
});

test("seven days are dropped in a call, the oldest first, the others in the next", async () => {
  const days = [40, 41, 42, 43, 44, 45, 46, 47, 48];
  await using db = await openDatabase(...days);
  const later = { dropped: false, reason: "its turn comes at the next run" };
  assert.deepEqual(await prune(db), [...Array(7).fill(gone), later, later]);
  assert.deepEqual(await prune(db), [gone, gone]);
});

test("a large day is not searched under the lock for first attempts: it waits until the frontier has passed it", async () => {
  await using db = await openDatabase(40);
  await db.query(
    `insert into outbox.deliveries
       (event_id, subscription_id, destination_id, tenant_id, seq, status, attempt_count, last_attempt_at, finished_at, key)
     select gen.id, s.id, s.destination_id, 'default', 1, 'delivered', 1, now(), now(), repeat('k', 200)
     from outbox.subscriptions as s, lateral (
       select overlay(gen_random_uuid()::text placing left(outbox.uuid_at(now() - interval '40 days')::text, 13) from 1)::uuid as id
       from generate_series(1, 12000)
     ) as gen`,
  );
  assert.deepEqual(await prune(db), [{ dropped: false, reason: "in use, tried again at the next run" }]);
  await db.query("update outbox.instance set frontier = outbox.uuid_at(now())");
  assert.deepEqual(await prune(db), [gone]);
});

test("outbox.storage shows each partition, its size, and what keeps it", async () => {
  await using db = await openDatabase(5, 40, 41);
  const stored = async () => {
    const rows = await db.query<{ ago: number | null; kept: string }>(
      `select (now() at time zone 'UTC')::date - day as ago, string_agg(distinct kept_by, ' / ') as kept
       from outbox.storage group by 1 order by 1 nulls first`,
    );
    return Object.fromEntries(rows.map(({ ago, kept }) => [String(ago), kept]));
  };
  await db.query("select outbox.disable_destination(id) from outbox.destinations");
  await addPastEvent(db, 40);
  await addPastEvent(db, 5);
  await addPastEvent(db, 5, { topic: "cart.seen" });
  const kept = await stored();
  assert.match(kept.null ?? "", /^rows of days without a partition/);
  assert.deepEqual(
    [kept["0"], kept["-1"], kept["5"], kept["40"], kept["41"]],
    [
      "today",
      "made ahead",
      "retention",
      "1 deliveries are pending or held: 1 for orders",
      "nothing: dropped at the next run",
    ],
  );
  await keep(db, "cart.*", "3 days");
  await prune(db);
  assert.equal((await stored())["5"], "retention of some topics; of others the rows are being deleted");
  await sweep(db);
  assert.equal((await stored())["5"], "retention of some topics; of others 1 events are not delivered");
  await prune(db, "60 days");
  assert.equal((await stored())["40"], "retention");

  await db.query("analyze outbox.events");
  const today = await db.one(
    "select rows, bytes > 8192 as has_size from outbox.storage where kind = 'events' and kept_by = 'today'",
  );
  assert.deepEqual(today, { rows: "0", has_size: true });
  await addEvent(db);
  await db.query("analyze outbox.events");
  const { rows } = await db.one("select rows from outbox.storage where kind = 'events' and kept_by = 'today'");
  assert.equal(rows, "1");
});
