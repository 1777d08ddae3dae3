/** A producer takes back, before its commit, what it inserted. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent, deliveriesOf } from "../support/factory.ts";
import { startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

/** A connection of a role that may do what producers may, and nothing else. */
async function connectProducer(db: TestDatabase) {
  const name = `${new URL(db.url).pathname.slice(1)}_producer`;
  const password = randomBytes(12).toString("hex");
  await db.query(`create role ${name} login password '${password}'`);
  await db.query("select outbox.grant_producer($1)", [name]);
  const client = new pg.Client(Object.assign(new URL(db.url), { username: name, password }).href);
  client.on("error", () => {});
  await client.connect();
  return {
    query: async (sql: string) => (await client.query(sql)).rows,
    async [Symbol.asyncDispose]() {
      await client.end();
      await db.query(`drop owned by ${name}`);
      await db.query(`drop role ${name}`);
    },
  };
}

const insert = (topic: string, key = "k") =>
  `insert into outbox.events (topic, key, payload) values ('${topic}', '${key}', '{}')`;

const statusesOf = async (db: TestDatabase) =>
  (
    await db.query(
      `select e.topic || ' ' || e.key || ': ' || d.status as line
       from outbox.deliveries as d join outbox.events as e on e.id = d.event_id order by d.seq`,
    )
  ).map(({ line }) => line);

test("a producer takes back what its transaction inserted, by topic and key, and nothing of it is sent", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using producer = await connectProducer(db);
  await producer.query(insert("order.paid", "before"));
  await producer.query("begin");
  await producer.query(insert("order.paid", "1"));
  await producer.query(insert("order.paid", "2"));
  await producer.query(insert("order.sent", "1"));
  const [row] = await producer.query("select outbox.cancel_own(topic => 'order.paid', key => '1') as n");
  assert.deepEqual(row, { n: 1 });
  await producer.query("commit");
  assert.deepEqual(await statusesOf(db), [
    "order.paid before: pending",
    "order.paid 1: cancelled",
    "order.paid 2: pending",
    "order.sent 1: pending",
  ]);
  const worker = await startHandWorker(db);
  assert.equal((await worker.claim(await deliveriesOf(db))).length, 3);
});

test("what a savepoint of the transaction inserted is its own too", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using producer = await connectProducer(db);
  await producer.query("begin");
  await producer.query(insert("a"));
  await producer.query("savepoint s");
  await producer.query(insert("b"));
  await producer.query("release s; savepoint t");
  const [row] = await producer.query("select outbox.cancel_own(key => 'k') as n");
  assert.deepEqual(row, { n: 2 });
  await producer.query("commit");
  assert.deepEqual(await statusesOf(db), ["a k: cancelled", "b k: cancelled"]);
});

test("a producer cannot cancel what others inserted, nor what it committed before", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using producer = await connectProducer(db);
  const other = await addEvent(db, { key: "k" });
  await producer.query("begin; savepoint s");
  await producer.query(insert("mine"));
  const started = await producer.query("select now()::text as at");
  // As close to an event of its own as can be: begun in the same microsecond, committed meanwhile.
  await addEvent(db, { topic: "twin", key: "k", created_at: started[0]?.at });
  for (const choice of [`event_id => '${other.id}'`, "topic => 'twin'", "topic => 'order.paid'"]) {
    assert.deepEqual(await producer.query(`select outbox.cancel_own(${choice}) as n`), [{ n: 0 }], choice);
  }
  await producer.query("commit");
  assert.deepEqual(await producer.query("select outbox.cancel_own(topic => 'mine') as n"), [{ n: 0 }]);
  assert.deepEqual(await statusesOf(db), ["order.paid k: pending", "mine k: pending", "twin k: pending"]);
});

test("cancelling without naming anything is refused", async () => {
  await using db = await testDatabase();
  const { code } = await refusalOf(db.query("select outbox.cancel_own()"));
  assert.equal(code, "PR001");
});

test("an event that waits for its deferred fan-out is cancelled for good, by its producer and by a person", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using client = await db.client();
  await client.query("set outbox.fan_out = 'deferred'; begin");
  await addEvent(client, { topic: "mine" });
  assert.deepEqual((await client.query("select outbox.cancel_own(topic => 'mine') as n")).rows, [{ n: 1 }]);
  await client.query("commit");
  const { id } = await addEvent(client, { topic: "given" });
  await addEvent(client, { topic: "lasting" });
  assert.deepEqual(await db.one("select outbox.cancel($1) as n", [id]), { n: 1 });
  await db.query("select outbox.fan_out_deferred()");
  const worker = await startHandWorker(db);
  const claimed = await worker.claim(await deliveriesOf(db));
  assert.deepEqual(
    claimed.map(({ topic }) => topic),
    ["lasting"],
  );
});
