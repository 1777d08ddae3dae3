/** The views and functions with which people look at what goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

test("explain_match says of each subscription whether it wants an event, and why not", async () => {
  await using db = await testDatabase();
  const wishes = [
    ["all", {}],
    ["other topic", { topics: ["user.*"] }],
    ["other filter", { filter: { total: { $gte: 10 }, country: "DE" } }],
    ["jsonpath", { filter: { $jsonpath: "$.total > 10" } }],
    ["off", {}],
    ["disabled", {}],
    ["every tenant", { tenantId: "*" }],
    ["other tenant", { tenantId: "umbrella" }],
  ] as const;
  for (const [name, wish] of wishes) await addDestination(db, { name, tenantId: "acme", ...wish });
  await db.query(
    `update outbox.subscriptions as s set enabled = false from outbox.destinations as d where d.id = s.destination_id and d.name = 'off'`,
  );
  await db.query(
    "select outbox.disable_destination(id, 'they moved') from outbox.destinations where name = 'disabled'",
  );
  const { id } = await addEvent(db, { tenant_id: "acme", payload: '{"total": 5}' });
  await addDestination(db, { name: "too late", tenantId: "acme" });
  const rows = await db.query("select destination, matched, reason from outbox.explain_match($1)", [id]);
  const said = Object.fromEntries(rows.map(({ destination, matched, reason }) => [destination, [matched, reason]]));
  assert.deepEqual(said, {
    all: [true, "matches"],
    "every tenant": [true, "matches"],
    disabled: [true, "matches; the destination is disabled: they moved"],
    "too late": [true, "matches; the subscription is younger than the event"],
    off: [false, "the subscription is not enabled"],
    "other topic": [false, "topic order.paid is not among {user.*}"],
    "other filter": [false, "filter: total: 5 is not >= 10; country is missing"],
    jsonpath: [false, 'filter: the jsonpath ($."total" > 10) does not hold'],
  });
  assert.deepEqual(
    rows.map(({ matched }) => matched),
    [true, true, true, true, false, false, false, false],
  );
});

test("explain_match agrees with what was delivered", async () => {
  await using db = await testDatabase();
  for (const filter of [{ n: 1 }, { n: { $gt: 1 } }, { a: { $exists: false } }, null])
    await addDestination(db, { filter });
  for (const payload of ['{"n": 1}', '{"n": 2, "a": 1}', "[]", "7"]) {
    const { id } = await addEvent(db, { payload });
    const matched = await db.query("select subscription_id from outbox.explain_match($1) where matched order by 1", [
      id,
    ]);
    assert.deepEqual(
      matched,
      await db.query("select subscription_id from outbox.deliveries where event_id = $1 order by 1", [id]),
    );
  }
});

test("event_timeline tells the life of an event in order", async () => {
  await using db = await testDatabase();
  await addDestination(db, { name: "ERP", policy: { schedule_seconds: [0, 600], jitter: 0 } });
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  const read = () => db.query("select what, attempt, detail, destination from outbox.event_timeline($1)", [id]);
  await worker.attempt(failedWith("dns"));
  await db.query("update outbox.attempts set started_at = started_at + interval '1 ms'");
  await worker.attempt(failedWith("timeout"));
  const start = [
    { what: "event", attempt: null, detail: "order.paid", destination: null },
    { what: "delivery", attempt: null, detail: null, destination: "ERP" },
    { what: "retry", attempt: 1, detail: "failed: dns, 3 ms", destination: "ERP" },
    { what: "retry", attempt: 2, detail: "retry, failed: timeout, 3 ms", destination: "ERP" },
  ];
  assert.deepEqual(await read(), [
    ...start,
    { what: "next attempt", attempt: 3, detail: "timeout", destination: "ERP" },
  ]);
  await db.query("update outbox.deliveries set next_attempt_at = now()");
  await worker.attempt(delivered);
  assert.deepEqual(await read(), [
    ...start,
    { what: "delivered", attempt: 3, detail: "retry, 3 ms", destination: "ERP" },
    { what: "ended: delivered", attempt: null, detail: null, destination: "ERP" },
  ]);
});

test("pending shows what will be tried, and what is in flight", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  const { id: first } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith("dns"));
  const { id: second } = await addEvent(db);
  await worker.claim();
  await addEvent(db);
  await db.query("select outbox.cancel(max(event_id::text)::uuid) from outbox.deliveries");
  const rows = await db.query(
    "select event_id, attempt_count, error_code, in_flight, next_attempt_at > now() as later from outbox.pending order by seq",
  );
  assert.deepEqual(rows, [
    { event_id: first, attempt_count: 1, error_code: "dns", in_flight: false, later: true },
    { event_id: second, attempt_count: 1, error_code: null, in_flight: true, later: null },
  ]);
});

test("dead_letters shows what never arrived, with the last error", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { name: "ERP", policy: { schedule_seconds: [0], jitter: 0 } });
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith("dns"));
  assert.deepEqual(await db.query("select from outbox.dead_letters"), []);
  await worker.attempt(failedWith("timeout"));
  const row = await db.one(
    "select event_id, topic, error_code, attempt_count, destination, destination_id, error from outbox.dead_letters",
  );
  const error = "failed: timeout (the schedule is used up)";
  assert.deepEqual(row, {
    event_id: id,
    topic: "order.paid",
    error_code: "timeout",
    attempt_count: 2,
    destination: "ERP",
    destination_id: destinationId,
    error,
  });
});

test("destination_status shows health, backlog and the last error of each destination", async () => {
  await using db = await testDatabase();
  const worker = await startHandWorker(db);
  const read = () =>
    db.one(
      "select health, backlog::int, held::int, dead::int, consecutive_failures, last_error_code, last_error from outbox.destination_status",
    );
  const nothing = { backlog: 0, held: 0, dead: 0, consecutive_failures: 0, last_error_code: null, last_error: null };
  const { id } = await addDestination(db, { policy: { schedule_seconds: [600], jitter: 0 } });
  assert.deepEqual(await read(), { ...nothing, health: "unused" });
  await addEvent(db);
  await worker.attempt(delivered);
  assert.deepEqual(await read(), { ...nothing, health: "healthy" });
  await addEvent(db);
  await worker.attempt(failedWith("dns"));
  const failed = { ...nothing, consecutive_failures: 1, last_error_code: "dns", last_error: "failed: dns" };
  assert.deepEqual(await read(), { ...failed, health: "failing", backlog: 1 });
  await db.query("update outbox.deliveries set next_attempt_at = now() where status = 'pending'");
  await worker.attempt({ outcome: "dead", code: "gone", error: "HTTP 410", disable: true });
  await addEvent(db);
  const gone = { consecutive_failures: 2, last_error_code: "gone", last_error: "HTTP 410" };
  assert.deepEqual(await read(), { ...nothing, ...gone, health: "disabled", held: 1, dead: 1 });
  await db.query("select outbox.delete_destination($1)", [id]);
  assert.deepEqual(await db.query("select from outbox.destination_status"), []);
});

test("a success ends the run of failures", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { schedule_seconds: [0, 0, 0], jitter: 0 } });
  await addEvent(db);
  const worker = await startHandWorker(db);
  for (const how of [failedWith(), failedWith(), delivered]) await worker.attempt(how);
  const health = await db.one(
    "select consecutive_failures, first_failure_at, last_failure_at is not null as failed from outbox.destination_health",
  );
  assert.deepEqual(health, { consecutive_failures: 0, first_failure_at: null, failed: true });
});

test("lag is one row about everything", async () => {
  await using db = await testDatabase();
  const read = () =>
    db.one(
      "select live_workers::int, pending::int, due::int, oldest_due is not null as waits, deferred_events::int, held::int, dead::int from outbox.lag",
    );
  const nothing = { live_workers: 0, pending: 0, due: 0, waits: false, deferred_events: 0, held: 0, dead: 0 };
  assert.deepEqual(await read(), nothing);
  const worker = await startHandWorker(db);
  const silent = await startHandWorker(db);
  await silent.fallSilent();
  const { id } = await addDestination(db);
  await addEvent(db);
  await worker.attempt(failedWith());
  await addEvent(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  await addEvent(db);
  await db.query(
    "begin; set local outbox.fan_out = 'deferred'; insert into outbox.events (topic, payload) values ('a', '1'), ('b', '2'); commit",
  );
  assert.deepEqual(await read(), {
    live_workers: 1,
    pending: 2,
    due: 1,
    waits: true,
    deferred_events: 2,
    held: 1,
    dead: 0,
  });
});
