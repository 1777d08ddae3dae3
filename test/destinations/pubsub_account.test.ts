/** How a pubsub destination shows who it is, and that it uses no credentials, addresses or proxies but its own. */
import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { destination as pubsub } from "../../src/destinations/pubsub.ts";
import { startServer } from "../outbound/servers.ts";
import { createCertificate, withoutOpenssl as skip } from "../support/certificate.ts";
import { openDestination } from "../support/contract.ts";
import { startDns } from "../support/dns.ts";
import { pubsubConfig, startPubsub } from "../support/pubsub.ts";

const privateKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const pem = privateKey.export({ format: "pem", type: "pkcs8" }).toString();
const account = {
  type: "service_account",
  client_email: "outbox@acme-shop.iam.gserviceaccount.com",
  private_key: pem,
  private_key_id: "0123456789abcdef",
};

/** A server whose certificate this process trusts until the test ends. */
const startSecurePubsub = async (t: TestContext, name = "IP:127.0.0.1") => {
  const tls = createCertificate(name);
  const before = getCACertificates("default");
  setDefaultCACertificates([tls.cert]);
  t.after(() => setDefaultCACertificates(before));
  const server = await startPubsub({ tls });
  return { server, config: pubsubConfig(server.port, { endpoint: `https://127.0.0.1:${server.port}` }) };
};

const decode = (part: string | undefined): unknown => JSON.parse(Buffer.from(part ?? "", "base64url").toString());

test("over TLS each request carries a token that the account signed for Pub/Sub", { skip }, async (t) => {
  const { server, config } = await startSecurePubsub(t);
  await using _server = server;
  const secrets = { service_account: [JSON.stringify(account), JSON.stringify({ ...account, client_email: "old@x" })] };
  await using destination = await openDestination(pubsub, config, { secrets });
  const now = new Date("2026-05-06T07:08:09.123Z");
  assert.equal((await destination.deliver({}, { now })).kind, "delivered");
  const { headers } = await server.requests.next();
  const [, token = ""] = /^Bearer (\S+)$/.exec(headers.authorization ?? "") ?? [];
  const [header, claims, signature = ""] = token.split(".");
  assert.ok(
    verify("sha256", Buffer.from(`${header}.${claims}`), createPublicKey(pem), Buffer.from(signature, "base64url")),
  );
  assert.deepEqual(decode(header), { alg: "RS256", typ: "JWT", kid: account.private_key_id });
  const iat = Date.parse("2026-05-06T07:08:09Z") / 1_000;
  assert.deepEqual(decode(claims), {
    iss: account.client_email,
    sub: account.client_email,
    aud: "https://pubsub.googleapis.com/",
    iat,
    exp: iat + 3_600,
  });
  assert.equal(headers["x-goog-request-params"], "topic=projects%2Facme-shop%2Ftopics%2Fevents");
});

test("a token is used again until shortly before it expires", { skip }, async (t) => {
  const { server, config } = await startSecurePubsub(t);
  await using _server = server;
  const secrets = { service_account: [JSON.stringify(account)] };
  await using destination = await openDestination(pubsub, config, { secrets });
  for (const time of ["07:00:00", "07:54:59", "07:55:01", "08:00:00"]) {
    await destination.deliver({}, { now: new Date(`2026-05-06T${time}Z`) });
  }
  const [first, second, third, fourth] = server.requests.items.map(({ headers }) => headers.authorization);
  assert.equal(second, first);
  assert.notEqual(third, first);
  assert.equal(fourth, third);
});

test("a certificate that nobody vouches for is refused before the token is sent", { skip }, async () => {
  await using server = await startPubsub({ tls: createCertificate("IP:127.0.0.1") });
  const config = pubsubConfig(server.port, { endpoint: `https://127.0.0.1:${server.port}` });
  const secrets = { service_account: [JSON.stringify(account)] };
  await using destination = await openDestination(pubsub, config, { secrets });
  const outcome = await destination.deliver();
  assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["retry", "tls"]);
  assert.equal(server.requests.count, 0);
});

test("a named endpoint is reached at whichever address answers, by the name in its certificate", {
  skip,
}, async (t) => {
  const { server } = await startSecurePubsub(t, "DNS:pubsub.test");
  await using _server = server;
  await using dns = await startDns({
    "pubsub.test": { a: ["127.0.0.9", "127.0.0.1"] },
    "other.test": { a: ["127.0.0.1"] },
  });
  const options = { dnsServers: [dns.address], secrets: { service_account: [JSON.stringify(account)] } };
  const outcomes = ["pubsub.test", "other.test"].map(async (name) => {
    const config = pubsubConfig(server.port, { endpoint: `https://${name}:${server.port}` });
    await using destination = await openDestination(pubsub, config, options);
    const outcome = await destination.deliver();
    return "code" in outcome ? outcome.code : outcome.kind;
  });
  assert.deepEqual(await Promise.all(outcomes), ["delivered", "tls"]);
});

