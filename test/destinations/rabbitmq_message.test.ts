/** What becomes of the parts of an event in an AMQP message, as an independent client of a real RabbitMQ gets it. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { ConsumeMessage } from "amqplib";
import { CloudEvent } from "cloudevents";
import type { Message } from "../../src/destination.ts";
import { destination as rabbitmq } from "../../src/destinations/rabbitmq.ts";
import { needsBroker, openQueue, useBroker } from "../support/broker_tests.ts";
import { messageOf, openDestination } from "../support/contract.ts";
import { freePort } from "../support/rabbitmq.ts";

const secrets = { username: ["guest"], password: ["guest"] };
const folder = mkdtempSync(join(tmpdir(), `postrider_test_${process.pid}_`));
after(() => rmSync(folder, { recursive: true }));
const tlsPort = await freePort();
const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
const file = (name: string): string => join(folder, name);

/** Makes a certificate in `<name>.cert` and its key in `<name>.key`. */
const createCertificate = (name: string, ...args: readonly string[]): void => {
  const shape = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"];
  const out = ["-keyout", file(`${name}.key`), "-out", file(`${name}.cert`)];
  execFileSync("openssl", ["req", "-x509", ...shape, "-subj", `/CN=${name}`, ...out, ...args], { stdio: "pipe" });
};

