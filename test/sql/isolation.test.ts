/** What must hold while others keep transactions open, disable, delete or restore at the wrong moment. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";

const joinWorker = async (db: TestDatabase): Promise<string> => {
  const id = randomUUID();
  await db.query("select outbox.register_worker($1, 'pool', 'host', 1, 'test')", [id]);
  return id;
};

const claim = (db: TestDatabase, worker: string) =>
  db.query(
    `select l.event_id, l.subscription_id, l.attempt
     from (select array_agg(event_id order by seq) as e, array_agg(subscription_id order by seq) as s from outbox.deliveries) as k
     cross join lateral outbox.load_deliveries($1, k.e, k.s) as l`,
    [worker],
  );

test("a transaction that is left open over one delivery does not hold up the others of its batch", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvent(db);
  await addEvent(db);
  const worker = await joinWorker(db);
  const [first] = await db.query("select event_id from outbox.deliveries order by seq");
  await using person = await db.client();
  await person.query("begin");
  await person.query("select outbox.cancel($1)", [first?.event_id]);
  const claimed = await claim(db, worker);
  assert.equal(claimed.length, 1);
  assert.notEqual(claimed[0]?.event_id, first?.event_id);
});

test("an answer that comes after a cancellation is kept as a late attempt", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvent(db);
  const worker = await joinWorker(db);
  const [delivery] = await claim(db, worker);
  await db.query("select outbox.cancel($1)", [delivery?.event_id]);
  const report = [{ ...delivery, number: 1, outcome: "delivered", duration_ms: 5 }];
  await db.query("select outbox.record_attempts($1, $2)", [worker, JSON.stringify(report)]);
  assert.deepEqual(await db.one("select status from outbox.deliveries"), { status: "cancelled" });
  assert.deepEqual(await db.one("select number, late, outcome from outbox.attempts"), {
    number: 1,
    late: true,
    outcome: "delivered",
  });
});

test("a redrive that commits while a day is pruned keeps the day", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query(
    "select outbox.create_partition(p, (now() - interval '40 days')::date) from unnest('{events,deliveries,attempts}'::text[]) as p",
  );
  await db.query(
    `insert into outbox.deliveries (event_id, subscription_id, destination_id, tenant_id, seq, status, dead_at, finished_at)
     select outbox.uuid_at(date_trunc('day', now() - interval '40 days')), s.id, s.destination_id, s.tenant_id, 1, 'dead', now(), now()
     from outbox.subscriptions as s`,
  );
  await using person = await db.client();
  await person.query("begin");
  await person.query("select * from outbox.redrive(statuses => '{dead}', since => now() - interval '50 days')");
  const { dropped, reason } = await db.one("select dropped, reason from outbox.prune('30 days')");
  await person.query("commit");
  assert.equal(dropped, false);
  assert.match(reason, /in use/);
  assert.deepEqual(await db.one("select status from outbox.deliveries"), { status: "pending" });
});

test("faults of our own are tried again in growing steps", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvent(db);
  const worker = await joinWorker(db);
  const delays: number[] = [];
  for (let number = 1; number <= 8; number += 1) {
    await db.query("update outbox.deliveries set next_attempt_at = null");
    const [delivery] = await claim(db, worker);
    const report = [
      { ...delivery, number, outcome: "retry", code: "internal", error: "ours", ours: true, duration_ms: 1 },
    ];
    await db.query("select outbox.record_attempts($1, $2)", [worker, JSON.stringify(report)]);
    const row = await db.one(
      "select extract(epoch from next_attempt_at - now())::float as seconds, failure_count from outbox.deliveries",
    );
    assert.equal(row.failure_count, 0);
    delays.push(row.seconds);
  }
  assert.ok((delays[0] ?? 0) <= 10.5 && (delays[7] ?? 0) >= 299, String(delays));
});

test("an overlap of null is refused, and a secret changed by hand makes workers look", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await assert.rejects(db.query("select outbox.rotate_secret($1, overlap => null)", [id]), { code: "PR001" });
  const before = await db.one("select version from outbox.destinations");
  await db.query("update outbox.destination_secrets set value = outbox.generate_secret()");
  const after = await db.one("select version from outbox.destinations");
  assert.ok(after.version > before.version);
});

test("an overdue backlog is scheduled with one look at the jobs, not one for each delivery", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query("insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, 5000)");
  await db.query(
    "update outbox.deliveries set next_attempt_at = now() - interval '1 hour', job_at = now() - interval '1 hour'",
  );
  await db.query("update graphile_worker._private_jobs set run_at = now() - interval '1 hour'");
  await using client = await db.client();
  await client.query("set statement_timeout = '20s'");
  const { rows } = await client.query("select outbox.schedule_due() as scheduled");
  assert.equal(rows[0].scheduled, 0);
});
