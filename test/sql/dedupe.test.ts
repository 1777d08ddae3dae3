import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addOldEvent, insertEvent } from "../support/factory.ts";

const once = { dedupe_key: "order-7-paid" };
const countsSql = `select (select count(*) from outbox.events)::int as events,
  (select count(*) from outbox.deliveries)::int as deliveries, (select count(*) from graphile_worker.jobs)::int as jobs`;

/** Waits until a backend of this database waits for the lock of another transaction. */
const untilOneWaits = (db: TestDatabase) =>
  db.until(
    "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()",
  );

test("a second event with the same dedupe_key is skipped without an error", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const first = await addEvent(db, once);
  assert.equal(await insertEvent(db, { ...once, payload: '{"again": true}' }), undefined);
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 1, jobs: 1 });
  assert.deepEqual(await db.query("select tenant_id, dedupe_key, event_id from outbox.dedupe_keys"), [
    { tenant_id: "default", dedupe_key: "order-7-paid", event_id: first.id },
  ]);
});

test("the same dedupe_key of two tenants is two keys", async () => {
  await using db = await testDatabase();
  await addEvent(db, { ...once, tenant_id: "acme" });
  await addEvent(db, { ...once, tenant_id: "umbrella" });
});

test("events without a dedupe_key are never doubles", async () => {
  await using db = await testDatabase();
  await addEvent(db);
  await addEvent(db);
  assert.deepEqual(await db.query("select from outbox.dedupe_keys"), []);
});

test("of doubles in one statement the first stays", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query(`insert into outbox.events (topic, dedupe_key, payload)
    values ('a.b', 'x', '1'), ('a.b', 'y', '2'), ('a.b', 'x', '3'), ('a.b', null, '4'), ('a.b', null, '5')`);
  const kept = await db.query("select payload::text from outbox.events order by seq");
  assert.deepEqual(
    kept.map(({ payload }) => payload),
    ["1", "2", "4", "5"],
  );
  assert.deepEqual(await db.one(countsSql), { events: 4, deliveries: 4, jobs: 1 });
});

test("a double inside the same transaction is skipped", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("begin");
  await addEvent(client, once);
  assert.equal(await insertEvent(client, once), undefined);
  await client.query("commit");
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 0, jobs: 0 });
});

test("of two transactions that race, the second waits for the first, and is skipped when that commits", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using first = await db.client();
  await using second = await db.client();
  await first.query("begin");
  const made = await addEvent(first, once);
  const waiting = insertEvent(second, once);
  await untilOneWaits(db);
  await first.query("commit");
  assert.equal(await waiting, undefined);
  assert.deepEqual(await db.query("select id from outbox.events"), [{ id: made.id }]);
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 1, jobs: 1 });
});

test("of two transactions that race, the second gets in when the first rolls back", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using first = await db.client();
  await using second = await db.client();
  await first.query("begin");
  await addEvent(first, once);
  const waiting = insertEvent(second, once);
  await untilOneWaits(db);
  await first.query("rollback");
  const made = await waiting;
  assert.deepEqual(await db.query("select id from outbox.events"), [{ id: made?.id }]);
  assert.deepEqual(await db.one(countsSql), { events: 1, deliveries: 1, jobs: 1 });
});

test("a dedupe_key holds over days, and is free again when its event is past the retention", async () => {
  await using db = await testDatabase();
  await addOldEvent(db, 3);
  await addEvent(db, once);
  await db.query("update outbox.dedupe_keys set created_at = now() - interval '29 days'");
  await db.query("select outbox.prune()");
  assert.equal(await insertEvent(db, once), undefined);
  await db.query("update outbox.dedupe_keys set created_at = now() - interval '31 days'");
  await db.query("select outbox.prune()");
  await addEvent(db, once);
});
