import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { addDestination, addEvent } from "../support/factory.ts";
import { refusalOf } from "../support/refusal.ts";

test("what is younger than 90 days stays, whoever asks; the owner may cut off what is older, which is noted", async () => {
  await using db = await testDatabase();
  await db.query(
    `insert into outbox.audit_log (action, actor, at)
     select 'a', 'ada', now() - make_interval(days => n) from unnest('{1, 89, 91, 500}'::int[]) as n`,
  );
  for (const sql of [
    "delete from outbox.audit_log",
    "update outbox.audit_log set actor = ''",
    "truncate outbox.audit_log",
  ]) {
    const { code, message } = await refusalOf(db.query(sql));
    assert.equal(code, "PR001");
    assert.match(message, /^audit_log: is append-only/);
  }
  const tooSoon = await refusalOf(db.query("select outbox.prune_audit_log(interval '89 days')"));
  assert.deepEqual([tooSoon.code, tooSoon.message], ["PR001", "retention: must be at least 90 days, not 89 days"]);
  const { n } = await db.one("select outbox.prune_audit_log(interval '1 year', actor => 'eve')::int as n");
  assert.equal(n, 1);
  const left = await db.query(
    "select action, actor, detail ->> 'deleted' as deleted from outbox.audit_log order by id",
  );
  assert.deepEqual(left, [
    ...[1, 2, 3].map(() => ({ action: "a", actor: "ada", deleted: null })),
    { action: "prune_audit_log", actor: "eve", deleted: "1" },
  ]);
});

/** A call of each function that people manage with; $1 is a destination, $2 its subscription, $3 an event, $4 a replay. */
const calls: Readonly<Record<string, string>> = {
  create_destination: "'webhook', '{\"url\": \"https://example.com\"}'",
  update_destination: "$1, name => 'x'",
  disable_destination: "$1",
  enable_destination: "$1",
  rotate_secret: "$1",
  test_destination: "$1",
  create_subscription: "$1",
  update_subscription: "$2",
  redrive: "event_id => $3, statuses => '{held}'",
  cancel: "$3",
  replay: "$2, '-infinity'",
  pause_replay: "$4",
  resume_replay: "$4",
  cancel_replay: "$4",
  prune_audit_log: "interval '1 year'",
  set_retention: "'*', interval '40 days'",
  delete_subscription: "$2",
  delete_destination: "$1",
};

test("every function that takes an actor leaves one row, with that actor and the session's own user", async () => {
  await using db = await testDatabase();
  const { id, subscriptionId } = await addDestination(db);
  const event = await addEvent(db);
  await db.query("update outbox.deliveries set status = 'held', held_at = now(), held_reason = 'test'");
  const { replay_id: replayId } = await db.one("select replay_id from outbox.replay($1, '-infinity')", [
    subscriptionId,
  ]);
  const ids = [id, subscriptionId, event.id, replayId];

  const names = await db.query(
    `select p.proname as name from pg_proc as p
     where p.pronamespace = 'outbox'::regnamespace and p.proargnames[1:p.pronargs] @> '{actor}'
     and p.proname not in ('audit', 'change_replay', 'new_replay', 'deliver_history')`,
  );
  assert.deepEqual(new Set(Object.keys(calls)), new Set(names.map(({ name }) => name)));
  for (const [name, args] of Object.entries(calls)) {
    const { last } = await db.one("select coalesce(max(id), 0) as last from outbox.audit_log");
    const call = args.replaceAll(/\$(\d)/g, (_all, n) => `'${ids[Number(n) - 1]}'`);
    await db.query(`select outbox.${name}(${call}, actor => 'ada')`);
    const rows = await db.query(
      "select action, actor, db_user = session_user as own from outbox.audit_log where id > $1",
      [last],
    );
    assert.deepEqual(rows, [{ action: name, actor: "ada", own: true }]);
  }
});
