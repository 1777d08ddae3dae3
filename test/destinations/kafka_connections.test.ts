/** How the Kafka type gets through breaks of its connections, and past which brokers it does not connect. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as kafka } from "../../src/destinations/kafka.ts";
import { createCertificate } from "../support/certificate.ts";
import { type OpenDestination, openDestination } from "../support/contract.ts";
import { startDns } from "../support/dns.ts";
import { type Fault, type KafkaBroker, startKafka } from "../support/kafka/broker.ts";

const warnings: string[] = [];
process.on("warning", ({ name }) => warnings.push(name));

const configOf = (...brokers: readonly KafkaBroker[]) => ({
  brokers: brokers.map(({ address }) => address),
  topic: "orders",
  tls: false,
});
const told = (outcome: Outcome | undefined) => [outcome?.kind, outcome && "code" in outcome ? outcome.code : undefined];
const valuesOf = (broker: KafkaBroker) => broker.records.items.map(({ value }) => value);

/** The faults one after another, then none. */
const inTurn = (...faults: readonly Fault[]) => {
  const left = [...faults];
  return () => left.shift();
};

test("a broker that advertises a forbidden address is dead: blocked_address", async () => {
  for (const host of ["10.0.0.1", "169.254.169.254", "localhost.internal"]) {
    await using broker = await startKafka({ topics: { orders: 1 }, advertised: [{ host, port: 9092 }] });
    await using destination = await openDestination(kafka, configOf(broker));
    const outcome = await destination.deliver();
    assert.deepEqual(told(outcome), ["dead", "blocked_address"], host);
    assert.equal(broker.records.count, 0);
  }
});

test("a name that resolves to a forbidden address is not connected to, also when a broker advertises it", async () => {
  await using dns = await startDns({ "broker.test": { a: ["192.168.0.1"] } });
  await using broker = await startKafka({ topics: { orders: 1 }, advertised: [{ host: "broker.test", port: 9092 }] });
  await using destination = await openDestination(kafka, configOf(broker), { dnsServers: [dns.address] });
  const outcome = await destination.deliver();
  assert.deepEqual(told(outcome), ["dead", "blocked_address"]);
  assert.ok(!JSON.stringify(outcome).includes("192.168"));
  assert.ok(dns.questions.includes("A broker.test"));
});

test("records go to the broker that the cluster advertises", async () => {
  await using leader = await startKafka({ topics: { orders: 1 } });
  const advertised = [{ host: "127.0.0.1", port: leader.port }];
  await using first = await startKafka({ topics: { orders: 1 }, advertised });
  await using destination = await openDestination(kafka, configOf(first));
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.deepEqual([first.records.count, leader.records.count], [0, 1]);
});

test("a broker of the list that is down is passed over", async () => {
  await using down = await startKafka({ topics: { orders: 1 } });
  await down.stop();
  await using broker = await startKafka({ topics: { orders: 1 } });
  await using destination = await openDestination(kafka, configOf(down, broker));
  assert.equal((await destination.deliver()).kind, "delivered");
  await down.start();
});

test("a connection that is cut after the append leaves exactly one copy", async () => {
  await using broker = await startKafka({ topics: { orders: 1 }, onProduce: inTurn("cut") });
  await using destination = await openDestination(kafka, configOf(broker));
  const [one, two] = await Promise.all([
    destination.deliver({ key: "a", payload: "1" }),
    destination.deliver({ key: "a", payload: "2" }),
  ]);
  assert.deepEqual([one.kind, two.kind], ["delivered", "delivered"]);
  assert.deepEqual(valuesOf(broker), ["1", "2"]);
});

/** A topic of one partition whose producer is connected; the next batches meet these faults. */
async function startWarm(...faults: readonly Fault[]) {
  const broker = await startKafka({ topics: { orders: 1 } });
  const destination = await openDestination(kafka, configOf(broker));
  assert.equal((await destination.deliver({ payload: "0" })).kind, "delivered");
  const { promise: met, resolve } = Promise.withResolvers<void>();
  const next = inTurn(...faults);
  broker.onProduce = () => {
    resolve();
    return next();
  };
  const close = async () => {
    await destination[Symbol.asyncDispose]();
    await broker[Symbol.asyncDispose]();
  };
  return { broker, destination, met, [Symbol.asyncDispose]: close };
}

