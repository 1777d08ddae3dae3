import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents, deliveriesOf, deliveryOf, jobsOf } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

const once = { policy: { schedule_seconds: [] } };

/** Two destinations and two events: four dead letters, those of the first event with another code. */
async function deadLetters(db: TestDatabase) {
  const first = await addDestination(db, once);
  const second = await addDestination(db, once);
  const worker = await startHandWorker(db);
  const old = await addEvent(db);
  await worker.attempt(failedWith("dns"));
  const late = await addEvent(db);
  await worker.attempt(failedWith("timeout"));
  return { first, second, old, late, worker };
}

const redriven = (db: TestDatabase, args: string, params: unknown[] = []) =>
  db.query<{ event_id: string; subscription_id: string; status: string }>(
    `select * from outbox.redrive(${args})`,
    params,
  );

test("a dead letter is put back to work: pending now, with a job, its schedule anew, and who asked", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await addDestination(db, once);
  const { id } = await addEvent(db);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith("dns"));
  assert.deepEqual([(await deliveryOf(db, id)).status, (await deliveryOf(db, id)).failure_count], ["dead", 1]);
  await db.query("delete from graphile_worker._private_jobs");

  const [was, ...others] = await redriven(db, "event_id => $1, actor => 'ada'", [id]);
  assert.deepEqual([was?.status, others], ["dead", []]);
  const delivery = await deliveryOf(db, id);
  assert.deepEqual(
    [delivery.status, delivery.attempt_count, delivery.failure_count, delivery.finished_at, delivery.redriven_by],
    ["pending", 1, 0, null, "ada"],
  );
  assert.deepEqual(
    (await jobsOf(db)).map(({ deliveries }) => deliveries),
    [{ [subscriptionId]: [id] }],
  );

  await worker.attempt(delivered);
  const attempts = await db.query(
    "select number, outcome::text, trigger, requested_by from outbox.attempts order by number",
  );
  assert.deepEqual(attempts, [
    { number: 1, outcome: "dead", trigger: "event", requested_by: null },
    { number: 2, outcome: "delivered", trigger: "redrive", requested_by: "ada" },
  ]);
});

test("each criterion chooses, and several choose together", async (t) => {
  await using db = await testDatabase();
  const { first, second, old, late } = await deadLetters(db);
  const { between } = await db.one<{ between: Date }>("select created_at as between from outbox.events where id = $1", [
    late.id,
  ]);
  const cases: readonly (readonly [args: string, params: unknown[], events: readonly string[], count: number])[] = [
    ["event_id => $1", [old.id], [old.id], 2],
    ["subscription_id => $1", [first.subscriptionId], [old.id, late.id], 2],
    ["destination_id => $1", [second.id], [old.id, late.id], 2],
    ["error_code => $1", ["dns"], [old.id], 2],
    ["error_code => $1", ["tls"], [], 0],
    ["event_id => $1, destination_id => $2", [old.id, second.id], [old.id], 1],
    ["event_id => $1, error_code => $2", [old.id, "timeout"], [], 0],
    ["since => $1", [new Date(between.getTime() - 3_600_000)], [old.id, late.id], 4],
    ["since => $1", [new Date(Date.now() + 3_600_000)], [], 0],
    ["until => $1", [new Date(between.getTime() - 3_600_000)], [], 0],
    ["until => $1", [new Date(Date.now() + 3_600_000)], [old.id, late.id], 4],
    ["statuses => '{held}', event_id => $1", [old.id], [], 0],
  ];
  for (const [args, params, events, count] of cases) {
    await t.test(`${args}: ${count}`, async () => {
      const rows = await redriven(db, `${args}, dry_run => true`, params);
      assert.equal(rows.length, count);
      assert.deepEqual(new Set(rows.map(({ event_id }) => event_id)), new Set(events));
    });
  }
});

test("since and until are the time of the event, to the millisecond", async () => {
  await using db = await testDatabase();
  await addDestination(db, once);
  const worker = await startHandWorker(db);
  const { at, before, after } = await db.one(
    `select t as at, outbox.uuid_at(t - interval '1 ms') as before, outbox.uuid_at(t) as after
     from date_trunc('milliseconds', now()) as t`,
  );
  await addEvent(db, { id: before });
  await addEvent(db, { id: after });
  await worker.attempt(failedWith());
  const ids = async (args: string) =>
    (await redriven(db, `${args}, dry_run => true`, [at])).map(({ event_id }) => event_id);
  assert.deepEqual(await ids("since => $1"), [after]);
  assert.deepEqual(await ids("until => $1"), [before]);
});

