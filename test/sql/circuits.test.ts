import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import {
  addDestination,
  addEvent,
  addEvents,
  addEventsApart,
  deliveriesOf,
  deliveryOf,
  jobsOf,
} from "../support/factory.ts";
import { delivered, failedWith, type HandWorker, startHandWorker } from "../support/hand_worker.ts";

const atOnce = { circuit: { failures: 3, span_seconds: 0, probe_seconds: 10, probe_seconds_max: 35 } };

const circuitOf = async (db: TestDatabase) =>
  (await db.one<{ circuit: string }>("select circuit from outbox.destination_status")).circuit;

const holdOf = (db: TestDatabase) =>
  db.one(`select reason, probe_count, probe_event_id, ramp_size,
      round(extract(epoch from next_probe_at - now()))::int as probe_in
    from outbox.holds`);

const statusesOf = async (db: TestDatabase) =>
  (await deliveriesOf(db)).map(({ status, held_reason }) => held_reason ?? status);

const release = async (db: TestDatabase): Promise<number> =>
  (await db.one<{ n: number }>("select outbox.release_held() as n")).n;

/** The time of the next probe, or of the next portion of the ramp, has come. */
const comes = (db: TestDatabase) =>
  db.query(`update outbox.holds set
    next_probe_at = case when reason = 'circuit_open' then now() end, ramp_at = case when reason = 'ramp' then now() end`);

/** A destination whose circuit three failed deliveries have opened: they wait for their second attempt. */
const openCircuit = async (db: TestDatabase, policy: object = atOnce): Promise<HandWorker> => {
  await addDestination(db, { policy });
  const worker = await startHandWorker(db);
  await addEvents(db, 3);
  await worker.attempt(failedWith("connect"));
  assert.equal(await circuitOf(db), "open");
  return worker;
};

test("a circuit opens after failures in a row that span the time, not before", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { circuit: { failures: 3, span_seconds: 60 } } });
  const worker = await startHandWorker(db);
  await addEvents(db, 5);
  await worker.attempt(failedWith("connect"));
  assert.equal(await circuitOf(db), "closed");
  await db.query("update outbox.destination_health set first_failure_at = now() - interval '61 seconds'");
  await addEvent(db);
  await worker.attempt(failedWith("connect"));
  assert.equal(await circuitOf(db), "open");
  const opened = await db.one("select action, actor, detail from outbox.audit_log where action like '%circuit'");
  assert.deepEqual(opened, {
    action: "open_circuit",
    actor: "postrider",
    detail: { error: "failed: connect", failures: 6 },
  });
});

test("a success in between starts the streak anew", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: atOnce });
  const worker = await startHandWorker(db);
  for (const how of [failedWith(), failedWith(), delivered, failedWith(), failedWith()]) {
    const { id } = await addEvent(db);
    await worker.record(await worker.claim([await deliveryOf(db, id)]), how);
  }
  assert.equal(await circuitOf(db), "closed");
});

test("a circuit opens on the failure rate of a window once it has enough attempts", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { circuit: { failures: 1000, rate: 0.5, minimum: 20 } } });
  const worker = await startHandWorker(db);
  const attempt = async (n: number, how: Readonly<Record<string, unknown>>) => {
    await addEvents(db, n);
    await worker.attempt(how);
  };
  await attempt(9, failedWith());
  await attempt(9, delivered);
  await attempt(1, failedWith());
  assert.equal(await circuitOf(db), "closed", "19 attempts are too few");
  await attempt(1, failedWith());
  assert.equal(await circuitOf(db), "open");
});

test("a rate below the limit leaves the circuit closed, and a window that is over is forgotten", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { circuit: { failures: 1000, rate: 0.5, minimum: 10 } } });
  const worker = await startHandWorker(db);
  await addEvents(db, 5);
  await worker.attempt(failedWith());
  await addEvents(db, 8);
  await worker.attempt(delivered);
  await addEvent(db);
  await worker.attempt(failedWith());
  assert.equal(await circuitOf(db), "closed", "6 of 14");
  await db.query("update outbox.destination_health set window_ends_at = now()");
  await addEvents(db, 9);
  await worker.attempt(failedWith());
  const health = await db.one("select window_attempts, window_failures from outbox.destination_health");
  assert.deepEqual(health, { window_attempts: 9, window_failures: 9 });
});

