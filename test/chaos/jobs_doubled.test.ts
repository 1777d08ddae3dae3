import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const count = 300;

for (const workers of [1, 2]) {
  test(`jobs that are there four times make ${workers} worker(s) send each delivery once`, async () => {
    await using receiver = await startReceiver({ respond: () => pause(30) });
    await using db = await testDatabase();
    await addDestination(db, { config: { url: receiver.url } });
    await addEvents(db, count);
    await db.query("delete from graphile_worker._private_jobs");
    // Next to each other, so that one worker meets both at once; and all over again, so that two workers race.
    for (let round = 0; round < 2; round++) {
      await db.query(
        `select outbox.wake(array[event_id], array[subscription_id]), outbox.wake(array[event_id], array[subscription_id])
         from outbox.deliveries order by event_id`,
      );
    }
    await using crew = new AsyncDisposableStack();
    const started = await Promise.all(Array.from({ length: workers }, () => startWorkerProcess(db.url)));
    for (const worker of started) crew.use(worker);
    await untilAllDelivered(db, 20_000);
    await within(5_000, "every job is done", async () => {
      return (await db.query("select from graphile_worker._private_jobs")).length === 0;
    });

    assert.equal((await assertBooksAgree(db, receiver.requests)).extra, 0);
    const [attempts] = await db.query(
      "select count(*)::int as n, max(number) as number, bool_or(late) as late from outbox.attempts",
    );
    assert.deepEqual(attempts, { n: count, number: 1, late: false });
    await assertNothingHeld(db);
  });
}
