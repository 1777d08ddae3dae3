/** What the answers of SQS mean, and which configs are refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "../../src/destination.ts";
import { destination as sqs } from "../../src/destinations/sqs.ts";
import { openDestination } from "../support/contract.ts";
import type { Reply } from "../support/receiver.ts";
import { accessKeys, region } from "../support/sigv4.ts";
import { awsError, type Sqs, startSqs } from "../support/sqs.ts";

const open = (server: Sqs, secrets: Readonly<Record<string, readonly string[]>> = accessKeys, queue = "orders") =>
  openDestination(sqs, { queue_url: server.queueUrl(queue), endpoint: server.receiver.url, region }, { secrets });

const brief = (outcome: Outcome | undefined): string =>
  `${outcome?.kind}${outcome !== undefined && "code" in outcome ? ` ${outcome.code}` : ""}`;

const json = (body: object): Reply => ({ body: JSON.stringify(body) });
const failed = (Code: string, SenderFault: boolean): Reply => json({ Failed: [{ Id: "0", Code, SenderFault }] });
const half = { headers: { "content-length": "400" }, body: '{"Successful":[{"Id":"0",' };
const cutAnswer: Reply = { ...half, headers: { ...half.headers, connection: "close" } };

/** What one request is answered with → how its message's delivery ends. */
const answers: readonly (readonly [what: string, reply: Reply, ends: string])[] = [
  ...["AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"].map(
    (name) => [name, awsError(403, name), "retry auth_failed"] as const,
  ),
  ["KmsAccessDenied", awsError(400, "KmsAccessDenied"), "retry auth_failed"],
  ["QueueDoesNotExist", awsError(400, "QueueDoesNotExist"), "retry not_found"],
  ["NonExistentQueue", awsError(400, "AWS.SimpleQueueService.NonExistentQueue"), "retry not_found"],
  ["RequestThrottled", awsError(400, "RequestThrottled"), "retry throttled"],
  ["ThrottlingException", awsError(400, "ThrottlingException"), "retry throttled"],
  ["InternalFailure", awsError(500, "InternalFailure"), "retry unavailable"],
  ["ServiceUnavailable", awsError(503, "ServiceUnavailable"), "retry unavailable"],
  ["an unknown error of the server", awsError(500, "SomethingNew"), "retry unavailable"],
  ["an unknown error of ours", awsError(400, "SomethingNew"), "dead rejected"],
  ["InvalidMessageContents", awsError(400, "InvalidMessageContents"), "dead rejected"],
  ["BatchRequestTooLong of one message", awsError(400, "BatchRequestTooLong"), "dead too_large"],
  ["HTTP 503 of a proxy", { status: 503, body: "<html>" }, "retry unavailable"],
  ["HTTP 429 of a proxy", { status: 429, body: "slow down" }, "retry throttled"],
  ["HTTP 403 of a proxy", { status: 403, body: "<html>" }, "retry auth_failed"],
  ["HTTP 404 of another server", { status: 404 }, "retry not_found"],
  ["HTTP 400 of another server", { status: 400, body: "<html>" }, "retry http_status"],
  ["a redirect", { status: 307, headers: { location: "http://169.254.169.254/" } }, "retry redirect"],
  ["nothing in HTTP 200", 200, "retry protocol"],
  ["HTML in HTTP 200", { body: "<html>" }, "retry protocol"],
  ["JSON of another shape", json({ Successful: 5 }), "retry protocol"],
  ["a checksum of another text", json({ Successful: [{ Id: "0", MD5OfMessageBody: "00" }] }), "retry protocol"],
  ["half an answer", cutAnswer, "retry reset"],
  ["a connection that breaks", "reset", "retry reset"],
  ["failure of the entry: throttled", failed("RequestThrottled", true), "retry throttled"],
  ["failure of the entry: its fault", failed("InvalidParameterValue", true), "dead rejected"],
  ["failure of the entry: not its fault", failed("SomethingNew", false), "retry unavailable"],
  ["failure of the entry: InternalError", failed("InternalError", false), "retry unavailable"],
];

for (const [what, reply, ends] of answers) {
  test(`${what}: ${ends}, after one request`, async () => {
    await using server = await startSqs(["orders"]);
    server.intercept(() => reply);
    await using destination = await open(server);
    assert.equal(brief(await destination.deliver()), ends);
    assert.equal(server.receiver.count, 1);
  });
}

test("a deadline in the middle of an answer is a timeout, and the next attempt arrives", async () => {
  await using server = await startSqs(["orders"]);
  server.intercept(() => half);
  await using destination = await open(server);
  const late = await destination.deliver({}, { signal: AbortSignal.timeout(300) });
  assert.deepEqual([brief(late), "ours" in late && late.ours], ["retry timeout", false]);
  server.intercept(() => undefined);
  assert.equal(brief(await destination.deliver()), "delivered");
});

