/** What PagerDuty gets of an event and of an alert, and what its answers mean. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as pagerduty } from "../../src/destinations/pagerduty.ts";
import { alertMessage, alertOf } from "../support/alert_message.ts";
import { type DeliverOptions, openDestination, testDestination } from "../support/contract.ts";
import { startForwarder } from "../support/forwarder.ts";
import { eventOfPagerDuty, routingKey, startPagerDuty } from "../support/pagerduty.ts";
import type { Reply } from "../support/receiver.ts";

const secrets = { routing_key: [routingKey] };

testDestination(pagerduty, async () => {
  const server = await startPagerDuty();
  return {
    config: { url: server.url },
    secrets,
    next: async () => eventOfPagerDuty((await server.receiver.next()).rawBody),
    openConnections: server.open,
    forward: () => startForwarder(server.receiver.port),
    configAt: (port) => ({ url: `http://127.0.0.1:${port}/v2/enqueue` }),
    badConfigs: {
      region: { region: "asia" },
      url: { url: "events.pagerduty.com" },
      severity: { severity: "fatal" },
      routing_key: { routing_key: routingKey },
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});

/** The event that PagerDuty gets. */
async function enqueued(message: Partial<Message>, config: object = {}) {
  await using server = await startPagerDuty();
  await using destination = await openDestination(pagerduty, { ...config, url: server.url }, { secrets });
  const outcome = await destination.deliver(message);
  assert.equal(outcome.kind, "delivered", JSON.stringify(outcome));
  return await server.next();
}

test("an event triggers, with its payload as it was inserted", async () => {
  await using server = await startPagerDuty();
  await using destination = await openDestination(pagerduty, { url: server.url }, { secrets });
  const payload = '{"total": 12.50, "id": 12345678901234567890}';
  await destination.deliver({ key: "A-1001", payload });
  const [request] = await server.receiver.waitFor(1);
  assert.ok(request?.rawBody.toString().includes(`"Payload":${payload}}`));
  assert.equal(request?.headers["content-type"], "application/json; charset=utf-8");
  const { payload: shown, ...event } = await server.next();
  assert.deepEqual(event, {
    routing_key: routingKey,
    event_action: "trigger",
    dedup_key: "A-1001",
    client: "Postrider",
  });
  const { custom_details, ...rest } = shown;
  assert.deepEqual(rest, {
    summary: "order.paid: A-1001",
    source: "acme",
    severity: "error",
    timestamp: "2026-01-02T03:04:05.678Z",
    component: "event",
    group: "acme",
    class: "order.paid",
  });
  assert.equal(custom_details?.Key, "A-1001");
});

test("an event without a key is an incident of its own, and config says how severe", async () => {
  const event = await enqueued({}, { severity: "warning" });
  assert.deepEqual([event.dedup_key, event.payload.severity], ["01890a5d-ac96-774b-bcce-b302099a8057", "warning"]);
});

test("an alert triggers with its own key and severity, and resolves what it triggered", async () => {
  const fired = await enqueued(alertMessage({ severity: "warning" }), { severity: "info" });
  const { dedup_key, text, look, redrive } = alertOf();
  assert.deepEqual([fired.event_action, fired.dedup_key], ["trigger", dedup_key]);
  const { custom_details, ...shown } = fired.payload;
  assert.deepEqual(
    [shown.summary, shown.severity, shown.source, shown.component, shown.class],
    [`ERP does not answer: ${text}`, "warning", "ERP", "webhook", "circuit_opened"],
  );
  assert.deepEqual(
    [custom_details?.Look, custom_details?.Redrive, custom_details?.["Last error"]],
    [look, redrive, "connect: could not connect: ECONNREFUSED"],
  );
  const ended = await enqueued(alertMessage({ state: "resolved" }));
  assert.deepEqual([ended.event_action, ended.dedup_key], ["resolve", dedup_key]);
});

test("an event with an alert's topic and another payload triggers as any event", async () => {
  const event = await enqueued({ topic: "postrider.alert.backlog", payload: '{"state": "resolved"}', key: "k" });
  assert.deepEqual([event.event_action, event.dedup_key], ["trigger", "k"]);
});

