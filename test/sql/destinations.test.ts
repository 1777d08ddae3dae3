import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination } from "../support/factory.ts";
import { refusalOf, snapshotSql } from "../support/refusal.ts";

const url = '{"url": "https://example.com/hook"}';
const whsec = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

test("creating a destination makes its row, a signing secret, a subscription and an audit row", async () => {
  await using db = await testDatabase();
  const { id } = await db.one(
    `select outbox.create_destination(type => 'webhook', config => $1, topics => '{order.*,user.*}',
       filter => '{"total": {"$gte": 10}}', tenant_id => 'acme', name => 'ERP', policy => '{"jitter": 0}', actor => 'ada') as id`,
    [url],
  );
  const destination = await db.one(
    "select id, tenant_id, name, type, config, policy, disabled_at, problem from outbox.destinations",
  );
  assert.deepEqual(destination, {
    id,
    tenant_id: "acme",
    name: "ERP",
    type: "webhook",
    config: JSON.parse(url),
    policy: { jitter: 0 },
    disabled_at: null,
    problem: null,
  });
  const subscription = await db.one(
    "select destination_id, tenant_id, topics, filter, enabled from outbox.subscriptions",
  );
  const filter = { total: { $gte: 10 } };
  assert.deepEqual(subscription, {
    destination_id: id,
    tenant_id: "acme",
    topics: ["order.*", "user.*"],
    filter,
    enabled: true,
  });
  const secret = await db.one("select name, version, value, sealed, valid_until from outbox.destination_secrets");
  assert.match(secret.value, /^whsec_[A-Za-z0-9+/]{43}=$/);
  assert.deepEqual(
    { ...secret, value: "" },
    { name: "signing_secret", version: 1, value: "", sealed: null, valid_until: null },
  );
  const audit = await db.one(
    "select action, actor, db_user = session_user as self, tenant_id, destination_id, detail from outbox.audit_log",
  );
  const detail = { name: "ERP", type: "webhook", topics: ["order.*", "user.*"] };
  assert.deepEqual(audit, {
    action: "create_destination",
    actor: "ada",
    self: true,
    tenant_id: "acme",
    destination_id: id,
    detail,
  });
});

test("a destination needs only a type and a config", async () => {
  await using db = await testDatabase();
  const { id } = await db.one("select outbox.create_destination('webhook', $1) as id", [url]);
  const row = await db.one("select tenant_id, name, policy from outbox.destinations");
  assert.deepEqual(row, { tenant_id: "default", name: `webhook ${id}`, policy: {} });
  assert.deepEqual(await db.query("select tenant_id, topics, filter from outbox.subscriptions"), [
    { tenant_id: "default", topics: ["*"], filter: null },
  ]);
});

test("two generated secrets differ", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await addDestination(db);
  const { n } = await db.one("select count(distinct value)::int as n from outbox.destination_secrets");
  assert.equal(n, 2);
});

