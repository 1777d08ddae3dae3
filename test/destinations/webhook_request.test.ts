/** What a webhook request looks like: body, headers and signatures, checked by the libraries that receivers use. */
import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { test } from "node:test";
import { CloudEvent, HTTP } from "cloudevents";
import { Webhook } from "standardwebhooks";
import type { Message } from "../../src/destination.ts";
import { destination as webhook } from "../../src/destinations/webhook.ts";
import { type DeliverOptions, messageOf, openDestination } from "../support/contract.ts";
import { type ReceivedRequest, startReceiver } from "../support/receiver.ts";

const secretOf = (byte: number): string => `whsec_${Buffer.alloc(32, byte).toString("base64")}`;
const payload = '{"total": 12.50, "id": 12345678901234567890, "name": "é 😀 \\u00e9"}';
const message = messageOf({ payload, key: 'order "7" – 100 %' });
const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

interface Sent extends ReceivedRequest {
  readonly text: string;
  readonly head: Record<string, string>;
}

/** The request that a config and a message make. */
async function requestOf(
  config: object = {},
  given: Partial<Message> = message,
  options: DeliverOptions = {},
): Promise<Sent> {
  await using receiver = await startReceiver();
  await using destination = await openDestination(webhook, { url: `${receiver.url}/hooks?shop=7`, ...config });
  const outcome = await destination.deliver(given, { secrets: { signing_secret: [secretOf(1)] }, ...options });
  assert.equal(outcome.kind, "delivered", JSON.stringify(outcome));
  const request = await receiver.next();
  return { ...request, text: request.rawBody.toString(), head: request.headers as Record<string, string> };
}

test("the payload is the body, byte for byte, by POST to the path and query of the URL", async () => {
  const { method, path, text, head } = await requestOf();
  assert.deepEqual([method, path, text], ["POST", "/hooks?shop=7", payload]);
  assert.equal(head["content-type"], "application/json");
  assert.equal(head["content-length"], String(Buffer.byteLength(payload)));
  assert.match(head["user-agent"] ?? "", /^Postrider/);
});

test("PUT is sent as PUT", async () => {
  assert.equal((await requestOf({ method: "PUT" })).method, "PUT");
});

test("an envelope has type, timestamp and the payload as it is", async () => {
  const { text, head } = await requestOf({ body: "envelope" });
  assert.equal(text, `{"type":"order.paid","timestamp":"2026-01-02T03:04:05.678Z","data":${payload}}`);
  assert.equal(head["content-type"], "application/json");
  assert.deepEqual(new Webhook(secretOf(1)).verify(text, head), JSON.parse(text));
});

const attributes = {
  id: message.eventId,
  type: "order.paid",
  source: "/postrider/acme",
  time: "2026-01-02T03:04:05.678Z",
  specversion: "1.0",
  datacontenttype: "application/json",
  subject: message.key,
  partitionkey: message.key,
};

/** A received event as the CloudEvents SDK reads it. */
const readEvent = ({ head, text }: Sent): CloudEvent<unknown> => {
  const event = HTTP.toEvent({ headers: head, body: text });
  assert.ok(event instanceof CloudEvent);
  assert.ok(event.validate());
  return event as CloudEvent<unknown>;
};

test("a structured CloudEvent is one for the CloudEvents library, with the payload as it is", async () => {
  const request = await requestOf({ body: "cloudevents" }, { ...message, traceparent });
  const { data, ...rest } = JSON.parse(JSON.stringify(readEvent(request)));
  assert.deepEqual(rest, { ...attributes, traceparent });
  assert.deepEqual(data, JSON.parse(payload));
  assert.ok(request.text.endsWith(`,"data":${payload}}`));
  assert.equal(request.head["content-type"], "application/cloudevents+json; charset=utf-8");
});

test("a binary CloudEvent has its attributes in headers, percent-encoded where HTTP needs it", async () => {
  const request = await requestOf({ body: "cloudevents_binary", source: "https://shop.example/" });
  const event = readEvent(request);
  assert.equal(request.text, payload);
  assert.equal(request.head["content-type"], "application/json");
  assert.deepEqual([event.id, event.type, event.source], [message.eventId, "order.paid", "https://shop.example/"]);
  assert.equal(request.head["ce-subject"], "order%20%227%22%20%E2%80%93%20100%20%25");
  assert.equal(decodeURIComponent(request.head["ce-partitionkey"] ?? ""), message.key);
});

test("an event without a key has no subject", async () => {
  const event = readEvent(await requestOf({ body: "cloudevents" }, { ...message, key: null }));
  assert.deepEqual([event.subject, event.partitionkey], [undefined, undefined]);
});

test("a tenant of any characters makes a valid source", async () => {
  for (const tenantId of ["a/b?c#d", "ünïcode", 'a"b']) {
    const event = readEvent(await requestOf({ body: "cloudevents_binary" }, { ...message, tenantId }));
    assert.equal(decodeURIComponent(decodeURIComponent(event.source)), `/postrider/${tenantId}`);
  }
});

test("a request carries a v1 signature that the reference library verifies, with the time of the attempt", async () => {
  const now = new Date();
  const { head, text } = await requestOf({}, message, { now });
  assert.equal(head["webhook-id"], message.eventId);
  assert.equal(head["webhook-timestamp"], String(Math.floor(now.getTime() / 1000)));
  assert.deepEqual(new Webhook(secretOf(1)).verify(text, head), JSON.parse(payload));
  assert.throws(() => new Webhook(secretOf(2)).verify(text, head), /No matching signature/);
  assert.throws(() => new Webhook(secretOf(1)).verify(`${text} `, head), /No matching signature/);
});