test("what is longer than PagerDuty takes is cut: a summary, a key, a payload", async () => {
  const event = await enqueued({ key: "k".repeat(2_000), payload: JSON.stringify({ text: 'é"'.repeat(200_000) }) });
  assert.match(event.dedup_key ?? "", /^[0-9a-f]{64}$/);
  assert.match(event.payload.summary, /…$/);
  assert.match(String(event.payload.custom_details?.Payload), /…\n\(cut: the payload has 600011 characters\)$/);
  const whole = await enqueued({ payload: JSON.stringify({ text: "x".repeat(400_000) }) });
  assert.equal(JSON.stringify(whole.payload.custom_details?.Payload).length, 400_011);
});

test("accounts of the EU are reached at their own host", () => {
  const hostOf = (config: object) => pagerduty.addresses(pagerduty.config.parse(config)).map(String);
  assert.deepEqual(hostOf({}), ["https://events.pagerduty.com/v2/enqueue"]);
  assert.deepEqual(hostOf({ region: "eu" }), ["https://events.eu.pagerduty.com/v2/enqueue"]);
});

/** What becomes of a delivery to a PagerDuty that answers so. */
async function outcomeOf(reply: Reply, options: DeliverOptions = {}): Promise<Outcome> {
  await using server = await startPagerDuty(() => reply);
  await using destination = await openDestination(pagerduty, { url: server.url }, { secrets });
  return await destination.deliver({}, options);
}

const summaryOf = (outcome: Outcome): string => ("code" in outcome ? `${outcome.kind}: ${outcome.code}` : outcome.kind);
const invalid = (...errors: readonly string[]) =>
  JSON.stringify({ status: "invalid event", message: "Event object is invalid", errors });

const answers: readonly (readonly [status: number, body: string, expected: string])[] = [
  [202, '{"status":"success"}', "delivered"],
  [302, "", "retry: redirect"],
  [400, invalid("'payload.summary' is missing or blank"), "dead: rejected"],
  [400, invalid("Length of 'routing_key' is incorrect (should be 32 characters)"), "retry: auth_failed"],
  [400, "Bad Request", "dead: rejected"],
  [403, "", "retry: auth_failed"],
  [404, "", "retry: http_status"],
  [413, "", "dead: too_large"],
  [429, "", "retry: throttled"],
  [500, "", "retry: http_status"],
  [503, "", "retry: http_status"],
];

for (const [status, body, expected] of answers) {
  test(`HTTP ${status} ${body} is ${expected}`, async () => {
    const outcome = await outcomeOf({ status, body });
    assert.equal(summaryOf(outcome), expected);
    assert.equal(outcome.response?.status, status);
  });
}

test("the reason of a refused event has PagerDuty's errors", async () => {
  const outcome = await outcomeOf({ status: 400, body: invalid("'severity' is bad", "'source' is missing") });
  assert.equal(
    "reason" in outcome && outcome.reason,
    "HTTP 400: invalid event; Event object is invalid; 'severity' is bad; 'source' is missing",
  );
});

test("PagerDuty says when to come again, and policy says what is final", async () => {
  const reply = { status: 429, headers: { "retry-after": "7" } };
  const outcome = await outcomeOf(reply);
  assert.equal("retryAfterMs" in outcome && outcome.retryAfterMs, 7_000);
  assert.equal((await outcomeOf(reply, { deadStatuses: [429] })).kind, "dead");
});

test("a routing key that PagerDuty does not know is tried again, until it is mended", async () => {
  await using server = await startPagerDuty();
  await using destination = await openDestination(pagerduty, { url: server.url });
  const wrong = await destination.deliver({}, { secrets: { routing_key: ["X".repeat(32)] } });
  assert.equal(summaryOf(wrong), "retry: auth_failed");
  assert.equal((await destination.deliver({}, { secrets })).kind, "delivered");
  assert.equal(summaryOf(await destination.deliver()), "dead: config_invalid");
});

test("the routing key is in no outcome, also when the service repeats it", async () => {
  const outcome = await outcomeOf({ status: 400, body: invalid(`'${routingKey}' is no key`) });
  assert.ok(!JSON.stringify(outcome).includes(routingKey));
});