test("a dry run shows the same deliveries and changes nothing", async () => {
  await using db = await testDatabase();
  const { old } = await deadLetters(db);
  const before = await deliveriesOf(db);
  const jobs = await jobsOf(db);
  const shown = await redriven(db, "event_id => $1, dry_run => true", [old.id]);
  assert.deepEqual(await deliveriesOf(db), before);
  assert.deepEqual(await jobsOf(db), jobs);
  assert.deepEqual(await db.query("select from outbox.audit_log where action = 'redrive'"), []);
  assert.deepEqual(await redriven(db, "event_id => $1", [old.id]), shown);
});

test("at most max are redriven, the oldest first", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, once);
  const worker = await startHandWorker(db);
  const events = await addEvents(db, 5);
  await worker.attempt(failedWith());
  const ids = async () =>
    (await redriven(db, "destination_id => $1, max => 2", [destinationId])).map(({ event_id }) => event_id);
  const expected = events.map(({ id }) => id).toSorted((a, b) => (a < b ? -1 : 1));
  assert.deepEqual(
    [await ids(), await ids(), await ids(), await ids()],
    [expected.slice(0, 2), expected.slice(2, 4), expected.slice(4), []],
  );
});

test("held deliveries are redriven too, delivered ones only when asked for, others never", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db);
  const worker = await startHandWorker(db);
  const done = await addEvent(db);
  await worker.attempt(delivered);
  const pending = await addEvent(db);
  const cancelled = await addEvent(db);
  await db.query("select outbox.cancel($1)", [cancelled.id]);
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  const held = await addEvent(db);
  await db.query("select outbox.enable_destination($1)", [destinationId]);

  const ids = async (args: string) => (await redriven(db, args, [destinationId])).map(({ event_id }) => event_id);
  assert.deepEqual(await ids("destination_id => $1"), [held.id]);
  assert.deepEqual(await ids("destination_id => $1, statuses => '{delivered}'"), [done.id]);
  assert.equal((await deliveryOf(db, held.id)).status, "pending");
  assert.equal((await deliveryOf(db, done.id)).status, "pending");
  assert.equal((await deliveryOf(db, pending.id)).redriven_by, null);
  assert.equal((await deliveryOf(db, cancelled.id)).status, "cancelled");
});

test("what is redriven to a destination that is still disabled is held again, not lost", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [destinationId]);
  const { id } = await addEvent(db);
  await redriven(db, "event_id => $1", [id]);
  const worker = await startHandWorker(db);
  assert.deepEqual(await worker.claim(), []);
  assert.deepEqual(
    [(await deliveryOf(db, id)).status, (await deliveryOf(db, id)).held_reason],
    ["held", "destination_disabled"],
  );
});

test("a redrive is audited: what was asked for, by whom, and how many it were", async () => {
  await using db = await testDatabase();
  const { second } = await deadLetters(db);
  await redriven(db, "destination_id => $1, error_code => 'dns', actor => 'ada'", [second.id]);
  const audit = await db.one("select actor, destination_id, detail from outbox.audit_log where action = 'redrive'");
  assert.deepEqual(audit, {
    actor: "ada",
    destination_id: second.id,
    detail: { error_code: "dns", statuses: ["dead", "held"], redriven: 1 },
  });
});

test("without a choice, with a status that cannot be, or without bounds, nothing is redriven", async () => {
  await using db = await testDatabase();
  const { old } = await deadLetters(db);
  const before = await deliveriesOf(db);
  const wrong: readonly (readonly [args: string, message: RegExp])[] = [
    ["", /^redrive: nothing was chosen/],
    ["max => 5, statuses => '{dead}'", /^redrive: nothing was chosen/],
    [`'${old.id}', statuses => '{dead,pending}'`, /^statuses: can be dead, held and delivered/],
    [`'${old.id}', statuses => '{cancelled}'`, /^statuses: can be dead, held and delivered/],
    [`'${old.id}', max => 0`, /^max: must be between 1 and 100000, not 0/],
    [`'${old.id}', max => 100001`, /^max: must be between 1 and 100000/],
    [`'${old.id}', max => null`, /^max: must be between 1 and 100000/],
  ];
  for (const [args, message] of wrong) {
    const refusal = await refusalOf(redriven(db, args));
    assert.equal(refusal.code, "PR001");
    assert.match(refusal.message, message);
    assert.notEqual(refusal.hint, "");
  }
  assert.deepEqual(await deliveriesOf(db), before);
});
