/** Events from the table to Kafka, by a real worker. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { startKafka } from "../support/kafka/broker.ts";
import { startTestWorker } from "../support/worker.ts";

const eventsMax = 1000;

test("a broker that restarts while a worker delivers loses no event", async () => {
  await using db = await testDatabase();
  await using broker = await startKafka({ topics: { orders: 3 }, sasl: { username: "shop", password: "secret-word" } });
  const config = { brokers: [broker.address], topic: "orders", tls: false, sasl: "scram-sha-512", compression: "gzip" };
  await using _worker = await startTestWorker(db);
  await db.query("select outbox.create_destination('kafka', $1, secrets => $2, topics => '{*}', policy => $3)", [
    JSON.stringify(config),
    JSON.stringify({ username: "shop", password: "secret-word" }),
    JSON.stringify({ schedule_seconds: [0, 1, 1, 1, 1, 1, 1, 1], jitter: 0 }),
  ]);
  const restart = broker.records.waitFor(200).then(async () => {
    await broker.stop();
    await broker.start();
  });
  const rows = await db.query(
    `insert into outbox.events (topic, key, payload)
     select 'order.paid', 'customer ' || n % 50, json_build_object('n', n) from generate_series(1, $1) as n returning id`,
    [eventsMax],
  );
  await restart;
  const arrived = new Set<string | undefined>();
  await broker.records.until(({ headers }) => arrived.add(headers.id).size === eventsMax);
  assert.deepEqual(
    rows.filter(({ id }) => !arrived.has(id)),
    [],
  );
});