test("a record after an unanswered one is not taken for its repetition", async () => {
  // kafkajs gives the second record the sequence of the first: the broker would answer, and drop it.
  await using warm = await startWarm("cut", "cut", "cut");
  const { broker, destination, met } = warm;
  const one = destination.deliver({ payload: "1" });
  await met;
  const two = destination.deliver({ payload: "2" });
  assert.deepEqual(told(await one), ["retry", "reset"]);
  assert.equal((await two).kind, "delivered");
  assert.equal((await destination.deliver({ payload: "3" })).kind, "delivered");
  assert.deepEqual(valuesOf(broker), ["0", "1", "2", "3"]);
});

test("a broker that falls silent costs its own delivery only", async () => {
  await using warm = await startWarm("hang");
  const { broker, destination, met } = warm;
  const late = new AbortController();
  const one = destination.deliver({ payload: "1" }, { signal: late.signal });
  await met;
  const two = destination.deliver({ payload: "2" });
  late.abort(new DOMException("deadline", "TimeoutError"));
  assert.deepEqual(told(await one), ["retry", "timeout"]);
  assert.equal((await two).kind, "delivered");
  assert.equal((await destination.deliver({ payload: "3" })).kind, "delivered");
  assert.deepEqual(valuesOf(broker), ["0", "1", "2", "3"]);
});

test("a message whose deadline passes while it waits for others is not sent any more", async () => {
  await using warm = await startWarm("hang");
  const { broker, destination, met } = warm;
  const [late, later] = [new AbortController(), new AbortController()];
  const one = destination.deliver({ payload: "1" }, { signal: later.signal });
  await met;
  const two = destination.deliver({ payload: "2" }, { signal: late.signal });
  await turn();
  late.abort();
  assert.equal((await two).kind, "retry");
  later.abort();
  assert.equal((await one).kind, "retry");
  assert.equal((await destination.deliver({ payload: "3" })).kind, "delivered");
  assert.deepEqual(valuesOf(broker), ["0", "1", "3"]);
});

test("after a batch that failed none of its call overtakes it", async () => {
  await using broker = await startKafka({
    topics: { orders: 1 },
    onProduce: inTurn("NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS"),
  });
  await using destination = await openDestination(kafka, { ...configOf(broker), message_bytes_max: 1024 });
  const messages = Array.from({ length: 20 }, (_, n) => ({ key: "a", payload: String(n) }));
  const outcomes = await destination.deliverBatch(messages);
  assert.deepEqual([...new Set(outcomes.map(({ kind }) => kind))], ["retry"]);
  assert.deepEqual(valuesOf(broker), []);
});

test("deliveries that were stopped leave no connection behind", async () => {
  const { promise: silent, resolve } = Promise.withResolvers<void>();
  const onProduce = () => {
    resolve();
    return "hang" as const;
  };
  await using broker = await startKafka({ topics: { orders: 1 }, onProduce });
  const destination = await openDestination(kafka, configOf(broker));
  const controller = new AbortController();
  const outcome = destination.deliver({}, { signal: controller.signal });
  await silent;
  controller.abort();
  assert.equal((await outcome).kind, "retry");
  await destination[Symbol.asyncDispose]();
  while (broker.connections > 0) await turn();
});

test("a client that is closed first lets what it is sending end, and what waits behind that", async () => {
  await using warm = await startWarm();
  const { broker, destination, met } = warm;
  const one = destination.deliver({ payload: "1" });
  await met;
  const two = destination.deliver({ payload: "2" });
  await turn();
  await destination[Symbol.asyncDispose]();
  assert.deepEqual([(await one).kind, (await two).kind], ["delivered", "delivered"]);
  assert.deepEqual(valuesOf(broker), ["0", "1", "2"]);
  while (broker.connections > 0) await turn();
});