test("while a circuit is open new deliveries are held without a job, and waiting ones when they come due", async () => {
  await using db = await testDatabase();
  const worker = await openCircuit(db);
  await db.query("delete from graphile_worker._private_jobs");
  const { id } = await addEvent(db);
  const { status, held_reason, attempt_count } = await deliveryOf(db, id);
  assert.deepEqual([status, held_reason, attempt_count], ["held", "circuit_open", 0]);
  assert.deepEqual(await jobsOf(db), []);
  await db.query("update outbox.deliveries set next_attempt_at = now() where status = 'pending'");
  assert.deepEqual(await worker.claim(), []);
  assert.deepEqual(await statusesOf(db), ["circuit_open", "circuit_open", "circuit_open", "circuit_open"]);
  assert.deepEqual(
    (await deliveriesOf(db)).map(({ attempt_count: attempts, error_code }) => [attempts, error_code]),
    [
      [1, "connect"],
      [1, "connect"],
      [1, "connect"],
      [0, null],
    ],
  );
});

test("a probe is the oldest held delivery, alone; each that fails doubles the interval and counts for nothing else", async () => {
  await using db = await testDatabase();
  const worker = await openCircuit(db);
  const [first] = await addEventsApart(db, 2);
  assert.equal(await release(db), 0, "not before its time");
  await comes(db);
  assert.equal(await release(db), 1);
  assert.equal(await release(db), 0, "one at a time");
  assert.equal(await circuitOf(db), "half_open");
  assert.equal((await holdOf(db)).probe_event_id, first?.id);
  await worker.attempt(failedWith("connect"));
  assert.equal(await circuitOf(db), "open");
  const probe = await deliveryOf(db, first?.id ?? "");
  assert.deepEqual(
    [probe.held_reason, probe.attempt_count, probe.failure_count, probe.next_attempt_at],
    ["circuit_open", 1, 0, null],
  );
  const intervals = [(await holdOf(db)).probe_in];
  for (let probes = 0; probes < 2; probes += 1) {
    await comes(db);
    await release(db);
    await worker.attempt(failedWith("connect"));
    intervals.push((await holdOf(db)).probe_in);
  }
  assert.deepEqual(intervals, [20, 35, 35]);
});

test("a probe that succeeds closes the circuit, and the held come back oldest first in portions that double", async () => {
  await using db = await testDatabase();
  const worker = await openCircuit(db);
  await db.query("update outbox.deliveries set next_attempt_at = 'infinity'");
  const events = await addEventsApart(db, 60);
  await comes(db);
  await release(db);
  await worker.attempt(delivered);
  assert.equal(await circuitOf(db), "closed");
  assert.equal((await holdOf(db)).reason, "ramp");
  const { id: late } = await addEvent(db);
  assert.equal((await deliveryOf(db, late)).held_reason, "ramp", "what is new waits behind what is held");

  const portions: number[] = [];
  for (let n = 0; n < 3; n += 1) {
    portions.push(await release(db));
    assert.equal(await release(db), 0, "a portion a second");
    const claimed = await worker.claim();
    const done = portions.slice(0, n).reduce((sum, size) => sum + size, 1);
    const expected = events.slice(done, done + claimed.length).map(({ id }) => id);
    if (n < 2)
      assert.deepEqual(
        claimed.map(({ event_id }) => event_id),
        expected,
      );
    await worker.record(claimed, delivered);
    await comes(db);
  }
  assert.deepEqual(portions, [10, 20, 30]);
  assert.equal(await release(db), 0);
  assert.deepEqual(await db.query("select from outbox.holds"), []);
  const { id } = await addEvent(db);
  assert.equal((await deliveryOf(db, id)).status, "pending");
});