test("over plain text no credentials are sent", async () => {
  await using server = await startPubsub();
  const secrets = { service_account: [JSON.stringify(account)] };
  await using destination = await openDestination(pubsub, pubsubConfig(server.port), { secrets });
  assert.equal((await destination.deliver()).kind, "delivered");
  assert.equal((await server.requests.next()).headers.authorization, undefined);
});

test("credentials, proxies and emulators of the worker's environment are left alone", { skip }, async (t) => {
  const { server, config } = await startSecurePubsub(t);
  await using _server = server;
  await using trap = await startServer((socket) => void socket.destroy());
  const proxies = ["grpc_proxy", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];
  const hosts = ["PUBSUB_EMULATOR_HOST", "GCE_METADATA_HOST", "GCE_METADATA_IP"];
  const folder = mkdtempSync(join(tmpdir(), "credentials-"));
  writeFileSync(join(folder, "credentials.json"), JSON.stringify({ ...account, universe_domain: "other.test" }));
  t.after(() => rmSync(folder, { recursive: true }));
  const environment = {
    ...Object.fromEntries(proxies.map((name) => [name, trap.origin.href])),
    ...Object.fromEntries(hosts.map((name) => [name, trap.origin.host])),
    GOOGLE_APPLICATION_CREDENTIALS: join(folder, "credentials.json"),
    GOOGLE_CLOUD_PROJECT: "other",
    GOOGLE_CLOUD_UNIVERSE_DOMAIN: "other.test",
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: "/nowhere/roots.pem",
    GOOGLE_API_USE_CLIENT_CERTIFICATE: "true",
    GOOGLE_API_USE_MTLS_ENDPOINT: "always",
    NODE_USE_ENV_PROXY: "1",
  };
  Object.assign(process.env, environment);
  t.after(() => {
    for (const name of Object.keys(environment)) delete process.env[name];
  });
  const foreign = {
    token_uri: trap.origin.href,
    auth_uri: trap.origin.href,
    universe_domain: trap.origin.host,
    client_x509_cert_url: trap.origin.href,
    project_id: "other",
  };
  const secrets = { service_account: [JSON.stringify({ ...foreign, ...account })] };
  const said = [
    t.mock.method(process, "emitWarning"),
    t.mock.method(process.stderr, "write"),
    t.mock.method(console, "log"),
    t.mock.method(console, "info"),
  ];
  await using destination = await openDestination(pubsub, config, { secrets });
  assert.equal((await destination.deliver()).kind, "delivered");
  await using bare = await openDestination(pubsub, config);
  assert.equal((await bare.deliver()).kind, "dead");
  assert.equal(server.requests.count, 1);
  assert.equal(trap.accepted(), 0);
  for (const { mock } of said) assert.equal(mock.callCount(), 0);
});

const ecKey = generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey.export({
  format: "pem",
  type: "pkcs8",
});
const external = {
  type: "external_account",
  token_url: "https://sts.googleapis.com/v1/token",
  credential_source: { executable: { command: "/bin/true" }, url: "http://169.254.169.254/" },
};

/** Secrets that no token can be made of -> what is said about them. */
const unusable: readonly (readonly [what: string, secret: string | undefined, reason: RegExp])[] = [
  ["no secret", undefined, /^there is no service_account: give one with /],
  ["text that is no JSON", `{"private_key": ${pem}`, /it is not a JSON object$/],
  ["a JSON string", '"service_account"', /it is not a JSON object$/],
  ["an external account", JSON.stringify(external), /type is not "service_account": create a key/],
  ["a user's credentials", JSON.stringify({ type: "authorized_user", refresh_token: "x" }), /type is not/],
  ["an impersonated account", JSON.stringify({ type: "impersonated_service_account" }), /type is not/],
  ["an account without e-mail", JSON.stringify({ ...account, client_email: 1 }), /its client_email is missing/],
  ["an account without key", JSON.stringify({ ...account, private_key: undefined }), /its private_key is missing/],
  [
    "a key that is none",
    JSON.stringify({ ...account, private_key: "secret" }),
    /private_key is not an RSA key in PEM$/,
  ],
  [
    "a key of another kind",
    JSON.stringify({ ...account, private_key: ecKey }),
    /private_key is not an RSA key in PEM$/,
  ],
];

for (const [what, secret, reason] of unusable) {
  test(`${what}: dead, config_invalid, and nothing is dialled`, async () => {
    await using server = await startServer((socket) => void socket.destroy());
    const config = pubsubConfig(server.port, { endpoint: `https://127.0.0.1:${server.port}` });
    const secrets = secret === undefined ? {} : { service_account: [secret] };
    await using destination = await openDestination(pubsub, config, { secrets });
    const outcome = await destination.deliver();
    assert.deepEqual([outcome.kind, "code" in outcome && outcome.code], ["dead", "config_invalid"]);
    const told = "reason" in outcome ? outcome.reason : "";
    assert.match(told, reason);
    assert.ok(secret === undefined || !told.includes("BEGIN"));
    assert.equal(server.accepted(), 0);
  });
}
