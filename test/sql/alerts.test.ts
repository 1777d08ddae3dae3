/** Alerts: who is told, how often, and never in circles. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, evaluate, failInARow, newlyTold, note, toldSoFar } from "../support/alerts.ts";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { failedWith, startHandWorker } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";

const policy = { alerts: { failures: 10 } };

test("an alert says which destination, since when, how many, the last error with its remedy, and the SQL to go on", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy, name: "ERP", tenantId: "acme" });
  await failInARow(db, id, 10);
  await evaluate(db);
  const { first_failure_at } = await db.one("select first_failure_at from outbox.destination_health");
  const [told] = await toldSoFar(db);
  const row = await db.one("select * from outbox.alerts");
  assert.deepEqual(told, {
    alert_id: Number(row.id),
    kind: "consecutive_failures",
    state: "firing",
    severity: "critical",
    dedup_key: `failures:${id}`,
    tenant_id: "acme",
    destination_id: id,
    destination: "ERP",
    destination_type: "webhook",
    since: first_failure_at.toISOString(),
    count: 10,
    title: "ERP has failed 10 times in a row",
    text: row.text,
    last_error: {
      code: "connect",
      message: "connection refused",
      remedy: "Check that the receiver runs, and that its firewall lets the workers in.",
    },
    look: row.look,
    redrive: row.redrive,
  });
  assert.match(row.text, /^No attempt has succeeded since 20\d\d-.* UTC: 100 % of the 10 failures/);
  const event = await db.one("select id, topic, tenant_id, key from outbox.events");
  assert.deepEqual(event, {
    id: row.event_id,
    topic: "postrider.alert.consecutive_failures",
    tenant_id: "acme",
    key: told?.dedup_key,
  });
});

test("whatever SQL an alert gives to look and to redrive is SQL that runs", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const kinds = ["consecutive_failures", "failure_rate", "dead_letter", "retries_exhausted", "circuit_opened"];
  const others = ["destination_disabled", "backlog", "secret_expiring", "poison"];
  for (const kind of [...kinds, ...others]) {
    const sql = await db.one("select outbox.alert_look($1, $2) as look, outbox.alert_redrive($1, $2) as redrive", [
      kind,
      id,
    ]);
    await db.query(sql.look);
    if ([...kinds, "poison"].includes(kind)) await db.query(sql.redrive);
    else assert.equal(sql.redrive, null);
  }
});

test("a tenant's alerts reach its own subscriptions and those of all tenants, and nobody else", async () => {
  await using db = await testDatabase();
  for (const tenantId of ["acme", "umbrella", "default", "*"]) {
    await addDestination(db, { tenantId, name: `alerts of ${tenantId}`, topics: ["postrider.alert.*"] });
    await addDestination(db, { tenantId, name: `events of ${tenantId}`, topics: ["*"] });
  }
  const reached = async () => {
    await db.query("truncate outbox.deliveries");
    await evaluate(db);
    const rows = await db.query(
      `select d.name from outbox.deliveries as v join outbox.destinations as d on d.id = v.destination_id order by 1`,
    );
    return rows.map(({ name }) => name);
  };
  const { id } = await addDestination(db, { tenantId: "acme", policy, topics: ["a"] });
  await failInARow(db, id, 10);
  assert.deepEqual(await reached(), ["alerts of *", "alerts of acme"]);
  const everyones = await addDestination(db, { tenantId: "*", policy, topics: ["a"] });
  await failInARow(db, everyones.id, 10);
  assert.deepEqual(await reached(), ["alerts of *", "alerts of default"]);
});

test("a destination that gets alerts is alerted of by a row, and by no event", async () => {
  await using db = await testDatabase();
  const channel = await addDestination(db, { policy, topics: ["postrider.alert.*"] });
  const second = await addDestination(db, { policy, topics: ["order.paid"] });
  await db.query("select outbox.create_subscription($1, '{postrider.test}')", [second.id]);
  for (const { id } of [channel, second]) await failInARow(db, id, 10);
  await note(db, "open_circuit", channel.id);
  assert.deepEqual(await newlyTold(db), []);
  assert.deepEqual(await db.query("select kind, event_id from outbox.alerts order by kind"), [
    { kind: "circuit_opened", event_id: null },
    { kind: "consecutive_failures", event_id: null },
    { kind: "consecutive_failures", event_id: null },
  ]);
  for (const { id } of [channel, second]) await answer(db, id);
  await note(db, "close_circuit", channel.id);
  assert.deepEqual(await newlyTold(db), []);
  assert.deepEqual(await db.query("select from outbox.open_alerts"), []);
});

test("alerts that cannot be delivered make no further events, however long that goes on", async () => {
  await using db = await testDatabase();
  const policy = { schedule_seconds: [0], alerts: { failures: 1, minimum: 1 } };
  const shop = await addDestination(db, { policy, topics: ["order.*"] });
  const channel = await addDestination(db, { policy, topics: ["postrider.*"] });
  await addEvent(db);
  const worker = await startHandWorker(db);
  for (let round = 0; round < 6; round++) {
    await worker.attempt(failedWith("connect"));
    await evaluate(db);
  }
  const told = await toldSoFar(db);
  assert.ok(told.length >= 3);
  assert.ok(told.every(({ destination_id }) => destination_id === shop.id));
  const rows = await db.query("select from outbox.alerts where destination_id = $1", [channel.id]);
  assert.ok(rows.length >= 3);
});

test("two workers that look at once tell each thing once", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 10);
  await note(db, "open_circuit", id);
  await using first = await db.client();
  await first.query("begin");
  assert.equal(await evaluate(first), 2);
  await using second = await db.client();
  await second.query("set statement_timeout = '10s'");
  assert.equal(await evaluate(second), 0);
  await first.query("commit");
  assert.equal(await evaluate(db), 0);
  await Promise.all(Array.from({ length: 8 }, () => evaluate(db)));
  assert.equal((await toldSoFar(db)).length, 2);
});

test("no two alerts that fire have the same dedup_key and level", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 10);
  await evaluate(db);
  const { constraint } = await refusalOf(
    db.query(
      `insert into outbox.alerts (kind, severity, tenant_id, destination_id, dedup_key, level, since, count, title, text, look)
       select kind, severity, tenant_id, destination_id, dedup_key, level, since, count, title, text, look from outbox.alerts`,
    ),
  );
  assert.equal(constraint, "alerts_open");
});

test("what is cut off by max follows at the next call", async () => {
  await using db = await testDatabase();
  for (let n = 0; n < 5; n++) {
    const { id } = await addDestination(db, { policy, name: `shop ${n}` });
    await failInARow(db, id, 10);
    await note(db, "open_circuit", id);
  }
  const told: number[] = [];
  for (let n = 0; n < 6; n++) told.push((await db.one("select outbox.evaluate_alerts(max => 2) as told")).told);
  assert.equal(
    told.reduce((sum, n) => sum + n),
    10,
  );
  assert.equal(told.at(-1), 0);
});

test("a failure in a transaction that takes its time is told of once that has ended", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { policy });
  await db.query("update outbox.alert_cursor set at = now() - interval '1 hour'");
  await using slow = await db.client();
  await slow.query("begin");
  await slow.query(
    "insert into outbox.destination_health (destination_id, consecutive_failures, first_failure_at, last_failure_at) values ($1, 10, now() - interval '1 minute', now() - interval '1 minute')",
    [id],
  );
  await note(slow, "open_circuit", id);
  const other = await addDestination(db);
  await note(db, "disable_destination", other.id);
  for (let n = 0; n < 4; n++) await evaluate(db);
  assert.equal((await toldSoFar(db)).length, 1);
  await slow.query("commit");
  assert.deepEqual(await newlyTold(db), ["circuit_opened firing warning", "consecutive_failures firing critical"]);
});

test("looking costs the same with many destinations that are well", async () => {
  await using db = await testDatabase();
  await db.query(
    `insert into outbox.destinations (type, name, config)
     select 'webhook', 'other ' || n, '{"url": "https://example.com/"}' from generate_series(1, 2000) as n`,
  );
  await db.query(
    `insert into outbox.destination_health (destination_id, last_success_at, last_failure_at)
     select t.id, now(), now() - interval '3 days' from outbox.destinations as t`,
  );
  const { id } = await addDestination(db, { policy });
  await failInARow(db, id, 10);
  await db.query("update outbox.alert_cursor set at = now() - interval '1 day'");
  const read = async () => {
    await db.query("select pg_stat_force_next_flush()");
    const { n } = await db.one<{ n: number }>(
      `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::int as n from pg_stat_user_tables
       where schemaname = 'outbox' and relname in ('destinations', 'destination_health', 'destination_secrets')`,
    );
    return n;
  };
  await db.query("analyze");
  const before = await read();
  assert.equal(await evaluate(db), 1);
  const rows = (await read()) - before;
  assert.ok(rows < 100, `${rows} rows`);
});
