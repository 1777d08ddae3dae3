/** How fast replays go, what they wait for, and who advances them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testDatabase } from "../support/database.ts";
import { delivered } from "../support/hand_worker.ts";
import { refusalOf } from "../support/refusal.ts";
import { advance, history, progress, replay, step } from "../support/replays.ts";

test("a step takes what the rate allows: a quarter of a second's worth at most, however late it comes", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db, 300);
  await replay(db, subscriptionId, "since => '-infinity', rate => 100");
  for (const repeated of [25, 50, 75]) {
    await step(db);
    assert.equal((await progress(db)).repeated, repeated);
  }
  assert.equal((await db.one("select outbox.advance_replays() as advanced")).advanced, false, "not due yet");
});

test("over a second of calls as fast as they come, no more is done than the rate says", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db, 200);
  await replay(db, subscriptionId, "since => '-infinity', rate => 50");
  const startedAt = performance.now();
  while (performance.now() - startedAt < 1_000) await db.query("select outbox.advance_replays()");
  const { repeated } = await progress(db);
  const allowed = (50 * (performance.now() - startedAt)) / 1_000;
  assert.ok(repeated <= allowed + 1 && repeated >= 20, `${repeated} of ${allowed}`);
});

test("it waits while the destination is disabled, then goes on", async () => {
  await using db = await testDatabase();
  const { id, subscriptionId } = await history(db);
  await db.query("select outbox.disable_destination($1)", [id]);
  await replay(db, subscriptionId);
  assert.deepEqual(await advance(db), {
    ...(await progress(db)),
    status: "running",
    waits_for: "the destination is disabled",
    looked_at: 0,
  });
  await db.query("select outbox.enable_destination($1)", [id]);
  assert.deepEqual([(await advance(db)).status, (await progress(db)).repeated], ["done", 3]);
});

test("it waits while the subscription is not enabled", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db);
  await db.query("select outbox.update_subscription($1, enabled => false)", [subscriptionId]);
  await replay(db, subscriptionId);
  assert.equal((await advance(db)).waits_for, "the subscription is not enabled");
});

test("it does not run ahead of a destination that takes nothing: at 1,000 due and not done it waits", async () => {
  await using db = await testDatabase();
  const { subscriptionId, worker } = await history(db, 1500);
  await replay(db, subscriptionId, "since => '-infinity', rate => 2000");
  const stopped = await advance(db);
  assert.equal(stopped.waits_for, "the destination has not taken what was put to work");
  assert.ok(stopped.repeated >= 1000 && stopped.repeated < 1500, String(stopped.repeated));
  await worker.attempt(delivered);
  assert.deepEqual([(await advance(db)).status, (await progress(db)).repeated], ["done", 1500]);
});

test("paused it stands still, resumed it goes on where it was, at another rate if asked; cancelled it ends", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db, 10);
  const { replay_id: id } = await replay(db, subscriptionId, "since => '-infinity', rate => 16");
  await step(db);
  await db.query("select outbox.pause_replay($1)", [id]);
  assert.equal(await step(db), false);
  assert.deepEqual([(await progress(db)).status, (await progress(db)).repeated], ["paused", 4]);
  await db.query("select outbox.resume_replay($1, rate => 8)", [id]);
  await step(db);
  assert.deepEqual([(await progress(db)).status, (await progress(db)).repeated], ["running", 6]);
  await db.query("select outbox.cancel_replay($1)", [id]);
  assert.equal(await step(db), false);
  assert.deepEqual([(await progress(db)).status, (await progress(db)).repeated], ["cancelled", 6]);
  for (const action of ["pause", "resume", "cancel"]) {
    const { code, message } = await refusalOf(db.query(`select outbox.${action}_replay($1)`, [id]));
    assert.deepEqual([code, message], ["PR003", `replay: ${id} is cancelled`]);
  }
});

test("a step that is rolled back leaves nothing, and the next one does it all", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db, 10);
  await replay(db, subscriptionId);
  const state =
    "select (select json_agg(d order by d) from outbox.deliveries as d) as d, (select json_agg(r) from outbox.replays as r) as r, (select count(*) from graphile_worker._private_jobs) as j";
  const before = await db.one(state);
  await using client = await db.client();
  await client.query(
    "begin; update outbox.replays set due_at = now() - interval '1 hour', advanced_at = now() - interval '1 hour'",
  );
  await client.query("select outbox.advance_replays()");
  await client.query("rollback");
  assert.deepEqual(await db.one(state), before);
  assert.equal((await advance(db)).repeated, 10);
});

test("while one worker advances it, another has nothing to do", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db, 10);
  await replay(db, subscriptionId);
  await db.query(
    "update outbox.replays set due_at = now() - interval '1 hour', advanced_at = now() - interval '1 hour'",
  );
  await using first = await db.client();
  await first.query("begin; select outbox.advance_replays()");
  assert.equal((await db.one("select outbox.advance_replays() as advanced")).advanced, false);
  await first.query("commit");
  assert.equal((await progress(db)).repeated, 10);
});

test("when its subscription is deleted it is cancelled", async () => {
  await using db = await testDatabase();
  const { subscriptionId } = await history(db);
  await replay(db, subscriptionId);
  await db.query("select outbox.delete_subscription($1)", [subscriptionId]);
  assert.equal((await advance(db)).status, "cancelled");
});
