import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { refusalOf, snapshotSql } from "../support/refusal.ts";

const unknown = "00000000-0000-7000-8000-000000000000";
const whsec = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;

test("rotating returns the new secret, and the old one is valid for the overlap", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { secrets: { signing_secret: whsec } });
  const { secret } = await db.one("select outbox.rotate_secret($1, interval '1 hour', actor => 'ada') as secret", [id]);
  const rows = await db.query(
    `select version, value, valid_until - now() > interval '59 minutes' as overlaps from outbox.destination_secrets order by version`,
  );
  assert.deepEqual(rows, [
    { version: 1, value: whsec, overlaps: true },
    { version: 2, value: secret, overlaps: null },
  ]);
  await db.query("update outbox.destination_secrets set valid_until = now() - interval '1 second' where version = 1");
  await db.query("select outbox.rotate_secret($1, value => $2)", [id, whsec]);
  assert.deepEqual(await db.query("select version from outbox.destination_secrets order by 1"), [
    { version: 2 },
    { version: 3 },
  ]);
});

test("a rotation is refused for an overlap, a name or a value that cannot be", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const before = await db.one(snapshotSql);
  const refused = (args: string) => refusalOf(db.query(`select outbox.rotate_secret('${id}', ${args})`));
  for (const overlap of ["-1 hour", "31 days"]) {
    const { code, message } = await refused(`interval '${overlap}'`);
    assert.equal(code, "PR001");
    assert.match(message, /^overlap: must be between 0 and 30 days/);
  }
  assert.match((await refused("name => 'password'")).message, /^secrets\.password: is not a secret/);
  assert.match(
    (await refused("value => 'hunter22'")).message,
    /^secrets\.signing_secret: does not have the right form/,
  );
  assert.deepEqual(await db.one(snapshotSql), before);
});

test("disabling says why and since when; enabling forgets it and the run of failures", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  const read = () =>
    db.one("select disabled_at is not null as disabled, disabled_reason, version from outbox.destinations");
  const { version } = await read();
  await db.query("select outbox.disable_destination($1, 'they moved', 'ada')", [id]);
  const disabled = await read();
  assert.deepEqual([disabled.disabled, disabled.disabled_reason], [true, "they moved"]);
  assert.ok(disabled.version > version);
  await db.query("select outbox.disable_destination($1, 'again')", [id]);
  assert.equal((await read()).disabled_reason, "they moved");

  await db.query(
    "insert into outbox.destination_health (destination_id, consecutive_failures, first_failure_at) values ($1, 9, now())",
    [id],
  );
  await db.query("select outbox.enable_destination($1)", [id]);
  assert.deepEqual([(await read()).disabled, (await read()).disabled_reason], [false, null]);
  const health = await db.one("select consecutive_failures, first_failure_at from outbox.destination_health");
  assert.deepEqual(health, { consecutive_failures: 0, first_failure_at: null });
  const actions = await db.query(
    "select action, actor = session_user as by_user, detail ->> 'reason' as reason from outbox.audit_log order by id offset 1",
  );
  assert.deepEqual(actions, [
    { action: "disable_destination", by_user: false, reason: "they moved" },
    { action: "enable_destination", by_user: true, reason: null },
  ]);
});

test("a deleted destination keeps its row, loses its secrets and subscriptions, and frees its name", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { name: "ERP" });
  await db.query("select outbox.delete_destination($1)", [id]);
  const left = await db.one(`select deleted_at is not null as deleted, name like 'ERP (deleted %' as renamed,
    (select count(*) from outbox.subscriptions)::int as subscriptions,
    (select count(*) from outbox.destination_secrets)::int as secrets from outbox.destinations`);
  assert.deepEqual(left, { deleted: true, renamed: true, subscriptions: 0, secrets: 0 });
  await addDestination(db, { name: "ERP" });
});

test("a destination with the longest name can be deleted", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { name: "x".repeat(128) });
  await db.query("select outbox.delete_destination($1)", [id]);
  assert.deepEqual(await db.query("select from outbox.destinations where deleted_at is null"), []);
});

test("what concerns a destination that is not there, or was deleted, is refused", async (t) => {
  await using db = await testDatabase();
  const { id: gone } = await addDestination(db);
  await db.query("select outbox.delete_destination($1)", [gone]);
  const before = await db.one(snapshotSql);
  for (const call of [
    "update_destination",
    "delete_destination",
    "enable_destination",
    "disable_destination",
    "rotate_secret",
    "create_subscription",
  ]) {
    await t.test(call, async () => {
      for (const id of [gone, unknown, null]) {
        const { code, message, hint } = await refusalOf(db.query(`select outbox.${call}($1)`, [id]));
        assert.deepEqual([code, message], ["PR002", `destination: there is none with id ${id}`]);
        assert.match(hint, /outbox\.destinations/);
      }
    });
  }
  assert.deepEqual(await db.one(snapshotSql), before);
});

test("no secret is ever in the audit log, which cannot be changed", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db, { secrets: { signing_secret: whsec, legacy_secret: "hunter22" } });
  await db.query("select outbox.update_destination($1, secrets => $2)", [
    id,
    JSON.stringify({ legacy_secret: "hunter33" }),
  ]);
  const { secret } = await db.one("select outbox.rotate_secret($1) as secret", [id]);
  await db.query("select outbox.delete_destination($1)", [id]);
  const { log, n } = await db.one("select json_agg(a)::text as log, count(*)::int as n from outbox.audit_log as a");
  assert.equal(n, 4);
  for (const word of [whsec, "hunter", secret]) assert.ok(!log.includes(word));
  for (const sql of [
    "update outbox.audit_log set actor = 'x'",
    "delete from outbox.audit_log",
    "truncate outbox.audit_log",
  ]) {
    assert.match((await refusalOf(db.query(sql))).message, /audit_log: is append-only/);
  }
});

test("what a transaction held while its destination was deleted is found and cancelled", async () => {
  await using db = await testDatabase();
  const { id } = await addDestination(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  await using producer = await db.client();
  await producer.query("begin");
  const event = await addEvent(producer);
  await db.query("select outbox.delete_destination($1)", [id]);
  await producer.query("commit");
  assert.equal(
    (await db.one("select status::text from outbox.deliveries where event_id = $1", [event.id])).status,
    "held",
  );
  assert.equal((await db.one("select outbox.hold_strays() as n")).n, 1);
  assert.equal((await db.one("select outbox.hold_strays() as n")).n, 0);
  const { status, error_code } = await db.one(
    "select status::text, error_code from outbox.deliveries where event_id = $1",
    [event.id],
  );
  assert.deepEqual({ status, error_code }, { status: "cancelled", error_code: "destination_deleted" });
});
