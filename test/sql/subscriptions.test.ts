import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf } from "../support/factory.ts";
import { refusalOf } from "../support/refusal.ts";

const unknown = "00000000-0000-7000-8000-000000000000";
const snapshotSql = `select (select json_agg(t order by id) from outbox.subscriptions as t) as subscriptions,
  (select count(*) from outbox.audit_log) as audited`;

test("a subscription gets the tenant of its destination, sorted topics and a compiled filter", async () => {
  await using db = await testDatabase();
  const { id: destinationId } = await addDestination(db, { tenantId: "acme" });
  const { id } = await db.one(
    `select outbox.create_subscription($1, '{user.*,order.paid,user.*}', '{"total": {"$gte": 10}}', 'ada') as id`,
    [destinationId],
  );
  const row = await db.one(
    "select tenant_id, enabled, topics, filter, filter_path from outbox.subscriptions where id = $1",
    [id],
  );
  assert.deepEqual(row, {
    tenant_id: "acme",
    enabled: true,
    topics: ["order.paid", "user.*"],
    filter: { total: { $gte: 10 } },
    filter_path: '($."total" >= 10)',
  });
  const audit = await db.one(
    "select action, actor, tenant_id, destination_id, detail ->> 'subscription_id' as id from outbox.audit_log where actor = 'ada'",
  );
  assert.deepEqual(audit, {
    action: "create_subscription",
    actor: "ada",
    tenant_id: "acme",
    destination_id: destinationId,
    id,
  });
});

test("updating replaces what is given and leaves the rest; {} takes the filter away", async () => {
  await using db = await testDatabase();
  const { subscriptionId: id } = await addDestination(db, { topics: ["a"], filter: { n: 1 } });
  const update = async (args: string) => {
    await db.query(`select outbox.update_subscription('${id}', ${args})`);
    return db.one("select topics, filter, filter_path is not null as filtered, enabled from outbox.subscriptions");
  };
  assert.deepEqual(await update("topics => '{b.*}'"), {
    topics: ["b.*"],
    filter: { n: 1 },
    filtered: true,
    enabled: true,
  });
  assert.deepEqual(await update("enabled => false"), {
    topics: ["b.*"],
    filter: { n: 1 },
    filtered: true,
    enabled: false,
  });
  assert.deepEqual(await update("filter => '{}'"), { topics: ["b.*"], filter: {}, filtered: false, enabled: false });
});

test("a bad argument is refused with its field and a remedy, and nothing is written", async (t) => {
  await using db = await testDatabase();
  const { id, subscriptionId } = await addDestination(db);
  const before = await db.one(snapshotSql);
  const wrong: readonly (readonly [call: string, code: string, message: string, hint: string])[] = [
    [`create_subscription('${id}', '{}')`, "PR001", "topics: must not be empty", "{*}"],
    [`create_subscription('${id}', '{order.*paid}')`, "PR001", "topics[0]: is not a topic", "order.*"],
    [`create_subscription('${id}', filter => '{"a": []}')`, "PR001", "filter.a: a list is not a value", "$in"],
    [
      `update_subscription('${subscriptionId}', topics => '{ORDER}')`,
      "PR001",
      "topics[0]: is not a topic",
      "lower-case",
    ],
    [`update_subscription('${subscriptionId}', filter => '"x"')`, "PR001", "filter: must be an object", "{}"],
    [
      `update_subscription('${unknown}', enabled => true)`,
      "PR002",
      `subscription: there is none with id ${unknown}`,
      "outbox.subscriptions",
    ],
    ["update_subscription(null)", "PR002", "subscription: there is none with id null", "outbox.subscriptions"],
    [
      `delete_subscription('${unknown}')`,
      "PR002",
      `subscription: there is none with id ${unknown}`,
      "outbox.subscriptions",
    ],
  ];
  for (const [call, code, message, hint] of wrong) {
    await t.test(call, async () => {
      const refusal = await refusalOf(db.query(`select outbox.${call}`));
      assert.equal(refusal.code, code);
      assert.ok(refusal.message.startsWith(message), refusal.message);
      assert.ok(refusal.hint.includes(hint), refusal.hint);
      assert.deepEqual(await db.one(snapshotSql), before);
    });
  }
});

test("an insert by hand is validated, compiled, and cannot reach over the wall to another tenant", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { tenantId: "acme" });
  const insert = (columns: string, values: string) =>
    db.query(
      `insert into outbox.subscriptions (destination_id, ${columns}) values ('${id}', ${values}) returning tenant_id, filter_path`,
    );
  assert.deepEqual(await insert("filter", `'{"n": 1}'`), [{ tenant_id: "acme", filter_path: '($."n" == 1)' }]);
  assert.deepEqual(await insert("filter, filter_path", `'{"n": 1}', '$.x == 2'`), [
    { tenant_id: "acme", filter_path: '($."n" == 1)' },
  ]);
  assert.match((await refusalOf(insert("topics", "'{A}'"))).message, /^topics\[0\]/);
  assert.match((await refusalOf(insert("filter", "'[]'"))).message, /^filter/);
  for (const tenant of ["umbrella", "*"])
    assert.equal((await refusalOf(insert("tenant_id", `'${tenant}'`))).code, "23503");
  assert.match((await refusalOf(db.query("update outbox.subscriptions set filter = '5'"))).message, /^filter/);
});

test("deleting a subscription cancels what waits for it, and only that", async () => {
  await using db = await testDatabase();
  const { id: destinationId, subscriptionId } = await addDestination(db);
  const { id: other } = await db.one("select outbox.create_subscription($1) as id", [destinationId]);
  await addEvent(db);
  assert.deepEqual(await db.one("select outbox.delete_subscription($1) as n", [subscriptionId]), { n: 1 });
  const status = Object.fromEntries(
    (await deliveriesOf(db)).map((row) => [row.subscription_id, [row.status, row.error_code]]),
  );
  assert.deepEqual(status, { [subscriptionId]: ["cancelled", "subscription_deleted"], [other]: ["pending", null] });
  await addEvent(db);
  assert.equal((await deliveriesOf(db)).length, 3);
});
