/** A webhook destination over time, with a real worker: what it does when a receiver says no, and when it changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveryOf } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { startTestWorker } from "../support/worker.ts";

const statusOf =
  "select status::text, held_reason, error_code, next_attempt_at from outbox.deliveries where event_id = $1";

test("410 makes a dead letter and disables the destination; later events are held until it is enabled", async () => {
  await using receiver = await startReceiver({ respond: () => 410 });
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { config: { url: receiver.url } });
  await using _worker = await startTestWorker(db);
  const { id: first } = await addEvent(db, { payload: '"first"' });
  const dead = await db.until(statusOf, [first], ({ status }) => status === "dead");
  assert.equal(dead.error_code, "gone");
  const { disabled_reason } = await db.one(
    "select disabled_reason from outbox.destinations where disabled_at is not null",
  );
  assert.match(disabled_reason, /HTTP 410/);
  const audit = await db.one("select actor, destination_id from outbox.audit_log where action = 'disable_destination'");
  assert.deepEqual(audit, { actor: "postrider", destination_id: destinationId });

  const { id: second } = await addEvent(db, { payload: '"second"' });
  const { status, held_reason } = await deliveryOf(db, second);
  assert.deepEqual([status, held_reason], ["held", "destination_disabled"]);

  receiver.respondWith(() => 200);
  await db.query("select outbox.enable_destination($1)", [destinationId]);
  await db.until(statusOf, [second], (row) => row.status === "delivered");
  assert.deepEqual(
    receiver.requests.map(({ rawBody }) => rawBody.toString()),
    ['"first"', '"second"'],
  );
  assert.equal((await deliveryOf(db, first)).status, "dead");
});

test("Retry-After puts the next attempt off, beyond the schedule", async () => {
  await using receiver = await startReceiver({ respond: () => ({ status: 429, headers: { "retry-after": "3600" } }) });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url }, policy: { schedule_seconds: [1, 1] } });
  await using _worker = await startTestWorker(db);
  const { id } = await addEvent(db);
  const { next_attempt_at } = await db.until(statusOf, [id], (row) => row.next_attempt_at !== null);
  const seconds = (next_attempt_at.getTime() - Date.now()) / 1000;
  assert.ok(seconds > 3_500 && seconds < 3_601, `${seconds} s`);
});

test("answers with NUL and broken text are recorded, and harm no other delivery", async () => {
  await using receiver = await startReceiver({
    respond: () => ({
      status: 500,
      headers: { "x-request-id": "caf\u00e9" },
      body: Buffer.from("\0\ud800\xff", "latin1"),
    }),
  });
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url } });
  await using worker = await startTestWorker(db);
  const { id } = await addEvent(db);
  await db.until(statusOf, [id], (row) => row.next_attempt_at !== null);
  const { code, body } = await db.one("select code, response ->> 'body' as body from outbox.attempts");
  assert.equal(code, "http_status");
  assert.match(body, /^\ufffd+/);
  assert.deepEqual(
    worker.lines.filter(({ level }) => level >= 50),
    [],
  );
});

test("a change of the config is used by the very next attempt", async () => {
  await using first = await startReceiver();
  await using second = await startReceiver();
  await using db = await testDatabase();
  const { id } = await addDestination(db, { config: { url: first.url } });
  await using _worker = await startTestWorker(db);
  await addEvent(db);
  await first.next();
  await db.query("select outbox.update_destination($1, config => jsonb_build_object('url', $2::text))", [
    id,
    second.url,
  ]);
  await addEvent(db);
  await second.next();
  assert.equal(first.count, 1);
});

test("after a rotation the very next attempt is signed with both secrets, and after the overlap with the new one", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  const { id } = await addDestination(db, { config: { url: receiver.url } });
  await using _worker = await startTestWorker(db);
  const { old } = await db.one("select outbox.rotate_secret($1, interval '0') as old", [id]);
  await addEvent(db);
  new Webhook(old).verify(...signed(await receiver.next()));

  const { fresh } = await db.one("select outbox.rotate_secret($1, interval '1 hour') as fresh", [id]);
  await addEvent(db);
  const during = await receiver.next();
  for (const secret of [old, fresh]) new Webhook(secret).verify(...signed(during));

  await db.query(
    "update outbox.destination_secrets set valid_until = now() where version = (select max(version) - 1 from outbox.destination_secrets)",
  );
  await addEvent(db);
  const after = await receiver.next();
  new Webhook(fresh).verify(...signed(after));
  assert.throws(() => new Webhook(old).verify(...signed(after)), /No matching signature/);
});

const signed = ({ rawBody, headers }: Awaited<ReturnType<Awaited<ReturnType<typeof startReceiver>>["next"]>>) =>
  [rawBody, headers as Record<string, string>] as const;

test("a forbidden address is found before an event shows it, and is dead when it does", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { config: { url: "https://10.0.0.1/" } });
  await using _worker = await startTestWorker(db);
  const { problem } = await db.until("select problem from outbox.destinations where problem is not null");
  assert.match(problem, /POSTRIDER_ALLOW_NETWORKS/);
  const { id } = await addEvent(db);
  const { error_code } = await db.until(statusOf, [id], ({ status }) => status === "dead");
  assert.equal(error_code, "blocked_address");
  await db.query('select outbox.update_destination($1, config => \'{"url": "http://127.0.0.1:9/"}\')', [destinationId]);
  await db.until("select 1 from outbox.destinations where problem is null and checked_version = version");
});

test("an attempt has one line in the log, with ids and no payload, URL or secret", async () => {
  await using receiver = await startReceiver({ respond: () => ({ status: 500, body: "answer-text" }) });
  await using db = await testDatabase();
  const { id: destinationId, subscriptionId } = await addDestination(db, {
    config: { url: `${receiver.url}/path-of-url` },
  });
  await using worker = await startTestWorker(db);
  const { id } = await addEvent(db, { payload: '"payload-text"', headers: '{"a": "header-text"}' });
  const line = await worker.logged(({ msg }) => msg === "attempt");
  const { eventId, attempt, outcome, code, httpStatus } = line;
  assert.deepEqual(
    { eventId, attempt, outcome, code, httpStatus },
    { eventId: id, attempt: 1, outcome: "retry", code: "http_status", httpStatus: 500 },
  );
  assert.deepEqual([line.subscriptionId, line.destinationId], [subscriptionId, destinationId]);
  await worker.stop();
  assert.equal(worker.lines.filter(({ msg }) => msg === "attempt").length, 1);
  const all = worker.written.join("");
  for (const word of ["payload-text", "header-text", "answer-text", "path-of-url", "whsec_"])
    assert.ok(!all.includes(word), word);
});
