/** What the rabbitmq type makes of a real RabbitMQ, and the contract of all types. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as rabbitmq } from "../../src/destinations/rabbitmq.ts";
import { needsBroker, openQueue, openRabbitmq, useBroker } from "../support/broker_tests.ts";
import { type DeliverOptions, openDestination, testDestination } from "../support/contract.ts";
import { startForwarder } from "../support/forwarder.ts";

const secrets = { username: ["guest"], password: ["guest"] };
/** Far below what RabbitMQ takes unasked, so that messages can be too large for it. */
const brokerBytesMax = 65_536;
const broker = useBroker({ settings: [`max_message_size = ${brokerBytesMax}`] });

const configOf = (exchange: string, rest: object = {}): object => ({
  host: "127.0.0.1",
  port: broker().port,
  tls: false,
  exchange,
  ...rest,
});

if (needsBroker.skip === undefined) {
  testDestination(rabbitmq, () => openRabbitmq(broker(), new URL(`amqp://guest:guest@127.0.0.1:${broker().port}`)));
}

const told = (outcome: Outcome) => [outcome.kind, "code" in outcome ? outcome.code : undefined];

/** What becomes of one delivery. */
async function outcomeOf(config: object, options: DeliverOptions = {}, payload = "{}"): Promise<Outcome> {
  await using destination = await openDestination(rabbitmq, config, { secrets, ...options });
  return await destination.deliver({ payload });
}

test("a message that no queue wants is unroutable, though the broker acks it", needsBroker, async () => {
  await using queue = await openQueue(broker());
  await queue.channel.unbindQueue(queue.queue, queue.exchange, "");
  assert.deepEqual(told(await outcomeOf(configOf(queue.exchange))), ["retry", "unroutable"]);
});

test("of messages side by side, only those without a queue are unroutable", needsBroker, async () => {
  await using queue = await openQueue(broker());
  const exchange = `paid ${queue.exchange}`;
  await queue.channel.assertExchange(exchange, "topic", { autoDelete: true });
  await queue.channel.bindQueue(queue.queue, exchange, "order.paid");
  await using destination = await openDestination(rabbitmq, configOf(exchange), { secrets });
  const topics = Array.from({ length: 60 }, (_, n) => (n % 3 === 0 ? "order.lost" : "order.paid"));
  const outcomes = await destination.deliverBatch(topics.map((topic, n) => ({ topic, eventId: `event-${n}` })));
  for (const [n, outcome] of outcomes.entries()) {
    const expected = topics[n] === "order.lost" ? ["retry", "unroutable"] : ["delivered", undefined];
    assert.deepEqual(told(outcome), expected);
  }
});

test("a full queue that rejects is retried: nacked", needsBroker, async () => {
  await using queue = await openQueue(broker(), { arguments: { "x-max-length": 1, "x-overflow": "reject-publish" } });
  await using destination = await openDestination(rabbitmq, configOf(queue.exchange), { secrets });
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.deepEqual(told(await destination.deliver()), ["retry", "nacked"]);
});

test(
  "a missing exchange is retried: not_found; once it is there, the same connection delivers",
  needsBroker,
  async () => {
    await using queue = await openQueue(broker());
    await using forwarder = await startForwarder(broker().port);
    const config = configOf(`late ${queue.exchange}`, { port: forwarder.port });
    await using destination = await openDestination(rabbitmq, config, { secrets });
    const outcomes = await destination.deliverBatch([{}, {}, {}]);
    assert.deepEqual(outcomes.map(told), Array(3).fill(["retry", "not_found"]));
    await queue.channel.assertExchange(`late ${queue.exchange}`, "fanout", { autoDelete: true });
    await queue.channel.bindQueue(queue.queue, `late ${queue.exchange}`, "");
    assert.equal((await destination.deliver()).kind, "delivered");
    assert.equal(forwarder.accepted(), 1);
  },
);

test("a wrong password is retried: auth_failed", needsBroker, async () => {
  const outcome = await outcomeOf(configOf(""), { secrets: { username: ["guest"], password: ["wrong"] } });
  assert.deepEqual(told(outcome), ["retry", "auth_failed"]);
});

test("without a user name and password nothing is tried: auth_failed", needsBroker, async () => {
  assert.deepEqual(told(await outcomeOf(configOf(""), { secrets: {} })), ["retry", "auth_failed"]);
});

test("a virtual host that does not exist is retried: not_found", needsBroker, async () => {
  assert.deepEqual(told(await outcomeOf(configOf("", { vhost: "nowhere" }))), ["retry", "not_found"]);
});

test("a user who may not publish to the exchange is retried: auth_failed", needsBroker, async () => {
  await using queue = await openQueue(broker());
  await broker().control("add_user", "reader", "reads");
  await broker().control("set_permissions", "-p", "/", "reader", "", "", ".*");
  const outcome = await outcomeOf(configOf(queue.exchange), {
    secrets: { username: ["reader"], password: ["reads"] },
  });
  assert.deepEqual(told(outcome), ["retry", "auth_failed"]);
});

const large = JSON.stringify("x".repeat(brokerBytesMax));

test("a message larger than message_bytes_max is dead before it is sent: too_large", needsBroker, async () => {
  await using queue = await openQueue(broker());
  const config = configOf(queue.exchange, { message_bytes_max: brokerBytesMax });
  await using destination = await openDestination(rabbitmq, config, { secrets });
  const outcomes = await destination.deliverBatch([{}, { payload: large }, {}]);
  assert.deepEqual(outcomes.map(told), [
    ["delivered", undefined],
    ["dead", "too_large"],
    ["delivered", undefined],
  ]);
});

test(
  "a message larger than the broker takes is dead: rejected; and the next one is delivered",
  needsBroker,
  async () => {
    await using queue = await openQueue(broker());
    await using destination = await openDestination(rabbitmq, configOf(queue.exchange), { secrets });
    assert.deepEqual(told(await destination.deliver({ payload: large })), ["dead", "rejected"]);
    assert.equal((await destination.deliver()).kind, "delivered");
  },
);
