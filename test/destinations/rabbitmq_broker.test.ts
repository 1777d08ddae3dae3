/** A real RabbitMQ in trouble: out of memory, cut off, killed in the middle of its work; and a worker that delivers to it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as rabbitmq } from "../../src/destinations/rabbitmq.ts";
import { needsBroker, openQueue, useBroker } from "../support/broker_tests.ts";
import { type OpenDestination, openDestination } from "../support/contract.ts";
import { testDatabase } from "../support/database.ts";
import { addEvent } from "../support/factory.ts";
import { startForwarder } from "../support/forwarder.ts";
import { startTestWorker } from "../support/worker.ts";

const secrets = { username: ["guest"], password: ["guest"] };
const broker = useBroker();
const configOf = (exchange: string, port = broker().port) => ({ host: "127.0.0.1", port, tls: false, exchange });
const told = (outcome: Outcome) => [outcome.kind, "code" in outcome ? outcome.code : undefined];

test(
  "a broker short of memory is retried: timeout for what it was sent, then unavailable; and delivered to when it has recovered",
  needsBroker,
  async () => {
    await using queue = await openQueue(broker());
    await using destination = await openDestination(rabbitmq, configOf(queue.exchange), { secrets });
    assert.equal((await destination.deliver()).kind, "delivered");
    await broker().control("set_vm_memory_high_watermark", "0.000001");
    const outcomes: Outcome[] = [];
    for (const ms of [1_000, 100]) {
      outcomes.push(await destination.deliver({}, { signal: AbortSignal.timeout(ms) }));
    }
    assert.deepEqual(outcomes.map(told), [
      ["retry", "timeout"],
      ["retry", "unavailable"],
    ]);
    await broker().control("set_vm_memory_high_watermark", "0.4");
    assert.equal((await destination.deliver()).kind, "delivered");
  },
);

test("connections that are cut again and again lose nothing, and leave no connection behind", needsBroker, async () => {
  await using queue = await openQueue(broker());
  await queue.consume();
  await using forwarder = await startForwarder(broker().port);
  await using destination = await openDestination(rabbitmq, configOf(queue.exchange, forwarder.port), { secrets });
  const ids = Array.from({ length: 200 }, (_, n) => `event-${n}`);
  for (let missing = ids, cuts = 0; missing.length > 0; ) {
    const outcomes = destination.deliverBatch(missing.map((eventId) => ({ eventId })));
    if (cuts++ < 5) await queue.messages.next().then(forwarder.cut);
    const failed = (await outcomes).map(({ kind }) => kind !== "delivered");
    missing = missing.filter((_, n) => failed[n]);
    assert.ok(forwarder.open.size <= 1);
  }
  await queue.messages.until(
    () => new Set(queue.messages.items.map(({ properties }) => properties.messageId)).size === 200,
  );
});

/** Delivers events, 50 side by side; calls `onDelivered` after each, and returns those that were not delivered. */
const deliverAll = async (destination: OpenDestination, ids: readonly string[], onDelivered = () => {}) => {
  const payload = JSON.stringify("x".repeat(5_000));
  const waiting = ids.values();
  const failed: string[] = [];
  const deliver = async (): Promise<void> => {
    for (const eventId of waiting) {
      const { kind } = await destination.deliver({ eventId, payload });
      if (kind === "delivered") onDelivered();
      else failed.push(eventId);
    }
  };
  await Promise.all(Array.from({ length: 50 }, deliver));
  return failed;
};

test("of 1,000 messages none is lost when the broker is killed among them and comes back", needsBroker, async () => {
  await using before = await openQueue(broker());
  await using destination = await openDestination(rabbitmq, configOf(before.exchange), { secrets });
  const ids = Array.from({ length: 1_000 }, (_, n) => `event-${n}`);
  let delivered = 0;
  let killed: Promise<void> | undefined;
  const missing = await deliverAll(destination, ids, () => {
    delivered += 1;
    if (delivered === 300) killed = broker().kill();
  });
  assert.ok(missing.length > 500);
  await killed;
  await broker().start();
  let left: readonly string[] = missing;
  for (let rounds = 0; left.length > 0; rounds++) {
    assert.ok(rounds < 20, `${left.length} messages fail again and again: ${told(await destination.deliver())}`);
    left = await deliverAll(destination, left);
  }

  await using after = await openQueue(broker());
  const found = new Set<string>();
  for (;;) {
    const message = await after.channel.get(before.queue, { noAck: true });
    if (message === false) break;
    found.add(message.properties.messageId);
  }
  assert.deepEqual(
    ids.filter((id) => !found.has(id)),
    [],
  );
});

test("a worker delivers an event from the database to the queue", needsBroker, async () => {
  await using queue = await openQueue(broker());
  await queue.consume();
  await using db = await testDatabase();
  await using _worker = await startTestWorker(db);
  await db.query("select outbox.create_destination('rabbitmq', $1, secrets => $2, topics => '{*}')", [
    JSON.stringify(configOf(queue.exchange)),
    JSON.stringify({ username: "guest", password: "guest" }),
  ]);
  const { id } = await addEvent(db, { payload: '{"total": 1.10}' });
  const { content, properties } = await queue.messages.next();
  assert.deepEqual([properties.messageId, content.toString()], [id, '{"total": 1.10}']);
  await db.until(
    "select status::text from outbox.deliveries where event_id = $1",
    [id],
    ({ status }) => status === "delivered",
  );
  const checked = "select checked_version, problem from outbox.destinations";
  const { problem } = await db.until(checked, [], ({ checked_version }) => checked_version !== null);
  assert.equal(problem, null);
});
