import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startLossyProxy } from "./support/proxy.ts";
import { startWorkerProcess } from "./support/worker.ts";

const count = 120;
const deliveredWithinMs = 10_000;
const losses = 3;

for (const verb of ["load_deliveries", "record_delivered"]) {
  test(`when answers of ${verb} are lost, each event is delivered once and its attempt recorded once`, async (t) => {
    await using receiver = await startReceiver();
    await using db = await testDatabase();
    await addDestination(db, { config: { url: receiver.url } });
    await using proxy = await startLossyProxy(db.url);
    await using worker = await startWorkerProcess(proxy.url);

    proxy.loseAnswersTo(`outbox.${verb}(`, losses);
    await addEvents(db, count);
    const ms = await untilAllDelivered(db, deliveredWithinMs);

    t.diagnostic(`${proxy.lost} answers lost, all delivered after ${ms} ms`);
    assert.equal(proxy.lost, losses);
    assert.equal((await assertBooksAgree(db, receiver.requests)).extra, 0);
    const attempts = await db.query(
      "select number, late, outcome::text, count(*)::int from outbox.attempts group by 1, 2, 3",
    );
    assert.deepEqual(attempts, [{ number: 1, late: false, outcome: "delivered", count }]);
    assert.ok(worker.isAlive);
    await assertNothingHeld(db);
  });
}

test("when answers of record_attempts are lost, each failure is recorded once and tried again once", async () => {
  const seen = new Set<unknown>();
  await using receiver = await startReceiver({
    respond: ({ headers: { "webhook-id": id } }) => (seen.has(id) ? 200 : seen.add(id) && 500),
  });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url }, policy: { schedule_seconds: [1, 1], jitter: 0 } });
  await using proxy = await startLossyProxy(db.url);
  await using _worker = await startWorkerProcess(proxy.url);

  proxy.loseAnswersTo("outbox.record_attempts(", losses);
  await addEvents(db, count);
  await untilAllDelivered(db, deliveredWithinMs);

  assert.equal(proxy.lost, losses);
  const attempts = await db.query(
    "select number, late, outcome::text, count(*)::int from outbox.attempts group by 1, 2, 3 order by 1",
  );
  assert.deepEqual(attempts, [
    { number: 1, late: false, outcome: "retry", count },
    { number: 2, late: false, outcome: "delivered", count },
  ]);
  assert.equal(receiver.count, 2 * count);
  await assertNothingHeld(db);
});

test("a claim whose answer was lost takes nothing away from the lane that has taken it along", async () => {
  const open: ServerResponse[] = [];
  await using receiver = await startReceiver({
    respond: (_, response) => {
      open.push(response);
      return "open";
    },
  });
  await using other = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url }, topics: ["order.*"], ordered: true });
  await addDestination(db, { config: { url: other.url }, topics: ["user.*"] });
  await using proxy = await startLossyProxy(db.url);
  await using _worker = await startWorkerProcess(proxy.url);
  await addEvent(db, { key: "a" });
  const second = await addEvent(db, { key: "a" });
  await receiver.waitFor(1);

  // The claim of a job for the second, and what gives back whatever that claimed, again and again.
  proxy.loseAnswersTo("_deliveries($1", losses + 1);
  await db.query(
    "select outbox.wake(array[event_id], array[subscription_id]) from outbox.deliveries where event_id = $1",
    [second.id],
  );
  await within(deliveredWithinMs, "the claim and the first giving back are lost", () => proxy.lost >= 2);
  open[0]?.end();
  await within(deliveredWithinMs, "all are lost", () => proxy.lost === losses + 1);
  await addEvent(db, { topic: "user.created" });
  await other.waitFor(1);
  await receiver.waitFor(2);
  receiver.respondWith(() => 200);
  for (const response of open) response.end();
  await untilAllDelivered(db, deliveredWithinMs);

  assert.equal((await assertBooksAgree(db, [...receiver.requests, ...other.requests])).extra, 0);
  await assertNothingHeld(db);
});
