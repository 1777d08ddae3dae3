/** What becomes of an event on its way to a bus, and what the answers of EventBridge mean. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as eventbridge } from "../../src/destinations/eventbridge.ts";
import { messageOf, openDestination } from "../support/contract.ts";
import { type EventBridge, eventsError, startEventBridge } from "../support/eventbridge.ts";
import type { Reply } from "../support/receiver.ts";
import { accessKeys, region, scopeOf } from "../support/sigv4.ts";

const start = () => startEventBridge(scopeOf("events"));
const open = (server: EventBridge, config: object = {}) =>
  openDestination(eventbridge, { endpoint: server.receiver.url, region, ...config }, { secrets: accessKeys });

const brief = (outcome: Outcome | undefined): string =>
  `${outcome?.kind}${outcome !== undefined && "code" in outcome ? ` ${outcome.code}` : ""}`;

/** What one event is on the bus. */
async function arrived(message: Partial<Message>, config: object = {}) {
  await using server = await start();
  await using destination = await open(server, config);
  assert.equal(brief(await destination.deliver(message)), "delivered");
  return await server.events.next();
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const payload = '{ "total": 1.10 }';

test("an event is a CloudEvent from the tenant on the default bus, at the time when it occurred", async () => {
  const { Detail = "", ...entry } = await arrived({ payload, key: "order 7", traceparent, tenantId: "a b" });
  assert.deepEqual(entry, {
    EventBusName: "default",
    Source: "/postrider/a%20b",
    DetailType: "order.paid",
    Time: 1767323045.678,
    TraceHeader: "Root=1-0af76519-16cd43dd8448eb211c80319c;Parent=b7ad6b7169203331;Sampled=0",
  });
  const { id, source, type, subject, data } = JSON.parse(Detail);
  const told = [messageOf().eventId, "/postrider/a%20b", "order.paid", "order 7", { total: 1.1 }];
  assert.deepEqual([id, source, type, subject, data], told);
});

test("bus, source and resources are those of the config", async () => {
  const event_bus_name = `arn:aws:events:${region}:123456789012:event-bus/orders`;
  const resources = ["arn:aws:s3:::shop", "arn:aws:s3:::other"];
  const { EventBusName, Source, Resources } = await arrived({}, { event_bus_name, source: "com.acme.shop", resources });
  assert.deepEqual([EventBusName, Source, Resources], [event_bus_name, "com.acme.shop", resources]);
});

test("the detail is the payload as inserted, or an envelope around it, if the config says so", async () => {
  assert.equal((await arrived({ payload: ` ${payload}\n` }, { body: "payload" })).Detail, ` ${payload}\n`);
  const envelope = '{"type":"order.paid","timestamp":"2026-01-02T03:04:05.678Z","data":[1]}';
  assert.equal((await arrived({ payload: "[1]" }, { body: "envelope" })).Detail, envelope);
});

test("a payload that is no object cannot be a detail by itself: it is dead, and its neighbours are not", async () => {
  await using server = await start();
  await using destination = await open(server, { body: "payload" });
  const payloads = ["{}", "[{}]", '"{"', "null", "1", "\t{}"];
  const outcomes = await destination.deliverBatch(payloads.map((payload) => ({ payload })));
  const refused = "dead rejected";
  assert.deepEqual(outcomes.map(brief), ["delivered", refused, refused, refused, refused, "delivered"]);
  assert.match(JSON.stringify(outcomes[1]), /set config\.body to cloudevents or envelope/);
});

test("a delivered event's outcome names the event that EventBridge made of it", async () => {
  await using server = await start();
  await using destination = await open(server);
  const outcome = await destination.deliver();
  assert.match(outcome.response?.body ?? "", /^\{"EventId":"[0-9a-f-]{36}"\}$/);
});

/** Everything but the payload of an envelope: 14 bytes of time, source, detail type, and the words around the data. */
const overhead = 14 + "/shop".length + "order.paid".length;
const wrapping = '{"type":"order.paid","timestamp":"2026-01-02T03:04:05.678Z","data":}'.length;
const payloadOf = (bytes: number): string => JSON.stringify("x".repeat(bytes - 2));

test("an event of 256 KiB is taken; a larger one is dead, and its neighbours are not", async () => {
  await using server = await start();
  await using destination = await open(server, { body: "envelope", source: "/shop" });
  const room = 262_144 - overhead - wrapping;
  assert.equal(brief(await destination.deliver({ payload: payloadOf(room) })), "delivered");
  const payloads = ["1", payloadOf(room + 1), "2"];
  const outcomes = await destination.deliverBatch(payloads.map((payload) => ({ payload })));
  assert.deepEqual(outcomes.map(brief), ["delivered", "dead too_large", "delivered"]);
  assert.equal(server.events.count, 3);
});

test("events that are too large together travel in several requests", async () => {
  await using server = await start();
  await using destination = await open(server);
  const payload = payloadOf(100_000);
  const outcomes = await destination.deliverBatch([{ payload }, { payload }, { payload }, { payload }, { payload }]);
  assert.deepEqual(new Set(outcomes.map(brief)), new Set(["delivered"]));
  assert.equal(server.receiver.count, 3);
});

test("ten events are one request", async () => {
  await using server = await start();
  await using destination = await open(server);
  await destination.deliverBatch(Array.from({ length: 10 }, () => ({})));
  assert.deepEqual([server.receiver.count, server.events.count], [1, 10]);
});

test("a source or a topic that is longer than EventBridge takes is dead", async () => {
  await using server = await start();
  await using destination = await open(server);
  const outcomes = await destination.deliverBatch([{ tenantId: "ä".repeat(128) }, { topic: "t".repeat(129) }, {}]);
  assert.deepEqual(outcomes.map(brief), ["dead too_large", "dead too_large", "delivered"]);
});

/** The error code of one entry in HTTP 200 → how its event's delivery ends. */
const entries: readonly (readonly [error: string, ends: string])[] = [
  ["ThrottlingException", "retry throttled"],
  ["InternalFailure", "retry unavailable"],
  ["InternalException", "retry unavailable"],
  ["AccessDeniedException", "retry auth_failed"],
  ["NotAuthorizedForSourceException", "dead rejected"],
  ["ResourceNotFoundException", "retry not_found"],
  ["MalformedDetail", "dead rejected"],
  ["InvalidArgument", "dead rejected"],
  ["SomethingNew", "dead rejected"],
];

for (const [error, ends] of entries) {
  test(`${error} of one entry in HTTP 200: ${ends}, and its neighbours are delivered`, async () => {
    await using server = await start();
    server.failEntries(({ DetailType }) => (DetailType === "culprit" ? error : undefined));
    await using destination = await open(server);
    const outcomes = await destination.deliverBatch([{}, { topic: "culprit" }, {}]);
    assert.deepEqual(outcomes.map(brief), ["delivered", ends, "delivered"]);
    assert.equal(server.receiver.count, 1);
  });
}

/** What a whole request is answered with → how its event's delivery ends. */
const answers: readonly (readonly [what: string, reply: Reply, ends: string])[] = [
  ["AccessDeniedException", eventsError(400, "AccessDeniedException"), "retry auth_failed"],
  ["ExpiredTokenException", eventsError(400, "ExpiredTokenException"), "retry auth_failed"],
  ["ThrottlingException", eventsError(400, "ThrottlingException"), "retry throttled"],
  ["ResourceNotFoundException", eventsError(400, "ResourceNotFoundException"), "retry not_found"],
  ["OperationDisabledException", eventsError(400, "OperationDisabledException"), "retry unavailable"],
  ["InternalException", eventsError(500, "InternalException"), "retry unavailable"],
  ["ValidationException", eventsError(400, "ValidationException"), "dead rejected"],
  ["HTTP 413 of a proxy", 413, "dead too_large"],
  ["nothing in HTTP 200", 200, "retry protocol"],
  ["no entries in HTTP 200", { body: '{"FailedEntryCount":0,"Entries":[]}' }, "retry protocol"],
  ["an entry that says nothing", { body: '{"FailedEntryCount":0,"Entries":[{}]}' }, "retry protocol"],
  ["JSON of another shape", { body: '{"Entries":{"0":1}}' }, "retry protocol"],
  ["a connection that breaks", "reset", "retry reset"],
];

for (const [what, reply, ends] of answers) {
  test(`${what}: ${ends}, after one request`, async () => {
    await using server = await start();
    server.intercept(() => reply);
    await using destination = await open(server);
    assert.equal(brief(await destination.deliver()), ends);
    assert.equal(server.receiver.count, 1);
  });
}

test("a batch that is refused as a whole is sent again one by one, and only the culprit fails", async () => {
  await using server = await start();
  server.intercept((sent) =>
    sent.some(({ DetailType }) => DetailType === "culprit") ? eventsError(400, "ValidationException") : undefined,
  );
  await using destination = await open(server);
  const outcomes = await destination.deliverBatch([{}, { topic: "culprit" }, {}]);
  assert.deepEqual(outcomes.map(brief), ["delivered", "dead rejected", "delivered"]);
  assert.equal(server.events.count, 2);
});

const arn = "arn:aws:events:eu-west-1:123456789012:event-bus/orders";
const configs: readonly (readonly [config: object, problem: RegExp | undefined])[] = [
  [{ region }, undefined],
  [{ event_bus_name: arn }, undefined],
  [{ event_bus_name: arn, region }, undefined],
  [{ event_bus_name: "orders" }, /^config\.region: is needed/],
  [{ event_bus_name: arn, region: "us-east-1" }, /^config\.region: the bus is in eu-west-1$/],
  [{ region, source: "aws.s3" }, /^config\.source/],
  [{ region, endpoint: "https://[" }, /^config\.endpoint/],
];

for (const [config, problem] of configs) {
  test(`${problem === undefined ? "accepts" : "refuses"} ${JSON.stringify(config)}`, () => {
    const found = eventbridge.check?.(eventbridge.config.parse(config));
    if (problem === undefined) assert.equal(found, undefined);
    else assert.match(found ?? "", problem);
  });
}

test("the address that is checked is the one that requests go to", () => {
  const addressOf = (config: object) => eventbridge.addresses(eventbridge.config.parse(config))[0]?.origin;
  assert.equal(addressOf({ event_bus_name: arn }), "https://events.eu-west-1.amazonaws.com");
  assert.equal(addressOf({ region: "eusc-de-east-1" }), "https://events.eusc-de-east-1.amazonaws.eu");
  assert.equal(addressOf({ region, endpoint: "https://vpce-1.example.com" }), "https://vpce-1.example.com");
});
