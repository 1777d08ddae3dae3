/** What the pubsub type makes of the answers of the world, and the contract of all types. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import type { Socket } from "node:net";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import type { FailureCode, Outcome } from "../../src/destination.ts";
import { destination as pubsub } from "../../src/destinations/pubsub.ts";
import { startServer } from "../outbound/servers.ts";
import { badConfigs } from "../support/bad_configs.ts";
import { openDestination, testDestination } from "../support/contract.ts";
import { startDns } from "../support/dns.ts";
import { startForwarder } from "../support/forwarder.ts";
import { pubsubConfig, startPubsub } from "../support/pubsub.ts";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const account = JSON.stringify({
  type: "service_account",
  client_email: "outbox@acme-shop.iam.gserviceaccount.com",
  private_key: privateKey.export({ format: "pem", type: "pkcs8" }),
});

testDestination(pubsub, async () => {
  const server = await startPubsub();
  const config = pubsubConfig(server.port);
  return {
    config,
    secrets: { service_account: [account] },
    next: async () => {
      const { data, attributes } = await server.stored.next();
      return { payload: data.toString(), id: attributes.id ?? "", topic: attributes.topic ?? "" };
    },
    openConnections: () => server.connections.open,
    forward: () => startForwarder(server.port),
    configAt: pubsubConfig,
    badConfigs: badConfigs.pubsub(config),
    [Symbol.asyncDispose]: () => server.close(),
  };
});

const codeOf = (outcome: Outcome) => [outcome.kind, "code" in outcome ? outcome.code : undefined];

/** One row of what the README promises: gRPC status -> kind and code. */
const statuses: readonly (readonly [name: keyof typeof status, kind: Outcome["kind"], code: FailureCode])[] = [
  ["CANCELLED", "retry", "unavailable"],
  ["UNKNOWN", "retry", "unavailable"],
  ["INVALID_ARGUMENT", "dead", "rejected"],
  ["DEADLINE_EXCEEDED", "retry", "timeout"],
  ["NOT_FOUND", "retry", "not_found"],
  ["ALREADY_EXISTS", "retry", "protocol"],
  ["PERMISSION_DENIED", "retry", "auth_failed"],
  ["RESOURCE_EXHAUSTED", "retry", "throttled"],
  ["FAILED_PRECONDITION", "retry", "unavailable"],
  ["ABORTED", "retry", "unavailable"],
  ["OUT_OF_RANGE", "dead", "rejected"],
  ["UNIMPLEMENTED", "retry", "protocol"],
  ["INTERNAL", "retry", "unavailable"],
  ["UNAVAILABLE", "retry", "unavailable"],
  ["DATA_LOSS", "retry", "unavailable"],
  ["UNAUTHENTICATED", "retry", "auth_failed"],
];

for (const [name, kind, code] of statuses) {
  test(`${name} is ${kind}: ${code}, and what the server says is kept beside the reason`, async () => {
    const details = "schema: 100 % wrong\n\0é";
    await using server = await startPubsub({ respond: () => ({ status: status[name], details }) });
    await using destination = await openDestination(pubsub, pubsubConfig(server.port));
    const outcome = await destination.deliver();
    assert.deepEqual(codeOf(outcome), [kind, code]);
    assert.deepEqual(outcome.response, {
      headers: { "grpc-status": String(status[name]) },
      body: "schema: 100 % wrong\n\ufffdé",
    });
    assert.ok(!("reason" in outcome && outcome.reason.includes("wrong")));
    assert.equal(server.requests.count, 1, "nothing but the engine tries again");
  });
}

test("a topic that does not exist is retried: not_found", async () => {
  await using server = await startPubsub();
  await using destination = await openDestination(pubsub, pubsubConfig(server.port, { topic: "other" }));
  assert.deepEqual(codeOf(await destination.deliver()), ["retry", "not_found"]);
});

test("a delivered event keeps the id that Pub/Sub gave it", async () => {
  await using server = await startPubsub();
  await using destination = await openDestination(pubsub, pubsubConfig(server.port));
  const outcome = await destination.deliver();
  const { messageId } = await server.stored.next();
  assert.deepEqual(outcome, { kind: "delivered", response: { body: JSON.stringify({ messageId }) } });
});

/** What becomes of an event when each connection is treated so. */
async function failureOf(respond: Parameters<typeof startServer>[0], scheme = "http", timeoutMs = 15_000) {
  await using server = await startServer(respond);
  const config = pubsubConfig(server.port, { endpoint: `${scheme}://127.0.0.1:${server.port}` });
  await using destination = await openDestination(pubsub, config, { secrets: { service_account: [account] } });
  return codeOf(await destination.deliver({}, { signal: AbortSignal.timeout(timeoutMs) }));
}

test("a connection that breaks before the answer is retried: reset", async () => {
  await using server = await startPubsub({ respond: () => "cut" });
  await using destination = await openDestination(pubsub, pubsubConfig(server.port));
  assert.deepEqual(codeOf(await destination.deliver()), ["retry", "reset"]);
});

test("a server that hangs up before HTTP/2 stands is retried: protocol", async () => {
  const hangUp = (socket: Socket) => void socket.once("data", () => socket.destroy());
  assert.deepEqual(await failureOf(hangUp), ["retry", "protocol"]);
});

for (const scheme of ["http", "https"]) {
  test(`a server that accepts and stays silent keeps no socket of ours (${scheme})`, async () => {
    const controller = new AbortController();
    await using server = await startServer((socket) => void socket.once("data", () => controller.abort()));
    const config = pubsubConfig(server.port, { endpoint: `${scheme}://127.0.0.1:${server.port}` });
    const destination = await openDestination(pubsub, config, { secrets: { service_account: [account] } });
    const outcome = await destination.deliver({}, { signal: controller.signal });
    assert.deepEqual(codeOf(outcome), ["retry", "timeout"]);
    assert.equal(server.open.size, 1);
    await destination[Symbol.asyncDispose]();
    await server.idle();
  });
}

test("no answer before the deadline is retried: timeout", async () => {
  assert.deepEqual(await failureOf((socket) => void socket.resume(), "http", 100), ["retry", "timeout"]);
});

test("an answer that is not HTTP/2 is retried: protocol", async () => {
  const answer = (socket: { end: (text: string) => void }) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  assert.deepEqual(await failureOf(answer), ["retry", "protocol"]);
});

test("a server that speaks no TLS is retried: tls", async () => {
  assert.deepEqual(await failureOf((socket) => void socket.end("220 ready\r\n"), "https"), ["retry", "tls"]);
});

test("a name that does not exist is retried: dns", async () => {
  await using dns = await startDns({});
  const config = pubsubConfig(0, { endpoint: "https://pubsub.test" });
  const options = { dnsServers: [dns.address], secrets: { service_account: [account] } };
  await using destination = await openDestination(pubsub, config, options);
  assert.deepEqual(codeOf(await destination.deliver()), ["retry", "dns"]);
});

test("plain text is refused unless the operator allows http: blocked_address", async () => {
  await using server = await startPubsub();
  await using destination = await openDestination(pubsub, pubsubConfig(server.port), { allowHttp: false });
  assert.deepEqual(codeOf(await destination.deliver()), ["dead", "blocked_address"]);
  assert.equal(server.connections.made, 0);
});
