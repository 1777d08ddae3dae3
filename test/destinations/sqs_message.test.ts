/** What becomes of an event on its way into a queue. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { Message as SqsMessage } from "@aws-sdk/client-sqs";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as sqs } from "../../src/destinations/sqs.ts";
import { messageOf, openDestination } from "../support/contract.ts";
import { accessKeys, region } from "../support/sigv4.ts";
import { awsError, type Sqs, startSqs } from "../support/sqs.ts";

const open = (server: Sqs, queue = "orders", config: object = {}) =>
  openDestination(
    sqs,
    { queue_url: server.queueUrl(queue), endpoint: server.receiver.url, region, ...config },
    { secrets: accessKeys },
  );

const attributesOf = ({ MessageAttributes = {} }: SqsMessage): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(MessageAttributes).map(([name, { StringValue }]) => [name, StringValue]));

const full: Partial<Message> = {
  key: "order 7",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  headers: { "X-Shop": "berlin", "x-empty": "", "x-other": "not chosen" },
};

/** What one event is in the queue. */
async function arrived(message: Partial<Message>, config: object = {}): Promise<SqsMessage> {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server, "orders", config);
  assert.equal((await destination.deliver(message)).kind, "delivered");
  return await server.take("orders");
}

test("id, topic, tenant, key, traceparent and the chosen headers are message attributes", async () => {
  const message = await arrived(full, { headers: ["x-shop", "x-empty", "x-absent"] });
  const { eventId: id, topic, tenantId: tenant } = messageOf();
  const { key, traceparent } = full;
  assert.deepEqual(attributesOf(message), { id, topic, tenant, key, traceparent, "x-shop": "berlin" });
});

test("what an event does not have is no attribute", async () => {
  assert.deepEqual(new Set(Object.keys(attributesOf(await arrived({})))), new Set(["id", "topic", "tenant"]));
});

test("ten attributes fit: five of ours and five headers", async () => {
  const names = ["a", "b", "c", "d", "e"];
  const headers = Object.fromEntries(names.map((name) => [name, name]));
  assert.equal(Object.keys(attributesOf(await arrived({ ...full, headers }, { headers: names }))).length, 10);
});

test("CloudEvents attributes travel as ce_ attributes, with room for a header", async () => {
  const message = await arrived(full, { body: "cloudevents_binary", source: "/shop", headers: ["x-shop"] });
  assert.equal(message.Body, "{}");
  assert.deepEqual(attributesOf(message), {
    ce_specversion: "1.0",
    ce_id: messageOf().eventId,
    ce_source: "/shop",
    ce_type: "order.paid",
    ce_time: "2026-01-02T03:04:05.678Z",
    ce_subject: "order 7",
    ce_partitionkey: "order 7",
    ce_traceparent: full.traceparent,
    "content-type": "application/json",
    "x-shop": "berlin",
  });
});

test("the trace goes into the X-Ray header of the message", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  await destination.deliver(full);
  const { Entries } = JSON.parse(String(server.receiver.requests[0]?.rawBody));
  const { StringValue } = Entries[0].MessageSystemAttributes.AWSTraceHeader;
  assert.equal(StringValue, "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=1");
});

test("the queue is a parameter of the request, never the address that it goes to", async () => {
  await using server = await startSqs(["orders"]);
  const queue_url = `https://sqs.${region}.amazonaws.com/000000000000/orders`;
  await using destination = await open(server, "orders", { queue_url });
  assert.equal((await destination.deliver()).kind, "delivered");
  const [request] = server.receiver.requests;
  assert.equal(request?.path, "/");
  assert.equal(JSON.parse(String(request?.rawBody)).QueueUrl, queue_url);
});

const fifoGroups: readonly (readonly [what: string, key: string | null, group: string])[] = [
  ["a key", "order-7", "order-7"],
  ["no key", null, messageOf().subscriptionId],
  ["a key that no group can be called", "order 7", createHash("sha256").update("order 7").digest("hex")],
  ["a long key", "k".repeat(129), createHash("sha256").update("k".repeat(129)).digest("hex")],
];

for (const [what, key, group] of fifoGroups) {
  test(`FIFO: an event with ${what} is in the group of it, and the event ID keeps it from coming twice`, async () => {
    await using server = await startSqs(["orders.fifo"]);
    await using destination = await open(server, "orders.fifo");
    for (const _ of [1, 2]) assert.equal((await destination.deliver({ key })).kind, "delivered");
    const { Attributes = {} } = await server.take("orders.fifo");
    assert.equal(Attributes.MessageGroupId, group);
    assert.equal(Attributes.MessageDeduplicationId, messageOf().eventId);
    assert.equal(server.length("orders.fifo"), 0);
  });
}

const topics = ["a", "b", "c", "d", "e"];

const inOneGroup = (names: readonly string[], payload: string): readonly Partial<Message>[] =>
  names.map((topic, n) => ({ topic, payload, key: "one", eventId: `01890a5d-ac96-774b-bcce-b302099a805${n}` }));

