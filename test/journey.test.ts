/** The first test to read: the way of one event, with nothing in it that a user would not write. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { testDatabase } from "./support/database.ts";
import { startReceiver } from "./support/receiver.ts";
import { startTestWorker } from "./support/worker.ts";

test("an event that commits is delivered, signed, and its attempt is a row to read", async () => {
  await using receiver = await startReceiver({ respond: () => ({ status: 200, body: "thank you" }) });
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db);

  // 1. Somebody says where events should go.
  const { id: destinationId } = await db.one<{ id: string }>(
    `select outbox.create_destination(type => 'webhook', name => 'ERP', topics => '{order.*}',
       config => jsonb_build_object('url', $1::text)) as id`,
    [`${receiver.url}/hooks`],
  );
  const { secret } = await db.one<{ secret: string }>(
    "select outbox.rotate_secret($1, overlap => interval '0') as secret",
    [destinationId],
  );

  // 2. A shop writes an order and its event in one transaction.
  await db.query("create table orders (id int primary key, total numeric)");
  const payload = '{"order": 7, "total": 12.50}';
  await db.query(`begin;
    insert into orders values (7, 12.50);
    insert into outbox.events (topic, payload) values ('order.paid', '${payload}');
    commit`);

  // 3. The receiver gets the bytes that were inserted, and the signature that Standard Webhooks asks for.
  const request = await receiver.next();
  const event = await db.one<{ id: string }>("select id from outbox.events");
  assert.equal(request.method, "POST");
  assert.equal(request.path, "/hooks");
  assert.equal(request.rawBody.toString(), payload);
  assert.equal(request.headers["webhook-id"], event.id);
  const headers = request.headers as Record<string, string>;
  assert.deepEqual(new Webhook(secret).verify(request.rawBody, headers), { order: 7, total: 12.5 });

  // 4. Postgres remembers.
  const delivery = await db.until(
    "select status::text, attempt_count, error_code from outbox.deliveries where event_id = $1",
    [event.id],
    ({ status }) => status === "delivered",
  );
  assert.deepEqual(delivery, { status: "delivered", attempt_count: 1, error_code: null });
  const attempt = await db.one(
    `select number, outcome::text, code, trigger, duration_ms >= 0 as timed, response ->> 'status' as status,
       response ->> 'body' as body
     from outbox.attempts where event_id = $1`,
    [event.id],
  );
  assert.deepEqual(attempt, {
    number: 1,
    outcome: "delivered",
    code: null,
    trigger: "event",
    timed: true,
    status: "200",
    body: "thank you",
  });
});

test("an event that is rolled back, or that nobody wants, reaches nobody", async () => {
  await using receiver = await startReceiver();
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db);
  await db.query(
    `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), topics => '{order.*}',
       filter => '{"total": {"$gte": 10}}')`,
    [receiver.url],
  );

  await db.query(`begin; insert into outbox.events (topic, payload) values ('order.paid', '{"total": 11}'); rollback`);
  await db.query(`insert into outbox.events (topic, payload) values
    ('user.created', '{"total": 12}'), ('order.paid', '{"total": 9}'), ('order.paid', '{"total": 13}')`);

  const last = await receiver.next();
  await db.until("select 1 from outbox.deliveries where status = 'delivered'");
  assert.equal(last.rawBody.toString(), '{"total": 13}');
  assert.equal(receiver.count, 1);
  assert.equal((await db.query("select from outbox.deliveries")).length, 1);
});

test("a receiver that fails first gets the event again, with the same id and a new signature", async () => {
  await using receiver = await startReceiver();
  receiver.respondWith(() => (receiver.count === 1 ? 503 : 200));
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db);
  await db.query(
    `select outbox.create_destination('webhook', jsonb_build_object('url', $1::text), policy => '{"schedule_seconds": [0]}')`,
    [receiver.url],
  );
  await db.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");

  const [first, second] = await receiver.waitFor(2);
  assert.equal(second?.headers["webhook-id"], first?.headers["webhook-id"]);
  assert.ok(Number(second?.headers["webhook-timestamp"]) >= Number(first?.headers["webhook-timestamp"]));
  await db.until("select 1 from outbox.deliveries where status = 'delivered'");
  const attempts = await db.query("select number, outcome::text, code, trigger from outbox.attempts order by number");
  assert.deepEqual(attempts, [
    { number: 1, outcome: "retry", code: "http_status", trigger: "event" },
    { number: 2, outcome: "delivered", code: null, trigger: "retry" },
  ]);
});