test("a closed client opens no connection for what still waits: that is retried, and no fault of the brokers", async () => {
  await using warm = await startWarm("hang");
  const { broker, destination, met } = warm;
  const late = new AbortController();
  const one = destination.deliver({ payload: "1" }, { signal: late.signal });
  await met;
  const two = destination.deliver({ payload: "2" });
  await turn();
  const closed = destination[Symbol.asyncDispose]();
  late.abort();
  await closed;
  const three = destination.deliver({ payload: "3" });
  assert.equal((await one).kind, "retry");
  for (const outcome of await Promise.all([two, three])) {
    assert.deepEqual([...told(outcome), "ours" in outcome && outcome.ours], ["retry", "reset", true]);
  }
  while (broker.connections > 0) await turn();
  assert.deepEqual(valuesOf(broker), ["0", "1"]);
});

/** Delivers as the engine does: what is to be retried is delivered again. */
async function deliverAll(destination: OpenDestination, messages: readonly Partial<Message>[]): Promise<void> {
  for (let left = messages; left.length > 0; ) {
    const outcomes = await destination.deliverBatch(left);
    const dead = outcomes.find(({ kind }) => kind === "dead");
    assert.equal(dead, undefined);
    left = left.filter((_, n) => outcomes[n]?.kind === "retry");
  }
}

test("a broker that restarts in the middle of a thousand messages loses none of them", async () => {
  await using broker = await startKafka({ topics: { orders: 3 } });
  await using destination = await openDestination(kafka, configOf(broker));
  const messages = Array.from({ length: 1000 }, (_, n) => ({ key: `key ${n % 50}`, payload: String(n) }));
  const restart = broker.records.waitFor(300).then(async () => {
    await broker.stop();
    await broker.start();
  });
  const chunks = Array.from({ length: 20 }, (_, n) => messages.slice(n * 50, (n + 1) * 50));
  for (const chunk of chunks) await deliverAll(destination, chunk);
  await restart;
  const seen = new Set(valuesOf(broker));
  assert.equal(seen.size, 1000);
});

test("brokers are reached over TLS, with an authority and a client certificate of their own", async () => {
  const server = createCertificate("IP:127.0.0.1");
  const client = createCertificate("DNS:shop.test");
  const tls = { ...server, ca: client.cert, requestCert: true, rejectUnauthorized: true };
  await using broker = await startKafka({ topics: { orders: 1 }, tls });
  const config = { ...configOf(broker), tls: true };
  const own = { ...config, ca: server.cert, cert: client.cert };
  await using known = await openDestination(kafka, own, { secrets: { client_key: [client.key] } });
  assert.equal((await known.deliver()).kind, "delivered");
  await using stranger = await openDestination(kafka, config);
  assert.deepEqual(told(await stranger.deliver()), ["retry", "tls"]);
  await using wrong = await openDestination(kafka, own, { secrets: { client_key: [server.key] } });
  assert.deepEqual(told(await wrong.deliver()), ["dead", "config_invalid"]);
});

test("what the schema cannot say about a config is checked", () => {
  const { cert } = createCertificate("DNS:shop.test");
  const broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
  const config = { brokers: ["kafka.test:9092"], topic: "orders" };
  const problemOf = (given: object) => kafka.check?.(kafka.config.parse({ ...config, ...given }));
  assert.equal(problemOf({ ca: cert, cert }), undefined);
  assert.match(problemOf({ brokers: ["a.test:1", "b.test:70000"] }) ?? "", /^config\.brokers\.1: /);
  assert.match(problemOf({ topic: ".." }) ?? "", /^config\.topic: /);
  assert.match(problemOf({ ca: broken }) ?? "", /^config\.ca: /);
  assert.match(problemOf({ cert: broken }) ?? "", /^config\.cert: /);
  assert.match(problemOf({ tls: false, ca: cert }) ?? "", /^config\.ca: needs tls/);
  assert.deepEqual(
    kafka.addresses(kafka.config.parse(config)).map(({ hostname, port }) => [hostname, port]),
    [["kafka.test", "9092"]],
  );
});

test("the SDK arms no timers of a negative delay, of which Node warns", async () => {
  await using broker = await startKafka({ topics: { orders: 1 } });
  await using destination = await openDestination(kafka, configOf(broker));
  assert.equal((await destination.deliver()).kind, "delivered");
  await turn();
  assert.deepEqual(warnings, []);
});