/** An authority, and a certificate of it that is both the broker's and the client's. */
const prepareTls = (): readonly string[] => {
  createCertificate("authority");
  const signed = ["-CA", file("authority.cert"), "-CAkey", file("authority.key")];
  createCertificate("peer", ...signed, "-addext", "subjectAltName=IP:127.0.0.1");
  return [
    `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
    `ssl_options.cacertfile = ${file("authority.cert")}`,
    `ssl_options.certfile = ${file("peer.cert")}`,
    `ssl_options.keyfile = ${file("peer.key")}`,
    "ssl_options.verify = verify_peer",
    "ssl_options.fail_if_no_peer_cert = true",
  ];
};

const broker = useBroker({ settings: hasOpenssl ? prepareTls() : [] });

/** Delivers an event and returns it as a consumer gets it. */
async function receive(config: object, given: Partial<Message> = {}): Promise<ConsumeMessage> {
  await using queue = await openQueue(broker());
  await queue.consume();
  const { port } = broker();
  const whole = { host: "127.0.0.1", port, tls: false, exchange: queue.exchange, ...config };
  await using destination = await openDestination(rabbitmq, whole, { secrets });
  assert.deepEqual(await destination.deliver(given), { kind: "delivered" });
  return await queue.messages.next();
}

const event: Partial<Message> = {
  payload: '{"total": 1.10}',
  key: "order 7",
  headers: { "x-shop": "berlin", CC: "elsewhere", bcc: "elsewhere", cloudEvents_id: "forged", tenant_id: "forged" },
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};

test("the parts of an event become properties and headers of a persistent message", needsBroker, async () => {
  const { content, fields, properties } = await receive({ headers: { "x-sent-by": "postrider" } }, event);
  const { eventId, topic, tenantId, occurredAt, key, traceparent } = messageOf(event);
  assert.equal(content.toString(), event.payload);
  assert.equal(fields.routingKey, topic);
  const { messageId, type, appId, contentType, deliveryMode, timestamp, headers } = properties;
  assert.deepEqual({ messageId, type, appId }, { messageId: eventId, type: topic, appId: "postrider" });
  assert.deepEqual({ contentType, deliveryMode }, { contentType: "application/json", deliveryMode: 2 });
  assert.equal(timestamp, Math.floor(occurredAt.getTime() / 1_000));
  const own = { tenant_id: tenantId, key, traceparent };
  assert.deepEqual({ ...headers }, { "x-shop": "berlin", "x-sent-by": "postrider", ...own });
});

test("an event without key, headers and traceparent has a header for its tenant only", needsBroker, async () => {
  const { properties } = await receive({});
  assert.deepEqual({ ...properties.headers }, { tenant_id: "acme" });
});

test("cloudevents_binary puts the attributes into headers, as the AMQP binding says", needsBroker, async () => {
  const { content, properties } = await receive({ body: "cloudevents_binary", source: "/shop" }, event);
  assert.equal(content.toString(), event.payload);
  assert.equal(properties.contentType, "application/json");
  const prefix = "cloudEvents_";
  const attributes = Object.entries(properties.headers ?? {})
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => [name.slice(prefix.length), value]);
  const { id, type, source, time, subject } = new CloudEvent({ ...Object.fromEntries(attributes), data: 1 });
  const { eventId, topic, occurredAt, key } = messageOf(event);
  assert.deepEqual([id, type, source, time, subject], [eventId, topic, "/shop", occurredAt.toISOString(), key]);
});

test("cloudevents is a structured CloudEvent, and says so", needsBroker, async () => {
  const { content, properties } = await receive({ body: "cloudevents" }, event);
  assert.equal(properties.contentType, "application/cloudevents+json; charset=utf-8");
  const { id, data } = new CloudEvent<unknown>(JSON.parse(content.toString()));
  assert.deepEqual([id, data], [messageOf().eventId, { total: 1.1 }]);
});

/** Template, the event's key, and what becomes of them. */
const routingKeys: readonly (readonly [template: string, key: string | null, routingKey: string])[] = [
  ["{topic}", "k", "order.paid"],
  ["{tenant_id}.{topic}.{key}", "k", "acme.order.paid.k"],
  ["orders.{key}", null, "orders."],
  ["{event_id}", null, messageOf().eventId],
  ["fixed", "k", "fixed"],
  ["", "k", ""],
  ["{key}", "{topic} $& é", "{topic} $& é"],
];

for (const [template, key, routingKey] of routingKeys) {
  test(`routing_key "${template}" with ${key} is "${routingKey}"`, needsBroker, async () => {
    const { fields } = await receive({ routing_key: template }, { key });
    assert.equal(fields.routingKey, routingKey);
  });
}

test("the default exchange takes the routing key for a queue", needsBroker, async () => {
  await using queue = await openQueue(broker());
  await queue.consume();
  const config = { host: "127.0.0.1", port: broker().port, tls: false, exchange: "", routing_key: queue.queue };
  await using destination = await openDestination(rabbitmq, config, { secrets });
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal((await queue.messages.next()).fields.exchange, "");
});

test("a message of many frames arrives whole, and does not mix with its neighbours", needsBroker, async () => {
  await using queue = await openQueue(broker());
  await queue.consume();
  const config = { host: "127.0.0.1", port: broker().port, tls: false, exchange: queue.exchange };
  await using destination = await openDestination(rabbitmq, config, { secrets });
  const payloads = Array.from({ length: 6 }, (_, n) => JSON.stringify(`${n}`.repeat(n % 2 === 0 ? 1 : 600_000)));
  await destination.deliverBatch(payloads.map((payload) => ({ payload })));
  const received = await queue.messages.waitFor(payloads.length);
  assert.deepEqual(
    received.map(({ content }) => content.toString()),
    payloads,
  );
});

test("a routing key of more than 255 bytes is dead: rejected", async () => {
  const config = { host: "127.0.0.1", port: 1, exchange: "events", routing_key: "{key}" };
  await using destination = await openDestination(rabbitmq, config, { secrets });
  const { kind, code } = { code: "", ...(await destination.deliver({ key: "é".repeat(128) })) };
  assert.deepEqual([kind, code], ["dead", "rejected"]);
});

const { skip = hasOpenssl ? false : "needs openssl to make certificates" } = needsBroker;

test("TLS with an authority and a client certificate of the config", { skip }, async () => {
  const [ca, cert, key] = ["authority.cert", "peer.cert", "peer.key"].map((name) => readFileSync(file(name), "utf8"));
  await using queue = await openQueue(broker());
  const outcomeOf = async (tls: object, clientKey: readonly (string | undefined)[] = []) => {
    const options = { secrets: { ...secrets, client_key: clientKey as readonly string[] } };
    const config = { host: "127.0.0.1", port: tlsPort, exchange: queue.exchange, ...tls };
    await using destination = await openDestination(rabbitmq, config, options);
    const { kind, code } = { code: undefined, ...(await destination.deliver()) };
    return [kind, code];
  };
  assert.deepEqual(await outcomeOf({ ca, client_cert: cert }, [key]), ["delivered", undefined]);
  assert.deepEqual(await outcomeOf({ client_cert: cert }, [key]), ["retry", "tls"]);
  assert.deepEqual(await outcomeOf({ ca }), ["retry", "tls"]);
  assert.deepEqual(await outcomeOf({ ca, client_cert: cert }, ["not a key"]), ["dead", "config_invalid"]);
});

/** What `check` says of a config that the schema lets through. */
const problems: readonly (readonly [field: string, config: object])[] = [
  ["routing_key", { routing_key: "{customer}" }],
  ["routing_key", { routing_key: "{topic" }],
  ["headers.CC", { headers: { CC: "elsewhere" } }],
  ["headers.traceparent", { headers: { traceparent: "x" } }],
  ["headers.a b", { headers: { "a b": "x" } }],
  ["exchange", { exchange: "é".repeat(200) }],
  ["vhost", { vhost: "é".repeat(200) }],
  ["host", { host: "[::g]" }],
];

for (const [field, given] of problems) {
  test(`${JSON.stringify(given).slice(0, 40)} is refused, with the field`, () => {
    const config = { host: "mq.example.com", exchange: "events" };
    assert.equal(rabbitmq.check?.(rabbitmq.config.parse(config)), undefined);
    const { success, data } = rabbitmq.config.safeParse({ ...config, ...given });
    assert.ok(!success || rabbitmq.check?.(data)?.startsWith(`config.${field}: `));
    assert.equal(success, field !== "host");
  });
}

test("the address is that of the broker, with the port of its protocol", () => {
  const addressOf = (config: object) => rabbitmq.addresses(rabbitmq.config.parse({ exchange: "", ...config }))[0]?.href;
  assert.equal(addressOf({ host: "mq.example.com" }), "amqps://mq.example.com:5671");
  assert.equal(addressOf({ host: "mq.example.com", tls: false }), "amqp://mq.example.com:5672");
  assert.equal(addressOf({ host: "[2001:db8::1]", port: 7 }), "amqps://[2001:db8::1]:7");
});
