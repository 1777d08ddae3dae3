import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf, jobsOf } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { refusalOf } from "../support/refusal.ts";
import { startTestWorker } from "../support/worker.ts";

const tryIt = "select outbox.test_destination($1, actor => 'ada') as id";

test("a test event goes to the destination alone, whatever its topics and filter, and says what it is", async () => {
  await using db = await testDatabase();
  const { id, subscriptionId } = await addDestination(db, {
    topics: ["order.paid"],
    filter: { total: 1 },
    tenantId: "acme",
  });
  await addDestination(db, { topics: ["*"], tenantId: "acme" });
  await addDestination(db, { topics: ["postrider.test", "postrider.*"], tenantId: "acme" });
  await addDestination(db, { tenantId: "*" });
  const { id: eventId } = await db.one(tryIt, [id]);
  assert.deepEqual(
    (await deliveriesOf(db)).map(({ event_id, subscription_id, status }) => [event_id, subscription_id, status]),
    [[eventId, subscriptionId, "pending"]],
  );
  assert.deepEqual(
    (await jobsOf(db)).map(({ deliveries }) => deliveries),
    [{ [subscriptionId]: [eventId] }],
  );
  assert.deepEqual(await db.query("select from outbox.deferred_events"), []);
  const event = await db.one("select topic, tenant_id, payload from outbox.events");
  assert.deepEqual([event.topic, event.tenant_id], ["postrider.test", "acme"]);
  assert.deepEqual(event.payload, {
    test: true,
    text: "A test event of Postrider: nothing has happened.",
    destination: `webhook ${id}`,
    destination_id: id,
    requested_by: "ada",
  });
  const audit = await db.one(
    "select actor, tenant_id, destination_id, detail from outbox.audit_log where action = 'test_destination'",
  );
  assert.deepEqual(audit, {
    actor: "ada",
    tenant_id: "acme",
    destination_id: id,
    detail: { event_id: eventId, subscription_id: subscriptionId },
  });
});

test("it takes the way of every event: signed, sent, and its answer recorded", async () => {
  await using receiver = await startReceiver({ respond: () => ({ status: 422, body: "no such shop" }) });
  await using db = await testDatabase();
  const { id } = await addDestination(db, { config: { url: receiver.url } });
  await using _worker = await startTestWorker(db);
  const { id: eventId } = await db.one(tryIt, [id]);
  const { headers, rawBody } = await receiver.next();
  assert.equal(headers["webhook-id"], eventId);
  assert.match(String(headers["webhook-signature"]), /^v1,/);
  assert.equal(JSON.parse(rawBody.toString()).test, true);
  const attempt = await db.until(
    "select outcome::text, code, (response ->> 'status')::int as status from outbox.attempts where event_id = $1",
    [eventId],
  );
  assert.deepEqual(attempt, { outcome: "retry", code: "http_status", status: 422 });
});

test("a test of an address that is forbidden ends as every delivery to it does", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { config: { url: "https://169.254.169.254/" } });
  await using _worker = await startTestWorker(db);
  const { id: eventId } = await db.one(tryIt, [id]);
  const { code } = await db.until("select code from outbox.attempts where event_id = $1", [eventId]);
  assert.equal(code, "blocked_address");
});

test("a destination of all tenants is tested with an event of the tenant default", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { tenantId: "*" });
  await db.one(tryIt, [id]);
  assert.equal((await db.one("select tenant_id from outbox.events")).tenant_id, "default");
});

test("events that the same transaction inserts before and after are fanned out as it said", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await using client = await db.client();
  for (const [mode, deliveries] of [
    ["immediate", 3],
    ["deferred", 1],
  ] as const) {
    await db.query("delete from outbox.deliveries");
    await client.query(`begin; set local outbox.fan_out = '${mode}'`);
    await addEvent(client);
    await client.query(tryIt, [id]);
    await addEvent(client);
    await client.query("commit");
    assert.equal((await deliveriesOf(db)).length, deliveries, mode);
  }
});

test("a disabled destination is not tested, for nothing is sent to it; nor is one without a subscription", async () => {
  await using db = await testDatabase();
  const { id, subscriptionId } = await addDestination(db);
  await db.query("select outbox.disable_destination($1, 'too slow')", [id]);
  const disabled = await refusalOf(db.query(tryIt, [id]));
  assert.deepEqual([disabled.code, disabled.message], ["PR001", "destination: is disabled: too slow"]);
  assert.match(disabled.hint, /enable_destination/);
  await db.query("select outbox.enable_destination($1)", [id]);
  await db.query("select outbox.delete_subscription($1)", [subscriptionId]);
  const alone = await refusalOf(db.query(tryIt, [id]));
  assert.deepEqual([alone.code, alone.message], ["PR001", "destination: has no subscription"]);
  assert.deepEqual(await db.query("select from outbox.events"), []);
});
