/** A destination that answers late, or never, and what is left to the others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, type MadeDestination } from "../support/factory.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { startTestWorker } from "../support/worker.ts";

/** A worker of eight jobs. */
const preset = { worker: { concurrentJobs: 8, localQueue: { size: 8 } } };

/** A tenant whose destination never answers, and one whose does. */
const addTenants = async (db: TestDatabase, hanging: Receiver, receiver: Receiver): Promise<MadeDestination> => {
  await addDestination(db, { config: { url: receiver.url }, tenantId: "other" });
  return addDestination(db, { config: { url: hanging.url }, tenantId: "slow", policy: { timeout_seconds: 60 } });
};
const insertOneByOne = (db: TestDatabase, count: number): Promise<unknown> =>
  db.query(`do $$ begin
    for n in 1..${count} loop
      insert into outbox.events (tenant_id, topic, payload) values ('slow', 'order.paid', '{}');
    end loop;
  end $$`);
const insertAtOnce = (db: TestDatabase, count: number): Promise<unknown> =>
  db.query(
    "insert into outbox.events (tenant_id, topic, payload) select 'slow', 'order.paid', '{}' from generate_series(1, $1)",
    [count],
  );

test("a destination that never answers leaves places to the others", async () => {
  await using hanging = await startReceiver({ respond: () => "open" });
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addTenants(db, hanging, receiver);
  await using _worker = await startTestWorker(db, { config: { inFlightMax: 16 } });
  await insertAtOnce(db, 100);
  await hanging.waitFor(12);
  await addEvent(db, { tenant_id: "other" });
  await receiver.waitFor(1);
  assert.equal(hanging.count, 12);
  assert.deepEqual(await db.one("select count(claimed_by)::int as n from outbox.deliveries where tenant_id = 'slow'"), {
    n: 12,
  });
});

test("jobs whose deliveries all wait for answers make way for others", async () => {
  await using hanging = await startReceiver({ respond: () => "open" });
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addTenants(db, hanging, receiver);
  await using _worker = await startTestWorker(db, { preset });
  await insertOneByOne(db, 40);
  await addEvent(db, { tenant_id: "other" });
  await receiver.waitFor(1);
  await hanging.waitFor(40);
  assert.equal(hanging.openRequests, 40);
});

test("jobs that wait for their turn with a slow destination make way, and are delivered later with one attempt each", async () => {
  await using hanging = await startReceiver({ respond: () => "open" });
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  const slow = await addTenants(db, hanging, receiver);
  const worker = await startTestWorker(db, { preset, config: { inFlightMax: 16 } });
  await insertOneByOne(db, 40);
  await addEvent(db, { tenant_id: "other" });
  await receiver.waitFor(1);
  const postponed =
    "select count(*)::int as n from outbox.deliveries where destination_id = $1 and next_attempt_at is not null and attempt_count = 0";
  await db.until(postponed, [slow.id], ({ n }) => n >= 20);
  assert.equal(hanging.count, 12);

  await worker.stop();
  hanging.respondWith(() => 200);
  await db.query("update outbox.deliveries set next_attempt_at = now() where next_attempt_at is not null");
  await using _heir = await startTestWorker(db, { preset });
  await db.until("select count(*)::int as n from outbox.deliveries where status = 'pending'", [], ({ n }) => n === 0);
  const attempts = await db.query(
    `select outcome::text, number, count(*)::int as n from outbox.attempts where destination_id = $1 group by 1, 2 order by 2, 1`,
    [slow.id],
  );
  assert.deepEqual(attempts, [
    { outcome: "delivered", number: 1, n: 28 },
    { outcome: "unknown", number: 1, n: 12 },
    { outcome: "delivered", number: 2, n: 12 },
  ]);
});

test("a worker that stops has lost nothing of what its jobs left behind", async () => {
  await using hanging = await startReceiver({ respond: () => "open" });
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addTenants(db, hanging, receiver);
  const worker = await startTestWorker(db, { preset });
  await insertOneByOne(db, 40);
  await hanging.waitFor(40);
  await worker.stop();
  assert.deepEqual(await db.lockedJobs(), []);
  const outcomes = await db.query("select outcome::text, code, count(*)::int as n from outbox.attempts group by 1, 2");
  assert.deepEqual(outcomes, [{ outcome: "unknown", code: "shutdown", n: 40 }]);
  const left =
    "select count(*)::int as n from outbox.deliveries where status = 'pending' and claimed_by is null and job_at is not null";
  assert.deepEqual(await db.one(left), { n: 40 });
});