test("three failures in a row during the ramp open the circuit again, however short", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { circuit: { failures: 100, span_seconds: 3600 } } });
  const worker = await startHandWorker(db);
  await addEvents(db, 20);
  await db.query("select outbox.disable_destination(id) from outbox.destinations");
  await worker.claim();
  await db.query("select outbox.enable_destination(id) from outbox.destinations");
  await release(db);
  await worker.attempt(failedWith("connect"));
  assert.equal(await circuitOf(db), "open");
});

test("a probe that is cancelled, or whose worker is lost, does not leave the circuit half open for ever", async () => {
  await using db = await testDatabase();
  const worker = await openCircuit(db);
  const [first, second] = await addEventsApart(db, 2);
  await comes(db);
  await release(db);
  await db.query("select outbox.cancel($1)", [first?.id]);
  await release(db);
  assert.equal((await holdOf(db)).probe_event_id, second?.id);

  await worker.claim();
  await worker.fallSilent();
  const other = await startHandWorker(db);
  await other.attempt(delivered);
  assert.equal(await circuitOf(db), "closed");
});

test("a failure of our own does not count as the probe's", async () => {
  await using db = await testDatabase();
  const worker = await openCircuit(db);
  await addEvent(db);
  await comes(db);
  await release(db);
  await worker.attempt(failedWith("internal", { ours: true }));
  assert.equal(await circuitOf(db), "half_open");
  assert.equal((await holdOf(db)).probe_count, 0);
});

test("changing a destination probes it at once", async () => {
  await using db = await testDatabase();
  await openCircuit(db);
  await addEvent(db);
  await db.query(
    `select outbox.update_destination((select id from outbox.destinations), config => '{"url": "https://example.com/new"}')`,
  );
  assert.equal(await release(db), 1);
});

test("what a transaction held before its destination was released is found and put back", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  await using producer = await db.client();
  await producer.query("begin");
  const event = await addEvent(producer);
  await db.query("select outbox.enable_destination($1)", [id]);
  await release(db);
  assert.deepEqual(await db.query("select from outbox.holds"), []);
  await producer.query("commit");
  assert.equal((await deliveryOf(db, event.id)).status, "held");
  assert.equal((await db.one("select outbox.hold_strays() as n")).n, 1);
  assert.equal((await db.one("select outbox.hold_strays() as n")).n, 0);
  await release(db);
  assert.equal((await deliveryOf(db, event.id)).status, "pending");
});

test("a destination that did nothing but fail for the time of its policy is disabled; a quiet time is no failure", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { disable_after_seconds: 3600, circuit: { failures: 1000 } } });
  const worker = await startHandWorker(db);
  await addEvent(db);
  await worker.attempt(failedWith("connect"));
  const disable = async () => (await db.one("select outbox.disable_failing() as n")).n;
  await db.query(
    "update outbox.destination_health set first_failure_at = now() - interval '2 days', last_failure_at = now() - interval '2 days'",
  );
  assert.equal(await disable(), 0, "it failed once, two days ago");
  await addEvent(db);
  await worker.attempt(failedWith("connect"));
  assert.equal(await disable(), 1);
  const { disabled_reason } = await db.one("select disabled_reason from outbox.destinations");
  assert.match(disabled_reason, /^nothing but failures since \d{4}-\d\d-\d\d \d\d:\d\d \S+: failed: connect$/);
  const { actor } = await db.one("select actor from outbox.audit_log where action = 'disable_destination'");
  assert.equal(actor, "postrider");
});

test("what is for later keeps its time when the destination holds", async () => {
  await using db = await testDatabase();
  const worker = await openCircuit(db);
  const { id } = await addEvent(db, { deliver_after: new Date(Date.now() + 3_600_000) });
  assert.equal((await deliveryOf(db, id)).status, "pending");
  await worker.claim([await deliveryOf(db, id)]);
  assert.equal((await deliveryOf(db, id)).status, "pending");
});
