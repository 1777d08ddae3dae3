/** Topics that begin with postrider. are Postrider's own. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, insertEvent } from "../support/factory.ts";
import { refusalOf } from "../support/refusal.ts";

const insertOwnSql = "select outbox.insert_own_event($1, $2, $3, $4) as id";
const reserved = /^topic: "postrider\.[a-z._]+" is reserved/;

/** A session of a role that may only produce, or may produce and has set what the engine sets. */
const asProducer = async (db: TestDatabase, work: (client: pg.Client) => Promise<void>): Promise<void> => {
  const name = `${new URL(db.url).pathname.slice(1)}_producer`;
  const password = randomBytes(12).toString("hex");
  await db.query(`create role ${name} login password '${password}'; select outbox.grant_producer('${name}')`);
  const client = new pg.Client({
    connectionString: Object.assign(new URL(db.url), { username: name, password }).href,
  });
  try {
    await client.connect();
    await work(client);
  } finally {
    await client.end();
    await db.query(`drop owned by ${name}; drop role ${name}`);
  }
};

test("nobody inserts an event of a reserved topic, not even the owner of the table", async () => {
  await using db = await testDatabase();
  for (const topic of ["postrider.alert.dead_letter", "postrider.x"]) {
    const { message, code, hint } = await refusalOf(insertEvent(db, { topic }));
    assert.match(message, reserved);
    assert.equal(code, "PR001");
    assert.match(hint, /Choose another/);
  }
  for (const topic of ["postrider", "postriders.x", "my.postrider.x"]) await addEvent(db, { topic });
});

test("a producer cannot pass itself off as the engine", async () => {
  await using db = await testDatabase();
  await asProducer(db, async (client) => {
    await client.query("set outbox.own_event = 'on'");
    const insert = "insert into outbox.events (topic, payload) values ('postrider.alert.poison', '{}')";
    assert.match((await refusalOf(client.query(insert))).message, reserved);
    await client.query("begin; set local outbox.fan_out = 'deferred'");
    assert.match((await refusalOf(client.query(insert))).message, reserved);
    await client.query("rollback");
    const { code } = await refusalOf(client.query(insertOwnSql, ["postrider.x", "default", "{}", null]));
    assert.equal(code, "42501");
    await client.query("insert into outbox.events (topic, payload) values ('order.paid', '{}')");
  });
});

test("an event of Postrider's own reaches who names its topic, and not who wants everything", async () => {
  await using db = await testDatabase();
  const wishes = ["*", "postrider.*", "postrider.alert.*", "postrider.alert.poison", "postrider.test", "order.*"];
  for (const topic of wishes) await addDestination(db, { name: topic, topics: [topic] });
  const { id } = await db.one(insertOwnSql, ["postrider.alert.poison", "default", '{"a": 1}', "k"]);
  const reached = await db.query(
    `select d.name from outbox.deliveries as v join outbox.destinations as d on d.id = v.destination_id
     where v.event_id = $1 order by d.name`,
    [id],
  );
  assert.deepEqual(
    reached.map(({ name }) => name),
    ["postrider.*", "postrider.alert.*", "postrider.alert.poison"],
  );
  assert.deepEqual(await db.one("select topic, tenant_id, key, payload from outbox.events"), {
    topic: "postrider.alert.poison",
    tenant_id: "default",
    key: "k",
    payload: { a: 1 },
  });
  const { reason } = await db.one("select reason from outbox.explain_match($1) where destination = '*'", [id]);
  assert.equal(reason, "topic postrider.alert.poison is not among {*}: * leaves out postrider.*");
});

test("what concerns all tenants belongs to the tenant default", async () => {
  await using db = await testDatabase();
  await db.one(insertOwnSql, ["postrider.x", "*", "{}", null]);
  await db.one(insertOwnSql, ["postrider.x", "acme", "{}", null]);
  assert.deepEqual(await db.query("select tenant_id from outbox.events order by seq"), [
    { tenant_id: "default" },
    { tenant_id: "acme" },
  ]);
});

test("after an event of its own, the same transaction may not insert another by hand", async () => {
  await using db = await testDatabase();
  await using client = await db.client();
  await client.query("begin");
  await client.query(insertOwnSql, ["postrider.x", "default", "{}", null]);
  assert.match((await refusalOf(insertEvent(client, { topic: "postrider.x" }))).message, reserved);
});
