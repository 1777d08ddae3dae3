/** When a delivery is worth no further attempt: expires_at of its event, and the maximum age of the policy. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveryOf, jobsOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

const dayMs = 86_400_000;
const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1_000);

/** Lets time pass for all deliveries. */
const letPass = (db: TestDatabase, time: string) =>
  db.query(
    `update outbox.deliveries set created_at = created_at - $1::interval, expires_at = expires_at - $1::interval,
       counted_from = counted_from - $1::interval, next_attempt_at = next_attempt_at - $1::interval`,
    [time],
  );

const expireHeld = async (db: TestDatabase): Promise<number> =>
  (await db.one<{ n: number }>("select outbox.expire_deliveries() as n")).n;

const endOf = async (db: TestDatabase, eventId: string) => {
  const { status, error_code, attempt_count } = await deliveryOf(db, eventId);
  return [status, error_code, attempt_count];
};

test("what has expired before its first attempt is never sent: its delivery is dead, without an attempt", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db, { expires_at: inSeconds(60) });
  const lasting = await addEvent(db, { expires_at: inSeconds(7_200) });
  await letPass(db, "61 seconds");
  assert.deepEqual(
    (await worker.claim()).map(({ event_id }) => event_id),
    [lasting.id],
  );
  assert.deepEqual(await endOf(db, id), ["dead", "expired", 0]);
  assert.deepEqual(await db.query("select from outbox.attempts"), []);
  const letter = await db.one("select event_id, error_code from outbox.dead_letters");
  assert.deepEqual(letter, { event_id: id, error_code: "expired" });
});

test("a retry that would come after expires_at is not waited for: dead with the last error", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [5, 300], jitter: 0 } });
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db, { expires_at: inSeconds(60) });
  await worker.attempt(failedWith());
  assert.deepEqual(await endOf(db, id), ["pending", "http_status", 1]);
  await letPass(db, "6 seconds");
  await worker.attempt(failedWith());
  assert.deepEqual(await endOf(db, id), ["dead", "expired", 2]);
  const attempts = await db.query("select outcome::text, code, error from outbox.attempts order by number");
  assert.deepEqual(attempts, [
    { outcome: "retry", code: "http_status", error: "failed: http_status" },
    {
      outcome: "dead",
      code: "http_status",
      error: "failed: http_status (the next attempt would come after expires_at)",
    },
  ]);
});

test("Retry-After and faults of our own do not reach beyond expires_at either", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const worker = await startHandWorker(db);
  for (const how of [failedWith("throttled", { retry_after_ms: 90_000 }), failedWith("dns", { ours: true })]) {
    const { id } = await addEvent(db, { expires_at: inSeconds(how.ours ? 3 : 60) });
    await worker.attempt(how);
    assert.deepEqual(await endOf(db, id), ["dead", "expired", 1]);
  }
});

test("an attempt in flight when the event expires counts if it succeeds", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db, { expires_at: inSeconds(60) });
  const claimed = await worker.claim();
  await letPass(db, "61 seconds");
  assert.equal(await expireHeld(db), 0);
  await worker.record(claimed, delivered);
  assert.deepEqual(await endOf(db, id), ["delivered", null, 1]);
});

test("an attempt whose answer is unknown stays unknown, and what has expired meanwhile is not sent again", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db, { expires_at: inSeconds(60) });
  const claimed = await worker.claim();
  await letPass(db, "61 seconds");
  await worker.record(claimed, { outcome: "unknown", code: "shutdown", error: "stopped" });
  assert.deepEqual(await worker.claim(claimed), []);
  assert.deepEqual(await endOf(db, id), ["dead", "expired", 1]);
  assert.deepEqual(await db.query("select outcome::text, code from outbox.attempts"), [
    { outcome: "unknown", code: "shutdown" },
  ]);
});

test("held deliveries expire without anybody asking for them, each by its own time", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { policy: { max_age_seconds: 7_200 } });
  await addDestination(db, { tenantId: "other", name: "nothing is held for it" });
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  const soon = await addEvent(db, { expires_at: inSeconds(60) });
  const later = await addEvent(db, { expires_at: inSeconds(5_000) });
  const lasting = await addEvent(db);
  const scheduled = await addEvent(db, { deliver_after: inSeconds(3_600) });
  const statuses = async () => {
    const rows = [soon, later, lasting, scheduled].map(async ({ id }) => (await deliveryOf(db, id)).status);
    return (await Promise.all(rows)).join(" ");
  };
  assert.equal(await expireHeld(db), 0);
  await letPass(db, "61 seconds");
  assert.equal(await expireHeld(db), 1);
  assert.equal(await statuses(), "dead held held pending");
  await letPass(db, "5000 seconds");
  assert.equal(await expireHeld(db), 1);
  assert.equal(await statuses(), "dead dead held pending");
  await letPass(db, "3000 seconds");
  assert.equal(await expireHeld(db), 1);
  assert.equal(await statuses(), "dead dead dead pending");
  assert.deepEqual(await endOf(db, lasting.id), ["dead", "expired", 0]);
  await letPass(db, "3600 seconds");
  assert.deepEqual(await (await startHandWorker(db)).claim(), []);
  assert.deepEqual(await endOf(db, scheduled.id), ["dead", "expired", 0]);
});

test("a call ends as many held deliveries as it may, of all destinations, until none is left", async () => {
  await using db = await testDatabase();
  for (const name of ["a", "b"]) await addDestination(db, { name });
  await db.query("select outbox.disable_destination(id) from outbox.destinations");
  for (let n = 0; n < 3; n += 1) await addEvent(db);
  await letPass(db, "15 days");
  for (const n of [4, 2, 0]) assert.deepEqual(await db.one("select outbox.expire_deliveries(4) as n"), { n });
});

