import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvents, addEventsApart, deliveriesOf, jobsOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

const countOf = async (db: TestDatabase, what: string) =>
  (await deliveriesOf(db)).filter(({ status, held_reason }) => (held_reason ?? status) === what).length;

const release = async (db: TestDatabase): Promise<number> =>
  (await db.one<{ n: number }>("select outbox.release_held() as n")).n;

/** So many seconds of the rate have passed. */
const pass = (db: TestDatabase, seconds: number) =>
  db.query("update outbox.limits set used_until = used_until - make_interval(secs => $1)", [seconds]);

test("a rate lets a burst start at once and holds the rest without an attempt or a job", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { rate_per_second: 10, burst: 4 } });
  const worker = await startHandWorker(db);
  const events = await addEventsApart(db, 20);
  const claimed = await worker.claim();
  assert.deepEqual(
    claimed.map(({ event_id }) => event_id),
    events.slice(0, 4).map(({ id }) => id),
  );
  await db.query("delete from graphile_worker._private_jobs");
  const held = (await deliveriesOf(db)).filter(({ status }) => status === "held");
  assert.deepEqual(
    [held.length, new Set(held.map((row) => `${row.held_reason} ${row.attempt_count}`))],
    [16, new Set(["limit 0"])],
  );
  await addEvents(db, 1);
  assert.equal(await countOf(db, "limit"), 17, "what is new waits behind what is held");
  assert.deepEqual(await jobsOf(db), []);
});

test("two workers together start no more than the rate, whatever is put back", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { rate_per_second: 10, burst: 5 } });
  const workers = [await startHandWorker(db), await startHandWorker(db)];
  await addEvents(db, 60);
  const pending = () =>
    db.query<{ event_id: string; subscription_id: string }>(
      "select event_id, subscription_id from outbox.deliveries where status = 'pending'",
    );
  const all = await pending();
  const startedAt = performance.now();
  const claimBoth = async () => (await Promise.all(workers.map((worker) => worker.claim(all)))).flat().length;
  const started = [await claimBoth()];
  for (let tenths = 0; tenths < 10; tenths += 1) {
    await pass(db, 0.1);
    await release(db);
    started.push(await claimBoth());
  }
  const sum = started.reduce((total, n) => total + n);
  assert.equal(started[0], 5);
  const seconds = 1 + (performance.now() - startedAt) / 1_000;
  assert.ok(sum >= 15 && sum <= 5 + 10 * seconds, `ten a second, beside the burst: ${started}`);
});

test("under in_flight_max one that ends makes room for the next at once", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { in_flight_max: 2 } });
  const [one, two] = [await startHandWorker(db), await startHandWorker(db)];
  await addEvents(db, 5);
  const first = await one.claim();
  assert.equal(first.length, 2);
  assert.deepEqual(await two.claim(), []);
  assert.equal(await release(db), 0);
  await one.record(first.slice(0, 1), delivered);
  assert.equal(await countOf(db, "pending"), 2, "one under way, one put back");
  assert.equal((await two.claim()).length, 1);
  assert.equal(await countOf(db, "limit"), 2);
});

test("a failed attempt, a given back claim and a lost worker free their places too", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { in_flight_max: 1 } });
  const [one, two] = [await startHandWorker(db), await startHandWorker(db)];
  await addEvents(db, 4);
  await one.record(await one.claim(), failedWith());
  const [claimed] = await one.claim();
  await db.query("select outbox.unclaim_deliveries($1, $2, $3)", [
    one.id,
    [claimed?.event_id],
    [claimed?.subscription_id],
  ]);
  assert.equal((await one.claim()).length, 1);
  await one.fallSilent();
  const [lost] = await db.query("select event_id, subscription_id from outbox.deliveries where claimed_by is not null");
  await two.claim([lost as { event_id: string; subscription_id: string }]);
  const { n } = await db.one("select count(*)::int as n from outbox.deliveries where claimed_by is not null");
  assert.equal(n, 1);
});

test("limits that are taken away let all that is held go", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy: { rate_per_second: 0.001, burst: 1 } });
  const worker = await startHandWorker(db);
  await addEvents(db, 30);
  await worker.attempt(delivered);
  assert.equal(await countOf(db, "limit"), 29);
  await db.query("select outbox.update_destination($1, policy => '{}')", [id]);
  assert.equal(await release(db), 29);
  assert.deepEqual(await db.query("select from outbox.holds"), []);
});

for (const [what, how] of Object.entries({
  "HTTP 429": failedWith("http_status", { response: { status: 429 } }),
  "HTTP 502": failedWith("http_status", { response: { status: 502 } }),
  "HTTP 504": failedWith("http_status", { response: { status: 504 } }),
  throttled: failedWith("throttled"),
})) {
  test(`a destination that answers ${what} gets fewer at once, step by step, and more again in quiet`, async () => {
    await using db = await testDatabase();
    await addDestination(db, { policy: { circuit: { failures: 100_000, minimum: 100_000 } } });
    const worker = await startHandWorker(db);
    const slowedTo = async () => (await db.one("select slowed_to from outbox.destination_status")).slowed_to;
    const calm = (seconds: number) =>
      db.query("update outbox.limits set slowed_at = slowed_at - make_interval(secs => $1)", [seconds]);
    await addEvents(db, 100);
    await worker.record((await worker.claim()).slice(0, 1), how);
    assert.equal(await slowedTo(), 32);
    await addEvents(db, 60);
    const waiting = await db.query<{ event_id: string; subscription_id: string }>(
      "select event_id, subscription_id from outbox.deliveries where status = 'pending' and claimed_by is null and attempt_count = 0",
    );
    const claimed = await worker.claim(waiting);
    assert.equal(claimed.length, 32);
    await calm(2);
    await worker.record(claimed.slice(0, 3), how);
    assert.equal(await slowedTo(), 16);
    await worker.record(claimed.slice(3, 6), how);
    assert.equal(await slowedTo(), 16, "not twice in a second");
    for (const expected of [32, 64, null]) {
      await calm(6);
      await release(db);
      assert.equal(await slowedTo(), expected);
    }
  });
}

test("HTTP 500 and 503 slow nothing down", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const worker = await startHandWorker(db);
  for (const status of [500, 503]) {
    await addEvents(db, 1);
    await worker.attempt(failedWith("http_status", { response: { status } }));
  }
  assert.deepEqual(await db.query("select from outbox.limits"), []);
});
