/** A receiver that takes its time, and more deliveries for it than may be under way at once. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { testDatabase } from "../support/database.ts";
import { addDestination } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { startTestWorker } from "../support/worker.ts";

test("deliveries wait for their turn with a slow receiver, and their timeout starts with their turn", async () => {
  await using receiver = await startReceiver({
    respond: async () => {
      await pause(1_200);
    },
  });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url }, policy: { timeout_seconds: 3 } });
  await using _worker = await startTestWorker(db);
  await db.query("insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, 450)");
  await receiver.waitFor(450);
  await db.until("select count(*)::int as n from outbox.deliveries where status = 'pending'", [], ({ n }) => n === 0);
  const outcomes = await db.query("select outcome::text, code, count(*)::int as n from outbox.attempts group by 1, 2");
  assert.deepEqual(outcomes, [{ outcome: "delivered", code: null, n: 450 }]);
});

test("what waits for its turn when the worker stops is given back as if it had never been claimed", async () => {
  await using receiver = await startReceiver({ respond: () => "open" });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  const worker = await startTestWorker(db, { config: { inFlightMax: 512 } });
  await db.query("insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, 450)");
  await receiver.waitFor(128);
  await db.until("select count(claimed_by)::int as n from outbox.deliveries", [], ({ n }) => n === 384);
  await worker.stop();
  assert.equal(receiver.count, 128);
  const attempts = await db.query("select outcome::text, code, count(*)::int as n from outbox.attempts group by 1, 2");
  assert.deepEqual(attempts, [{ outcome: "unknown", code: "shutdown", n: 128 }]);
  const left =
    "select attempt_count, count(*)::int as n from outbox.deliveries where claimed_by is null group by 1 order by 1";
  assert.deepEqual(await db.query(left), [
    { attempt_count: 0, n: 322 },
    { attempt_count: 1, n: 128 },
  ]);
});

for (const { deed, sql, left } of [
  {
    deed: "disabled",
    sql: "select outbox.disable_destination($1)",
    left: [
      { status: "delivered", n: 128 },
      { status: "held", n: 172 },
    ],
  },
  { deed: "deleted", sql: "select outbox.delete_destination($1)", left: [{ status: "cancelled", n: 300 }] },
]) {
  test(`what waits for its turn when its destination is ${deed} is not sent`, async () => {
    const answers: (() => void)[] = [];
    await using receiver = await startReceiver({
      respond: () => new Promise<void>((resolve) => answers.push(resolve)),
    });
    await using db = await testDatabase();
    const { id } = await addDestination(db, { config: { url: receiver.url } });
    await using _worker = await startTestWorker(db, { config: { inFlightMax: 512 } });
    await db.query("insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, 300)");
    await receiver.waitFor(128);
    await db.until("select count(claimed_by)::int as n from outbox.deliveries", [], ({ n }) => n === 300);
    await db.until(
      "select max(last_attempt_at) < now() - interval '0.4 seconds' as n from outbox.deliveries",
      [],
      ({ n }) => n,
    );
    await db.query(sql, [id]);
    for (const answer of answers) answer();
    await db.until("select count(*)::int as n from outbox.deliveries where status = 'pending'", [], ({ n }) => n === 0);
    assert.equal(receiver.count, 128);
    const states = await db.query(
      "select status::text, count(*)::int as n from outbox.deliveries group by 1 order by 2",
    );
    assert.deepEqual(states, left);
  });
}
