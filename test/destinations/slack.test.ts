/** What Slack gets of an event and of an alert, and what its answers mean. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message, Outcome } from "../../src/destination.ts";
import { destination as slack } from "../../src/destinations/slack.ts";
import { alertMessage, alertOf } from "../support/alert_message.ts";
import { type DeliverOptions, openDestination, testDestination } from "../support/contract.ts";
import { startForwarder } from "../support/forwarder.ts";
import type { Reply } from "../support/receiver.ts";
import { eventOfSlack, shownBySlack, slackPath, startSlack } from "../support/slack.ts";

const secrets = { webhook_url: [slackPath] };

testDestination(
  slack,
  async () => {
    const server = await startSlack();
    return {
      config: { server: server.origin },
      secrets,
      next: async () => eventOfSlack(await server.next()),
      openConnections: server.open,
      forward: () => startForwarder(server.receiver.port),
      configAt: (port) => ({ server: `http://127.0.0.1:${port}` }),
      badConfigs: {
        server: { server: "https://hooks.slack.com/services/T0/B0/secret" },
        url: { url: `https://hooks.slack.com${slackPath}` },
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
  { payload: "equal" },
);

/** The message that Slack gets, and what becomes of the delivery. */
async function posted(message: Partial<Message>) {
  await using server = await startSlack();
  await using destination = await openDestination(slack, { server: server.origin }, { secrets });
  const outcome = await destination.deliver(message);
  assert.equal(outcome.kind, "delivered", JSON.stringify(outcome));
  return await server.next();
}

test("a message shows topic, tenant, time, key and payload, as blocks and as plain text", async () => {
  const message = await posted({ key: "A-1001", payload: '{"total":12.50,"lines":[],"note":{"a":1}}' });
  const [header, facts, payload] = message.blocks;
  assert.deepEqual(header?.text?.text, "order.paid: A-1001");
  assert.deepEqual(facts?.type === "section" && facts.fields?.map(({ text }) => text), [
    "*Topic*\norder.paid",
    "*Tenant*\nacme",
    "*Time*\n2026-01-02T03:04:05.678Z",
    "*Key*\nA-1001",
    "*Event*\n01890a5d-ac96-774b-bcce-b302099a8057",
  ]);
  const laidOut = '{\n  "total": 12.50,\n  "lines": [],\n  "note": {\n    "a": 1\n  }\n}';
  assert.equal(payload?.text?.text, `*Payload*\n\`\`\`\n${laidOut}\n\`\`\``);
  assert.match(message.text, /^order\.paid: A-1001\n\nTopic: order\.paid\n/);
  assert.ok(message.text.endsWith(`Payload:\n${laidOut}`));
});

test("an alert says what is the matter, since when, why, and what to do", async () => {
  const message = await posted(alertMessage());
  const shown = shownBySlack(message);
  assert.equal(message.blocks[0]?.text?.text, "🔴 ERP does not answer");
  const { text, look, redrive } = alertOf();
  for (const line of [
    text,
    "*Destination*\nERP (webhook)",
    "*Tenant*\nacme",
    "*Since*\n2026-01-02T03:00:00Z",
    "*Count*\n10",
    "*Last error*\nconnect: could not connect: ECONNREFUSED",
    "*Remedy*\nSee whether it listens.",
    `*Look*\n\`\`\`\n${look}\n\`\`\``,
    `*Redrive*\n\`\`\`\n${redrive}\n\`\`\``,
  ]) {
    assert.ok(shown.includes(line), line);
  }
  assert.ok(!shown.includes("*Payload*"));
  assert.match(message.text, /^🔴 ERP does not answer\n\nThe last 10 attempts/);
});

test("an alert that has ended says so", async () => {
  const message = await posted(alertMessage({ state: "resolved" }));
  assert.equal(message.blocks[0]?.text?.text, "🟢 Resolved: ERP does not answer");
});

test("an event with an alert's topic and another payload is shown as any event", async () => {
  const message = await posted({ topic: "postrider.alert.circuit_opened", payload: '{"state":"odd"}' });
  assert.equal(eventOfSlack(message).payload, '{\n  "state": "odd"\n}');
});

test("nobody is mentioned and nothing is a link, whatever an event says", async () => {
  const hostile = '<!channel> <@U1> <http://evil.example|x> & "```"';
  const message = await posted({ key: hostile, payload: JSON.stringify({ hostile }) });
  const told = JSON.stringify(message);
  assert.doesNotMatch(told, /[<>]/);
  assert.match(told, /&lt;!channel&gt;/);
  for (const block of message.blocks) {
    if (block.text?.type === "mrkdwn") assert.equal(block.text.verbatim, true);
    if (block.text?.text.startsWith("*Payload*")) assert.equal(block.text.text.split("```").length, 3);
  }
});

