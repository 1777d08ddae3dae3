import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { testDatabase } from "../support/database.ts";
import { addDestination } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startProducers } from "./support/producers.ts";
import { startWorkerProcess } from "./support/worker.ts";

const cuts = 40;
const cutEveryMs = 200;

test("nothing is lost or left claimed when connections of the worker are terminated again and again", async (t) => {
  await using receiver = await startReceiver({ respond: () => pause(10) });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  const url = new URL(db.url);
  url.searchParams.set("application_name", "victim");
  await using worker = await startWorkerProcess(url.href);
  await using producers = startProducers(db.url);
  await receiver.waitFor(100);

  let terminated = 0;
  for (let i = 0; i < cuts; i++) {
    const { rowCount } = await db.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where application_name = 'victim' and datname = current_database() order by random() limit 1 + $1 % 3`,
      [i],
    );
    terminated += rowCount ?? 0;
    await pause(cutEveryMs);
  }
  const before = receiver.count;
  const goesOnMs = await within(5_000, "deliveries go on", () => receiver.count >= before + 50);

  await producers.stop();
  const settledMs = await untilAllDelivered(db, 25_000);
  const { events, extra } = await assertBooksAgree(db, receiver.requests, producers);
  t.diagnostic(
    `${terminated} connections terminated; 50 more arrivals after ${goesOnMs} ms, all settled after ${settledMs} ms`,
  );
  t.diagnostic(`${events} events, ${extra} extra arrivals`);
  assert.ok(terminated >= cuts);
  assert.ok(worker.isAlive);
  await assertNothingHeld(db);
});

test("a worker goes on when its first question for jobs is cut off", async (t) => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  await using holder = await db.client();
  await holder.query("begin; lock table graphile_worker._private_tasks in share mode");
  await using worker = await startWorkerProcess(db.url);
  const { pid } = await db.until<{ pid: number }>(
    `select pid from pg_stat_activity
     where datname = current_database() and wait_event_type = 'Lock' and query like 'insert into%_private_tasks%'`,
  );
  await db.query("select pg_terminate_backend($1)", [pid]);
  await holder.query("rollback");

  const goesOnMs = await within(5_000, "the event is delivered", () => receiver.count > 0);

  t.diagnostic(`delivered after ${goesOnMs} ms, by worker ${worker.workerIds.length} of the process`);
});
