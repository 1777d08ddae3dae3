import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf, deliveryOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";
import { advance, history, progress, replay } from "../support/replays.ts";

test("what was delivered, what died and what never was is delivered; what waits or was cancelled is left alone", async () => {
  await using db = await testDatabase();
  const never = await addEvent(db);
  const { id, subscriptionId } = await addDestination(db, { policy: { schedule_seconds: [] } });
  const worker = await startHandWorker(db);
  const done = await addEvent(db);
  await worker.attempt(delivered);
  const dead = await addEvent(db);
  await worker.attempt(failedWith());
  const cancelled = await addEvent(db);
  await db.query("select outbox.cancel($1)", [cancelled.id]);
  const claimed = await addEvent(db);
  await worker.claim();
  await db.query("select outbox.disable_destination($1)", [id]);
  const held = await addEvent(db);
  await db.query("select outbox.enable_destination($1), outbox.release_held()", [id]);
  const untouched = [cancelled, claimed, held].map((event) => deliveryOf(db, event.id));
  const before = await Promise.all(untouched);

  await replay(db, subscriptionId, "since => '-infinity', actor => 'ada'");
  const { status, looked_at, repeated, made, left_alone } = await advance(db);
  assert.deepEqual([status, looked_at, repeated, made, left_alone], ["done", 6, 2, 1, 3]);
  for (const event of [never, done, dead]) {
    const delivery = await deliveryOf(db, event.id);
    assert.deepEqual([delivery.status, delivery.failure_count, delivery.redriven_by], ["pending", 0, "ada"]);
  }
  assert.deepEqual(await Promise.all([cancelled, claimed, held].map((event) => deliveryOf(db, event.id))), before);
});

test("the attempts of a replay say so, and who asked; those of a later redrive and of a retry do not", async () => {
  await using db = await testDatabase();
  const { subscriptionId, worker, events } = await history(db, 1);
  const old = events[0]?.id ?? "";
  await replay(db, subscriptionId, "since => '-infinity', actor => 'ada'");
  await advance(db);
  await worker.attempt(failedWith());
  await db.query("update outbox.deliveries set next_attempt_at = now()");
  await worker.attempt(delivered);
  await db.query("select outbox.redrive(event_id => $1, statuses => '{delivered}', actor => 'bob')", [old]);
  await worker.attempt(delivered);
  assert.deepEqual(
    await db.query("select trigger, requested_by from outbox.attempts where event_id = $1 order by number", [old]),
    [
      { trigger: "event", requested_by: null },
      { trigger: "replay", requested_by: "ada" },
      { trigger: "retry", requested_by: null },
      { trigger: "redrive", requested_by: "bob" },
    ],
  );
});

test("an attempt of a replay that a lost worker left is closed as unknown, and was the replay's too", async () => {
  await using db = await testDatabase();
  const { subscriptionId, worker } = await history(db, 1);
  await replay(db, subscriptionId);
  await advance(db);
  await worker.claim();
  await worker.fallSilent();
  await (await startHandWorker(db)).attempt(delivered);
  assert.deepEqual(await db.query("select trigger, outcome::text from outbox.attempts order by number offset 1"), [
    { trigger: "replay", outcome: "unknown" },
    { trigger: "replay", outcome: "delivered" },
  ]);
});

test("topics and filter are the subscription's own unless given, and {} takes every payload", async (t) => {
  await using db = await testDatabase();
  for (const topic of ["order.paid", "order.sent", "user.made"]) {
    for (const total of [5, 50]) await addEvent(db, { topic, payload: JSON.stringify({ total }) });
  }
  await addEvent(db, { tenant_id: "acme", topic: "order.paid", payload: '{"total": 50}' });
  const { subscriptionId } = await addDestination(db, { topics: ["order.*"], filter: { total: { $gte: 10 } } });
  const cases: readonly (readonly [args: string, matched: string])[] = [
    ["", "2"],
    [", topics => '{order.paid}'", "1"],
    [", topics => '{*}'", "3"],
    [", filter => '{}'", "4"],
    [`, filter => '{"total": 5}'`, "2"],
    [`, topics => '{user.*}', filter => '{"total": 5}'`, "1"],
    [", max => 1", "1"],
  ];
  for (const [args, matched] of cases) {
    await t.test(`${args}: ${matched}`, async () => {
      const shown = await replay(db, subscriptionId, `since => '-infinity', dry_run => true${args}`);
      assert.equal(shown.matched, matched);
      await replay(db, subscriptionId, `since => '-infinity'${args}`);
      assert.equal((await advance(db)).made, Number(matched));
      await db.query("delete from outbox.deliveries");
    });
  }
});

test("since and until are the time of the event, to the millisecond", async () => {
  await using db = await testDatabase();
  const { at, before, on } = await db.one(
    `select t as at, outbox.uuid_at(t - interval '1 ms') as before, outbox.uuid_at(t) as on
     from date_trunc('milliseconds', now() - interval '1 minute') as t`,
  );
  await addEvent(db, { id: before });
  await addEvent(db, { id: on });
  const { subscriptionId } = await addDestination(db);
  const ids = async (args: string) => {
    await replay(db, subscriptionId, args, [at]);
    await advance(db);
    const made = await deliveriesOf(db);
    await db.query("delete from outbox.deliveries");
    return made.map(({ event_id }) => event_id);
  };
  assert.deepEqual(await ids("since => $2"), [on]);
  assert.deepEqual(await ids("since => '-infinity', until => $2"), [before]);
});

