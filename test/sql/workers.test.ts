/** Workers that come, fall silent and come back too late; what they held, and what they say then. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents, deliveriesOf, deliveryOf, jobsOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

const attemptsSql = `select number, late, outcome::text, code, worker_id from outbox.attempts order by number, late`;
const lockJobs = (db: TestDatabase, pool: string) =>
  db.query("update graphile_worker._private_jobs set locked_by = $1, locked_at = now()", [pool]);

test("a delivery is claimed by one worker only, and its attempt counted", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db, { payload: '{"b": 1.10}' });
  const [first, second] = [await startHandWorker(db), await startHandWorker(db)];
  const [claimed] = await first.claim();
  assert.deepEqual(
    [claimed?.event_id, claimed?.attempt, claimed?.topic, claimed?.payload],
    [id, 1, "order.paid", '{"b": 1.10}'],
  );
  assert.deepEqual(await second.claim(), []);
  const { attempt_count, claimed_by } = await deliveryOf(db, id);
  assert.deepEqual([attempt_count, claimed_by], [1, first.id]);
});

test("two workers that claim the same at once share it out", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addEvents(db, 200);
  const workers = await Promise.all([startHandWorker(db), startHandWorker(db), startHandWorker(db)]);
  const claimed = (await Promise.all(workers.map((worker) => worker.claim()))).flat();
  assert.equal(claimed.length, 200);
  assert.equal(new Set(claimed.map(({ event_id }) => event_id)).size, 200);
});

test("a retry is not claimed before its time", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [60], jitter: 0 } });
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  const [recorded] = await worker.attempt(failedWith("timeout"));
  const delivery = await deliveryOf(db, id);
  assert.deepEqual([delivery.status, delivery.error_code, delivery.failure_count], ["pending", "timeout", 1]);
  assert.deepEqual(recorded?.next_attempt_at, delivery.next_attempt_at);
  assert.deepEqual(await worker.claim(), []);
  await db.query("update outbox.deliveries set next_attempt_at = now()");
  assert.equal((await worker.claim())[0]?.attempt, 2);
});

test("the last failure of the schedule makes a dead letter that says so", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [0], jitter: 0 } });
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith());
  await worker.attempt(failedWith());
  assert.equal((await deliveryOf(db, id)).status, "dead");
  const attempts = await db.query("select outcome::text, error from outbox.attempts order by number");
  assert.deepEqual(attempts, [
    { outcome: "retry", error: "failed: http_status" },
    { outcome: "dead", error: "failed: http_status (the schedule is used up)" },
  ]);
});

test("a dead outcome ends a delivery at once", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt({ outcome: "dead", code: "blocked_address", error: "no", duration_ms: 1 });
  assert.equal((await deliveryOf(db, id)).status, "dead");
});

test("faults of our own use up no attempt of the schedule and do not mark the destination", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [] } });
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith("dns", { ours: true }));
  const { status, failure_count, next_attempt_at } = await deliveryOf(db, id);
  assert.deepEqual([status, failure_count], ["pending", 0]);
  const wait = (next_attempt_at?.getTime() ?? 0) - Date.now();
  assert.ok(wait > 0 && wait <= 11_000, `${wait} ms`);
  assert.deepEqual(await db.query("select from outbox.destination_health where consecutive_failures > 0"), []);
});

test("an answer that was unknown is tried again at once", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [] } });
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt({ outcome: "unknown", code: "shutdown", error: "stopped" });
  assert.equal((await deliveryOf(db, id)).failure_count, 0);
  assert.equal((await worker.claim())[0]?.attempt, 2);
});

test("a sweep gives up silent workers and frees their jobs, and nobody else's", async () => {
  await using db = await testDatabase();
  const [silent, live] = [await startHandWorker(db), await startHandWorker(db)];
  await db.query("select graphile_worker.add_job('a'), graphile_worker.add_job('b')");
  await lockJobs(db, live.poolId);
  await db.query(
    "update graphile_worker._private_jobs set locked_by = $1 where id = (select min(id) from graphile_worker._private_jobs)",
    [silent.poolId],
  );
  await silent.fallSilent();
  assert.deepEqual(await db.query("select outbox.sweep_workers() as id"), [{ id: silent.id }]);
  assert.deepEqual(
    (await db.lockedJobs()).map(({ locked_by }) => locked_by),
    [live.poolId],
  );
  assert.deepEqual(await db.query("select id from outbox.workers"), [{ id: live.id }]);
  assert.deepEqual(await db.query("select outbox.sweep_workers() as id"), []);
});

test("a worker that was given up is told so by its next heartbeat", async () => {
  await using db = await testDatabase();
  const worker = await startHandWorker(db);
  const beat = () => db.one("select outbox.heartbeat($1) as alive", [worker.id]);
  assert.deepEqual(await beat(), { alive: true });
  await worker.fallSilent();
  assert.deepEqual(await beat(), { alive: false });
  assert.deepEqual(await db.one("select outbox.heartbeat($1) as alive", [randomUUID()]), { alive: false });
});

test("the claim of a lost worker is taken over, and its attempt closed as unknown", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const [lost, next] = [await startHandWorker(db), await startHandWorker(db)];
  await lost.claim();
  await lost.fallSilent();
  const [claimed] = await next.claim();
  assert.deepEqual([claimed?.event_id, claimed?.attempt], [id, 2]);
  assert.deepEqual(await db.query(attemptsSql), [
    { number: 1, late: false, outcome: "unknown", code: "worker_lost", worker_id: lost.id },
  ]);
});

test("the late answer of a worker that was given up changes nothing but history", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const [lost, next] = [await startHandWorker(db), await startHandWorker(db)];
  const lateClaim = await lost.claim();
  await lost.fallSilent();
  const claim = await next.claim();
  await lost.record(lateClaim, delivered);
  const { status, claimed_by } = await deliveryOf(db, id);
  assert.deepEqual([status, claimed_by], ["pending", next.id]);
  await next.record(claim, failedWith("timeout"));
  assert.deepEqual(await db.query(attemptsSql), [
    { number: 1, late: false, outcome: "unknown", code: "worker_lost", worker_id: lost.id },
    { number: 1, late: true, outcome: "delivered", code: null, worker_id: lost.id },
    { number: 2, late: false, outcome: "retry", code: "timeout", worker_id: next.id },
  ]);
  assert.equal((await deliveryOf(db, id)).failure_count, 1);
});

test("an attempt that is recorded twice is recorded once", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const worker = await startHandWorker(db);
  for (const how of [delivered, failedWith()]) {
    await addEvent(db);
    const claim = await worker.claim();
    await worker.record(claim, how);
    const before = await db.query(attemptsSql);
    const deliveries = await deliveriesOf(db);
    const jobs = await jobsOf(db);
    await worker.record(claim, how);
    assert.deepEqual(await db.query(attemptsSql), before);
    assert.deepEqual(await deliveriesOf(db), deliveries);
    assert.deepEqual(await jobsOf(db), jobs);
  }
});

test("an attempt that nobody claimed, or another worker did, cannot be recorded", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const [owner, other] = [await startHandWorker(db), await startHandWorker(db)];
  const claim = await owner.claim();
  await other.record(claim, delivered);
  await owner.record(
    claim.map((row) => ({ ...row, attempt: row.attempt + 1 })),
    delivered,
  );
  assert.equal((await deliveryOf(db, id)).status, "pending");
  assert.deepEqual(await db.query(attemptsSql), []);
  await owner.record(claim, delivered);
  assert.equal((await deliveryOf(db, id)).status, "delivered");
});

test("what was claimed and not sent is given back as if it had not been claimed", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  const [claimed] = await worker.claim();
  await db.query("delete from graphile_worker._private_jobs");
  await db.query("select outbox.unclaim_deliveries($1, $2, $3)", [worker.id, [id], [claimed?.subscription_id]]);
  const { attempt_count, claimed_by, status } = await deliveryOf(db, id);
  assert.deepEqual([attempt_count, claimed_by, status], [0, null, "pending"]);
  assert.equal((await jobsOf(db)).length, 1);
  assert.equal((await worker.claim())[0]?.attempt, 1);
});

test("a worker that leaves takes its name out and frees its jobs", async () => {
  await using db = await testDatabase();
  const worker = await startHandWorker(db);
  await db.query("select graphile_worker.add_job('a')");
  await lockJobs(db, worker.poolId);
  await db.query("select outbox.leave_worker($1)", [worker.id]);
  assert.deepEqual(await db.lockedJobs(), []);
  assert.deepEqual(await db.query("select from outbox.workers"), []);
});

test("a worker whose pool broke goes on with another: the jobs are freed, its claims stay", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  const claim = await worker.claim();
  await lockJobs(db, worker.poolId);
  assert.deepEqual(await db.one("select outbox.change_pool($1, 'new') as known", [worker.id]), { known: true });
  assert.deepEqual(await db.lockedJobs(), []);
  assert.equal((await deliveryOf(db, id)).claimed_by, worker.id);
  await worker.record(claim, delivered);
  assert.equal((await deliveryOf(db, id)).status, "delivered");
  assert.deepEqual(await db.one("select outbox.change_pool($1, 'new') as known", [randomUUID()]), { known: false });
});
