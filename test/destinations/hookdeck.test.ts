/** What a source of Hookdeck gets, and what its answers mean. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import type { Socket } from "node:net";
import { test } from "node:test";
import { CloudEvent, HTTP } from "cloudevents";
import type { Outcome } from "../../src/destination.ts";
import { destination as hookdeck } from "../../src/destinations/hookdeck.ts";
import { messageOf, openDestination, testDestination } from "../support/contract.ts";
import { startForwarder } from "../support/forwarder.ts";
import { type Reply, startReceiver } from "../support/receiver.ts";

const signing_secret = ["a secret of the source"];
const token = [Buffer.from("src_1:another secret").toString("base64")];

testDestination(hookdeck, async () => {
  const sockets = new Set<Socket>();
  const receiver = await startReceiver({
    respond: (_request, { socket }) => {
      if (socket === null || sockets.has(socket)) return;
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    },
  });
  return {
    config: { source_url: receiver.url },
    secrets: { signing_secret },
    next: async () => {
      const { headers, rawBody } = await receiver.next();
      return { payload: rawBody.toString(), id: String(headers["ce-id"]), topic: String(headers["ce-type"]) };
    },
    openConnections: () => sockets.size,
    forward: () => startForwarder(receiver.port),
    configAt: (port) => ({ source_url: `http://127.0.0.1:${port}/` }),
    badConfigs: {
      source_url: { source_url: "hkdk.events/abc" },
      source: { source_url: receiver.url, source: "" },
      url: { source_url: receiver.url, url: receiver.url },
    },
    [Symbol.asyncDispose]: () => receiver.close(),
  };
});

const message = messageOf({
  payload: '{"total": 12.50, "name": "é 😀"}',
  key: "order 7",
  headers: { "X-Shop": "berlin", "Webhook-Id": "forged", "ce-id": "forged", "X-Hookdeck-Signature": "forged" },
  traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
});

const requestWith = async (secrets: Readonly<Record<string, readonly string[]>>) => {
  await using receiver = await startReceiver();
  await using destination = await openDestination(hookdeck, { source_url: `${receiver.url}/src_1?a=b` }, { secrets });
  assert.equal((await destination.deliver(message)).kind, "delivered");
  const { headers, ...request } = await receiver.next();
  return { ...request, head: headers as Record<string, string> };
};

const base64Hmac = (secret: string | undefined): string =>
  createHmac("sha256", secret ?? "")
    .update(message.payload)
    .digest("base64");

test("the payload is posted to the source with the event's id, topic, key, time and trace beside it", async () => {
  const { method, path, rawBody, head } = await requestWith({ signing_secret });
  assert.deepEqual([method, path, rawBody.toString()], ["POST", "/src_1?a=b", message.payload]);
  const event = HTTP.toEvent({ headers: head, body: rawBody.toString() });
  assert.ok(event instanceof CloudEvent && event.validate());
  const { id, type, source, time, partitionkey } = event;
  assert.deepEqual(
    [id, type, source, time, decodeURIComponent(String(partitionkey))],
    [message.eventId, message.topic, "/postrider/acme", "2026-01-02T03:04:05.678Z", message.key],
  );
  assert.deepEqual(
    [head["webhook-id"], head["x-shop"], head.traceparent],
    [message.eventId, "berlin", message.traceparent],
  );
  assert.equal(head["content-type"], "application/json");
});

test("a source with HMAC authentication gets the base64 HMAC-SHA256 of the body, by the newest secret", async () => {
  const { head } = await requestWith({ signing_secret: ["the newest one", ...signing_secret] });
  assert.equal(head["x-hookdeck-signature"], base64Hmac("the newest one"));
});

test("a managed source gets the same by its whole token, marked v0", async () => {
  const { head } = await requestWith({ token, signing_secret });
  assert.equal(head["x-hookdeck-signature"], `v0=${base64Hmac(token[0])}`);
});

test("without a secret nothing is sent", async () => {
  await using receiver = await startReceiver();
  await using destination = await openDestination(hookdeck, { source_url: receiver.url });
  const outcome = await destination.deliver();
  assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["dead", "config_invalid"]);
  assert.equal(receiver.count, 0);
});

/** Hookdeck Outpost's own type never retries a status from 400 on; ours does. */
const answers: readonly (readonly [reply: Reply, expected: string])[] = [
  [200, "delivered"],
  [302, "retry: redirect"],
  ...[400, 401, 403, 404, 413, 422, 429, 500, 503].map((status) => [status, "retry: http_status"] as const),
  [410, "dead: gone, and disables"],
  ["reset", "retry: reset"],
];

const summaryOf = (outcome: Outcome): string =>
  [
    "code" in outcome ? `${outcome.kind}: ${outcome.code}` : outcome.kind,
    ...("disable" in outcome && outcome.disable === true ? ["and disables"] : []),
  ].join(", ");

for (const [reply, expected] of answers) {
  test(`an answer of ${reply} is ${expected}`, async () => {
    await using receiver = await startReceiver({ respond: () => reply });
    await using destination = await openDestination(
      hookdeck,
      { source_url: receiver.url },
      { secrets: { signing_secret } },
    );
    assert.equal(summaryOf(await destination.deliver()), expected);
  });
}

test("an answer says when to come again, and policy says what is final", async () => {
  await using receiver = await startReceiver({ respond: () => ({ status: 429, headers: { "retry-after": "7" } }) });
  const secrets = { signing_secret };
  await using destination = await openDestination(hookdeck, { source_url: receiver.url }, { secrets });
  const outcome = await destination.deliver();
  assert.equal("retryAfterMs" in outcome && outcome.retryAfterMs, 7_000);
  assert.equal((await destination.deliver({}, { deadStatuses: [429] })).kind, "dead");
});
