/** What each role may do, and, statement by statement, what it may not. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import pg from "pg";
import { type TestDatabase, testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { startReceiver } from "../support/receiver.ts";
import { startTestWorker } from "../support/worker.ts";

interface Role extends AsyncDisposable {
  readonly url: string;
  readonly query: (sql: string) => Promise<pg.QueryResult>;
}

type Grant = "producer" | "inspector" | "operator" | "worker" | "nothing";

/** A role of this test's own with one of our grants; it and all that it was given are dropped afterwards. */
async function createRole(db: TestDatabase, grant: Grant): Promise<Role> {
  const name = `${new URL(db.url).pathname.slice(1)}_${grant}`;
  const password = randomBytes(12).toString("hex");
  await db.query(`create role ${name} login password '${password}'`);
  if (grant !== "nothing") await db.query(`select outbox.grant_${grant}('${name}')`);
  const url = Object.assign(new URL(db.url), { username: name, password }).href;
  const pool = new pg.Pool({ connectionString: url, max: 1 });
  // Its backend may still be ending when the database is dropped with force.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return {
    url,
    query: (sql) => pool.query(sql),
    async [Symbol.asyncDispose]() {
      await pool.end();
      await db.query(`drop owned by ${name}`);
      await db.query(`drop role ${name}`);
    },
  };
}

const id = "'00000000-0000-7000-8000-000000000000'";
const ids = `array[${id}]::uuid[]`;
const config = `'{"url": "https://example.com/"}'`;
const insert = "insert into outbox.events (topic, payload) values ('order.paid', '{}')";

/** Statements that nobody but the owner may run. */
const ownersOnly = [
  "insert into outbox.deliveries (event_id, subscription_id, destination_id, tenant_id, seq) select id, id, id, 'a', 1 from (select gen_random_uuid() as id) as t",
  "update outbox.deliveries set status = 'delivered'",
  "delete from outbox.deliveries",
  "update outbox.events set topic = 'a'",
  "delete from outbox.events",
  "truncate outbox.events",
  "delete from outbox.audit_log",
  "insert into outbox.attempts (event_id) values (null)",
  `update outbox.destinations set config = ${config}`,
  "insert into outbox.destination_secrets (value) values ('x')",
  "select value from outbox.destination_secrets",
  "select sealed from outbox.destination_secrets",
  "update outbox.instance set confirmed_at = now()",
  "create table outbox.mine (id int)",
  "drop table outbox.deferred_events",
  "alter table outbox.events disable trigger all",
  "select outbox.grant_operator(current_user)",
  "select outbox.grant_functions(current_user, '{}')",
  `select outbox.replace_secret(${id}, 'signing_secret', 'x', interval '0')`,
  "select outbox.put_back('{}')",
  `select outbox.wake(${ids}, ${ids})`,
  "select outbox.audit('a', 'b')",
  "select outbox.prune_audit_log(interval '1 year')",
  "select outbox.insert_own_event('postrider.test', 'default', '{}')",
  `select outbox.deliver_history(${id}, 'beginning', 'ada')`,
  "update outbox.replays set rate = 10000",
  `select outbox.claim_deliveries(${id}, ${ids}, ${ids})`,
  `select * from outbox.claim_suspect(${id}, ${ids}, ${ids})`,
  `select outbox.quarantine(${ids}, ${ids})`,
  `select outbox.fan_out_events(${ids})`,
  "select outbox.insert_own_event('postrider.x', 'default', '{}')",
  "select outbox.resolve_alert('a', 'b', 'c')",
  "select * from outbox.alert_cursor",
  "select outbox.create_partition('events', current_date)",
] as const;

const producers = ["select outbox.cancel_own(topic => 'a')"];
const operators = [
  `select outbox.create_destination('webhook', ${config})`,
  `select outbox.update_destination(${id}, name => 'x')`,
  `select outbox.delete_destination(${id})`,
  `select outbox.enable_destination(${id})`,
  `select outbox.disable_destination(${id})`,
  `select outbox.rotate_secret(${id})`,
  `select outbox.create_subscription(${id})`,
  `select outbox.update_subscription(${id})`,
  `select outbox.delete_subscription(${id})`,
  `select * from outbox.redrive(${id})`,
  `select * from outbox.replay(${id}, '-infinity')`,
  "select outbox.pause_replay(1)",
  "select outbox.resume_replay(1)",
  "select outbox.cancel_replay(1)",
  `select outbox.test_destination(${id})`,
  `select outbox.cancel(${id})`,
  "select outbox.set_retention('order.paid', '3 days')",
  "select outbox.confirm_instance()",
];
const inspectors = [
  "select id, seq, topic, tenant_id, key, occurred_at, created_at, deliver_after, expires_at, dedupe_key, traceparent from outbox.events",
  "select * from outbox.deliveries",
  "select number, outcome, code, error, worker_id from outbox.attempts",
  "select id, tenant_id, name, type, policy, problem from outbox.destinations",
  "select id, destination_id, topics, enabled from outbox.subscriptions",
  ...[
    "destination_types",
    "destination_health",
    "workers",
    "instance",
    "audit_log",
    "deferred_events",
    "alerts",
    "retention",
    "pruned_days",
  ].map((table) => `select * from outbox.${table}`),
  ...["open_alerts", "pending", "dead_letters", "destination_status", "lanes", "lag", "storage", "replay_progress"].map(
    (view) => `select * from outbox.${view}`,
  ),
  `select * from outbox.event_timeline(${id})`,
  "select outbox.remedy('dns')",
];
const contents = [
  "select payload from outbox.events",
  "select headers from outbox.events",
  "select * from outbox.events",
  "select response from outbox.attempts",
];
const configs = [
  "select config from outbox.destinations",
  "select filter from outbox.subscriptions",
  "select filter_path from outbox.subscriptions",
  "select filter from outbox.replays",
];
const workers = [
  `select outbox.register_worker(${id}, 'p', 'h', 1, 'v')`,
  `select outbox.heartbeat(${id})`,
  "select outbox.sweep_workers()",
  `select * from outbox.load_deliveries(${id}, ${ids}, ${ids})`,
  `select * from outbox.claim_followers(${id}, ${ids}, ${ids}, '{1}')`,
  `select outbox.unclaim_followers(${id}, ${ids}, ${ids})`,
  `select * from outbox.record_attempts(${id}, '[]')`,
  `select * from outbox.load_destinations(${ids})`,
  `select * from outbox.closed_destinations(${ids})`,
  "select outbox.seal_secret(1, 'p', 'x', 'k')",
  "select outbox.put_off_job(1)",
  "select outbox.hand_over_job(1, 2)",
  "select outbox.schedule_due()",
  "select outbox.raise_old_jobs()",
  `select outbox.postpone_deliveries(${ids}, ${ids}, '{1}')`,
  "select outbox.release_held()",
  "select outbox.expire_deliveries()",
  "select outbox.fan_out_deferred()",
  "select outbox.reconcile()",
  "select outbox.advance_replays()",
  "select outbox.evaluate_alerts()",
  "select outbox.maintain_partitions()",
  "select outbox.prune_rows()",
  "select graphile_worker.add_job('mine')",
];

