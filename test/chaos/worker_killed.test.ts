import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

test("another worker delivers within 20 s what a killed one had in flight, and each repetition is explained", async (t) => {
  await using receiver = await startReceiver({ respond: () => "open" });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using victim = await startWorkerProcess(db.url);
  await addEvents(db, 50);
  await receiver.waitFor(50);
  assert.equal(receiver.openRequests, 50);
  await using heir = await startWorkerProcess(db.url);

  victim.signal("SIGKILL");
  assert.equal((await victim.exit).signal, "SIGKILL");
  receiver.respondWith(() => 200);
  const ms = await untilAllDelivered(db, 20_000);

  t.diagnostic(`all 50 were delivered ${ms} ms after the kill`);
  const { extra } = await assertBooksAgree(db, receiver.requests);
  assert.equal(extra, 50);
  const attempts = await db.query(
    "select number, outcome::text, code, worker_id, count(*)::int from outbox.attempts group by 1, 2, 3, 4 order by 1",
  );
  assert.deepEqual(attempts, [
    { number: 1, outcome: "unknown", code: "worker_lost", worker_id: victim.workerIds.at(-1), count: 50 },
    { number: 2, outcome: "delivered", code: null, worker_id: heir.workerIds.at(-1), count: 50 },
  ]);
  await assertNothingHeld(db);
});
