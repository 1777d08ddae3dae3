/** Each kind of alert: what it takes, what is not enough, and when it is over. Streaks are in alerts.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failInARow, letTimePass, newlyTold, note, toldSoFar } from "../support/alerts.ts";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, addEvents } from "../support/factory.ts";
import { delivered, failedWith, startHandWorker } from "../support/hand_worker.ts";

const lastTold = async (db: TestDatabase) => (await toldSoFar(db)).at(-1);

test("half of 20 attempts that fail within the window are worth an alert, 9 of 20 are not", async () => {
  await using db = await testDatabase();
  const policy = { alerts: { minimum: 20 }, schedule_seconds: [600] };
  await addDestination(db, { name: "well", topics: ["well"], policy });
  const ill = await addDestination(db, { name: "ill", topics: ["ill"], policy });
  const worker = await startHandWorker(db);
  const attempts = async (topic: string, failures: number, successes: number) => {
    for (let n = 0; n < failures + successes; n++) await addEvent(db, { topic });
    const claimed = await worker.claim();
    await worker.record(claimed.slice(0, failures), failedWith("http_status"));
    await worker.record(claimed.slice(failures), delivered);
  };
  await attempts("well", 9, 11);
  await attempts("ill", 9, 9);
  assert.deepEqual(await newlyTold(db), []);
  await attempts("ill", 1, 1);
  assert.deepEqual(await newlyTold(db), ["failure_rate firing warning"]);
  const told = await lastTold(db);
  assert.deepEqual([told?.destination_id, told?.count, told?.last_error?.code], [ill.id, 10, "http_status"]);
  assert.equal(told?.text, "10 of 20 attempts within 300 seconds failed.");
  assert.deepEqual(await newlyTold(db), []);

  await attempts("ill", 0, 2);
  assert.deepEqual(await newlyTold(db), ["failure_rate resolved warning"]);
});

test("retries count for the failure rate, attempts before the window do not", async () => {
  await using db = await testDatabase();
  await addDestination(db, { policy: { alerts: { minimum: 4, rate: 0.7 }, schedule_seconds: [0, 0, 0], jitter: 0 } });
  await addEvents(db, 4);
  const worker = await startHandWorker(db);
  await worker.attempt(failedWith("http_status"));
  await worker.attempt(delivered);
  assert.deepEqual(await newlyTold(db), []);
  await db.query("update outbox.attempts set started_at = started_at - interval '1 hour' where outcome = 'delivered'");
  assert.deepEqual(await newlyTold(db), ["failure_rate firing warning"]);
  await db.query("update outbox.attempts set started_at = started_at - interval '1 hour'");
  assert.deepEqual(await newlyTold(db), ["failure_rate resolved warning"]);
});

test("a circuit that opens is told once, and that it has closed again", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { name: "ERP" });
  await failInARow(db, id, 12);
  await note(db, "open_circuit", id, { failures: 12, reason: "12 failures in a row" });
  assert.deepEqual(await newlyTold(db), ["circuit_opened firing warning"]);
  const opened = await lastTold(db);
  const { first_failure_at: since } = await db.one("select first_failure_at from outbox.destination_health");
  assert.deepEqual(
    [opened?.dedup_key, opened?.count, opened?.since, opened?.title, opened?.last_error?.code],
    [`circuit:${id}`, 12, since.toISOString(), "ERP does not answer", "connect"],
  );
  await note(db, "open_circuit", id, { failures: 13 });
  assert.deepEqual(await newlyTold(db), []);
  await note(db, "close_circuit", id);
  assert.deepEqual(await newlyTold(db), ["circuit_closed resolved warning"]);
  const closed = await lastTold(db);
  assert.deepEqual([closed?.alert_id, closed?.dedup_key], [opened?.alert_id, opened?.dedup_key]);
  assert.deepEqual(await newlyTold(db), []);
  await note(db, "open_circuit", id);
  assert.deepEqual(await newlyTold(db), ["circuit_opened firing warning"]);
});

test("what opens and closes between two looks is told in its order, once, also while older transactions run", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await using old = await db.client();
  await old.query("begin; select pg_current_xact_id()");
  for (const action of ["open_circuit", "open_circuit", "close_circuit", "open_circuit", "close_circuit"])
    await note(db, action, id, { reason: "x", failures: "many" });
  const [opened, closed] = ["circuit_opened firing warning", "circuit_closed resolved warning"];
  assert.deepEqual(await newlyTold(db), [opened, closed, opened, closed]);
  for (let n = 0; n < 3; n++) assert.deepEqual(await newlyTold(db), []);
  await old.query("rollback");
  for (let n = 0; n < 3; n++) assert.deepEqual(await newlyTold(db), []);
});

test("entries that were looked at are forgotten once nothing can come before them", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  for (const action of ["open_circuit", "close_circuit"]) await note(db, action, id);
  await newlyTold(db);
  const cursor = () => db.one("select audit_id::int, cardinality(seen_audit_ids) as seen, at from outbox.alert_cursor");
  assert.equal((await cursor()).seen, 2);
  await db.query(
    `alter table outbox.audit_log disable trigger _100_refuse_change;
     update outbox.audit_log set at = at - interval '1 minute'`,
  );
  // Transactions of other databases of the server count as well: it may take more than the two looks that it needs.
  const deadline = Date.now() + 30_000;
  while ((await cursor()).seen > 0 && Date.now() < deadline) assert.deepEqual(await newlyTold(db), []);
  const { max } = await db.one("select max(id)::int from outbox.audit_log");
  const { audit_id, seen } = await cursor();
  assert.deepEqual([seen, audit_id], [0, max]);
});

test("a destination that the engine disabled is a critical alert, one that a person disabled is news", async () => {
  await using db = await testDatabase();
  const engines = await addDestination(db, { name: "ERP" });
  await failInARow(db, engines.id, 1);
  await db.query("select outbox.disable_destination($1, 'answered 410', 'postrider')", [engines.id]);
  assert.deepEqual(await newlyTold(db), ["destination_disabled firing critical"]);
  const told = await lastTold(db);
  assert.deepEqual([told?.redrive, told?.last_error?.code], [null, "connect"]);
  assert.match(told?.text ?? "", new RegExp(`answered 410.*select outbox.enable_destination\\('${engines.id}'\\);`));
  const persons = await addDestination(db);
  await db.query("select outbox.disable_destination($1, 'moving house', 'ada')", [persons.id]);
  assert.deepEqual(await newlyTold(db), ["destination_disabled firing info"]);
  assert.match((await lastTold(db))?.text ?? "", /^ada has disabled it: moving house\./);
  await db.query("select outbox.enable_destination($1, 'ada')", [engines.id]);
  assert.deepEqual(await newlyTold(db), ["destination_disabled resolved critical"]);
});

test("deleting a destination ends all its alerts", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { name: "ERP", policy: { alerts: { failures: 1 } } });
  await failInARow(db, id, 1);
  await note(db, "open_circuit", id);
  assert.equal((await newlyTold(db)).length, 2);
  await db.query("select outbox.delete_destination($1)", [id]);
  assert.deepEqual(
    new Set(await newlyTold(db)),
    new Set(["circuit_opened resolved warning", "consecutive_failures resolved critical"]),
  );
  assert.equal((await lastTold(db))?.title, "ERP was deleted");
  await note(db, "open_circuit", id);
  await failInARow(db, id, 5);
  assert.deepEqual(await newlyTold(db), []);
});

const waits: readonly (readonly [what: string, sql: string])[] = [
  ["for its first attempt", "select 1"],
  ["past the time of its next attempt", "update outbox.deliveries set next_attempt_at = now() - interval '61 minutes'"],
  [
    "held by a limit",
    "update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'rate', next_attempt_at = null",
  ],
];
for (const [what, sql] of waits) {
  test(`a delivery that waits for more than an hour ${what} is a backlog`, async () => {
    await using db = await testDatabase();
    await addDestination(db);
    const { id, at } = await db.one(
      "select outbox.uuid_at(t.at) as id, t.at from (select now() - interval '61 minutes') as t (at)",
    );
    await addEvent(db, { id, created_at: at, occurred_at: at });
    await db.query("update outbox.deliveries set created_at = now() - interval '61 minutes'");
    await db.query(sql);
    assert.deepEqual(await newlyTold(db), ["backlog firing warning"]);
    assert.deepEqual(await newlyTold(db), []);
    await db.query(
      "update outbox.deliveries set status = 'delivered', finished_at = now(), next_attempt_at = null, held_at = null, held_reason = null",
    );
    assert.deepEqual(await newlyTold(db), ["backlog resolved warning"]);
  });
}

const patient: readonly (readonly [what: string, sql: string])[] = [
  ["its time is yet to come", "update outbox.deliveries set next_attempt_at = now() + interval '1 hour'"],
  ["it is not old enough", "update outbox.deliveries set next_attempt_at = now() - interval '59 minutes'"],
  [
    "its destination is disabled, which is told already",
    "update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'destination_disabled'",
  ],
  [
    "its circuit is open, which is told already",
    "update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'circuit_open'",
  ],
];
for (const [why, sql] of patient) {
  test(`a delivery is no backlog if ${why}`, async () => {
    await using db = await testDatabase();
    await addDestination(db);
    await addEvent(db);
    await db.query("update outbox.deliveries set created_at = now() - interval '61 minutes'");
    await db.query(sql);
    assert.deepEqual(await newlyTold(db), []);
  });
}

test("a destination may call less than the default a backlog, for itself alone", async () => {
  await using db = await testDatabase();
  const impatient = await addDestination(db, { policy: { alerts: { backlog_seconds: 60 } } });
  await addDestination(db);
  await addEvent(db);
  await db.query("update outbox.deliveries set next_attempt_at = now() - interval '2 minutes'");
  assert.deepEqual(await newlyTold(db), ["backlog firing warning"]);
  assert.equal((await lastTold(db))?.destination_id, impatient.id);
});

test("a former secret is news while it is still valid, and over when it has ended", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.rotate_secret($1, overlap => '4 days')", [id]);
  assert.deepEqual(await newlyTold(db), []);
  await db.query(
    "update outbox.destination_secrets set valid_until = now() + interval '2 days' where valid_until is not null",
  );
  assert.deepEqual(await newlyTold(db), ["secret_expiring firing info"]);
  assert.match((await lastTold(db))?.text ?? "", /^Its former signing_secret is valid until .*UTC/);
  assert.deepEqual(await newlyTold(db), []);
  await db.query(
    "update outbox.destination_secrets set valid_until = now() - interval '1 s' where valid_until is not null",
  );
  assert.deepEqual(await newlyTold(db), ["secret_expiring resolved info"]);
});

test("a secret that ends without another in its place is critical, also after its end, until it is replaced", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await db.query("update outbox.destination_secrets set valid_until = now() + interval '2 days'");
  assert.deepEqual(await newlyTold(db), ["secret_expiring firing critical"]);
  const text = (await lastTold(db))?.text ?? "";
  await db.query("update outbox.destination_secrets set valid_until = now() - interval '2 days'");
  assert.deepEqual(await newlyTold(db), []);
  await db.query(/select outbox.rotate_secret.*;/.exec(text)?.[0] ?? "");
  assert.deepEqual(await newlyTold(db), ["secret_expiring resolved critical"]);
});

test("alerts that are over are kept for 90 days", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  for (const action of ["open_circuit", "close_circuit", "disable_destination"]) await note(db, action, id);
  await newlyTold(db);
  await letTimePass(db, "89 days");
  await newlyTold(db);
  assert.equal((await db.query("select from outbox.alerts")).length, 2);
  await letTimePass(db, "2 days");
  await newlyTold(db);
  assert.deepEqual(await db.query("select kind from outbox.alerts"), [{ kind: "destination_disabled" }]);
});
