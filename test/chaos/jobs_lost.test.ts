import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvents } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const count = 200;
const reconciledWithinMs = 75_000;

test("deliveries whose jobs were deleted, and events that no trigger saw, are found and delivered", async (t) => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await addEvents(db, count);
  await db.query("delete from graphile_worker._private_jobs");
  await db.query(`begin;
    alter table outbox.events disable trigger _500_fan_out;
    insert into outbox.events (topic, payload) select 'order.paid', '{}' from generate_series(1, ${count});
    alter table outbox.events enable trigger _500_fan_out;
    commit`);
  await using worker = await startWorkerProcess(db.url);

  const wokenMs = await within(reconciledWithinMs, "jobs made anew", () => receiver.count >= count);
  const foundMs = await within(reconciledWithinMs - wokenMs, "events fanned out", () => receiver.count >= 2 * count);
  await untilAllDelivered(db, 5_000);

  t.diagnostic(`without jobs: ${wokenMs} ms, without fan-out: ${wokenMs + foundMs} ms`);
  const { events, extra } = await assertBooksAgree(db, receiver.requests);
  assert.deepEqual({ events, extra }, { events: 2 * count, extra: 0 });
  assert.ok(worker.isAlive);
  await assertNothingHeld(db);
});