/** Arguments of create_destination that are wrong: how it is said, and a word of the remedy. */
const wrong: readonly (readonly [args: string, code: string, message: string, hint: string])[] = [
  [`'pigeon', '${url}'`, "PR001", 'type: there is no destination type "pigeon"', "webhook"],
  [`null, '${url}'`, "PR001", "type: there is no destination type", "webhook"],
  ["'webhook', null", "PR001", "config: is required", ""],
  ["'webhook', '{}'", "PR001", "config.url: is required", ""],
  [`'webhook', '[]'`, "PR001", "config: must be an object", ""],
  [`'webhook', '{"url": "https://u:p@example.com/"}'`, "PR001", "config.url: does not have the right form", "match"],
  [`'webhook', '{"url": "ftp://example.com/"}'`, "PR001", "config.url: does not have the right form", "match"],
  [`'webhook', '{"url": "https://example.com/#a"}'`, "PR001", "config.url: does not have the right form", "match"],
  [`'webhook', '{"urll": "https://example.com"}'`, "PR001", "config.urll: is not a known field", "url"],
  [
    `'webhook', '{"url": "https://example.com", "method": "GET"}'`,
    "PR001",
    "config.method: must be one of POST, PUT",
    "",
  ],
  [
    `'webhook', '{"url": "https://example.com", "headers": {"a": 1}}'`,
    "PR001",
    "config.headers.a: must be a string",
    "",
  ],
  [
    `'webhook', '${url}', secrets => '{"signing_secret": "guess"}'`,
    "PR001",
    "secrets.signing_secret: does not have the right form",
    "match",
  ],
  [
    `'webhook', '${url}', secrets => '{"password": "hunter22"}'`,
    "PR001",
    "secrets.password: is not a known field",
    "signing_secret",
  ],
  [`'webhook', '${url}', topics => '{}'`, "PR001", "topics: must not be empty", "{*}"],
  [`'webhook', '${url}', topics => '{Order.Paid}'`, "PR001", "topics[0]: is not a topic", "lower-case"],
  [`'webhook', '${url}', topics => null`, "PR001", "topics: must not be empty", "{*}"],
  [`'webhook', '${url}', filter => '{"a": {"$gtee": 1}}'`, "PR001", "filter.a.$gtee: unknown operator", "$gte"],
  [`'webhook', '${url}', filter => '5'`, "PR001", "filter: must be an object", "{}"],
  [`'webhook', '${url}', policy => '{"jitter": 2}'`, "PR001", "policy.jitter: must be at most 1", ""],
  [
    `'webhook', '${url}', policy => '{"retries": 2}'`,
    "PR001",
    "policy.retries: is not a known field",
    "schedule_seconds",
  ],
  [
    `'webhook', '${url}', policy => '{"timeout_seconds": 0}'`,
    "PR001",
    "policy.timeout_seconds: must be at least 1",
    "",
  ],
  [
    `'webhook', '${url}', policy => '{"schedule_seconds": [-1]}'`,
    "PR001",
    "policy.schedule_seconds[0]: must be at least 0",
    "",
  ],
  [
    `'webhook', '${url}', policy => '{"dead_statuses": [200]}'`,
    "PR001",
    "policy.dead_statuses[0]: must be at least 300",
    "",
  ],
  [
    `'webhook', '${url}', policy => '{"exponential": {"base_seconds": 1}}'`,
    "PR001",
    "policy.exponential.factor: is required",
    "",
  ],
  [
    `'webhook', '${url}', policy => '{"schedule_seconds": [1], "exponential": {"base_seconds": 1, "factor": 2, "cap_seconds": 9, "attempts": 3}}'`,
    "PR001",
    "policy: has both schedule_seconds and exponential",
    "list",
  ],
  [`'webhook', '${url}', policy => null`, "PR001", "policy: is required", ""],
  [
    `'webhook', '${url}', name => 'taken'`,
    "PR003",
    'name: tenant "default" has a destination "taken" already',
    "update_destination",
  ],
];

test("a bad argument is refused with its field and a remedy, and nothing is written", async (t) => {
  await using db = await testDatabase();
  await addDestination(db, { name: "taken" });
  const before = await db.one(snapshotSql);
  for (const [args, code, message, hint] of wrong) {
    await t.test(`${message}: ${args.slice(0, 60)}`, async () => {
      const refusal = await refusalOf(db.query(`select outbox.create_destination(${args})`));
      assert.equal(refusal.code, code);
      assert.ok(refusal.message.startsWith(message), refusal.message);
      assert.ok(refusal.hint.includes(hint), refusal.hint);
      assert.deepEqual(await db.one(snapshotSql), before);
    });
  }
});

test("a tenant and a name have their limits", async () => {
  await using db = await testDatabase();
  for (const [field, given] of [
    ["tenant_id", { tenantId: "a b" }],
    ["name", { name: "" }],
    ["name", { name: "x".repeat(129) }],
  ] as const) {
    const refusal = await refusalOf(addDestination(db, given));
    assert.equal(refusal.code, "PR001");
    assert.match(refusal.message, new RegExp(`^${field}: must be 1 to 128 characters`));
  }
});

