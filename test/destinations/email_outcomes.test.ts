/** What an SMTP server's refusals mean, and what becomes of mails on their way through TLS. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as email } from "../../src/destinations/email.ts";
import { createCertificate, withoutOpenssl } from "../support/certificate.ts";
import { type DeliverOptions, openDestination } from "../support/contract.ts";
import { type SmtpOptions, startSmtp } from "../support/smtp.ts";

const login = { user: "postrider", password: "a password of the server's" };
const secrets = { password: [login.password] };
const addresses = { from: "events@shop.example", to: ["ops@shop.example"] };
const configAt = (port: number) => ({ host: "127.0.0.1", port, tls: "none", ...addresses, username: login.user });

const summaryOf = (outcome: Outcome): string => ("code" in outcome ? `${outcome.kind}: ${outcome.code}` : outcome.kind);

/** What becomes of a delivery to a server that behaves so. */
async function outcomeOf(options: SmtpOptions, config: object = {}, given: DeliverOptions = {}): Promise<Outcome> {
  await using server = await startSmtp({ login, ...options });
  await using destination = await openDestination(email, { ...configAt(server.port), ...config }, { secrets });
  return await destination.deliver({}, given);
}

type Stage = "onConnect" | "onLogin" | "onSender" | "onRecipient" | "onMessage";

const replies: readonly (readonly [stage: Stage, reply: string, expected: string])[] = [
  ["onConnect", "421 4.3.2 shutting down", "retry: unavailable"],
  ["onConnect", "554 5.7.1 no mail here", "retry: unavailable"],
  ["onLogin", "535 5.7.8 wrong", "retry: auth_failed"],
  ["onLogin", "534 5.7.9 stronger, please", "retry: auth_failed"],
  ["onLogin", "454 4.7.0 the directory is away", "retry: throttled"],
  ["onSender", "550 5.7.60 send as denied", "retry: auth_failed"],
  ["onSender", "530 5.7.0 log in first", "retry: auth_failed"],
  ["onSender", "451 4.3.0 again later", "retry: unavailable"],
  ["onRecipient", "550 5.1.1 no such user", "dead: rejected"],
  ["onRecipient", "552 5.2.2 mailbox full", "dead: rejected"],
  ["onRecipient", "450 4.2.1 greylisted", "retry: unavailable"],
  ["onRecipient", "451 4.7.1 slow down", "retry: throttled"],
  ["onRecipient", "500 what", "retry: protocol"],
  ["onMessage", "554 5.7.1 looks like spam", "dead: rejected"],
  ["onMessage", "552 5.3.4 too big", "dead: too_large"],
  ["onMessage", "452 4.3.1 disk full", "retry: unavailable"],
  ["onMessage", "421 4.3.2 shutting down", "retry: unavailable"],
];

for (const [stage, reply, expected] of replies) {
  test(`${reply}, as the answer to ${stage.slice(2).toLowerCase()}, is ${expected}`, async () => {
    const outcome = await outcomeOf({ [stage]: () => reply });
    assert.equal(summaryOf(outcome), expected);
    assert.equal(outcome.response?.status, Number(reply.slice(0, 3)));
    const told = "reason" in outcome ? outcome.reason : "";
    assert.ok(told.includes(stage === "onLogin" ? `SMTP ${reply.slice(0, 3)}` : `SMTP ${reply}`), told);
  });
}

test("a mail that some recipients never get is delivered, and the attempt says who was refused", async () => {
  const onRecipient = (address: string) => (address.startsWith("gone") ? `550 5.1.1 no ${address}` : undefined);
  const outcome = await outcomeOf({ onRecipient }, { to: ["ops@shop.example", "gone@shop.example"] });
  assert.deepEqual(outcome, {
    kind: "delivered",
    response: { status: 250, body: "refused: 550 5.1.1 no gone@shop.example" },
  });
});

test("a mail that some recipients get only later is tried again", async () => {
  const onRecipient = (address: string) => (address.startsWith("busy") ? "450 4.2.1 greylisted" : undefined);
  const outcome = await outcomeOf({ onRecipient }, { to: ["ops@shop.example", "busy@shop.example"] });
  assert.equal(summaryOf(outcome), "retry: unavailable");
});

test("a mail that is larger than the server says is dead before it is sent", async () => {
  await using server = await startSmtp({ login, size: 500 });
  await using destination = await openDestination(email, configAt(server.port), { secrets });
  assert.equal(summaryOf(await destination.deliver()), "dead: too_large");
  assert.equal(server.mails.count, 0);
});

