/** What a live worker does by the clock about time and retention, without anybody asking. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "./support/database.ts";
import { addDestination, addEvent, addOldEvent } from "./support/factory.ts";
import { delivered, startHandWorker } from "./support/hand_worker.ts";
import { startTestWorker } from "./support/worker.ts";

test("a worker ends what is held and has expired", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  await addEvent(db, { expires_at: new Date(Date.now() - 1_000) });
  await using _worker = await startTestWorker(db);
  await db.until("select status, error_code from outbox.deliveries", [], (row) => row.status === "dead");
});

test("a worker drops days by its configuration, deletes rows by topic, and says what keeps a day", async () => {
  await using db = await testDatabase();
  await addDestination(db, { name: "orders" });
  await addOldEvent(db, 10);
  for (const topic of ["cart.seen", "audit.login"]) {
    const { at, id } = await db.one(
      "select t.at, overlay(outbox.uuid_v7()::text placing left(outbox.uuid_at(t.at)::text, 13) from 1) as id from (select now() - interval '5 days' as at) as t",
    );
    await addEvent(db, { topic, id, created_at: at, occurred_at: at });
  }
  await db.query("select outbox.maintain_partitions()");
  const hand = await startHandWorker(db);
  await hand.attempt(delivered);
  const held = await addDestination(db, { name: "held" });
  await db.query("select outbox.disable_destination($1)", [held.id]);
  const stays = await addOldEvent(db, 20);
  await db.query(
    "select outbox.cancel($1, subscription_id) from outbox.deliveries where event_id = $1 and destination_id <> $2",
    [stays.id, held.id],
  );
  await db.query("select outbox.maintain_partitions()");
  await db.query("select outbox.set_retention('cart.*', '2 days')");

  await using worker = await startTestWorker(db, { config: { retentionDays: 7 } });
  await db.until(
    "select string_agg(topic, ' ' order by seq) as topics from outbox.events where not starts_with(topic, 'postrider.')",
    [],
    ({ topics }) => topics === "audit.login order.paid",
  );
  const line = await worker.logged(({ msg, dropped }) => msg === "prune" && dropped === false);
  assert.equal(line.reason, "1 deliveries are pending or held: 1 for held");
});