test("what is longer than Slack takes is cut, and seen to be cut", async () => {
  const payload = JSON.stringify({ text: "&<😀".repeat(20_000) });
  const large = await posted({ payload, key: "<".repeat(1_000) });
  const section = large.blocks.at(-1)?.text?.text ?? "";
  assert.match(section, /…\n```$/);
  assert.ok(section.length > 2_900);
  assert.ok(section.isWellFormed());
  assert.match(large.blocks[0]?.text?.text ?? "", /…$/);
  const plain = await posted({ payload: JSON.stringify({ text: "x".repeat(20_000) }) });
  assert.match(shownBySlack(plain), /…\n\(cut: the payload has 20011 characters\)\n```$/);
  const alert = await posted(
    alertMessage({ title: "t".repeat(5_000), text: "&".repeat(9_000), look: ">".repeat(9_000) }),
  );
  assert.ok(alert.blocks.length > 3);
});

/** What becomes of a delivery to a Slack that answers so. */
async function outcomeOf(reply: Reply, options: DeliverOptions = {}): Promise<Outcome> {
  await using server = await startSlack(() => reply);
  await using destination = await openDestination(slack, { server: server.origin }, { secrets });
  return await destination.deliver({}, options);
}

const summaryOf = (outcome: Outcome): string =>
  [
    "code" in outcome ? `${outcome.kind}: ${outcome.code}` : outcome.kind,
    ...("disable" in outcome && outcome.disable === true ? ["and disables"] : []),
  ].join(", ");

const answers: readonly (readonly [status: number, body: string, expected: string])[] = [
  [200, "ok", "delivered"],
  [302, "", "retry: redirect"],
  [400, "invalid_payload", "dead: rejected"],
  [400, "no_text", "dead: rejected"],
  [400, "<html>Bad Request</html>", "dead: rejected"],
  [403, "action_prohibited", "retry: auth_failed"],
  [403, "posting_to_general_channel_denied", "retry: auth_failed"],
  [403, "invalid_token", "dead: gone, and disables"],
  [403, "", "retry: http_status"],
  [404, "no_service", "dead: gone, and disables"],
  [404, "channel_not_found", "dead: gone, and disables"],
  [404, "Cannot find it", "retry: http_status"],
  [410, "channel_is_archived", "dead: gone, and disables"],
  [410, "", "dead: gone, and disables"],
  [413, "", "dead: too_large"],
  [429, "rate_limited", "retry: throttled"],
  [500, "rollup_error", "retry: http_status"],
  [503, "", "retry: http_status"],
];

for (const [status, body, expected] of answers) {
  test(`HTTP ${status} "${body}" is ${expected}`, async () => {
    const outcome = await outcomeOf({ status, body });
    assert.equal(summaryOf(outcome), expected);
    assert.equal(outcome.response?.status, status);
  });
}

test("Slack says when to come again, and policy says what is final", async () => {
  const reply = { status: 429, headers: { "retry-after": "7" } };
  const outcome = await outcomeOf(reply);
  assert.equal("retryAfterMs" in outcome && outcome.retryAfterMs, 7_000);
  assert.equal((await outcomeOf(reply, { deadStatuses: [429] })).kind, "dead");
});

test("a URL as Slack shows it is taken, one of another server is not", async () => {
  await using server = await startSlack();
  await using destination = await openDestination(slack, { server: server.origin });
  const deliverTo = (url: string) => destination.deliver({}, { secrets: { webhook_url: [url] } });
  assert.equal((await deliverTo(server.origin + slackPath)).kind, "delivered");
  for (const url of [`http://localhost:1${slackPath}`, "//evil.example/services/x", "/\\evil.example/x"]) {
    assert.equal(summaryOf(await deliverTo(url)), "dead: config_invalid", url);
  }
  assert.equal(summaryOf(await destination.deliver()), "dead: config_invalid");
  assert.equal(server.receiver.count, 1);
});

test("the path of the webhook is in no outcome, also when the server repeats it", async () => {
  const outcome = await outcomeOf({ status: 404, body: `Cannot POST ${slackPath}`, headers: { location: slackPath } });
  assert.ok(!JSON.stringify(outcome).includes(slackPath));
  assert.match(outcome.response?.body ?? "", /^Cannot POST \(secret\)/);
});
