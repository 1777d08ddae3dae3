/** Who signs the requests to Amazon's services: keys that the destination was given, or a role that the operator allows. */
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { SignatureV4 } from "@smithy/signature-v4";
import type { Outcome } from "../../src/destination.ts";
import { destination as sqs } from "../../src/destinations/sqs.ts";
import { type DeliverOptions, openDestination } from "../support/contract.ts";
import { accessKeys, region, type SigningScope, scopeOf, signatureProblem } from "../support/sigv4.ts";
import { awsError, type Sqs, startSqs } from "../support/sqs.ts";
import { roleScope, startSts, stsError, withEnvironment } from "../support/sts.ts";

const role_arn = "arn:aws:iam::123456789012:role/postrider";
const open = (server: Sqs, config: object, options: DeliverOptions) =>
  openDestination(
    sqs,
    { queue_url: server.queueUrl("orders"), endpoint: server.receiver.url, region, ...config },
    options,
  );
const openRole = (server: Sqs, config: object = {}) => open(server, { role_arn, ...config }, { allowAssumeRole: true });
const startWithRole = () => startSqs(["orders"], roleScope("sqs"));

const brief = (outcome: Outcome): string =>
  [outcome.kind, "code" in outcome ? outcome.code : "", "ours" in outcome && outcome.ours ? "ours" : ""]
    .join(" ")
    .trim();

test("a session token that the destination was given travels, signed", async () => {
  const sessionTokens = { AKIDEXAMPLE: "a/session+token=" };
  await using server = await startSqs(["orders"], { ...scopeOf("sqs"), sessionTokens });
  await using destination = await open(server, {}, { secrets: { ...accessKeys, session_token: ["a/session+token="] } });
  assert.equal((await destination.deliver()).kind, "delivered");
});

test("the newest secrets sign", async () => {
  await using server = await startSqs(["orders"]);
  const secrets = {
    access_key_id: [...accessKeys.access_key_id, "AKIDOLD"],
    secret_access_key: [...accessKeys.secret_access_key, "old"],
  };
  await using destination = await open(server, {}, { secrets });
  assert.equal((await destination.deliver()).kind, "delivered");
});

const unusable: readonly (readonly [what: string, config: object, options: DeliverOptions, reason: RegExp])[] = [
  ["no keys and no role", {}, {}, /^access_key_id and secret_access_key are missing/],
  [
    "half a key",
    {},
    { secrets: { access_key_id: ["AKIDEXAMPLE"] } },
    /^access_key_id and secret_access_key are missing/,
  ],
  ["a role that no operator allows", { role_arn }, {}, /^role_arn needs a worker .*POSTRIDER_ALLOW_ASSUME_ROLE=true/],
  [
    "keys and a role",
    { role_arn },
    { secrets: accessKeys, allowAssumeRole: true },
    /^there are access keys and role_arn/,
  ],
];

for (const [what, config, options, reason] of unusable) {
  test(`${what}: the config is invalid, and nothing is sent, though the worker has credentials`, async () => {
    await using sts = await startSts();
    await using server = await startSqs(["orders"]);
    await using destination = await open(server, config, options);
    const outcome = await destination.deliver();
    assert.equal(brief(outcome), "dead config_invalid");
    assert.match("reason" in outcome ? outcome.reason : "", reason);
    assert.deepEqual([sts.receiver.count, server.receiver.count], [0, 0]);
  });
}

test("a role is taken on once, with an external ID made of the tenant, and signs what is sent", async () => {
  await using sts = await startSts();
  await using server = await startWithRole();
  await using destination = await openRole(server);
  for (const _ of [1, 2]) assert.equal((await destination.deliver()).kind, "delivered");
  assert.deepEqual(sts.requests(), [
    {
      Action: "AssumeRole",
      Version: "2011-06-15",
      RoleArn: role_arn,
      RoleSessionName: "postrider",
      ExternalId: "postrider:acme",
    },
  ]);
});

test("a role's credentials that are about to expire are renewed", async () => {
  await using sts = await startSts();
  await using server = await startWithRole();
  await using destination = await openRole(server);
  sts.expireIn(60);
  for (const _ of [1, 2]) assert.equal((await destination.deliver()).kind, "delivered");
  assert.ok(sts.receiver.count >= 2);
  sts.expireIn(3_600);
  await destination.deliver();
  const { count } = sts.receiver;
  await destination.deliver();
  assert.equal(sts.receiver.count, count);
});

/** What STS answers → how the delivery ends. */
const refusals: readonly (readonly [what: string, reply: ReturnType<typeof stsError>, ends: string])[] = [
  ["AccessDenied", stsError(403, "AccessDenied"), "retry auth_failed"],
  ["InvalidClientTokenId", stsError(403, "InvalidClientTokenId"), "retry auth_failed ours"],
  ["ExpiredToken", stsError(403, "ExpiredToken"), "retry auth_failed ours"],
  ["ValidationError", stsError(400, "ValidationError"), "dead config_invalid"],
  ["Throttling", stsError(400, "Throttling"), "retry throttled"],
  ["ServiceUnavailable", stsError(503, "ServiceUnavailable"), "retry unavailable"],
  ["a connection that breaks", "reset", "retry reset"],
];