/** The topics of the messages in a queue, in its order. */
const topicsIn = async (server: Sqs, queue: string): Promise<readonly (string | undefined)[]> => {
  const taken: SqsMessage[] = [];
  while (server.length(queue) > 0) taken.push(await server.take(queue));
  return taken.map((message) => attributesOf(message).topic);
};

test("FIFO: messages that need several requests arrive in their order", async () => {
  await using server = await startSqs(["orders.fifo"]);
  await using destination = await open(server, "orders.fifo");
  const outcomes = await destination.deliverBatch(inOneGroup(topics, JSON.stringify("x".repeat(400_000))));
  assert.deepEqual(new Set(outcomes.map(({ kind }) => kind)), new Set(["delivered"]));
  assert.equal(server.receiver.count, 3);
  assert.deepEqual(await topicsIn(server, "orders.fifo"), topics);
});

test("FIFO: after a request that is to be retried the rest waits for that, and overtakes nothing", async () => {
  await using server = await startSqs(["orders.fifo"]);
  await using destination = await open(server, "orders.fifo");
  const messages = inOneGroup(topics, JSON.stringify("x".repeat(400_000)));
  server.intercept(({ rawBody }) => (rawBody.includes('"c"') ? awsError(503, "ServiceUnavailable") : undefined));
  const outcomes = await destination.deliverBatch(messages);
  assert.deepEqual(outcomes.map(codeOf), ["delivered", "delivered", "unavailable", "unavailable", "unavailable"]);
  assert.deepEqual(new Set(outcomes.slice(2).map(({ kind }) => kind)), new Set(["retry"]));
  assert.equal(server.receiver.count, 2);
  server.intercept(() => undefined);
  await destination.deliverBatch(messages.slice(2));
  assert.deepEqual(await topicsIn(server, "orders.fifo"), topics);
});

test("FIFO: of a batch that is sent one by one nothing follows a retry, and a dead message holds nothing up", async () => {
  await using server = await startSqs(["orders.fifo"]);
  await using destination = await open(server, "orders.fifo");
  server.intercept(({ rawBody }) => {
    if (rawBody.includes('"culprit"')) return awsError(400, "InvalidMessageContents");
    return rawBody.includes('"c"') ? awsError(400, "RequestThrottled") : undefined;
  });
  const outcomes = await destination.deliverBatch(inOneGroup(["a", "culprit", "b", "c", "d"], "{}"));
  assert.deepEqual(outcomes.map(codeOf), ["delivered", "rejected", "delivered", "throttled", "throttled"]);
  assert.equal(server.receiver.count, 5);
  assert.deepEqual(await topicsIn(server, "orders.fifo"), ["a", "b"]);
});

test("ten messages are one request, and a lone message is one", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  await destination.deliverBatch(Array.from({ length: 10 }, () => ({})));
  assert.equal(server.receiver.count, 1);
  await destination.deliver();
  assert.equal(server.receiver.count, 2);
});

/** Bytes of everything but the payload: each attribute's name, type and value. */
const attributesBytes = ["id", "topic", "tenant"].join("").length + 3 * "String".length + 36 + 10 + 4;
const roomForPayload = 1_048_576 - attributesBytes;
const payloadOf = (bytes: number): string => JSON.stringify("x".repeat(bytes - 2));
const codeOf = (outcome: Outcome | undefined) =>
  outcome === undefined || !("code" in outcome) ? outcome?.kind : outcome.code;

test("a message of 1 MiB with its attributes is taken; a larger one is dead, and its neighbours are not", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  assert.equal(codeOf(await destination.deliver({ payload: payloadOf(roomForPayload) })), "delivered");
  const payloads = ["1", payloadOf(roomForPayload + 1), "2"];
  const outcomes = await destination.deliverBatch(payloads.map((payload) => ({ payload })));
  assert.deepEqual(outcomes.map(codeOf), ["delivered", "too_large", "delivered"]);
  assert.equal(outcomes[1]?.kind, "dead");
  assert.match(JSON.stringify(outcomes[1]), /1048577 bytes, and at most 1048576 fit/);
  assert.equal(server.length("orders"), 3);
});

const refusedCharacters: readonly (readonly [what: string, message: Partial<Message>, config?: object])[] = [
  ["in the payload", { payload: '"\uffff"' }],
  ["in the payload of an envelope", { payload: '"\ufffe"' }, { body: "envelope" }],
  ["in the key", { key: "a\u0001b" }],
];

for (const [what, message, config] of refusedCharacters) {
  test(`a character that SQS refuses ${what} is dead, and neighbours arrive`, async () => {
    await using server = await startSqs(["orders"]);
    await using destination = await open(server, "orders", config);
    const outcomes = await destination.deliverBatch([{}, message, { payload: '"😀\\uffff\ud7ff\ue000\ufffd"' }]);
    assert.deepEqual(outcomes.map(codeOf), ["delivered", "rejected", "delivered"]);
    assert.equal(outcomes[1]?.kind, "dead");
    assert.equal(server.length("orders"), 2);
  });
}

test("a delivered message's outcome names the message that SQS made of it", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  const outcome = await destination.deliver();
  const { MessageId } = await server.take("orders");
  assert.deepEqual(outcome, { kind: "delivered", response: { status: 200, body: JSON.stringify({ MessageId }) } });
});
