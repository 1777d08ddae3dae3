/** What the answers of Kafka brokers mean for a delivery. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { FailureCode, Outcome } from "../../src/destination.ts";
import { destination as kafka } from "../../src/destinations/kafka.ts";
import { startServer } from "../outbound/servers.ts";
import { type DeliverOptions, openDestination } from "../support/contract.ts";
import { startDns } from "../support/dns.ts";
import { type KafkaOptions, startKafka } from "../support/kafka/broker.ts";
import type { KafkaErrorName } from "../support/kafka/wire.ts";

const told = (outcome: Outcome | undefined) => [
  outcome?.kind,
  outcome !== undefined && "code" in outcome ? outcome.code : undefined,
];

/** What becomes of one delivery to such a broker. */
async function outcomeOf(broker: Partial<KafkaOptions>, config: object = {}, options: DeliverOptions = {}) {
  await using server = await startKafka({ topics: { orders: 3 }, ...broker });
  const whole = { brokers: [server.address], topic: "orders", tls: false, ...config };
  await using destination = await openDestination(kafka, whole, options);
  return await destination.deliver({}, options);
}

const ofProduce: readonly (readonly [KafkaErrorName, Outcome["kind"], FailureCode])[] = [
  ["LEADER_NOT_AVAILABLE", "retry", "unavailable"],
  ["NOT_LEADER_FOR_PARTITION", "retry", "unavailable"],
  ["NOT_ENOUGH_REPLICAS", "retry", "unavailable"],
  ["NOT_ENOUGH_REPLICAS_AFTER_APPEND", "retry", "unavailable"],
  ["KAFKA_STORAGE_ERROR", "retry", "unavailable"],
  ["TOPIC_AUTHORIZATION_FAILED", "retry", "auth_failed"],
  ["CLUSTER_AUTHORIZATION_FAILED", "retry", "auth_failed"],
  ["UNKNOWN_TOPIC_OR_PARTITION", "retry", "not_found"],
  ["REQUEST_TIMED_OUT", "retry", "timeout"],
  ["CORRUPT_MESSAGE", "retry", "protocol"],
  ["OUT_OF_ORDER_SEQUENCE_NUMBER", "retry", "protocol"],
  ["THROTTLING_QUOTA_EXCEEDED", "retry", "protocol"],
  ["MESSAGE_TOO_LARGE", "dead", "too_large"],
  ["RECORD_LIST_TOO_LARGE", "dead", "too_large"],
  ["INVALID_RECORD", "dead", "rejected"],
  ["INVALID_TIMESTAMP", "dead", "rejected"],
  ["POLICY_VIOLATION", "dead", "rejected"],
];

for (const [error, kind, code] of ofProduce) {
  test(`${error} of the broker is ${kind}: ${code}`, async () => {
    assert.deepEqual(told(await outcomeOf({ onProduce: () => error })), [kind, code]);
  });
}

const ofMetadata: readonly (readonly [KafkaErrorName, Outcome["kind"], FailureCode])[] = [
  ["TOPIC_AUTHORIZATION_FAILED", "retry", "auth_failed"],
  ["LEADER_NOT_AVAILABLE", "retry", "unavailable"],
  ["INVALID_TOPIC_EXCEPTION", "dead", "config_invalid"],
];

for (const [topicError, kind, code] of ofMetadata) {
  test(`${topicError} of the topic is ${kind}: ${code}`, async () => {
    assert.deepEqual(told(await outcomeOf({ topicError })), [kind, code]);
  });
}

test("a topic that does not exist is retried, and not created: not_found", async () => {
  assert.deepEqual(told(await outcomeOf({}, { topic: "other" })), ["retry", "not_found"]);
});

for (const sasl of ["plain", "scram-sha-256", "scram-sha-512"]) {
  const credentials = { username: "shop,=é", password: "a long, =password é" };

  test(`${sasl} signs in`, async () => {
    const secrets = { username: [credentials.username], password: [credentials.password] };
    // SCRAM writes , and = of a name as =2C and =3D.
    const username = sasl === "plain" ? "shop,=é" : "shop=2C=3Dé";
    const outcome = await outcomeOf({ sasl: { ...credentials, username } }, { sasl }, { secrets });
    assert.equal(outcome.kind, "delivered");
  });

  test(`${sasl} with a wrong password is retried: auth_failed`, async () => {
    const secrets = { username: ["shop"], password: ["wrong-password"] };
    const outcome = await outcomeOf({ sasl: { ...credentials, username: "shop" } }, { sasl }, { secrets });
    assert.deepEqual(told(outcome), ["retry", "auth_failed"]);
    assert.ok(!JSON.stringify(outcome).includes("wrong-password"));
  });
}

test("an older password is used as long as the brokers refuse the newest", async () => {
  const sasl = { username: "shop", password: "old password" };
  const secrets = { username: ["shop"], password: ["new password", "old password"] };
  await using broker = await startKafka({ topics: { orders: 1 }, sasl });
  const config = { brokers: [broker.address], topic: "orders", tls: false, sasl: "scram-sha-256" };
  await using destination = await openDestination(kafka, config, { secrets });
  const outcomes = await Promise.all([destination.deliver(), destination.deliver()]);
  assert.deepEqual(outcomes.map(told), [
    ["delivered", undefined],
    ["delivered", undefined],
  ]);
});

