/** What the webhook type makes of the answers of the world, and the contract of all types. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as webhook } from "../../src/destinations/webhook.ts";
import { answering, startServer } from "../outbound/servers.ts";
import { type DeliverOptions, openDestination, testDestination } from "../support/contract.ts";
import { startDns } from "../support/dns.ts";
import { startForwarder } from "../support/forwarder.ts";
import { type Reply, startReceiver } from "../support/receiver.ts";

const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

testDestination(webhook, async () => {
  const sockets = new Set<Socket>();
  const receiver = await startReceiver({
    respond: (_request, { socket }) => {
      if (socket === null || sockets.has(socket)) return;
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    },
  });
  return {
    config: { url: receiver.url, body: "cloudevents_binary" },
    secrets: { signing_secret: [secret] },
    next: async () => {
      const { headers, rawBody } = await receiver.next();
      return { payload: rawBody.toString(), id: String(headers["ce-id"]), topic: String(headers["ce-type"]) };
    },
    openConnections: () => sockets.size,
    forward: () => startForwarder(receiver.port),
    configAt: (port) => ({ url: `http://127.0.0.1:${port}/`, body: "cloudevents_binary" }),
    badConfigs: {
      url: {},
      "headers.a": { url: receiver.url, headers: { a: 1 } },
      method: { url: receiver.url, method: "GET" },
      body: { url: receiver.url, body: "xml" },
      source: { url: receiver.url, source: "" },
      signature: { url: receiver.url, signature: "none" },
      signature_header: { url: receiver.url, signature_header: "a b" },
      uri: { url: receiver.url, uri: receiver.url },
    },
    [Symbol.asyncDispose]: () => receiver.close(),
  };
});

/** What becomes of one delivery to a receiver that answers so. */
async function outcomeOf(reply: Reply, options: DeliverOptions = {}): Promise<Outcome> {
  await using receiver = await startReceiver({ respond: () => reply });
  await using destination = await openDestination(webhook, { url: receiver.url });
  return await destination.deliver({}, options);
}

/** One row of what the README promises: status -> kind, code, and whether the destination is disabled. */
const statuses: readonly (readonly [status: number, kind: Outcome["kind"], code?: string])[] = [
  ...[200, 201, 202, 204, 299].map((status) => [status, "delivered"] as const),
  ...[300, 301, 302, 303, 304, 307, 308].map((status) => [status, "retry", "redirect"] as const),
  ...[400, 401, 403, 404, 408, 409, 413, 422, 425, 429].map((status) => [status, "retry", "http_status"] as const),
  [410, "dead", "gone"],
  ...[500, 501, 502, 503, 504, 599].map((status) => [status, "retry", "http_status"] as const),
];

for (const [status, kind, code] of statuses) {
  test(`HTTP ${status} is ${kind}${code === undefined ? "" : `: ${code}`}`, async () => {
    const outcome = await outcomeOf({ status, headers: { location: "http://127.0.0.1:1/" } });
    assert.equal(outcome.kind, kind);
    assert.equal(outcome.response?.status, status);
    assert.equal("code" in outcome ? outcome.code : undefined, code);
    assert.equal("disable" in outcome ? outcome.disable : undefined, status === 410 ? true : undefined);
    if (kind !== "delivered") assert.match("reason" in outcome ? outcome.reason : "", new RegExp(`^HTTP ${status}`));
  });
}

test("statuses that the policy lists are dead, and do not disable the destination", async () => {
  const deadStatuses = [302, 404, 503];
  for (const [status, code] of [
    [404, "http_status"],
    [503, "http_status"],
    [302, "redirect"],
  ] as const) {
    const outcome = await outcomeOf(status, { deadStatuses });
    assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["dead", code]);
    assert.ok(!("disable" in outcome));
  }
  assert.equal((await outcomeOf(500, { deadStatuses })).kind, "retry");
  assert.equal((await outcomeOf(200, { deadStatuses: [200] })).kind, "delivered");
});

const now = new Date("2026-01-02T03:04:05Z");
const day = 86_400_000;
const retryAfter: readonly (readonly [value: string, ms: number | undefined])[] = [
  ["120", 120_000],
  ["0", 0],
  [" 7 ", 7_000],
  ["Fri, 02 Jan 2026 03:05:05 GMT", 60_000],
  ["Fri, 02 Jan 2026 03:00:00 GMT", 0],
  ["-5", undefined],
  ["soon", undefined],
  ["", undefined],
  ["1e3", undefined],
  ["99999999", day],
  ["9".repeat(40), day],
  [`1${"0".repeat(400)}`, day],
  ["9".repeat(8_000), day],
  ["-99999999999", undefined],
  ["NaN", undefined],
  ["Infinity", undefined],
  ["0x10", undefined],
  ["1.5", undefined],
  ["5 minutes", undefined],
  ["wait 50", undefined],
  ["120, 5", undefined],
  ["2099", 2_099_000],
  ["Friday, 02-Jan-26 03:05:05 GMT", 60_000],
  ["Fri Jan  2 03:05:05 2026", 60_000],
  ["2026-01-02T03:05:05Z", 60_000],
  ["2026-01-02T04:05:05.250+01:00", 60_250],
  ["2026-01-02 03:05:05", undefined],
  ["Fri, 99 Foo 2026 99:99:99 GMT", undefined],
  ["9999-12-31T23:59:59Z", day],
  ["0001-01-01T00:00:00Z", 0],
  ["Fri, 02 Jan 2099 03:05:05 GMT", day],
];