interface Rights {
  readonly may: readonly string[];
  readonly mayNot: readonly string[];
}

const rights: Readonly<Record<Grant, Rights>> = {
  nothing: {
    may: [],
    mayNot: [
      insert,
      ...inspectors,
      ...contents,
      ...configs,
      ...producers,
      ...operators,
      ...workers,
      ...ownersOnly,
      "select outbox.uuid_v7()",
    ],
  },
  producer: {
    may: [
      insert,
      "insert into outbox.events (topic, payload, tenant_id, key, headers, traceparent, dedupe_key, deliver_after, expires_at, occurred_at) values ('a', '1', 'acme', 'k', '{}', null, 'd', now(), now() + interval '1 hour', now())",
      `begin; set local outbox.fan_out = 'deferred'; ${insert}; commit`,
      `begin; ${insert}; select outbox.cancel_own(topic => 'order.paid'); commit`,
    ],
    mayNot: [
      `${insert} returning payload`,
      "insert into outbox.events (id, topic, payload) values (gen_random_uuid(), 'a', '1')",
      "insert into outbox.events (created_at, topic, payload) values (now(), 'a', '1')",
      "insert into outbox.dedupe_keys values ('a', 'b', gen_random_uuid())",
      "insert into outbox.deferred_events (event_ids) values ('{}')",
      ...[...inspectors, ...contents, ...configs, ...operators, ...workers, ...ownersOnly],
    ],
  },
  inspector: {
    may: inspectors,
    mayNot: [insert, ...producers, ...contents, ...configs, ...operators, ...workers, ...ownersOnly],
  },
  operator: {
    may: [
      ...inspectors,
      ...configs,
      ...operators,
      "select * from outbox.redrive(error_code => 'dns')",
      "select * from outbox.prune()",
    ],
    mayNot: [insert, ...producers, ...contents, ...workers, ...ownersOnly],
  },
  worker: {
    may: workers,
    mayNot: [insert, ...producers, ...inspectors, ...contents, ...configs, ...operators, ...ownersOnly],
  },
};

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => "done",
    (error: pg.DatabaseError) => error.code ?? error.message,
  );

for (const [grant, { may, mayNot }] of Object.entries(rights) as [Grant, Rights][]) {
  test(`a role with ${grant} may do what is its work, and nothing else`, async () => {
    await using db = await testDatabase();
    await addDestination(db);
    await addEvent(db);
    await using role = await createRole(db, grant);
    for (const sql of may) assert.match(await codeOf(role.query(sql)), /^(done|PR002)$/, sql);
    for (const sql of mayNot) assert.equal(await codeOf(role.query(sql)), "42501", sql);
  });
}

test("an operator's own calls are audited with its name, whatever actor it claims to be", async () => {
  await using db = await testDatabase();
  await using role = await createRole(db, "operator");
  await role.query(`select outbox.create_destination('webhook', ${config}, actor => 'the boss')`);
  const { actor, db_user } = await db.one("select actor, db_user from outbox.audit_log");
  assert.deepEqual([actor, db_user], ["the boss", new URL(role.url).username]);
});

test("a producer cannot make the definer functions it fires look elsewhere", async () => {
  await using db = await testDatabase();
  await addDestination(db);
  await using role = await createRole(db, "producer");
  await role.query(`create temp table subscriptions (id int);
    create temp table deliveries (id int);
    set search_path = pg_temp, public;
    ${insert}`);
  assert.equal((await db.query("select from outbox.deliveries")).length, 1);
});

test("what a producer inserts, a worker with nothing but its grant really delivers", async () => {
  await using receiver = await startReceiver();
  receiver.respondWith(() => (receiver.count === 1 ? 503 : 200));
  await using db = await testDatabase();
  await addDestination(db, { config: { url: receiver.url }, policy: { schedule_seconds: [0] } });
  await using producer = await createRole(db, "producer");
  await using role = await createRole(db, "worker");
  await using worker = await startTestWorker(role);
  await producer.query(insert);
  await producer.query(`begin; set local outbox.fan_out = 'deferred'; ${insert}; commit`);
  await receiver.waitFor(3);
  await db.until("select count(*)::int as n from outbox.deliveries where status = 'delivered'", [], ({ n }) => n === 2);
  assert.deepEqual(
    worker.lines.filter(({ level }) => level >= 40),
    [],
  );
});