test("a destination whose secrets are missing is dead: config_invalid, and says which", async () => {
  const outcome = await outcomeOf({}, { sasl: "plain" }, { secrets: { username: ["shop"] } });
  assert.deepEqual(told(outcome), ["dead", "config_invalid"]);
  assert.match("reason" in outcome ? outcome.reason : "", /secret password/);
});

test("a broker that has a connection cut again and again is retried: reset", async () => {
  assert.deepEqual(told(await outcomeOf({ onProduce: () => "lost" })), ["retry", "reset"]);
});

test("a broker that does not answer before the deadline is retried: timeout", async () => {
  const options = { signal: AbortSignal.timeout(500) };
  const outcome = await outcomeOf({ onProduce: () => "hang" }, {}, options);
  assert.deepEqual(told(outcome), ["retry", "timeout"]);
  assert.equal("ours" in outcome && outcome.ours, false);
});

test("a delivery that this worker stops is our own fault", async () => {
  const controller = new AbortController();
  const onProduce = () => {
    controller.abort();
    return "hang" as const;
  };
  const outcome = await outcomeOf({ onProduce }, {}, { signal: controller.signal });
  assert.deepEqual([...told(outcome), "ours" in outcome && outcome.ours], ["retry", "timeout", true]);
});

test("a name that does not exist is retried: dns", async () => {
  await using dns = await startDns({});
  const options = { dnsServers: [dns.address] };
  assert.deepEqual(told(await outcomeOf({}, { brokers: ["gone.test:9092"] }, options)), ["retry", "dns"]);
});

const hostile: readonly (readonly [what: string, answer: Buffer])[] = [
  ["answers in HTTP", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ["sends lengths below zero", Buffer.from("fffffffc", "hex")],
  ["sends answers without a correlation id", Buffer.from("0000000000000000", "hex")],
  ["announces more than any answer has", Buffer.from("7fffffff00000000", "hex")],
  ["sends arrays that do not end", Buffer.from("0000000a0000000000007fffffff", "hex")],
];

for (const [what, answer] of hostile) {
  test(`a server that ${what} is retried: protocol`, async () => {
    await using server = await startServer((socket) =>
      socket.on("data", () => {
        for (const byte of answer) socket.write(Buffer.of(byte));
      }),
    );
    const outcome = await outcomeOf({}, { brokers: [`127.0.0.1:${server.port}`] });
    assert.deepEqual(told(outcome), ["retry", "protocol"]);
  });
}

test("a message above the limit is dead: too_large, without harm to its neighbours", async () => {
  await using broker = await startKafka({ topics: { orders: 1 } });
  const config = { brokers: [broker.address], topic: "orders", tls: false, message_bytes_max: 2000 };
  await using destination = await openDestination(kafka, config);
  const payloads = ["1", `"${"x".repeat(2000)}"`, "3"];
  const outcomes = await destination.deliverBatch(payloads.map((payload) => ({ payload })));
  assert.deepEqual(outcomes.map(told), [
    ["delivered", undefined],
    ["dead", "too_large"],
    ["delivered", undefined],
  ]);
});

test("the one message that the broker finds too large is dead, its neighbours are delivered in order", async () => {
  await using broker = await startKafka({ topics: { orders: 1 }, batchBytesMax: 2000 });
  await using destination = await openDestination(kafka, { brokers: [broker.address], topic: "orders", tls: false });
  const payloads = ["1", `"${"x".repeat(2000)}"`, "3", "4"];
  const outcomes = await destination.deliverBatch(payloads.map((payload) => ({ payload })));
  assert.deepEqual(
    outcomes.map(({ kind }) => kind),
    ["delivered", "dead", "delivered", "delivered"],
  );
  assert.deepEqual(told(outcomes[1]), ["dead", "too_large"]);
  assert.deepEqual(
    broker.records.items.map(({ value }) => value),
    ["1", "3", "4"],
  );
});

test("the failure of one partition is not that of the others", async () => {
  const onProduce = (_topic: string, partition: number) => (partition === 1 ? "NOT_ENOUGH_REPLICAS" : undefined);
  await using broker = await startKafka({ topics: { orders: 3 }, onProduce });
  await using destination = await openDestination(kafka, { brokers: [broker.address], topic: "orders", tls: false });
  const messages = Array.from({ length: 30 }, (_, n) => ({ key: `key ${n}`, payload: String(n) }));
  const outcomes = await destination.deliverBatch(messages);
  const stored = broker.records.items.map(({ value }) => value);
  for (const [n, outcome] of outcomes.entries()) {
    const copies = stored.filter((value) => value === String(n)).length;
    assert.deepEqual(told(outcome), copies === 1 ? ["delivered", undefined] : ["retry", "unavailable"]);
  }
  assert.ok(stored.length > 0 && stored.length < 30);
});