test("an insert by hand is validated like the function", async () => {
  await using db = await testDatabase();
  const insert = (type: string, config: string, policy = "{}") =>
    db.query("insert into outbox.destinations (name, type, config, policy) values ('ERP', $1, $2, $3)", [
      type,
      config,
      policy,
    ]);
  assert.match((await refusalOf(insert("pigeon", url))).message, /^type: there is no destination type/);
  assert.match((await refusalOf(insert("webhook", "{}"))).message, /^config\.url: is required/);
  assert.match((await refusalOf(insert("webhook", url, '{"jitter": 2}'))).message, /^policy\.jitter/);
  await insert("webhook", url);
  const { id } = await db.one("select id from outbox.destinations");
  const addSecret = (name: string, value: string) =>
    db.query("insert into outbox.destination_secrets (destination_id, name, version, value) values ($1, $2, 1, $3)", [
      id,
      name,
      value,
    ]);
  assert.match((await refusalOf(addSecret("password", "x"))).message, /^secrets\.password: is not a secret/);
  assert.match((await refusalOf(addSecret("signing_secret", "x"))).message, /^secrets\.signing_secret: does not have/);
  const change = (what: string) => refusalOf(db.query(`update outbox.destinations set ${what}`));
  assert.match((await change(`config = '{"url": 5}'`)).message, /^config\.url: must be a string/);
  assert.match((await change("tenant_id = 'acme'")).message, /^destinations: id, tenant_id and type cannot change/);
  assert.match((await refusalOf(db.query("delete from outbox.destinations"))).hint, /outbox\.delete_destination/);
});

test("updating replaces what is given, leaves the rest, and counts a version", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { name: "ERP", policy: { jitter: 0.5 } });
  const read = () => db.one("select name, config ->> 'url' as url, policy, version from outbox.destinations");
  const { version } = await read();
  await db.query(`select outbox.update_destination($1, config => '{"url": "https://example.org/"}', actor => 'ada')`, [
    id,
  ]);
  const changed = await read();
  assert.deepEqual(
    { ...changed, version: 0 },
    { name: "ERP", url: "https://example.org/", policy: { jitter: 0.5 }, version: 0 },
  );
  assert.ok(changed.version > version);
  await db.query("select outbox.update_destination($1, policy => '{}', name => 'Shop')", [id]);
  const again = await read();
  assert.deepEqual([again.name, again.policy, again.url], ["Shop", {}, "https://example.org/"]);
  assert.ok(again.version > changed.version);
});

test("an update that is wrong in one part writes nothing", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { name: "ERP" });
  await addDestination(db, { name: "taken" });
  const before = await db.one(snapshotSql);
  const refused = (args: string) => refusalOf(db.query(`select outbox.update_destination('${id}', ${args})`));
  assert.match((await refused(`name => 'Shop', config => '{"url": 5}'`)).message, /^config\.url/);
  assert.match((await refused(`name => 'Shop', policy => '{"jitter": 5}'`)).message, /^policy\.jitter/);
  const bad = await refused(`name => 'Shop', secrets => '{"signing_secret": "no"}'`);
  assert.match(bad.message, /^secrets\.signing_secret/);
  assert.doesNotMatch(bad.message + bad.hint, /\bno\b/);
  const taken = await refused("name => 'taken'");
  assert.deepEqual([taken.code, taken.message], ["PR003", 'name: tenant "default" has a destination "taken" already']);
  assert.deepEqual(await db.one(snapshotSql), before);
});

test("a new secret by update takes the place of the old one at once", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.update_destination($1, secrets => $2)", [
    id,
    JSON.stringify({ signing_secret: whsec }),
  ]);
  assert.deepEqual(await db.query("select version, value from outbox.destination_secrets"), [
    { version: 2, value: whsec },
  ]);
});