for (const [what, reply, ends] of refusals) {
  test(`STS answers ${what}: ${ends}, and the next attempt asks again`, async () => {
    await using sts = await startSts();
    await using server = await startWithRole();
    await using destination = await openRole(server);
    sts.intercept(() => reply);
    const outcome = await destination.deliver();
    assert.equal(brief(outcome), ends);
    assert.ok(!JSON.stringify(outcome).includes("AKIDWORKER"));
    assert.deepEqual([sts.receiver.count, server.receiver.count], [1, 0]);
    sts.intercept(() => undefined);
    assert.equal((await destination.deliver()).kind, "delivered");
  });
}

test("a role that STS does not answer for is given up at the deadline", async () => {
  await using sts = await startSts();
  await using server = await startWithRole();
  const destination = await openRole(server);
  sts.intercept(() => "open");
  const controller = new AbortController();
  const outcome = destination.deliver({}, { signal: controller.signal });
  await sts.receiver.waitFor(1);
  controller.abort();
  assert.equal(brief(await outcome), "retry timeout ours");
  await sts.receiver.close();
  await destination[Symbol.asyncDispose]();
});

test("a worker without credentials of its own says so, and the fault is ours", async () => {
  const home = await mkdtemp(join(tmpdir(), "postrider-aws-"));
  const nowhere = { AWS_CONFIG_FILE: join(home, "config"), AWS_SHARED_CREDENTIALS_FILE: join(home, "credentials") };
  const keys = { AWS_ACCESS_KEY_ID: undefined, AWS_SECRET_ACCESS_KEY: undefined };
  using _environment = withEnvironment({ ...keys, ...nowhere, AWS_EC2_METADATA_DISABLED: "true" });
  await using server = await startWithRole();
  await using destination = await openRole(server);
  assert.equal(brief(await destination.deliver()), "retry auth_failed ours");
  await rm(home, { recursive: true });
});

test("neither the environment nor a profile of the worker has a say in a destination with keys", async () => {
  const home = await mkdtemp(join(tmpdir(), "postrider-aws-"));
  const AWS_CONFIG_FILE = join(home, "config");
  await writeFile(
    AWS_CONFIG_FILE,
    "[default]\nmax_attempts = 5\nendpoint_url = http://127.0.0.1:1\nregion = us-east-1\n",
  );
  using _environment = withEnvironment({
    AWS_CONFIG_FILE,
    AWS_REGION: "us-east-1",
    AWS_MAX_ATTEMPTS: "5",
    AWS_RETRY_MODE: "adaptive",
    AWS_ENDPOINT_URL: "http://127.0.0.1:1",
    AWS_USE_FIPS_ENDPOINT: "true",
    AWS_AUTH_SCHEME_PREFERENCE: "sigv4a",
    AWS_SESSION_TOKEN: "not ours",
    HTTP_PROXY: "http://127.0.0.1:1",
  });
  await using server = await startSqs(["orders"]);
  await using destination = await open(server, {}, { secrets: accessKeys });
  assert.equal((await destination.deliver()).kind, "delivered");
  server.intercept(() => awsError(503, "ServiceUnavailable"));
  await destination.deliver();
  assert.equal(server.receiver.count, 2);
  await rm(home, { recursive: true });
});

type Data = string | ArrayBuffer | ArrayBufferView;
const bytesOf = (data: Data): string | Buffer => {
  if (typeof data === "string") return data;
  return ArrayBuffer.isView(data) ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.from(data);
};

/** SHA-256 and its HMAC as the signer wants them. */
class Sha256 {
  readonly #hash;
  constructor(key?: Data) {
    this.#hash = key === undefined ? createHash("sha256") : createHmac("sha256", bytesOf(key));
  }
  update(data: Data): void {
    this.#hash.update(bytesOf(data));
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
  reset(): void {}
}

test("the signature check of these tests agrees with an independent signer, and with nothing else", async () => {
  const scope: SigningScope = scopeOf("sqs");
  const [[accessKeyId, secretAccessKey] = ["", ""]] = Object.entries(scope.keys);
  const credentials = { accessKeyId, secretAccessKey };
  const signer = new SignatureV4({ service: "sqs", region, credentials, sha256: Sha256 });
  const body = '{"QueueUrl":"http://é"}';
  const { headers } = await signer.sign({
    method: "POST",
    protocol: "http:",
    hostname: "127.0.0.1",
    path: "/",
    headers: {
      host: "127.0.0.1",
      "content-type": "application/x-amz-json-1.0",
      "x-amz-target": "AmazonSQS.SendMessage",
    },
    body,
  });
  const request = { method: "POST", path: "/", headers, rawBody: Buffer.from(body), receivedAt: new Date() };
  assert.equal(signatureProblem(request, scope), undefined);
  const forged = { ...headers, "x-amz-target": "AmazonSQS.DeleteQueue" };
  const stale = { ...headers, "x-amz-date": "20200102T030405Z" };
  const wrong = [
    { ...request, rawBody: Buffer.from("{}") },
    { ...request, path: "/other" },
    { ...request, headers: forged },
    { ...request, headers: stale },
    { ...request, headers: {} },
  ];
  for (const one of wrong) assert.notEqual(signatureProblem(one, scope), undefined);
  for (const other of [
    { region: "us-east-1" },
    { service: "events" },
    { keys: {} },
    { keys: { [accessKeyId]: "other" } },
  ]) {
    assert.notEqual(signatureProblem(request, { ...scope, ...other }), undefined);
  }
});