test("during a rotation the older password is tried where the newer is refused", async () => {
  await using server = await startSmtp({ login });
  const rotating = { password: ["not known yet", login.password] };
  await using destination = await openDestination(email, configAt(server.port), { secrets: rotating });
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(server.accepted(), 2);
});

test("a password is not sent to a server that offers no login", async () => {
  await using server = await startSmtp();
  await using destination = await openDestination(email, configAt(server.port), { secrets });
  assert.deepEqual(await destination.deliver(), {
    kind: "retry",
    code: "auth_failed",
    reason: "the server offers no login",
  });
  assert.equal(server.mails.count, 0);
});

test("without a user name nobody logs in; one without the other is refused", async () => {
  await using server = await startSmtp();
  const { username: _, ...anonymous } = configAt(server.port);
  await using destination = await openDestination(email, anonymous);
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal(summaryOf(await destination.deliver({}, { secrets })), "dead: config_invalid");
  await using named = await openDestination(email, configAt(server.port));
  assert.equal(summaryOf(await named.deliver()), "dead: config_invalid");
});

test("plain text is sent only where the operator allows it", async () => {
  const outcome = await outcomeOf({}, {}, {});
  assert.equal(outcome.kind, "delivered");
  await using server = await startSmtp({ login });
  await using destination = await openDestination(email, configAt(server.port), { secrets, allowHttp: false });
  assert.equal(summaryOf(await destination.deliver()), "dead: config_invalid");
  assert.equal(server.accepted(), 0);
});

test("a password that the server repeats is in no outcome", async () => {
  const outcome = await outcomeOf({ onRecipient: () => `550 5.1.1 not for ${login.password}` });
  assert.equal("reason" in outcome && outcome.reason.endsWith("(SMTP 550 5.1.1 not for (secret))"), true);
  assert.ok(!JSON.stringify(await outcomeOf({ onLogin: () => `535 ${login.password}` })).includes(login.password));
});

const skip = withoutOpenssl;
const certificate = skip === false ? createCertificate("IP:127.0.0.1") : { key: "", cert: "" };
const stranger = skip === false ? createCertificate("DNS:mail.example.com") : { key: "", cert: "" };

for (const tls of ["starttls", "implicit"] as const) {
  test(`${tls}: the way is encrypted, and the certificate is verified`, { skip }, async () => {
    await using server = await startSmtp({ login, tls: certificate, implicit: tls === "implicit" });
    const config = { ...configAt(server.port), tls };
    await using trusting = await openDestination(email, { ...config, ca: certificate.cert }, { secrets });
    assert.equal((await trusting.deliver()).kind, "delivered");
    assert.equal((await server.mails.next()).encrypted, true);
    await using doubting = await openDestination(email, config, { secrets });
    assert.equal(summaryOf(await doubting.deliver()), "retry: tls");
    await using other = await startSmtp({ login, tls: stranger, implicit: tls === "implicit" });
    const elsewhere = { ...configAt(other.port), tls, ca: stranger.cert };
    await using deceived = await openDestination(email, elsewhere, { secrets });
    assert.equal(summaryOf(await deceived.deliver()), "retry: tls");
    assert.deepEqual([server.mails.count, other.mails.count], [1, 0]);
  });
}

test("a server that offers no STARTTLS gets neither password nor mail", async () => {
  let logins = 0;
  const onLogin = () => {
    logins += 1;
    return undefined;
  };
  assert.equal(summaryOf(await outcomeOf({ onLogin }, { tls: "starttls" })), "retry: tls");
  assert.equal(logins, 0);
});

/** What becomes of a delivery to something that is no SMTP server. */
async function failureOf(respond: (socket: Socket) => void): Promise<string> {
  const server = createServer(respond).listen(0, "127.0.0.1");
  try {
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? (address?.port ?? 0) : 0;
    await using destination = await openDestination(email, configAt(port), { secrets });
    return summaryOf(await destination.deliver());
  } finally {
    server.close();
  }
}

test("what is no SMTP server is told apart from one that hangs up", async () => {
  assert.equal(
    await failureOf((socket) => void socket.on("error", () => {}).end("HTTP/1.1 400\r\n\r\n")),
    "retry: protocol",
  );
  assert.equal(await failureOf((socket) => void socket.on("error", () => {}).destroy()), "retry: reset");
  const endless = (socket: Socket) => {
    socket.on("error", () => {});
    const more = (): void => void (socket.destroyed || socket.write(`220-${"x".repeat(1_000)}\r\n`, more));
    more();
  };
  assert.equal(await failureOf(endless), "retry: protocol");
});
