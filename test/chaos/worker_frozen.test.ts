import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents } from "../support/factory.ts";
import { type Reply, startReceiver } from "../support/receiver.ts";
import { assertBooksAgree, assertNothingHeld, untilAllDelivered } from "./support/ledger.ts";
import { startWorkerProcess } from "./support/worker.ts";

const count = 20;

test("a worker that was frozen for longer than its lease is replaced, and its late answers are history only", async (t) => {
  const gates: ((reply: Reply) => void)[] = [];
  await using receiver = await startReceiver({ respond: () => new Promise<Reply>((answer) => gates.push(answer)) });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using zombie = await startWorkerProcess(db.url);
  await addEvents(db, count);
  await receiver.waitFor(count);
  await using heir = await startWorkerProcess(db.url);
  const [firstId] = zombie.workerIds;

  zombie.signal("SIGSTOP");
  receiver.respondWith(() => 200);
  const takenOverMs = await untilAllDelivered(db, 20_000);
  const finished = await db.query("select * from outbox.deliveries order by seq");
  for (const answer of gates) answer(503);
  zombie.signal("SIGCONT");
  await db.until<{ n: number }>(
    "select count(*)::int as n from outbox.attempts where late",
    [],
    ({ n }) => n === count,
  );

  t.diagnostic(`taken over and delivered ${takenOverMs} ms after the freeze`);
  assert.deepEqual(await db.query("select * from outbox.deliveries order by seq"), finished);
  const attempts = await db.query(
    `select number, late, outcome::text, code, worker_id = $1 as frozen, count(*)::int
     from outbox.attempts group by 1, 2, 3, 4, 5 order by 1, 2`,
    [firstId],
  );
  assert.deepEqual(attempts, [
    { number: 1, late: false, outcome: "unknown", code: "worker_lost", frozen: true, count },
    { number: 1, late: true, outcome: "retry", code: "http_status", frozen: true, count },
    { number: 2, late: false, outcome: "delivered", code: null, frozen: false, count },
  ]);
  assert.equal((await assertBooksAgree(db, receiver.requests)).extra, count);

  const { id: secondId } = await db.until<{ id: string }>("select id from outbox.workers where pid = $1", [zombie.pid]);
  assert.notEqual(secondId, firstId);
  heir.signal("SIGTERM");
  await heir.exit;
  const event = await addEvent(db);
  const attempt = await db.until("select worker_id, outcome::text from outbox.attempts where event_id = $1", [
    event.id,
  ]);
  assert.deepEqual(attempt, { worker_id: secondId, outcome: "delivered" });
  await assertNothingHeld(db);
});