test("during a rotation each valid secret signs, the newest first", async () => {
  const { head, text } = await requestOf({}, message, { secrets: { signing_secret: [secretOf(2), secretOf(1)] } });
  const signatures = (head["webhook-signature"] ?? "").split(" ");
  assert.equal(signatures.length, 2);
  for (const [index, byte] of [2, 1].entries()) {
    new Webhook(secretOf(byte)).verify(text, head);
    new Webhook(secretOf(byte)).verify(text, { ...head, "webhook-signature": signatures[index] ?? "" });
  }
});

test("with a signing key there is a v1a signature (ed25519) beside v1", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  const both = Buffer.concat([seed, publicKey.export({ format: "der", type: "spki" }).subarray(-32)]);
  for (const bytes of [seed, both]) {
    const secrets = { signing_secret: [secretOf(1)], signing_key: [`whsk_${bytes.toString("base64")}`] };
    assert.ok(webhook.secrets.safeParse({ signing_key: secrets.signing_key[0] }).success);
    const { head, text } = await requestOf({}, message, { secrets });
    const [v1, v1a] = (head["webhook-signature"] ?? "").split(" ");
    assert.match(v1 ?? "", /^v1,/);
    assert.match(v1a ?? "", /^v1a,/);
    const signed = Buffer.from(`${head["webhook-id"]}.${head["webhook-timestamp"]}.${text}`);
    assert.ok(verify(null, signed, createPublicKey(privateKey), Buffer.from((v1a ?? "").slice(4), "base64")));
    new Webhook(secretOf(1)).verify(text, head);
  }
});

test("a legacy signature is the hex HMAC of the body under the header of choice", async () => {
  const config = { signature: "legacy", signature_header: "X-Hub-Signature" };
  const { head, text } = await requestOf(config, message, { secrets: { legacy_secret: ["hunter22"] } });
  assert.equal(head["x-hub-signature"], createHmac("sha256", "hunter22").update(text).digest("hex"));
  assert.equal(head["webhook-signature"], undefined);
  assert.equal(head["webhook-id"], message.eventId);
});

test("a legacy signature without its secret is dead, with what to do", async () => {
  await using destination = await openDestination(webhook, { url: "http://127.0.0.1:9/", signature: "legacy" });
  const outcome = await destination.deliver();
  assert.equal("code" in outcome && outcome.code, "config_invalid");
  assert.match("reason" in outcome ? outcome.reason : "", /legacy_secret/);
});

test("a header that carries the signature cannot be one that frames or routes the request", () => {
  for (const name of ["Content-Length", "host", "transfer-encoding", "connection", "webhook-id", "traceparent"]) {
    const parsed = webhook.config.parse({ url: "https://example.com/", signature: "legacy", signature_header: name });
    assert.match(webhook.check?.(parsed) ?? "", /^config\.signature_header: /, name);
  }
});

test("an event or a config cannot forge the signature header", async () => {
  const config = { signature: "legacy", signature_header: "X-Signature", headers: { "x-SIGNATURE": "forged" } };
  const headers = { "X-signature": "forged" };
  const { head, text } = await requestOf(config, { ...message, headers }, { secrets: { legacy_secret: ["hunter22"] } });
  assert.equal(head["x-signature"], createHmac("sha256", "hunter22").update(text).digest("hex"));
});

test("custom headers are sent, and win over those of the event", async () => {
  const { head } = await requestOf(
    { headers: { Authorization: "Bearer x", "X-Shop": "config", "User-Agent": "Shop/1" } },
    { ...message, headers: { "x-shop": "event", "X-Event": "yes" } },
  );
  const { authorization, "x-shop": shop, "x-event": event, "user-agent": agent } = head;
  assert.deepEqual(
    { authorization, shop, event, agent },
    { authorization: "Bearer x", shop: "config", event: "yes", agent: "Shop/1" },
  );
});

test("reserved headers are refused in a config, and left out of an event", async () => {
  for (const name of [
    "Host",
    "content-length",
    "Webhook-Id",
    "ce-id",
    "traceparent",
    "X-Forwarded-For",
    "Cookie",
    "a b",
  ]) {
    const parsed = webhook.config.parse({ url: "https://example.com/", headers: { [name]: "x" } });
    assert.ok(webhook.check?.(parsed)?.startsWith(`config.headers.${name}: `), name);
  }
  const forged = {
    host: "evil",
    "Content-Type": "text/plain",
    "webhook-id": "0",
    "X-Forwarded-For": "1.1.1.1",
    cookie: "a",
  };
  const { head } = await requestOf({}, { ...message, headers: forged });
  assert.match(head.host ?? "", /^127\.0\.0\.1:/);
  assert.equal(head["content-type"], "application/json");
  assert.equal(head["webhook-id"], message.eventId);
  assert.deepEqual([head["x-forwarded-for"], head.cookie], [undefined, undefined]);
});

test("the producer's traceparent is passed on, and nobody else's", async () => {
  const headers = { traceparent: "00-00000000000000000000000000000001-0000000000000001-00" };
  assert.equal((await requestOf({}, { ...message, traceparent, headers })).head.traceparent, traceparent);
  assert.equal((await requestOf({}, { ...message, headers })).head.traceparent, undefined);
});
