/** What an SMTP server and the people behind it get of an event and of an alert. What refusals mean: email_outcomes.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Message } from "../../src/destination.ts";
import { destination as email } from "../../src/destinations/email.ts";
import { alertMessage, alertOf } from "../support/alert_message.ts";
import { openDestination, testDestination } from "../support/contract.ts";
import { eventOfMail, startSmtp, startSmtpForwarder } from "../support/smtp.ts";

const login = { user: "postrider", password: "a password of the server's" };
const secrets = { password: [login.password] };
const addresses = { from: "events@shop.example", to: ["ops@shop.example"] };

const configAt = (port: number) => ({
  host: "127.0.0.1",
  port,
  tls: "none",
  ...addresses,
  username: login.user,
});

testDestination(
  email,
  async () => {
    const server = await startSmtp({ login });
    const config = configAt(server.port);
    return {
      config,
      secrets,
      next: async () => eventOfMail(await server.mails.next()),
      openConnections: server.open,
      forward: () => startSmtpForwarder(server.port),
      configAt,
      badConfigs: {
        host: { ...config, host: "smtp://mail.example.com" },
        port: { ...config, port: 0 },
        tls: { ...config, tls: "opportunistic" },
        ca: { ...config, ca: "/etc/ssl/ca.pem" },
        from: { ...config, from: "Shop <events@shop.example>" },
        to: { ...config, to: [] },
        "to.0": { ...config, to: ["ops@shop.example\r\nRCPT TO:<x@evil.example>"] },
        username: { ...config, username: "" },
        password: { ...config, password: login.password },
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    };
  },
  { payload: "equal" },
);

/** The mail that the server gets. */
async function mailed(message: Partial<Message>, config: object = {}) {
  await using server = await startSmtp({ login });
  await using destination = await openDestination(email, { ...configAt(server.port), ...config }, { secrets });
  const outcome = await destination.deliver(message, { now: new Date("2026-01-02T03:10:00Z") });
  assert.equal(outcome.kind, "delivered", JSON.stringify(outcome));
  return await server.mails.next();
}

const headerOf = ({ parsed }: Awaited<ReturnType<typeof mailed>>, name: string) =>
  parsed.headers.find(({ key }) => key === name)?.value;

test("a mail has a text and an HTML part with topic, tenant, time, key and payload", async () => {
  const mail = await mailed({ key: "A-1001", payload: '{"total":12.50}' });
  const { subject, text = "", html = "", from, to, messageId, date } = mail.parsed;
  assert.equal(subject, "order.paid: A-1001");
  assert.equal(
    text.trim(),
    [
      "order.paid: A-1001",
      "",
      "Topic: order.paid",
      "Tenant: acme",
      "Time: 2026-01-02T03:04:05.678Z",
      "Key: A-1001",
      "Event: 01890a5d-ac96-774b-bcce-b302099a8057",
      "",
      "Payload:",
      "{",
      '  "total": 12.50',
      "}",
    ].join("\n"),
  );
  assert.ok(html.includes('<th align="left">Key</th><td>A-1001</td>'));
  assert.ok(html.includes("{\n  &quot;total&quot;: 12.50\n}</pre>"));
  assert.deepEqual([from?.address, to?.map(({ address }) => address)], ["events@shop.example", addresses.to]);
  assert.equal(messageId, "<01890a5d-ac96-774b-bcce-b302099a8057@shop.example>");
  assert.equal(new Date(date ?? "").toISOString(), "2026-01-02T03:10:00.000Z");
  assert.equal(headerOf(mail, "auto-submitted"), "auto-generated");
  assert.equal(mail.user, login.user);
});

test("a repetition has the id of the first mail, another event another", async () => {
  const [first, again, other] = [await mailed({}), await mailed({ attempt: 2 }), await mailed({ eventId: "other" })];
  assert.equal(first.parsed.messageId, again.parsed.messageId);
  assert.notEqual(first.parsed.messageId, other.parsed.messageId);
});

