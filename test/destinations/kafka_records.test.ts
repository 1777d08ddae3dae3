/** What a consumer of Kafka gets of an event. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../../src/destination.ts";
import { destination as kafka } from "../../src/destinations/kafka.ts";
import { openDestination } from "../support/contract.ts";
import { startKafka } from "../support/kafka/broker.ts";

const event: Partial<Message> = {
  topic: "order.paid",
  payload: '{"total":1.10}',
  key: "order 7 é",
  headers: { "x-shop": "north" },
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
};
const id = "01890a5d-ac96-774b-bcce-b302099a8057";
const ours = { id, topic: "order.paid", tenant: "acme", traceparent: event.traceparent };

/** The record that a config makes of an event. */
async function recordOf(config: object, message: Partial<Message> = event) {
  await using broker = await startKafka({ topics: { orders: 3 } });
  const whole = { brokers: [broker.address], topic: "orders", tls: false, ...config };
  await using destination = await openDestination(kafka, whole);
  const [outcome, record] = await Promise.all([destination.deliver(message), broker.records.next()]);
  assert.equal(outcome.kind, "delivered");
  return record;
}

test("the payload is the value, and the headers say what it is", async () => {
  const { key, value, headers, timestamp } = await recordOf({});
  assert.equal(key, "order 7 é");
  assert.equal(value, '{"total":1.10}');
  assert.deepEqual(headers, { ...ours, "x-shop": "north", "content-type": "application/json" });
  assert.equal(timestamp, Date.parse("2026-01-02T03:04:05.678Z"));
});

test("CloudEvents in binary mode are the payload and ce_ headers, as the Kafka binding says", async () => {
  const { value, headers } = await recordOf({ body: "cloudevents_binary", source: "/shop" });
  assert.equal(value, '{"total":1.10}');
  assert.deepEqual(headers, {
    ...ours,
    "x-shop": "north",
    "content-type": "application/json",
    ce_specversion: "1.0",
    ce_id: id,
    ce_source: "/shop",
    ce_type: "order.paid",
    ce_time: "2026-01-02T03:04:05.678Z",
    ce_subject: "order 7 é",
    ce_partitionkey: "order 7 é",
    ce_traceparent: event.traceparent,
  });
});

test("CloudEvents in structured mode are told by the content type", async () => {
  const { value, headers } = await recordOf({ body: "cloudevents" });
  assert.equal(headers["content-type"], "application/cloudevents+json; charset=utf-8");
  assert.equal(JSON.parse(value ?? "").type, "order.paid");
  assert.equal(Object.keys(headers).filter((name) => name.startsWith("ce_")).length, 0);
});

test("an event without key has its id as the record's key", async () => {
  assert.equal((await recordOf({}, { key: null })).key, id);
  assert.equal((await recordOf({ key: "event_id" })).key, id);
});

test("the headers of an event do not replace ours", async () => {
  const headers = { ID: "x", Topic: "x", tenant: "x", ce_id: "x", "Content-Type": "x", traceparent: "x", fine: "y" };
  const record = await recordOf({}, { headers });
  const told = { id, topic: "order.paid", tenant: "acme", "content-type": "application/json", fine: "y" };
  assert.deepEqual(record.headers, told);
});

test("gzip compresses what is sent", async () => {
  assert.equal((await recordOf({ compression: "gzip" })).gzip, true);
  assert.equal((await recordOf({ compression: "none" })).gzip, false);
});

test("an event from before 1970 is sent with the first time that Kafka knows", async () => {
  assert.equal((await recordOf({}, { occurredAt: new Date(-1) })).timestamp, 0);
});

test("records of one key stay in order, over several batches and partitions", async () => {
  await using broker = await startKafka({ topics: { orders: 3 }, batchBytesMax: 2048 });
  const config = { brokers: [broker.address], topic: "orders", tls: false, message_bytes_max: 2048 };
  await using destination = await openDestination(kafka, config);
  const messages = Array.from({ length: 300 }, (_, n) => ({ key: `key ${n % 10}`, payload: String(n) }));
  const outcomes = await destination.deliverBatch(messages);
  assert.deepEqual([...new Set(outcomes.map(({ kind }) => kind))], ["delivered"]);
  const groups = Map.groupBy(broker.records.items, ({ key }) => key);
  assert.equal(groups.size, 10);
  assert.equal(new Set(broker.records.items.map(({ partition }) => partition)).size, 3);
  for (const [key, records] of groups) {
    const sent = messages.filter((message) => message.key === key).map(({ payload }) => payload);
    assert.deepEqual(
      records.map(({ value }) => value),
      sent,
    );
  }
});

test("the outcome says where the record stands", async () => {
  await using broker = await startKafka({ topics: { orders: 3 } });
  const config = { brokers: [broker.address], topic: "orders", tls: false };
  await using destination = await openDestination(kafka, config);
  const messages = Array.from({ length: 20 }, (_, n) => ({ key: `key ${n}`, payload: String(n) }));
  const outcomes = await destination.deliverBatch(messages);
  for (const [n, { payload }] of messages.entries()) {
    const record = broker.records.items.find(({ value }) => value === payload);
    const place = { partition: String(record?.partition), offset: String(record?.offset) };
    assert.deepEqual(outcomes[n]?.response?.headers, place);
  }
});
