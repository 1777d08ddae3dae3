/** Replays beside the rest of the delivery policy: maximum age, expiry, lanes, and destinations that hold back. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf, deliveryOf } from "../support/factory.ts";
import { failedWith, startHandWorker } from "../support/hand_worker.ts";
import { advance, finish, history, progress, replay } from "../support/replays.ts";

test("the maximum age starts anew: what is older than it is sent again", async () => {
  await using db = await testDatabase();
  const { subscriptionId, worker } = await history(db, 2);
  await db.query("update outbox.deliveries set created_at = now() - interval '20 days'");
  await replay(db, subscriptionId);
  await advance(db);
  assert.equal((await worker.claim()).length, 2);
});

test("what has expired is left alone, and what will expire keeps its time", async () => {
  await using db = await testDatabase();
  const soon = new Date(Date.now() + 3_600_000);
  const event = await addEvent(db, { expires_at: soon });
  const expired = await addEvent(db, {
    created_at: new Date(Date.now() - 7_200_000),
    expires_at: new Date(Date.now() - 3_600_000),
  });
  const { id, subscriptionId } = await addDestination(db);
  await replay(db, subscriptionId);
  const { made, left_alone } = await advance(db);
  assert.deepEqual([made, left_alone], [1, 1]);
  assert.deepEqual(await deliveriesOf(db, expired.id), []);
  const { expires_at } = await db.one("select expires_at from outbox.deliveries where event_id = $1", [event.id]);
  assert.deepEqual(expires_at, soon);
  await db.query("select outbox.create_subscription($1, start => 'beginning')", [id]);
  assert.deepEqual([(await finish(db)).made, (await progress(db)).left_alone], [1, 0]);
});

test("what an ordered subscription never got goes into its lane: the first of a key is claimed before the others", async () => {
  await using db = await testDatabase();
  const first = await addEvent(db, { key: "k" });
  const second = await addEvent(db, { key: "k" });
  const unkeyed = await addEvent(db);
  const { id } = await addDestination(db, { topics: ["none"] });
  await db.query("select outbox.create_subscription($1, ordered => true, start => 'beginning')", [id]);
  await finish(db);
  const lanes = await db.query(
    "select event_id, lane_seq from outbox.deliveries where lane_seq is not null order by seq",
  );
  assert.deepEqual(lanes, [
    { event_id: first.id, lane_seq: first.seq },
    { event_id: second.id, lane_seq: second.seq },
  ]);
  const worker = await startHandWorker(db);
  const waiting = await deliveryOf(db, second.id);
  assert.deepEqual(await worker.claim([waiting]), []);
  assert.equal((await worker.claim([await deliveryOf(db, unkeyed.id)])).length, 1);
});

test("a dead head that is replayed goes on at the head of its lane, and what was parked behind it is backlog again", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { topics: ["none"], policy: { schedule_seconds: [] } });
  const { subscription } = await db.one(
    "select outbox.create_subscription($1, ordered => true, on_dead => 'park') as subscription",
    [id],
  );
  const worker = await startHandWorker(db);
  const head = await addEvent(db, { key: "k" });
  await worker.attempt(failedWith());
  const next = await addEvent(db, { key: "k" });
  await worker.claim();
  assert.deepEqual(
    [(await deliveryOf(db, head.id)).status, (await deliveryOf(db, next.id)).held_reason],
    ["dead", "parked"],
  );
  await replay(db, subscription);
  await advance(db);
  assert.deepEqual(
    [(await deliveryOf(db, head.id)).status, (await deliveryOf(db, next.id)).held_reason],
    ["pending", "lane"],
  );
});

test("it waits while the destination holds back", async () => {
  await using db = await testDatabase();
  const { id, subscriptionId } = await history(db);
  await db.query("insert into outbox.holds (destination_id, reason) values ($1, 'limit')", [id]);
  await replay(db, subscriptionId);
  assert.equal((await advance(db)).waits_for, "the destination holds back: limit");
  await db.query("delete from outbox.holds");
  assert.equal((await advance(db)).status, "done");
});
