/** Many events in few requests: what one of them, or the connection, may do to the others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as pubsub } from "../../src/destinations/pubsub.ts";
import { openDestination } from "../support/contract.ts";
import { type PublishRequest, pubsubConfig, startPubsub } from "../support/pubsub.ts";

/** Events whose payloads are their numbers. */
const eventsOf = (count: number, given: Partial<Message> = {}): readonly Partial<Message>[] =>
  Array.from({ length: count }, (_, n) => ({ ...given, payload: String(n) }));
const numbersOf = (messages: readonly { readonly data: Buffer }[]) => messages.map(({ data }) => Number(data));
const kindsOf = (outcomes: readonly Outcome[]) => outcomes.map(({ kind }) => kind);
const allOf = (count: number) => Array.from({ length: count }, (_, n) => n);

test("a thousand events go in one request, in their order", async () => {
  await using server = await startPubsub();
  await using destination = await openDestination(pubsub, pubsubConfig(server.port));
  const outcomes = await destination.deliverBatch(eventsOf(1_000));
  assert.deepEqual(new Set(kindsOf(outcomes)), new Set(["delivered"]));
  assert.equal(server.requests.count, 1);
  assert.deepEqual(numbersOf(server.stored.items), allOf(1_000));
});

test("events that are too large for one request go in several", async () => {
  await using server = await startPubsub();
  await using destination = await openDestination(pubsub, pubsubConfig(server.port));
  const payload = `"${"x".repeat(4_000_000)}"`;
  const outcomes = await destination.deliverBatch(Array.from({ length: 5 }, () => ({ payload })));
  assert.deepEqual(new Set(kindsOf(outcomes)), new Set(["delivered"]));
  assert.deepEqual(
    server.requests.items.map(({ messages }) => messages.length).toSorted((a, b) => a - b),
    [1, 2, 2],
  );
});

/** Refuses requests that hold one of these. */
const refusing = (bad: ReadonlySet<number>) => (request: PublishRequest) =>
  numbersOf(request.messages).some((number) => bad.has(number)) ? { status: status.INVALID_ARGUMENT } : "store";

for (const ordering of [false, true]) {
  test(`events that Pub/Sub refuses are found, and only they are dead (ordering: ${ordering})`, async () => {
    const bad = new Set(allOf(200).filter((n) => n % 3 === 0 || n > 190));
    await using server = await startPubsub({ respond: refusing(bad) });
    await using destination = await openDestination(pubsub, pubsubConfig(server.port, { ordering }));
    const outcomes = await destination.deliverBatch(eventsOf(200, { key: "k" }));
    for (const [n, outcome] of outcomes.entries()) assert.equal(outcome.kind, bad.has(n) ? "dead" : "delivered");
    const good = allOf(200).filter((n) => !bad.has(n));
    const stored = numbersOf(server.stored.items);
    assert.deepEqual(ordering ? stored : stored.toSorted((a, b) => a - b), good);
    assert.equal(server.connections.made, 1);
  });
}

test("with ordering, an event never overtakes one of its key that is tried again", async () => {
  const respond = (request: PublishRequest) => {
    const numbers = numbersOf(request.messages);
    if (numbers.length > 1) return { status: status.INVALID_ARGUMENT };
    return numbers[0] === 2 ? { status: status.UNAVAILABLE } : "store";
  };
  await using server = await startPubsub({ respond });
  await using destination = await openDestination(pubsub, pubsubConfig(server.port, { ordering: true }));
  const keys = ["a", "b", "a", "b", "a", null, "a", null];
  const events = keys.map((key, n) => ({ key, payload: String(n) }));
  const outcomes = await destination.deliverBatch(events);
  const failed = new Set([2, 4, 6]);
  for (const [n, outcome] of outcomes.entries()) assert.equal(outcome.kind, failed.has(n) ? "retry" : "delivered");
  assert.deepEqual(numbersOf(server.stored.items), [0, 1, 3, 5, 7]);
  server.respondWith(() => "store");
  assert.equal((await destination.deliver(events[2])).kind, "delivered", "the key is not stuck");
});

test("an answer that is lost is retried, so the event may be there twice, and the next attempt has a connection", async () => {
  await using server = await startPubsub({ respond: () => "lost" });
  await using destination = await openDestination(pubsub, pubsubConfig(server.port));
  const outcome = await destination.deliver();
  assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["retry", "reset"]);
  server.respondWith(() => "store");
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.deepEqual([server.stored.count, server.connections.made, server.connections.open], [2, 2, 1]);
});

test("a call that is given up leaves the others on its connection alone, and later ones get a new connection", async () => {
  await using server = await startPubsub({
    respond: ({ messages }) => (numbersOf(messages)[0] === 0 ? "hang" : "store"),
  });
  await using destination = await openDestination(pubsub, pubsubConfig(server.port));
  const controller = new AbortController();
  const hanging = destination.deliver({ payload: "0" }, { signal: controller.signal });
  await server.requests.waitFor(1);
  assert.equal((await destination.deliver({ payload: "1" })).kind, "delivered");
  assert.equal(server.connections.made, 1);
  controller.abort();
  const outcome = await hanging;
  assert.deepEqual([outcome.kind, "ours" in outcome && outcome.ours], ["retry", true]);
  assert.equal((await destination.deliver({ payload: "2" })).kind, "delivered");
  assert.equal(server.connections.made, 2);
});

test("a restart of the server in the middle of 1,000 events loses none of them", async () => {
  const first = await startPubsub();
  const { port } = first;
  await using destination = await openDestination(pubsub, pubsubConfig(port));
  let waiting = eventsOf(1_000);
  const send = async (size: number): Promise<void> => {
    const batch = waiting.slice(0, size);
    const outcomes = await destination.deliverBatch(batch);
    const failed = batch.filter((_, n) => outcomes[n]?.kind !== "delivered");
    waiting = [...waiting.slice(size), ...failed];
  };
  first.respondWith(() => (first.requests.count === 5 ? "lost" : "store"));
  for (let n = 0; n < 6; n += 1) await send(100);
  await first.close();
  await send(100);
  assert.equal(waiting.length, 500, "the lost answer and the closed port are tried again");
  await using second = await startPubsub({ port });
  while (waiting.length > 0) await send(100);
  const stored = new Set(numbersOf([...first.stored.items, ...second.stored.items]));
  assert.equal(stored.size, 1_000);
});