test("a dry run counts what a run would do, and writes nothing", async () => {
  await using db = await testDatabase();
  const missed = await addEvent(db);
  const { subscriptionId } = await history(db, 2);
  const cancelled = await addEvent(db);
  await db.query("select outbox.cancel($1)", [cancelled.id]);
  const all = `select (select json_agg(d order by d) from outbox.deliveries as d) as deliveries,
    (select count(*) from outbox.replays) as replays, (select count(*) from outbox.audit_log) as audited,
    (select count(*) from graphile_worker._private_jobs) as jobs`;
  const before = await db.one(all);
  const { oldest, newest, takes, ...shown } = (await replay(
    db,
    subscriptionId,
    "since => '-infinity', dry_run => true, rate => 1",
  )) as never as Record<string, unknown>;
  assert.deepEqual(shown, { replay_id: null, matched: "4", repeats: "2", makes: "1", leaves_alone: "1" });
  assert.deepEqual({ ...(takes as object) }, { seconds: 3 });
  const times = await db.one("select outbox.time_of($1) as oldest, outbox.time_of($2) as newest", [
    missed.id,
    cancelled.id,
  ]);
  assert.deepEqual({ oldest, newest }, times);
  assert.deepEqual(await db.one(all), before);
});

test("max ends it after so many deliveries", async () => {
  await using db = await testDatabase();
  const { subscriptionId, events } = await history(db, 10);
  await replay(db, subscriptionId, "since => '-infinity', max => 4");
  assert.deepEqual([(await advance(db)).status, (await progress(db)).repeated], ["done", 4]);
  const pending = (await deliveriesOf(db)).filter(({ status }) => status === "pending");
  assert.deepEqual(
    pending.map(({ event_id }) => event_id),
    events.slice(0, 4).map(({ id }) => id),
  );
});

test("its jobs are of a lower priority than any job of a live event, and oldest first", async () => {
  await using db = await testDatabase();
  const { subscriptionId, events } = await history(db, 5);
  await replay(db, subscriptionId);
  await advance(db);
  const jobs = await db.query(
    "select priority, payload -> 'deliveries' as deliveries from graphile_worker._private_jobs",
  );
  assert.deepEqual(jobs, [{ priority: 2000, deliveries: { [subscriptionId]: events.map(({ id }) => id) } }]);
});

test("what ended after the replay was asked for is not delivered once more", async () => {
  await using db = await testDatabase();
  const { subscriptionId, worker } = await history(db, 2);
  const late = await addEvent(db);
  await replay(db, subscriptionId);
  await worker.attempt(delivered);
  const { repeated, left_alone } = await advance(db);
  assert.deepEqual([repeated, left_alone], [2, 1]);
  assert.equal((await deliveryOf(db, late.id)).status, "delivered");
});

test("what is for later is made with its time and without a job", async () => {
  await using db = await testDatabase();
  const { id } = await addEvent(db, { deliver_after: new Date(Date.now() + 3_600_000) });
  const { subscriptionId } = await addDestination(db);
  await replay(db, subscriptionId);
  await advance(db);
  const { status, next_attempt_at, job_at } = await deliveryOf(db, id);
  assert.deepEqual([status, job_at], ["pending", null]);
  assert.ok(Number(next_attempt_at) > Date.now() + 3_500_000);
  assert.deepEqual(await db.query("select from graphile_worker._private_jobs"), []);
});

test("what cannot be done is refused, with the remedy", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db);
  const unknown = "00000000-0000-7000-8000-000000000000";
  const cases: readonly (readonly [sql: string, code: string, message: RegExp])[] = [
    [`select outbox.replay('${subscriptionId}', null)`, "PR001", /^since: must be before until/],
    [`select outbox.replay('${subscriptionId}', now(), now() - interval '1 day')`, "PR001", /^since: must be before/],
    [`select outbox.replay('${subscriptionId}', '-infinity', rate => 0)`, "PR001", /^rate: must be between/],
    [`select outbox.replay('${subscriptionId}', '-infinity', max => 0)`, "PR001", /^max: must be at least 1/],
    [
      `select outbox.replay('${subscriptionId}', '-infinity', topics => '{A}')`,
      "PR001",
      /^topics\[0\]: is not a topic/,
    ],
    [
      `select outbox.replay('${subscriptionId}', '-infinity', filter => '{"a": {"$b": 1}}')`,
      "PR001",
      /^filter\.a\.\$b/,
    ],
    [`select outbox.replay('${unknown}', '-infinity')`, "PR002", /^subscription: there is none/],
    ["select outbox.pause_replay(17)", "PR002", /^replay: there is none with id 17/],
    ["select outbox.resume_replay(17, rate => 1e9)", "PR001", /^rate: must be between/],
  ];
  for (const [sql, code, message] of cases) {
    const refusal = await refusalOf(db.query(sql));
    assert.equal(refusal.code, code, sql);
    assert.match(refusal.message, message);
    assert.notEqual(refusal.hint, "");
  }
  assert.deepEqual(await db.query("select from outbox.replays"), []);
});
