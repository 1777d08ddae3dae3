/** What an event looks like in Pub/Sub, and which events do not fit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CloudEvent, HTTP } from "cloudevents";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as pubsub } from "../../src/destinations/pubsub.ts";
import { openDestination } from "../support/contract.ts";
import { pubsubConfig, startPubsub } from "../support/pubsub.ts";

const event = {
  payload: '{"total": 1.10}',
  key: "Zürich 7",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  headers: {
    region: "eu",
    id: "forged",
    "ce-id": "forged",
    "content-type": "text/html",
    googclient_x: "1",
    a: "event",
  },
};
const ownAttributes = {
  id: "01890a5d-ac96-774b-bcce-b302099a8057",
  topic: "order.paid",
  tenant: "acme",
  time: "2026-01-02T03:04:05.678Z",
  key: event.key,
  traceparent: event.traceparent,
};

/** The message as a subscriber gets it. */
async function publish(given: object, message: Partial<Message> = event) {
  await using server = await startPubsub();
  await using destination = await openDestination(pubsub, pubsubConfig(server.port, given));
  assert.equal((await destination.deliver(message)).kind, "delivered");
  const { data, attributes, orderingKey } = await server.stored.next();
  return { data: data.toString(), attributes, orderingKey };
}

test("attributes tell what the event is, and take the headers that are not ours or Google's to set", async () => {
  assert.deepEqual(await publish({ attributes: { a: "config", stage: "live" } }), {
    data: event.payload,
    attributes: { ...ownAttributes, region: "eu", a: "config", stage: "live", "content-type": "application/json" },
    orderingKey: "",
  });
});

test("an event without key, traceparent and headers has no attributes for them", async () => {
  const { attributes } = await publish({ ordering: true }, {});
  assert.deepEqual(new Set(Object.keys(attributes)), new Set(["content-type", "id", "tenant", "time", "topic"]));
});

test("with ordering the event's key is the ordering key, and an event without key has none", async () => {
  assert.equal((await publish({ ordering: true })).orderingKey, event.key);
  assert.equal((await publish({ ordering: true }, { key: null })).orderingKey, "");
});

test("an envelope is the message's data", async () => {
  const { data } = await publish({ body: "envelope" });
  assert.equal(data, `{"type":"order.paid","timestamp":"${ownAttributes.time}","data":${event.payload}}`);
});

test("a structured CloudEvent is the message's data, and content-type says so", async () => {
  const { data, attributes } = await publish({ body: "cloudevents", source: "/shop" });
  const cloudEvent = HTTP.toEvent({ headers: { "content-type": attributes["content-type"] }, body: data });
  assert.ok(cloudEvent instanceof CloudEvent && cloudEvent.validate());
  assert.deepEqual([cloudEvent.id, cloudEvent.source, cloudEvent.data], [ownAttributes.id, "/shop", { total: 1.1 }]);
});

test("a binary CloudEvent has its attributes under ce-, as Google's binding says", async () => {
  const { data, attributes } = await publish({ body: "cloudevents_binary" });
  assert.equal(data, event.payload);
  const binding = Object.fromEntries(Object.entries(attributes).filter(([name]) => name.startsWith("ce-")));
  assert.deepEqual(binding, {
    "ce-specversion": "1.0",
    "ce-id": ownAttributes.id,
    "ce-source": "/postrider/acme",
    "ce-type": "order.paid",
    "ce-time": ownAttributes.time,
    "ce-subject": event.key,
    "ce-partitionkey": event.key,
    "ce-traceparent": event.traceparent,
  });
  assert.equal(attributes["content-type"], "application/json");
});

const headers = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`h${n}`, "x"]));

/** Events that do not fit -> what their attempt ends with. */
const tooMuch: readonly (readonly [what: string, event: Partial<Message>, code: string, reason: RegExp])[] = [
  ["more than 10 MB", { payload: `"${"x".repeat(10_000_000)}"` }, "too_large", /^the message has 100\d{5} bytes/],
  [
    "an ordering key of more than 1024 bytes",
    { key: "é".repeat(513) },
    "too_large",
    /^the ordering key has 1026 bytes/,
  ],
  ["an attribute of more than 1024 bytes", { headers: { a: "x".repeat(1025) } }, "too_large", /^the attribute a has/],
  ["an attribute name of more than 256 bytes", { headers: { ["a".repeat(257)]: "" } }, "too_large", /^the name of an/],
  ["more than 100 attributes", { headers: headers(96) }, "rejected", /^there are 101 attributes/],
];

for (const [what, message, code, reason] of tooMuch) {
  test(`${what}: dead before it is sent, and the neighbours arrive`, async () => {
    await using server = await startPubsub();
    await using destination = await openDestination(pubsub, pubsubConfig(server.port, { ordering: true }));
    const outcomes = await destination.deliverBatch([{ payload: "1" }, message, { payload: "3" }]);
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["delivered", "dead", "delivered"],
    );
    const { code: told, reason: why } = outcomes[1] as Extract<Outcome, { kind: "dead" }>;
    assert.equal(told, code);
    assert.match(why, reason);
    assert.equal(server.requests.count, 1);
  });
}

test("an event that just fits is delivered", async () => {
  const fits: Partial<Message> = {
    payload: `"${"x".repeat(9_990_000)}"`,
    key: "k".repeat(1024),
    headers: { ...headers(93), ["a".repeat(256)]: "é".repeat(512) },
  };
  const { data, attributes } = await publish({ ordering: true }, fits);
  assert.equal(data.length, 9_990_002);
  assert.equal(Object.keys(attributes).length, 100);
});

/** Configs that the schema lets through and Pub/Sub would not -> the start of what is said. */
const problems: readonly (readonly [given: object, problem: RegExp | undefined])[] = [
  [{ topic: "google-things" }, /^config.topic: /],
  [{ endpoint: "https://[::" }, /^config.endpoint: is not a URL/],
  [{ attributes: { id: "1" } }, /^config.attributes.id: the name is reserved/],
  [{ attributes: { "": "1" } }, /^config.attributes.: the name is reserved/],
  [{ attributes: { "ce-id": "1" } }, /^config.attributes.ce-id: the name is reserved/],
  [{ attributes: { googclient: "1" } }, /^config.attributes.googclient: the name is reserved/],
  [{ attributes: { a: "x".repeat(1025) } }, /^config.attributes.a: the attribute a has 1025 bytes/],
  [{ attributes: headers(33) }, /^config.attributes: at most 32/],
  [{ attributes: headers(32), endpoint: "https://europe-west1-pubsub.googleapis.com" }, undefined],
];

test("a config that no message could be sent with is refused when it is saved", () => {
  for (const [given, problem] of problems) {
    const told = pubsub.check?.(pubsub.config.parse(pubsubConfig(1, given)));
    if (problem === undefined) assert.equal(told, undefined);
    else assert.match(told ?? "", problem);
  }
});
