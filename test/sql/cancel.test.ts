import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf, deliveryOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

test("cancelling an event ends its deliveries that wait, pending or held, and they are never tried", async () => {
  await using db = await testDatabase();
  const { id: held } = await addDestination(db);
  await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [held]);
  const { id } = await addEvent(db);
  const other = await addEvent(db);
  assert.deepEqual(await db.one("select outbox.cancel($1, actor => 'ada') as n", [id]), { n: 2 });
  const rows = await deliveriesOf(db, id);
  assert.deepEqual(
    rows.map(({ status, error_code }) => [status, error_code]),
    Array(2).fill(["cancelled", "cancelled"]),
  );
  assert.ok(rows.every(({ finished_at }) => finished_at !== null));
  const audit = await db.one("select actor, detail from outbox.audit_log where action = 'cancel'");
  assert.deepEqual(audit, { actor: "ada", detail: { event_id: id, cancelled: 2 } });

  const worker = await startHandWorker(db);
  assert.deepEqual(await worker.claim(rows), []);
  assert.deepEqual(
    (await worker.claim()).map(({ event_id }) => event_id),
    [other.id],
  );
});

test("one delivery of an event can be cancelled alone", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  await addDestination(db);
  const { id } = await addEvent(db);
  assert.deepEqual(await db.one("select outbox.cancel($1, $2) as n", [id, subscriptionId]), { n: 1 });
  const rows = await deliveriesOf(db, id);
  assert.deepEqual(
    rows.filter(({ status }) => status === "cancelled").map((row) => row.subscription_id),
    [subscriptionId],
  );
});

test("what is delivered or dead is not cancelled", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [] } });
  const worker = await startHandWorker(db);
  const done = await addEvent(db);
  await worker.attempt(delivered);
  const dead = await addEvent(db);
  await worker.attempt(failedWith());
  for (const [{ id }, status] of [
    [done, "delivered"],
    [dead, "dead"],
  ] as const) {
    assert.deepEqual(await db.one("select outbox.cancel($1) as n", [id]), { n: 0 });
    assert.equal((await deliveryOf(db, id)).status, status);
  }
});

test("an attempt in flight ends without effect on what was cancelled meanwhile", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  const claimed = await worker.claim();
  await db.query("select outbox.cancel($1)", [id]);
  await worker.record(claimed, delivered);
  assert.equal((await deliveryOf(db, id)).status, "cancelled");
});

test("deleting a destination cancels what waits for it, retries and held included", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db);
  await addDestination(db);
  const worker = await startHandWorker(db);
  await addEvent(db);
  await worker.attempt(failedWith());
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  await addEvent(db);
  await addEvent(db, { deliver_after: new Date(Date.now() + 3_600_000) });
  assert.deepEqual(await db.one("select outbox.delete_destination($1) as n", [destinationId]), { n: 3 });
  const left = await db.query(
    `select distinct destination_id = $1 as deleted, status::text, error_code, next_attempt_at is null as never
     from outbox.deliveries order by 1 desc, 4`,
    [destinationId],
  );
  assert.deepEqual(left[0], { deleted: true, status: "cancelled", error_code: "destination_deleted", never: true });
  assert.deepEqual(
    left.slice(1).map(({ deleted, status }) => [deleted, status]),
    Array(left.length - 1).fill([false, "pending"]),
  );
  assert.equal(left.filter(({ deleted }) => deleted).length, 1);
});

test("a delivery whose destination or subscription vanished after its job was made is cancelled, not tried", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  const { id } = await addEvent(db);
  await db.query("delete from outbox.subscriptions where id = $1", [subscriptionId]);
  const worker = await startHandWorker(db);
  assert.deepEqual(await worker.claim(), []);
  const { status, error_code } = await deliveryOf(db, id);
  assert.deepEqual([status, error_code], ["cancelled", "subscription_deleted"]);
});