for (const [value, ms] of retryAfter) {
  test(`Retry-After: "${value.slice(0, 40)}" (${value.length}) is ${ms === undefined ? "not understood" : `${ms} ms`}`, async () => {
    for (const status of [429, 503, 400, 302]) {
      const outcome = await outcomeOf({ status, headers: { "retry-after": value } }, { now });
      assert.equal(outcome.kind === "retry" ? outcome.retryAfterMs : "not a retry", ms);
    }
  });
}

/** What the network does instead of an answer -> kind and code. */
async function failureOf(respond: (socket: Socket) => void, timeoutMs = 15_000) {
  await using server = await startServer(respond);
  await using destination = await openDestination(webhook, { url: server.origin.href });
  const outcome = await destination.deliver({}, { signal: AbortSignal.timeout(timeoutMs) });
  return [outcome.kind, "code" in outcome ? outcome.code : undefined];
}

test("a name that does not exist is retried: dns", async () => {
  await using dns = await startDns({});
  await using destination = await openDestination(
    webhook,
    { url: "https://gone.test/" },
    { dnsServers: [dns.address] },
  );
  const outcome = await destination.deliver();
  assert.deepEqual(
    [outcome.kind, "code" in outcome && outcome.code, "ours" in outcome && outcome.ours],
    ["retry", "dns", false],
  );
});

test("a name server that is down is our own fault", async () => {
  const dns = await startDns({});
  await dns[Symbol.asyncDispose]();
  await using destination = await openDestination(webhook, { url: "https://a.test/" }, { dnsServers: [dns.address] });
  const outcome = await destination.deliver();
  assert.deepEqual(["code" in outcome && outcome.code, "ours" in outcome && outcome.ours], ["dns", true]);
});

test("a connection that breaks before the answer is retried: reset", async () => {
  assert.deepEqual(await failureOf((socket) => void socket.once("data", () => socket.resetAndDestroy())), [
    "retry",
    "reset",
  ]);
  assert.deepEqual(await failureOf((socket) => void socket.once("data", () => socket.destroy())), ["retry", "reset"]);
});

test("a receiver that speaks no TLS is retried: tls", async () => {
  await using server = await startServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await using destination = await openDestination(webhook, { url: `https://127.0.0.1:${server.port}/` });
  const outcome = await destination.deliver();
  assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["retry", "tls"]);
});

test("no answer before the deadline is retried: timeout", async () => {
  assert.deepEqual(await failureOf((socket) => void socket.resume(), 100), ["retry", "timeout"]);
});

test("headers that drip for ever end at the deadline: timeout", async () => {
  const drip = (socket: Socket) => {
    socket.write("HTTP/1.1 200 OK\r\n");
    const timer = setInterval(() => socket.write("X-Slow: 1\r\n"), 5);
    socket.on("close", () => clearInterval(timer));
  };
  assert.deepEqual(await failureOf(drip, 300), ["retry", "timeout"]);
});

test("endless 1xx answers end at the deadline: timeout; some before the answer do no harm", async () => {
  const early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const endless = (socket: Socket) => {
    const timer = setInterval(() => socket.write(early), 5);
    socket.on("close", () => clearInterval(timer));
  };
  assert.deepEqual(await failureOf(endless, 300), ["retry", "timeout"]);
  const answer = answering(`${early}HTTP/1.1 102 Processing\r\n\r\n${early}HTTP/1.1 204 No Content\r\n\r\n`);
  assert.deepEqual(await failureOf(answer), ["delivered", undefined]);
});

test("an answer that is not HTTP is retried: protocol", async () => {
  assert.deepEqual(await failureOf((socket) => void socket.end("+OK ready\r\n")), ["retry", "protocol"]);
});

test("of an answer that drips or never ends, the status decides", async () => {
  const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  const body = (chunk: string) => (socket: Socket) => {
    socket.write(head);
    const timer = setInterval(() => socket.write(chunk), 1);
    socket.on("close", () => clearInterval(timer));
  };
  assert.deepEqual(await failureOf(body("1\r\nx\r\n"), 300), ["delivered", undefined]);
  assert.deepEqual(await failureOf(body(`ffff\r\n${"x".repeat(0xffff)}\r\n`)), ["delivered", undefined]);
});

test("of a body 16 KiB are kept", async () => {
  const outcome = await outcomeOf({ status: 500, body: "x".repeat(1_000_000) });
  assert.equal(outcome.response?.body?.length, 16 * 1024);
});

test("NUL, lone surrogates and bytes that are no text become U+FFFD in what is kept", async () => {
  const body = Buffer.concat([Buffer.from("a\0b"), Buffer.from([0xed, 0xa0, 0x80, 0xff]), Buffer.from("é")]);
  const outcome = await outcomeOf({ status: 500, body });
  assert.match(outcome.response?.body ?? "", /^a\ufffdb\ufffd+é$/);
});