test("a refusal's outcome names the request, and says nothing that the service said", async () => {
  await using server = await startSqs(["orders"]);
  server.intercept(() => awsError(403, "AccessDenied", "AKIDEXAMPLE at 10.0.0.7 may not"));
  await using destination = await open(server);
  assert.deepEqual(await destination.deliver(), {
    kind: "retry",
    code: "auth_failed",
    reason: "SQS answered AccessDenied",
    response: { status: 403, headers: { "x-amzn-requestid": "request-1" } },
  });
});

test("a queue that is not there is looked for again", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server, accessKeys, "nothing");
  assert.equal(brief(await destination.deliver()), "retry not_found");
});

test("a wrong key is an authentication that failed", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server, { ...accessKeys, secret_access_key: ["wrong"] });
  assert.equal(brief(await destination.deliver()), "retry auth_failed");
});

test("each message of a batch gets its own outcome; one that the answer leaves out is tried again", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  server.intercept(async (request) => {
    const answer = await server.forward(request);
    const { Successful } = JSON.parse(answer.body);
    const Failed = [
      { Id: "1", Code: "InvalidParameterValue", SenderFault: true },
      { Id: "3", Code: "RequestThrottled", SenderFault: true },
    ];
    return json({ Successful: [Successful[4], Successful[0]], Failed });
  });
  const outcomes = await destination.deliverBatch([{}, {}, {}, {}, {}]);
  assert.deepEqual(outcomes.map(brief), [
    "delivered",
    "dead rejected",
    "retry protocol",
    "retry throttled",
    "delivered",
  ]);
});

test("a batch that is refused as a whole is sent again one by one, and only the culprit fails", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  for (const name of ["BatchRequestTooLong", "InvalidMessageContents"]) {
    server.intercept(({ rawBody }) => (rawBody.includes("culprit") ? awsError(400, name) : undefined));
    const outcomes = await destination.deliverBatch([{}, { topic: "culprit" }, {}]);
    assert.deepEqual(
      outcomes.map(({ kind }) => kind),
      ["delivered", "dead", "delivered"],
    );
  }
  assert.equal(server.length("orders"), 4);
});

test("a batch that the service has no time for is not sent again", async () => {
  await using server = await startSqs(["orders"]);
  await using destination = await open(server);
  server.intercept(() => awsError(503, "ServiceUnavailable"));
  const outcomes = await destination.deliverBatch([{}, {}, {}]);
  assert.deepEqual(new Set(outcomes.map(brief)), new Set(["retry unavailable"]));
  assert.equal(server.receiver.count, 1);
});

const url = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders";
const endpoint = "https://vpce-1.example.com";
const headers = ["a", "b"];
const configs: readonly (readonly [config: object, problem: RegExp | undefined])[] = [
  [{ queue_url: url }, undefined],
  [{ queue_url: `${url}.fifo`, region }, undefined],
  [{ queue_url: "https://eu-west-1.queue.amazonaws.com/123456789012/orders" }, undefined],
  [{ queue_url: "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders" }, undefined],
  [{ queue_url: "http://localhost:4566/000000000000/orders", endpoint, region }, undefined],
  [{ queue_url: url, headers, body: "cloudevents" }, undefined],
  [{ queue_url: url, region: "us-east-1" }, /^config\.region: the queue is in eu-west-1$/],
  [{ queue_url: "https://example.com/1/orders", region }, /^config\.endpoint/],
  [{ queue_url: "https://sqs.eu-west-1.amazonaws.com.example.com/1/orders", region }, /^config\.endpoint/],
  [{ queue_url: "https://example.com/1/orders", endpoint }, /^config\.region/],
  [{ queue_url: "https://[/1/orders", endpoint, region }, /^config\.queue_url/],
  [{ queue_url: url, endpoint: "https://[" }, /^config\.endpoint/],
  [{ queue_url: url, headers, body: "cloudevents_binary" }, /^config\.headers: at most 1 /],
  [{ queue_url: url, headers: ["a", "A"] }, /^config\.headers: a name is given twice$/],
  ...["Id", "topic", "aws-x", "ce_id", "Content-Type"].map(
    (name) => [{ queue_url: url, headers: [name] }, /^config\.headers: the name .* is taken$/] as const,
  ),
];

for (const [config, problem] of configs) {
  test(`${problem === undefined ? "accepts" : "refuses"} ${JSON.stringify(config)}`, () => {
    const found = sqs.check?.(sqs.config.parse(config));
    if (problem === undefined) assert.equal(found, undefined);
    else assert.match(found ?? "", problem);
  });
}

test("the address that is checked is the one that requests go to", () => {
  const addressOf = (config: object) => sqs.addresses(sqs.config.parse(config)).map(({ origin }) => origin);
  assert.deepEqual(addressOf({ queue_url: url }), ["https://sqs.eu-west-1.amazonaws.com"]);
  assert.deepEqual(addressOf({ queue_url: url, endpoint }), [endpoint]);
  assert.deepEqual(addressOf({ queue_url: "https://queue.amazonaws.com/1/a" }), [
    "https://sqs.us-east-1.amazonaws.com",
  ]);
  const china = "https://sqs.cn-north-1.amazonaws.com.cn";
  assert.deepEqual(addressOf({ queue_url: `${china}/123456789012/orders` }), [china]);
});
