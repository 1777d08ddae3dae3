import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents } from "../support/factory.ts";
import { type Reply, startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered, within } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const places = 24;
/** What a single destination gets of the places. */
const inFlight = 18;
const bulk = 200;
const singles = 60;

test("a stopped worker gives its backlog back at once, records what ends in time, and exits clean under 12 s", async (t) => {
  const gates: ((reply: Reply) => void)[] = [];
  await using receiver = await startReceiver({ respond: () => new Promise<Reply>((answer) => gates.push(answer)) });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startWorkerProcess(db.url, { POSTRIDER_IN_FLIGHT: String(places) });
  await addEvents(db, bulk);
  await receiver.waitFor(inFlight);
  await using shop = await db.client();
  await shop.query("begin");
  for (let i = 0; i < singles; i++) await addEvent(shop);
  await shop.query("commit");
  const all = bulk + singles;
  await within(10_000, "the worker holds jobs", async () => (await db.lockedJobs()).length >= singles / 2);
  const [finishing, hanging] = [gates.slice(0, inFlight / 2), gates.slice(inFlight / 2)];
  receiver.respondWith(() => 200);
  await using heir = await startWorkerProcess(db.url);

  worker.signal("SIGTERM");
  const backlogMs = await within(10_000, "the other worker delivers the backlog", async () => receiver.count >= all);
  assert.ok(worker.isAlive, "it still waits for what is in flight");
  for (const answer of finishing) answer(200);
  const { code, signal, afterMs } = await worker.exit;

  assert.deepEqual({ code, signal }, { code: 0, signal: null });
  assert.ok(afterMs < 12_000, `it took ${afterMs} ms`);
  const [id] = worker.workerIds;
  assert.deepEqual(await db.query("select from outbox.deliveries where claimed_by = $1", [id]), []);
  assert.deepEqual(await db.query("select from outbox.workers where id = $1", [id]), []);
  const restMs = await untilAllDelivered(db, 5_000);
  t.diagnostic(`backlog elsewhere after ${backlogMs} ms, exit after ${afterMs} ms, all delivered ${restMs} ms later`);

  const { extra } = await assertBooksAgree(db, receiver.requests);
  assert.equal(extra, hanging.length);
  const attempts = await db.query(
    `select worker_id = $1 as stopped, outcome::text, code, count(*)::int from outbox.attempts group by 1, 2, 3 order by 1, 2`,
    [id],
  );
  assert.deepEqual(attempts, [
    { stopped: false, outcome: "delivered", code: null, count: all - finishing.length },
    { stopped: true, outcome: "delivered", code: null, count: finishing.length },
    { stopped: true, outcome: "unknown", code: "shutdown", count: hanging.length },
  ]);
  await assertNothingHeld(db);
  assert.equal(heir.isAlive, true);
});

test("the only worker, stopped with requests open and a backlog, leaves nothing locked or claimed", async () => {
  await using receiver = await startReceiver({ respond: () => "open" });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startWorkerProcess(db.url, { POSTRIDER_IN_FLIGHT: String(places) });
  await addEvents(db, bulk);
  await receiver.waitFor(inFlight);

  worker.signal("SIGTERM");
  const { code, afterMs } = await worker.exit;

  assert.equal(code, 0);
  assert.ok(afterMs < 12_000, `it took ${afterMs} ms`);
  assert.deepEqual(await db.lockedJobs(), []);
  assert.deepEqual(await db.query("select from outbox.deliveries where claimed_by is not null"), []);
  receiver.respondWith(() => 200);
  await using _heir = await startWorkerProcess(db.url);
  await untilAllDelivered(db, 5_000);
  assert.equal((await assertBooksAgree(db, receiver.requests)).extra, inFlight);
});

test("an idle worker stops at once", async () => {
  await using db = await testDatabase();
  await using worker = await startWorkerProcess(db.url);
  worker.signal("SIGTERM");
  const { code, afterMs } = await worker.exit;
  assert.equal(code, 0);
  assert.ok(afterMs < 3_000, `it took ${afterMs} ms`);
});