test("the mails about one alert form a thread that says how severe it is and that it ended", async () => {
  const fired = await mailed(alertMessage({ title: "Über <ERP>" }));
  const ended = await mailed(alertMessage({ state: "resolved" }));
  assert.deepEqual(
    [fired.parsed.subject, ended.parsed.subject],
    ["[critical] Über <ERP>", "[resolved] ERP does not answer"],
  );
  assert.match(fired.parsed.references ?? "", /^<[0-9a-f]{32}@shop\.example>$/);
  assert.equal(fired.parsed.references, ended.parsed.references);
  const { text, html = "" } = fired.parsed;
  const { look, redrive } = alertOf();
  for (const line of [alertOf().text, "Destination: ERP (webhook)", "Remedy: See whether it listens.", look, redrive]) {
    assert.ok(text?.includes(line), line);
  }
  assert.ok(html.includes("<h3>[critical] Über &lt;ERP&gt;</h3>"));
});

test("nothing that an event says becomes a header or markup", async () => {
  const hostile = "x\r\nBcc: victim@evil.example\r\n\r\n<script>alert('1')</script>";
  const mail = await mailed({ key: hostile, payload: JSON.stringify({ hostile, "<img src=x>": 1 }) });
  assert.equal(headerOf(mail, "bcc"), undefined);
  assert.deepEqual(mail.to, addresses.to);
  assert.equal(mail.parsed.subject, "order.paid: x Bcc: victim@evil.example <script>alert('1')</script>");
  assert.doesNotMatch(mail.parsed.html ?? "", /<script|<img/);
  const alert = await mailed(alertMessage({ title: hostile, text: hostile, destination: hostile }));
  assert.equal(headerOf(alert, "bcc"), undefined);
  assert.doesNotMatch(alert.parsed.html ?? "", /<script/);
});

test("each recipient is told to the server, and lines that begin with a dot arrive", async () => {
  const to = Array.from({ length: 50 }, (_, n) => `ops${n}@shop.example`);
  const mail = await mailed({ ...alertMessage({ look: "select 1;\n.\nQUIT" }) }, { to });
  assert.deepEqual(mail.to, to);
  assert.ok(mail.parsed.text?.includes("select 1;\n.\nQUIT"));
});

test("a payload of many characters is cut, and the mail says so", async () => {
  const mail = await mailed({ payload: JSON.stringify({ text: "é".repeat(200_000) }) });
  assert.match(mail.parsed.text?.trim() ?? "", /…\n\(cut: the payload has 200011 characters\)$/);
});

test("a connection is used again, and another is opened when the server has ended it", async () => {
  await using server = await startSmtp({ login });
  await using destination = await openDestination(email, configAt(server.port), { secrets });
  for (const _ of [1, 2]) assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(server.accepted(), 1);
  server.drop();
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(server.accepted(), 2);
});

test("a server that ends an old connection by 421 gets the mail over a new one", async () => {
  let senders = 0;
  const onSender = () => {
    senders += 1;
    return senders === 2 ? "421 4.7.0 too many messages on this connection" : undefined;
  };
  await using server = await startSmtp({ login, onSender });
  await using destination = await openDestination(email, configAt(server.port), { secrets });
  for (const _ of [1, 2]) assert.equal((await destination.deliver()).kind, "delivered");
  assert.deepEqual([server.accepted(), server.mails.count], [2, 2]);
});

test("deliveries share eight connections at most, and one that never got a turn is not the server's fault", async () => {
  const held: (() => void)[] = [];
  const onMessage = () => new Promise<undefined>((resolve) => held.push(() => resolve(undefined)));
  await using server = await startSmtp({ login, onMessage });
  await using destination = await openDestination(email, configAt(server.port), { secrets });
  const under = Array.from({ length: 8 }, () => destination.deliver());
  await server.mails.waitFor(8);
  const late = await destination.deliver({}, { signal: AbortSignal.timeout(50) });
  assert.deepEqual(["code" in late && late.code, "ours" in late && late.ours], ["timeout", true]);
  assert.equal(server.accepted(), 8);
  for (const release of held) release();
  assert.deepEqual(new Set((await Promise.all(under)).map(({ kind }) => kind)), new Set(["delivered"]));
});