test("no attempt starts after the maximum age, 14 days unless the policy says otherwise", async () => {
  await using db = await testDatabase();
  await addDestination(db, { name: "default" });
  await addDestination(db, { name: "short", tenantId: "acme", policy: { max_age_seconds: 60 } });
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db);
  const short = await addEvent(db, { tenant_id: "acme" });
  await letPass(db, "61 seconds");
  assert.deepEqual(
    (await worker.claim()).map(({ event_id }) => event_id),
    [id],
  );
  assert.deepEqual(await endOf(db, short.id), ["dead", "expired", 0]);
  const older = await addEvent(db);
  await letPass(db, "13 days 23 hours");
  assert.equal((await worker.claim()).length, 1);
  await db.query("update outbox.deliveries set claimed_by = null, attempt_count = 0, last_attempt_at = null");
  await letPass(db, "2 hours");
  assert.deepEqual(await worker.claim(), []);
  assert.deepEqual(await endOf(db, older.id), ["dead", "expired", 0]);
});

test("a retry that would come after the maximum age is not waited for, and the attempt says so", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [0, 3_600], max_age_seconds: 600 } });
  const worker = await startHandWorker(db);
  const { id } = await addEvent(db, { expires_at: inSeconds(3 * 3_600) });
  await worker.attempt(failedWith());
  await worker.attempt(failedWith());
  assert.deepEqual(await endOf(db, id), ["dead", "expired", 2]);
  const { error } = await db.one("select error from outbox.attempts where number = 2");
  assert.equal(error, "failed: http_status (the next attempt would come after the maximum age)");
});

test("the maximum age counts from deliver_after", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { max_age_seconds: 600 } });
  const worker = await startHandWorker(db);
  await addEvent(db, { deliver_after: inSeconds(3_600) });
  await letPass(db, "3900 seconds");
  assert.equal((await worker.claim()).length, 1);
});

test("a redrive starts the maximum age anew; expires_at holds whoever asks", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { max_age_seconds: 600 } });
  const worker = await startHandWorker(db);
  const old = await addEvent(db);
  const expired = await addEvent(db, { expires_at: inSeconds(60) });
  await letPass(db, "900 seconds");
  assert.deepEqual(await worker.claim(), []);
  await db.query("select from outbox.redrive(error_code => 'expired')");
  assert.deepEqual(
    (await worker.claim()).map(({ event_id }) => event_id),
    [old.id],
  );
  assert.deepEqual(await endOf(db, expired.id), ["dead", "expired", 0]);
});

test("what was scheduled while its destination was disabled waits for its time when that is enabled again", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  const at = inSeconds(7_200);
  const { id } = await addEvent(db, { deliver_after: at });
  await db.query("select outbox.enable_destination($1)", [destinationId]);
  await db.query("select outbox.release_held()");
  const { status, next_attempt_at, job_at } = await deliveryOf(db, id);
  assert.deepEqual([status, next_attempt_at, job_at], ["pending", at, null]);
  assert.deepEqual(await jobsOf(db), []);
});

test("deferred fan-out carries expires_at and deliver_after along", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const [expires_at, deliver_after] = [inSeconds(7_200), inSeconds(3_600)];
  await using client = await db.client();
  await client.query("set outbox.fan_out = 'deferred'");
  const { id } = await addEvent(client, { expires_at, deliver_after });
  await db.query("select outbox.fan_out_deferred()");
  const row = await db.one("select expires_at, counted_from from outbox.deliveries where event_id = $1", [id]);
  assert.deepEqual(row, { expires_at, counted_from: deliver_after });
});

test("expires_at must be near the present, and not before deliver_after", async () => {
  await using db = await testDatabase();
  const wrong = [
    { expires_at: "infinity" },
    { expires_at: new Date(Date.now() + 900 * dayMs) },
    { expires_at: inSeconds(60), deliver_after: inSeconds(60) },
  ];
  for (const given of wrong) {
    const { constraint, message } = await refusalOf(addEvent(db, given));
    assert.equal(constraint, "expires_at_is_near_the_present_and_after_deliver_after");
    assert.match(message, /^events\.expires_at: must lie after deliver_after/);
  }
  await addEvent(db, { expires_at: inSeconds(-1) });
});

test("a lane goes on behind a delivery that expired, where the subscription says skip", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { topics: ["none.*"] });
  await db.query("select outbox.create_subscription($1, '{order.*}', ordered => true, on_dead => 'skip')", [
    destinationId,
  ]);
  const [first, second, third] = [
    await addEvent(db, { key: "a", expires_at: inSeconds(60) }),
    await addEvent(db, { key: "a" }),
    await addEvent(db, { key: "a" }),
  ];
  await letPass(db, "2 minutes");
  const worker = await startHandWorker(db);
  const arrived: string[] = [];
  for (let claims = 0; claims < 4; claims++) {
    await db.query("update outbox.deliveries set next_attempt_at = now() where next_attempt_at is not null");
    const claimed = await worker.claim();
    arrived.push(...claimed.map(({ event_id }) => event_id));
    if (claimed.length > 0) await worker.record(claimed, delivered);
  }
  assert.deepEqual(await endOf(db, first.id), ["dead", "expired", 0]);
  assert.deepEqual(arrived, [second.id, third.id]);
});
